"""papy.Dagger as a run: what comes out, what travels, what ends it, and that nothing goes on afterwards."""

from __future__ import annotations

import gc
import random
import signal
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from random import Random
from typing import Any

import pytest

from numap import IMap, ItemError, StateError
from numap._base.checks import counted
from papy import Dagger, DaggerError, Piper, PiperError, RunStatistics, Worker
from papy._streams import streams as _flow
from tests.numap.tools import each_seed
from tests.papy import work

Make = Callable[..., Piper]


@pytest.fixture(params=["linear", "serial", "one serial each"])
def make(request: pytest.FixtureRequest) -> Make:
    """Make a piper of a function that takes items; all are linear, or on one IMap, or each on its own."""
    shared: IMap[Any] = IMap(worker_type="serial")

    def piper(function: Callable[..., Any], **options: Any) -> Piper:
        pool: IMap[Any] | None = None
        if request.param == "serial":
            pool = shared
        elif request.param != "linear":
            pool = IMap(worker_type="serial")
        return Piper(function, pool, unpack=True, **options)

    return piper


def outcome(result: Any) -> Any:
    """A result, or the type of the exception that took its place."""
    return type(result.exception) if isinstance(result, PiperError) else result


# what comes out --------------------------------------------------------------------


def test_a_chain(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.double), make(work.increment), make(work.double))])
    assert list(dagger.results([range(5)])) == [2, 6, 10, 14, 18]


def test_functions_take_an_inbox() -> None:
    a, b, total = Piper(work.total), Piper(work.total), Piper(work.total)
    dagger = Dagger(pipes=[(a, total), (b, total)])
    assert list(dagger.results([[1, 2], [10, 20]])) == [11, 22]


def test_a_diamond(make: Make) -> None:
    root, left, right, join = make(work.double), make(work.increment), make(str), make(work.pair)
    dagger = Dagger(pipes=[(root, left, join), (root, right, join)])
    assert list(dagger.results([range(100)])) == [(2 * x + 1, str(2 * x)) for x in range(100)]


def test_the_upstream_piper_itself_is_read_again(make: Make) -> None:
    a, b, join = make(work.double), make(work.increment), make(work.pair)
    dagger = Dagger(pipes=[(a, b, join), (a, join)])
    assert list(dagger.results([[1, 2]])) == [(3, 2), (5, 4)]


def test_several_outputs_are_tuples_in_their_order(make: Make) -> None:
    root = make(work.double)
    dagger = Dagger(pipes=[(root, make(str, branch=1)), (root, make(work.increment, branch=0)), (root, make(float))])
    assert list(dagger.results([[1, 2]])) == [(2.0, 3, "2"), (4.0, 5, "4")]


def test_several_inputs_get_their_datas_in_their_order(make: Make) -> None:
    dagger = Dagger([make(str, branch=1), make(float, branch=0), make(work.double)])
    assert list(dagger.results([[1], [2], [3]])) == [(2, 2.0, "3")]


def test_inputs_may_read_the_same_data(make: Make) -> None:
    data = [1, 2, 3]
    assert list(Dagger([make(str), make(float)]).results([data, data])) == [("1", 1.0), ("2", 2.0), ("3", 3.0)]


def test_one_function_many_pipers() -> None:
    worker = Worker(work.double, unpack=True)
    assert list(Dagger(pipes=[[worker] * 4]).results([[1]])) == [16]


def test_no_items(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.double), make(work.double))])
    assert list(dagger.results([[]])) == [] and list(dagger.results([iter(())])) == []


def test_a_tuple_is_a_result_like_any_other(make: Make) -> None:
    assert list(Dagger([make(work.pair)]).results([[1, (2, 3)]])) == [(1,), ((2, 3),)]


def test_none_and_arrays_of_truth_values_are_items(make: Make) -> None:
    class Unsure:
        def __bool__(self) -> bool:
            raise ValueError("neither true nor false")

        def __eq__(self, other: object) -> Unsure:  # type: ignore[override]
            return self

        __hash__ = None  # type: ignore[assignment]

    things = [None, False, Unsure(), ...]
    a, b = make(work.pair), make(work.pair)
    join = make(lambda left, right: left[0])
    results = Dagger(pipes=[(a, join), (b, join)]).results([things, things])
    assert [x is y for x, y in zip(results, things, strict=True)] == [True] * 4


def test_a_dagger_runs_again(make: Make) -> None:
    root = make(work.double)
    dagger = Dagger(pipes=[(root, make(work.increment)), (root, make(str))])
    for size in (3, 0, 5):
        assert list(dagger.results([range(size)])) == [(2 * x + 1, str(2 * x)) for x in range(size)]
    dagger.add_pipe((root, make(float)))
    assert list(dagger.results([[1]])) == [(3, "2", 2.0)]


def test_thousands_of_linear_pipers() -> None:
    chain = [Piper(work.increment, unpack=True) for _ in range(3000)]
    chain[7] = Piper(work.inverse, unpack=True)
    results = list(Dagger(pipes=[chain]).results([[-7, -6]]))
    assert outcome(results[0]) is ZeroDivisionError and results[1] == 1 + 2992


def test_a_long_chain_on_one_imap() -> None:
    pool = IMap[Any](worker_type="thread", worker_num=2)
    dagger = Dagger(pipes=[[Piper(work.same, pool, unpack=True) for _ in range(1200)]])
    assert list(dagger.results([[1, 2]])) == [1, 2]


def test_linear_pipers_read_only_what_is_asked_for() -> None:
    asked: list[int] = []

    def data() -> Iterator[int]:
        for x in count():
            asked.append(x)
            yield x

    dagger = Dagger(pipes=[(Piper(work.double, unpack=True), Piper(work.increment, unpack=True))])
    results = dagger.results([data()])
    assert asked == [] and dagger._state == "idle"
    assert list(islice(results, 3)) == [1, 3, 5]
    assert asked == [0, 1, 2]


# what travels ------------------------------------------------------------------------


def test_a_failure_travels_in_the_place_of_its_item(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.inverse, name="invert"), make(work.double), make(work.increment))])
    results = list(dagger.results([[1, 0, 0.5]]))
    assert [outcome(result) for result in results] == [3.0, ZeroDivisionError, 5.0]
    error = results[1]
    assert isinstance(error.args[0].args[0], PiperError)
    assert (error.piper, error.function, error.inbox, error.index) == ("invert", "inverse", [0], 1)
    assert "return 1 / x" in str(error.__cause__.__cause__)


def test_functions_are_not_evaluated_on_a_failed_item(make: Make) -> None:
    seen: list[Any] = []
    dagger = Dagger(pipes=[(make(work.inverse), make(seen.append))])
    list(dagger.results([[1, 0, 2]]))
    assert seen == [1.0, 0.5]


def test_a_join_wraps_all_failures_of_its_inbox(make: Make) -> None:
    root, join = make(int), make(work.pair)
    dagger = Dagger(pipes=[(root, make(work.inverse, name="a"), join), (root, make(work.inverse, name="b"), join)])
    (error,) = dagger.results([["0"]])
    assert [wrapped.piper for wrapped in error.args] == ["a", "b"] and error.piper == "a"
    (error,) = dagger.results([["x"]])
    assert outcome(error) is ValueError and error.args[0].args[0] is error.args[1].args[0]


def test_the_index_is_the_place_of_the_item(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.double), make(work.inverse), make(work.double))])
    errors = [it for it in dagger.results([[1, 0, 2, 0]]) if isinstance(it, PiperError)]
    assert [error.index for error in errors] == [1, 3]


def test_exception_objects_are_values(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.error_value), make(repr))])
    assert list(dagger.results([[1, 2]])) == ["ValueError(1)", "ValueError(2)"]
    by_hand = PiperError("by hand")
    assert list(Dagger([make(lambda x: by_hand)]).results([[1]])) == [by_hand]


def test_stop_iteration_is_a_failure_like_any_other(make: Make) -> None:
    dagger = Dagger(pipes=[(make(next), make(work.double))])
    assert [outcome(it) for it in dagger.results([[iter([1]), iter([]), iter([2])]])] == [2, StopIteration, 4]


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, BaseException])
def test_what_is_no_exception_is_a_failure_like_any_other(make: Make, kind: type[BaseException], retries: int) -> None:
    raising = partial(work.raise_at_two, kind)
    dagger = Dagger(pipes=[(make(raising, name="leave", retries=retries), make(work.double))])
    results = list(dagger.results([[1, 2, 3]]))
    assert [results[0], results[2]] == [2, 6]
    assert isinstance(results[1].exception, ItemError)
    assert type(results[1].exception.original) is kind and results[1].exception.original.args == (2,)
    assert (results[1].piper, results[1].index) == ("leave", 1)
    assert kind.__name__ in str(results[1])


def test_an_interrupt_passes_through_a_linear_piper() -> None:
    dagger = Dagger([Piper(partial(work.raise_at_two, KeyboardInterrupt), unpack=True)])
    with pytest.raises(KeyboardInterrupt):
        list(dagger.results([[1, 2, 3]]))
    assert "idle" in repr(dagger)


@pytest.mark.parametrize("retries", [0, 2])
def test_who_leaves_by_a_signal_leaves(retries: int) -> None:
    """What the user's handler raises is not the function's."""

    def leave(number: int, frame: object) -> None:
        sys.exit(3)

    def kill(x: int) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit, match="3"):
            list(Dagger([Piper(kill, unpack=True, retries=retries)]).results([[1]]))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_failure_of_an_earlier_run_is_a_failure_of_this_one(make: Make) -> None:
    errors = list(Dagger([make(work.inverse, name="before")]).results([[0]]))
    (error,) = Dagger([make(work.double)]).results([errors])
    assert error.args == tuple(errors) and error.piper == "before"


# run ---------------------------------------------------------------------------------


def test_run_counts(make: Make) -> None:
    root, inverse, double, plain = make(int), make(work.inverse), make(work.double), make(float)
    join = make(work.pair)
    dagger = Dagger(pipes=[(root, inverse, double, join), (root, plain, join)])
    done = dagger.run([["1", "0", "x", "0", "2"]])
    assert isinstance(done, RunStatistics) and done.results == 5 and done.seconds > 0
    assert done.items == {root: 5, inverse: 4, double: 2, plain: 4, join: 2}
    assert done.failures == {root: 1, inverse: 2, double: 0, plain: 0, join: 0}
    assert dagger._state == "idle"


def test_run_counts_what_was_evaluated(make: Make) -> None:
    first, several, one = make(lambda n: 1 // n), make(lambda n: (n, n), produce=2), make(work.same)
    done = Dagger(pipes=[(first, several), (first, one)]).run([[0, 1, 1]])
    assert done.items == {first: 3, several: 2, one: 2} and done.failures == {first: 1, several: 0, one: 0}


@each_seed(100)
def test_run_counts_in_any_graph(rng: Random) -> None:
    pool: IMap[Any] = IMap(worker_type="serial")
    calls: Counter[int] = Counter()

    def counting(number: int, produce: int, bad: float) -> Any:
        def evaluate(inbox: Any) -> Any:
            calls[number] += 1
            if Random(f"{number} {inbox}").random() < bad:
                raise ValueError
            return [(number, inbox)] * produce if produce > 1 else (number, inbox)

        return evaluate

    dagger, made = Dagger(on_error=rng.choice(["return", "skip"])), list[Piper]()
    for number in range(rng.randrange(1, 7)):
        up = rng.choice(made) if made else None
        like = [it for it in made if up is not None and it is not up and it.produce == up.produce]
        parallel, produce = rng.choice([pool, None, IMap(worker_type="serial")]), rng.choice([1, 1, 2, 3])
        evaluate = counting(number, produce, rng.choice([0, 0.3]))
        piper = Piper(evaluate, parallel, consume=up.produce if up else rng.choice([1, 2]), produce=produce)
        dagger.add_piper(piper)
        dagger.add_pipes([(it, piper) for it in [up, *like[:1]] if it is not None])
        made.append(piper)
    datas = [range(rng.randrange(12))] * len(dagger.get_inputs())
    try:
        done = dagger.run(datas)
    except DaggerError as error:
        assert "unequal length" in str(error)
    else:
        assert done.items == {piper: calls[number] for number, piper in enumerate(made)}


@pytest.mark.parametrize("skip", [False, True])
def test_run_counts_a_late_result_once(skip: bool) -> None:
    gate = threading.Event()

    def slow(x: int) -> int:
        assert x != 1 or gate.wait(30)
        return x

    first = Piper(slow, IMap(worker_type="thread", worker_num=1, skip=skip), timeout=0.02, unpack=True)
    second = Piper(work.same, unpack=True)
    with Dagger(pipes=[(first, second)]) as dagger:
        dagger.start([[0, 1, 2]])
        came = []
        for item in second:
            came.append(item)
            if isinstance(item, PiperError):  # without skip it takes some of them until the result comes
                gate.set()
        assert dagger._run is not None
        items = dagger._run.statistics(0).items
    values = [item for item in came if not isinstance(item, PiperError)]
    assert items[second] == len(values) and items[first] == 3


def test_run_of_nothing(make: Make) -> None:
    piper = make(work.double)
    done = Dagger([piper]).run([[]])
    assert (done.results, done.items, done.failures) == (0, {piper: 0}, {piper: 0})


# what ends a run -----------------------------------------------------------------------


def test_an_input_that_raises_ends_the_run(make: Make) -> None:
    def data() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    dagger = Dagger(pipes=[(make(work.double, name="first"), make(work.double))])
    seen: list[Any] = []
    with pytest.raises(DaggerError, match="the disk is gone") as caught:
        seen.extend(dagger.results([data()]))
    assert isinstance(caught.value.__cause__, OSError) and seen == [4, 8] and dagger._state == "idle"


@pytest.mark.parametrize("sizes", [(3, 5), (5, 3), (0, 1), (1, 0)])
def test_inputs_of_unequal_length_end_the_run(make: Make, sizes: tuple[int, int]) -> None:
    join = make(work.pair, name="join")
    dagger = Dagger(pipes=[(make(work.double, name="left"), join), (make(work.double, name="right"), join)])
    seen: list[Any] = []
    with pytest.raises(DaggerError) as caught:
        seen.extend(dagger.results([range(size) for size in sizes]))
    assert len(seen) == min(sizes) and dagger._state == "idle"
    first, other = ("left", "right") if sizes[0] < sizes[1] else ("right", "left")
    expected = (
        f"the inputs of join are of unequal length: {first} ended after {counted(min(sizes), 'item')}, {other} goes on"
    )
    paired_by_numap = join.imap is not None and len({piper.imap for piper in dagger}) == 1
    assert f"({first}) ended first" in str(caught.value) if paired_by_numap else str(caught.value) == expected


def test_an_input_that_raises_is_named(make: Make) -> None:
    def data() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    left, right, join = make(work.double, name="left"), make(work.double, name="right"), make(work.pair, name="join")
    for _ in range(2):
        with pytest.raises(DaggerError, match=r"^the data of right raised OSError: the disk is gone$") as caught:
            Dagger(pipes=[(left, join), (right, join)]).run([count(), data()])
        assert isinstance(caught.value.__cause__, OSError)


def test_inputs_with_the_same_iterator_read_all_of_it_each(make: Make) -> None:
    left, right, other = make(work.double), make(work.same), make(work.same)
    dagger = Dagger([left, right, other])
    shared = iter(range(5))
    assert list(dagger.results([shared, shared, "abcde"])) == [(2 * x, x, "abcde"[x]) for x in range(5)]
    shared = iter(range(3))
    dagger.start([shared, shared, range(3)])
    assert [next(right), next(right), next(left), next(right), next(left)] == [0, 1, 0, 2, 2]
    dagger.stop()

    def data() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    shared = data()
    names = f"{left.name} and {right.name}"
    with pytest.raises(DaggerError, match=f"^the data of {names} raised OSError: gone$"):
        dagger.run([shared, shared, count()])


def test_outputs_of_unequal_length_end_the_run(make: Make) -> None:
    dagger = Dagger([make(work.double, name="left"), make(work.double, name="right")])
    with pytest.raises(DaggerError, match="the outputs are of unequal length: left ended after 2 items, right goes on"):
        dagger.run([[1, 2], [1, 2, 3]])


@pytest.mark.parametrize(
    ("datas", "got"),
    [(None, "0"), ([], "0"), ([[1]], "1"), ([[1]] * 3, "3"), ([[1]] * 9, "9"), (count(), "more than 1002")],
)
def test_the_number_of_datas_must_fit(make: Make, datas: Any, got: str) -> None:
    dagger = Dagger([make(work.double, name="a"), make(work.double, name="b")])
    with pytest.raises(DaggerError, match=rf"datas: {got} given; must be one iterable for each of 2 inputs \(a, b\)"):
        dagger.start(datas)
    assert dagger._state == "idle"


def test_datas_are_iterable(make: Make) -> None:
    with pytest.raises(DaggerError, match=r"datas: must be an iterable for a, not 3 \(int\)"):
        next(Dagger([make(work.double, name="a")]).results([3]))  # type: ignore[list-item]


def test_datas_are_a_list() -> None:
    with pytest.raises(DaggerError, match=r"datas: must be a list with one iterable for each input, not 3 \(int\)"):
        Dagger([work.total]).start(3)  # type: ignore[arg-type]


def test_nothing_to_start() -> None:
    with pytest.raises(DaggerError, match="no pipers"):
        Dagger().start([])


# the life ------------------------------------------------------------------------------


def test_start_read_stop(make: Make) -> None:
    left, right = make(work.double), make(str)
    with Dagger([left, right]) as dagger:
        dagger.start([[1, 2], [3, 4]])
        assert list(zip(left, right, strict=True)) == [(2, "3"), (4, "4")]
        dagger.stop()
        dagger.stop()
    dagger.stop()
    assert list(dagger.results([[1], [2]])) == [(2, "2")]


def test_connecting_by_hand(make: Make) -> None:
    a, b = make(work.double), make(str)
    dagger = Dagger([a, b])
    with pytest.raises(DaggerError, match="for each of 2 inputs"):
        dagger.connect()
    with pytest.raises(DaggerError, match="for each of 2 inputs"):
        dagger.connect_inputs([[1]])
    for _ in range(2):
        dagger.connect_inputs([[1, 2], [3, 4]])
        dagger.connect()
        assert a.connected and b.connected and not a.started
        with pytest.raises(DaggerError, match="add_piper is not possible while the Dagger is connected"):
            dagger.add_piper(work.double)
        dagger.start()
        assert list(zip(a, b, strict=True)) == [(2, "3"), (4, "4")]
        with pytest.raises(DaggerError, match="disconnect is not possible while the Dagger is running"):
            dagger.disconnect()
        dagger.disconnect(forced=True)
        dagger.disconnect()
        assert not a.connected
    dagger.connect([[1], [2]])
    with pytest.raises(DaggerError, match="the Dagger is connected: start it without arguments"):
        dagger.start([[1], [2]])
    dagger.stop()
    dagger.connect_inputs([[1], [2]])
    dagger.del_piper(b)
    with pytest.raises(DaggerError, match="the inputs are others"):
        dagger.start()
    assert list(dagger.results([[5]])) == [10]


def test_outputs_that_give_different_numbers(make: Make) -> None:
    seen: list[Any] = []
    root, once = make(work.double), make(seen.append)
    twice = make(lambda x: (x, x), produce=2)
    dagger = Dagger(pipes=[(root, once), (root, twice)])
    with pytest.raises(DaggerError, match="they make no tuples"):
        next(dagger.results([range(5)]))
    done = dagger.run([range(5)])
    assert seen == [0, 2, 4, 6, 8] and done.items == {root: 5, once: 5, twice: 5}
    with dagger:
        dagger.start([range(2)])
        assert list(twice) == [0, 0, 2, 2] and len(list(once)) == 2


def test_what_is_not_allowed_while_running(make: Make) -> None:
    a, b = make(work.double), make(work.double)
    dagger = Dagger(pipes=[(a, b)])
    dagger.start([[1, 2, 3]])
    for call in (
        lambda: dagger.start([[1]]),
        lambda: dagger.run([[1]]),
        lambda: next(dagger.results([[1]])),
        lambda: dagger.add_piper(work.double),
        lambda: dagger.add_piper(a),
        lambda: dagger.add_pipe((a, work.double)),
        lambda: dagger.del_piper(b),
        lambda: dagger.del_pipe((a, b)),
        lambda: dagger.add_node(a),
        lambda: dagger.add_edge((b, a)),
        lambda: dagger.del_edge((b, a)),
    ):
        with pytest.raises(
            DaggerError,
            match=r"(start|(add|del)_(piper|pipe|node|edge)|results|run\(datas\)) is not possible while the Dagger is running",
        ):
            call()
    assert list(b) == [4, 8, 12]
    dagger.stop()
    dagger.del_pipe((a, b))
    assert not dagger


def test_a_loop_that_is_left_stops_everything(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.double), make(work.double))])
    for result in dagger.results([count()]):
        if result > 10:
            break
    assert dagger._state == "idle"
    with pytest.raises(ZeroDivisionError):
        for result in dagger.results([count()]):
            result / 0
    del result
    results = dagger.results([count()])
    next(results)
    assert dagger._state == "running"
    del results
    gc.collect()  # the traceback of the error above may have held the first one
    assert dagger._state == "idle"


def test_the_input_is_not_closed() -> None:
    data = (x for x in range(10))
    dagger = Dagger(pipes=[(Piper(work.double, unpack=True), Piper(work.double, unpack=True))])
    assert next(dagger.results([data])) == 0
    assert next(dagger.results([data])) == 4


def test_results_of_a_stopped_run_end_with_an_error(make: Make) -> None:
    dagger = Dagger([make(work.double)])
    results = dagger.results([range(5)])
    assert next(results) == 0
    dagger.stop()
    with pytest.raises(DaggerError, match="was stopped"):
        next(results)


def test_an_old_loop_does_not_stop_a_new_run(make: Make) -> None:
    dagger = Dagger([make(work.double)])
    old = dagger.results([range(5)])
    next(old)
    dagger.stop()
    new = dagger.results([range(5)])
    assert next(new) == 0
    old.close()
    assert list(new) == [2, 4, 6, 8]


def test_an_imap_runs_for_one_dagger_at_a_time() -> None:
    pool: IMap[Any] = IMap(worker_type="serial")
    private: IMap[Any] = IMap(worker_type="serial")
    one = Dagger([Piper(work.double, pool, unpack=True)])
    before, after = Piper(work.increment, private, unpack=True), Piper(work.increment, pool, unpack=True, name="late")
    other = Dagger(pipes=[(before, after)])
    running = one.results([range(4)])
    assert next(running) == 0
    with pytest.raises(DaggerError, match="the IMap of late is running already"):
        other.start([range(4)])
    assert other._state == "idle" and list(running) == [2, 4, 6]
    assert list(other.results([range(2)])) == [2, 3]


def test_who_has_too_small_a_buffer_is_named() -> None:
    pool: IMap[Any] = IMap(worker_type="thread", buffer=1)
    dagger = Dagger([Piper(work.double, pool, name="one"), Piper(work.double, pool, name="other")])
    with pytest.raises(DaggerError, match="the IMap of one, other can't be started: buffer: 1 is too small for 2"):
        dagger.start([[1], [2]])
    assert dagger._state == "idle" and pool.statistics().state in ("idle", "stopped")


@pytest.mark.parametrize("kind", ["serial", "thread"])
def test_an_imap_with_tasks_of_its_own_is_not_taken_over(kind: str) -> None:
    pool: IMap[Any] = IMap(worker_type=kind)
    task = pool.add_task(work.double, [1, 2])
    dagger = Dagger(
        pipes=[(Piper(work.increment, pool, unpack=True, name="late"), Piper(work.double, pool, unpack=True))]
    )
    with pytest.raises(DaggerError, match="the IMap of late has tasks already, which are not of this Dagger"):
        dagger.start([range(4)])
    assert dagger._state == "idle"
    pool.start()
    assert list(task) == [2, 4]
    with pytest.raises(DaggerError, match=r"the IMap of late is finished from another use; stop\(\) it first"):
        dagger.start([range(4)])
    pool.stop()
    assert list(dagger.results([range(2)])) == [2, 4]


def test_a_piper_runs_in_one_dagger_at_a_time() -> None:
    piper = Piper(work.double, unpack=True, name="shared")
    one, other = Dagger([piper]), Dagger([piper])
    one.start([[1, 2]])
    with pytest.raises(DaggerError, match="shared: connect is not possible: it is in a running Dagger already"):
        other.start([[3]])
    assert list(piper) == [2, 4]
    one.stop()
    assert list(other.results([[3]])) == [6]


def test_a_start_that_fails_leaves_no_trace(make: Make) -> None:
    class Refuses:
        def __iter__(self) -> Iterator[int]:
            raise OSError("not now")

    a, b = make(work.double), make(work.double)
    dagger = Dagger([a, b])
    with pytest.raises((OSError, DaggerError)):
        list(dagger.results([[1], Refuses()]))
    assert dagger._state == "idle"
    assert [piper.imap.statistics().tasks for piper in (a, b) if piper.imap is not None] in ([], [(), ()])
    assert list(dagger.results([[1], [2]])) == [(2, 4)]


@pytest.mark.parametrize("drop", ["loop", "run", "started"])
def test_a_dropped_dagger_leaves_no_cycle(drop: str) -> None:
    pool: IMap[Any] = IMap(worker_type="serial")
    seen = weakref.ref(pool)
    root = Piper(work.inverse, unpack=True)
    left, right = Piper(work.double, pool, unpack=True), Piper(work.double, pool, unpack=True)
    dagger = Dagger(pipes=[(root, left), (root, right)])
    del root, right, pool
    gc.collect()
    gc.disable()
    try:
        if drop == "loop":
            results = dagger.results([[1, 0, 2]])
            next(results), next(results)
            del results
        elif drop == "run":
            dagger.run([[1, 0, 2]])
        else:
            dagger.start([[1, 0, 2]])
            next(left)
        del dagger, left
        for _ in range(500 if drop == "started" else 1):  # then a thread stops it
            if seen() is not None and drop == "started":
                time.sleep(0.01)
        assert seen() is None
    finally:
        gc.enable()


def test_branches_of_a_fork_may_be_so_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_flow, "FORK_LIMIT", 10)
    root, left, right = (Piper(work.double, unpack=True) for _ in range(3))
    with Dagger(pipes=[(root, left), (root, right)]) as dagger:
        dagger.start([count()])
        assert list(islice(left, 10)) == [4 * x for x in range(10)]
        with pytest.raises(
            StateError, match=f"what {root.name} gives is read by several, and one of them is 10 items ahead"
        ):
            next(left)
        assert next(right) == 0


# against direct evaluation ---------------------------------------------------------------


class Failed(Exception):
    """What a random piper raises."""


class Tag:
    """Wraps its inbox, or fails for one item in so many."""

    def __init__(self, name: str, modulus: int) -> None:
        self.name = name
        self.modulus = modulus

    def __call__(self, inbox: list[Any]) -> Any:
        seed = f"{self.name}{inbox}"
        if sum(seed.encode()) % self.modulus == 0:
            raise Failed(self.name)
        return (self.name, *inbox)


def expected(dagger: Dagger, order: list[Piper], upstream: dict[Piper, list[Piper]], items: dict[Piper, Any]) -> Any:
    """What comes out for one item of each input: values, and for a failure the set of those who raised."""
    values: dict[Piper, Any] = {}
    for piper in order:
        inbox = [values[up] for up in upstream[piper]] or [items[piper]]
        failed = [value for value in inbox if isinstance(value, frozenset)]
        if failed:
            values[piper] = frozenset().union(*failed)
            continue
        try:
            values[piper] = piper.worker.task[0](inbox)
        except Failed:
            values[piper] = frozenset([piper.name])
    return tuple(values[piper] for piper in dagger.get_outputs())


def origins(result: Any) -> Any:
    """A value, or the names of those who raised."""
    if not isinstance(result, PiperError):
        return result
    inner = [arg for arg in result.args if isinstance(arg, PiperError)]
    return frozenset().union(*map(origins, inner)) if inner else frozenset([result.piper])


@pytest.mark.parametrize("seed", range(60))
def test_random_daggers(seed: int) -> None:
    rng = random.Random(seed)
    pools: list[IMap[Any]] = [IMap(worker_type="serial") for _ in range(2)]
    size = rng.randrange(1, 9)
    pipers = [
        Piper(Tag(f"p{i}", rng.choice([5, 11, 10**9])), rng.choice([None, *pools]), name=f"p{i}") for i in range(size)
    ]
    dagger = Dagger(rng.sample(pipers, size))
    upstream: dict[Piper, list[Piper]] = {}
    for place, piper in enumerate(pipers):
        ups = rng.sample(pipers[:place], rng.randrange(0, min(place, 3) + 1))
        dagger.add_pipes((up, piper) for up in ups)
    for piper in pipers:
        upstream[piper] = dagger.inbox_order(piper)
        assert set(upstream[piper]) == set(dagger[piper])
    inputs = dagger.get_inputs()
    length = rng.randrange(0, 30)
    datas = {piper: [rng.randrange(100) for _ in range(length)] for piper in inputs}
    wanted = [
        expected(dagger, pipers, upstream, {piper: datas[piper][place] for piper in inputs}) for place in range(length)
    ]
    for _ in range(2):
        got = list(dagger.results([datas[piper] for piper in inputs]))
        rows = [row if len(dagger.get_outputs()) > 1 else (row,) for row in got]
        assert [tuple(map(origins, row)) for row in rows] == wanted
        assert [e.index for e in (x for r in rows for x in r) if isinstance(e, PiperError)] == [
            place for place, row in enumerate(wanted) for x in row if isinstance(x, frozenset)
        ]
    done = dagger.run([datas[piper] for piper in inputs])
    failed = [frozenset().union(*(x for x in row if isinstance(x, frozenset))) for row in wanted]
    assert {p.name: n for p, n in done.failures.items()} == {p.name: sum(p.name in f for f in failed) for p in pipers}
    for piper in pipers:
        deep = {up.name for up in dagger.deep_nodes(piper)}
        assert done.items[piper] == sum(not deep & f for f in failed)
