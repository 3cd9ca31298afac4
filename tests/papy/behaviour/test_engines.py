"""Daggers on threads and processes: the same results, and what only a process can do to an item."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

from numap import IMap, SerializationError, WorkerDied, WorkerStartError
from papy import Dagger, Piper, PiperError, Plumber
from tests.papy import work


@pytest.fixture(params=["thread", "process"])
def pool(request: pytest.FixtureRequest) -> Iterator[IMap[Any]]:
    imap: IMap[Any] = IMap(worker_type=request.param, worker_num=2)
    yield imap
    imap.stop()


@pytest.fixture
def processes() -> Iterator[IMap[Any]]:
    imap: IMap[Any] = IMap(worker_type="process", worker_num=2)
    yield imap
    imap.stop()


def plain(function: Any, pool: IMap[Any] | None = None, **options: Any) -> Piper:
    return Piper(function, pool, unpack=True, **options)


def test_a_chain_on_one_pool(pool: IMap[Any]) -> None:
    pipers = [plain(work.double, pool, name="first"), plain(work.increment, pool), plain(work.double, pool)]
    dagger = Dagger(pipes=[pipers])
    with dagger:
        dagger.start([range(3)])
        assert pool.statistics().tasks[0].label == "first"
    for size in (1000, 3):
        assert list(dagger.results([range(size)])) == [4 * x + 2 for x in range(size)]


def test_a_diamond_of_all_kinds(pool: IMap[Any]) -> None:
    root, left, right = plain(work.double), plain(work.increment, pool), plain(work.inverse, pool, name="invert")
    middle, join = plain(work.double), plain(work.pair, pool)
    dagger = Dagger(pipes=[(root, left, middle, join), (root, right, join)])
    results = list(dagger.results([range(300)]))
    assert results[1:] == [(4 * x + 2, 0.5 / x) for x in range(1, 300)]
    error = results[0]
    assert (error.piper, error.index, type(error.exception)) == ("invert", 0, ZeroDivisionError)
    assert "return 1 / x" in str(error.__cause__.__cause__)


def test_lambdas_and_closures(pool: IMap[Any]) -> None:
    offset = 10
    dagger = Dagger(pipes=[(plain(lambda x: x + offset, pool), Piper(lambda inbox: inbox[0] * offset, pool))])
    assert list(dagger.results([range(3)])) == [100, 110, 120]


def test_where_functions_run(processes: IMap[Any]) -> None:
    linear, parallel = plain(work.pid), plain(work.pid, processes)
    pids = list(Dagger([linear, parallel]).results([range(20), range(20)]))
    assert {here for here, _ in pids} == {os.getpid()}
    assert os.getpid() not in {there for _, there in pids}


def test_several_outputs_and_an_infinite_input(pool: IMap[Any]) -> None:
    root = plain(work.double, pool)
    dagger = Dagger(pipes=[(root, plain(work.increment, pool)), (root, plain(str)), (root, plain(float, pool))])
    assert list(islice(dagger.results([count()]), 100)) == [(2 * x + 1, str(2 * x), float(2 * x)) for x in range(100)]
    assert repr(dagger).endswith("idle)")


def test_outputs_may_be_read_one_after_the_other(pool: IMap[Any]) -> None:
    root, left, right = plain(work.double), plain(work.increment, pool), plain(str, pool)
    with Dagger(pipes=[(root, left), (root, right)]) as dagger:
        dagger.start([range(500)])
        assert list(left) == [2 * x + 1 for x in range(500)]
        assert list(right) == [str(2 * x) for x in range(500)]


def test_a_failure_goes_through_other_processes(pool: IMap[Any]) -> None:
    dagger = Dagger(pipes=[(plain(work.inverse, pool, name="invert"), plain(work.double), plain(work.double, pool))])
    results = list(dagger.results([[1, 0, 2]]))
    assert [results[0], results[2]] == [4.0, 2.0]
    assert (results[1].piper, results[1].index, results[1].inbox) == ("invert", 1, [0])
    assert dagger.run([[1, 0, 2]]).failures[dagger.get_inputs()[0]] == 1


def test_an_exception_whose_constructor_takes_other_arguments(processes: IMap[Any]) -> None:
    dagger = Dagger(pipes=[(plain(work.two_arguments, processes), plain(work.double, processes))])
    error = next(dagger.results([[1, 2]]))
    assert type(error.exception) is work.TwoArguments and error.exception.second == "that"
    assert str(error.exception) == "this and that" and error.function == "two_arguments"


def test_an_exception_that_can_not_be_pickled(processes: IMap[Any]) -> None:
    error = next(Dagger(pipers=[plain(work.with_a_lock, processes)]).results([[1]]))
    assert type(error.exception) is Exception and str(error.exception) == "TwoArguments: this and that"


@pytest.mark.parametrize("function", [work.leave, work.kill_at_two, work.unpicklable_at_two])
@pytest.mark.parametrize("behind", ["nothing", "linear", "parallel", "join"])
def test_what_the_engine_can_not_deliver_fails_in_its_place(processes: IMap[Any], function: Any, behind: str) -> None:
    first = plain(function, processes, name="first")
    dagger = Dagger([first])
    if behind == "linear":
        dagger.add_pipe((first, plain(float)))
    elif behind == "parallel":
        dagger.add_pipe((first, plain(float, processes)))
    elif behind == "join":
        last = plain(lambda left, right: left, processes)
        dagger.add_pipes([(first, plain(float, processes), last), (first, plain(work.double), last)])
    results = list(dagger.results([[0, 1, 2, 3, 4]]))
    assert [result for result in results if not isinstance(result, PiperError)] == [0, 1, 3, 4]
    error = results[2]
    assert isinstance(error, PiperError) and error.index == 2
    kind = {work.kill_at_two: WorkerDied, work.unpicklable_at_two: SerializationError}.get(function)
    if kind is None:
        assert isinstance(error.exception.original, SystemExit)
    else:
        assert isinstance(error.exception, kind)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_slow_branch_holds_the_others_back(kind: str) -> None:
    pulled = done = furthest = 0

    def data() -> Iterator[int]:
        nonlocal pulled, furthest
        for pulled in count(1):
            furthest = max(furthest, pulled - done)
            yield pulled

    bounded: IMap[Any] = IMap(worker_type=kind, worker_num=2, buffer=8)
    root, slow, quick = plain(work.double), plain(work.dawdle, bounded), plain(work.increment, bounded)
    join = plain(work.pair)
    for row in Dagger(pipes=[(root, slow, join), (root, quick, join)]).results([data()]):
        done += 1
        assert row == (2 * done, 2 * done + 1)
        if done == 500:
            break
    assert furthest <= 8 + 1


def test_the_piper_that_killed_its_worker_is_blamed(processes: IMap[Any]) -> None:
    pipers = [plain(function, processes) for function in (work.double, work.kill_at_two, float, str)]
    results = list(Dagger(pipes=[pipers]).results([range(3)]))
    assert results[::2] == ["0.0", "4.0"]
    assert (results[1].piper, results[1].index, results[1].exception.index) == (pipers[1].name, 1, 1)
    done = Dagger(pipes=[pipers]).run([range(3)])
    assert done.failures == {piper: int(piper is pipers[1]) for piper in pipers}
    assert done.items == dict(zip(pipers, [3, 3, 2, 2], strict=True))


@pytest.mark.parametrize("ends", ["output", "outputs", "linear join", "parallel join"])
def test_an_unordered_imap_keeps_the_order_only_where_results_are_paired(ends: str) -> None:
    pool: IMap[Any] = IMap(worker_type="thread", worker_num=2, ordered=False)
    second = threading.Event()

    def overtaken(x: int) -> int:
        if x == 0:
            second.wait(30)
        else:
            second.set()
        return x

    root, same = plain(overtaken, pool), plain(work.increment)
    dagger = Dagger([root])
    if ends == "outputs":
        dagger.add_piper(same)
    elif ends != "output":
        join = plain(work.pair, pool if ends == "parallel join" else None)
        dagger.add_pipes([(root, join), (same, join)])
    results = list(dagger.results([range(2)] * len(dagger.get_inputs())))
    assert results == ([1, 0] if ends == "output" else [(0, 1), (1, 2)])


def test_stopping_in_the_middle_leaves_everything_ready_for_the_next_run(pool: IMap[Any]) -> None:
    dagger = Dagger(pipes=[(plain(work.double, pool), plain(work.increment, pool))])
    for _ in range(3):
        for result in dagger.results([count()]):
            if result > 50:
                break
        assert repr(dagger).endswith("idle)")
    assert list(dagger.results([range(3)])) == [1, 3, 5]


def test_mixed_kinds_under_load() -> None:
    size = 10_000
    threads: IMap[Any] = IMap(worker_type="thread", worker_num=4)
    processes: IMap[Any] = IMap(worker_type="process", worker_num=2)
    root = plain(work.increment)
    left, right = plain(work.dawdle, threads), plain(work.dawdle, processes)
    middle, twice = plain(work.double), plain(work.double, threads)
    join, out, other = plain(work.pair, processes), plain(work.pair, threads), plain(work.increment, processes)
    dagger = Dagger(pipes=[(root, left, middle, join, out), (root, right, twice, join), (root, out), (right, other)])
    results = dagger.results([range(size)])
    for x, (row, one) in enumerate(results, 1):
        assert row == ((2 * x, 2 * x), x) and one == x + 1
    assert x == size


# workers that can't be started -----------------------------------------------------


def refuse() -> None:
    raise ConnectionError("no database")


class Unsendable:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        raise TypeError("not by post")


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_workers_that_do_not_start_name_their_pipers(kind: str) -> None:
    def pool(**options: Any) -> IMap[Any]:
        return IMap(worker_type=kind, worker_num=1, **options)

    bad = pool(initializer=refuse)
    pipe = [plain(work.same, bad, name="read"), plain(work.same, bad, name="parse")]
    dagger, plumber = Dagger(pipes=[pipe]), Plumber(pipes=[pipe])
    alone = plain(work.same, pool(initializer=refuse), name="parse").connect([[1]])
    mixed = Dagger(pipes=[(*pipe, plain(work.same, pool()))])

    def by_itself() -> None:
        try:
            alone.start()
            next(alone)
        finally:
            if alone.started:
                alone.stop(forced=True)

    def in_the_background() -> None:
        with plumber:
            plumber.start([[1]])
            plumber.run()
            plumber.wait(60)

    runs = [lambda: list(dagger.results([[1]])), lambda: dagger.run([[1]]), lambda: mixed.run([[1]])]
    for run in (*runs, in_the_background, by_itself):
        with pytest.raises(WorkerStartError, match="no database") as caught:
            run()
        (note,) = caught.value.__notes__
        assert note in ("on the IMap of read, parse", "on the IMap of parse")


def test_a_function_that_cannot_be_sent_names_its_piper() -> None:
    dagger = Dagger([plain(Unsendable(), IMap(worker_num=1), name="odd")])
    with pytest.raises(SerializationError, match=r"odd can't be sent .* not by post") as caught:
        dagger.run([[1]])
    assert caught.value.__notes__ == ["on the IMap of odd"]
