"""Pipers that flatten, batch, route and merge: lazily, as items come, and what is refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber

WORKERS = ("linear", "serial", "thread", "process")


def pool(kind: str, **options: Any) -> IMap[Any] | None:
    """What evaluates pipers of this kind."""
    return None if kind == "linear" else IMap(worker_type=kind, worker_num=2, **options)


def same(item: Any) -> Any:
    return item


def spread(number: int) -> Iterator[int]:
    yield from range(number)


def sign(number: int) -> str:
    return "minus" if number < 0 else "plus"


def short(number: int) -> bool:
    return number < 3


def scaled(number: int, factor: int = 1) -> int:
    return factor * number


def live(requests: SimpleQueue[Any]) -> Iterator[Any]:
    """What is put there, until None."""
    yield from iter(requests.get, None)


# what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"flatten": True, "produce": 2}, "flatten: not possible together with produce"),
        ({"flatten": True, "consume": 2}, "flatten: not possible together with consume"),
        ({"flatten": True, "spawn": 2}, "flatten: not possible together with spawn"),
        ({"flatten": True, "repeat": True}, "flatten: not possible together with repeat"),
        ({"flatten": True, "track": True}, "flatten: not possible together with track"),
        ({"flatten": True, "route": True}, "flatten: not possible together with route"),
        ({"route": True, "produce": 2}, "route: not possible together with produce"),
        ({"route": True, "consume": 2}, "route: not possible together with consume"),
        ({"route": True, "spawn": 2}, "route: not possible together with spawn"),
        ({"route": True, "track": True}, "route: not possible together with track"),
        ({"route": True, "batch": 2}, "route: not possible together with batch"),
        ({"route": True, "batch_seconds": 2}, "route: not possible together with batch"),
        ({"batch": 2, "produce": 2}, "batch: not possible together with produce"),
        ({"batch": 2, "consume": 2}, "batch: not possible together with consume"),
        ({"batch_bytes": 2, "spawn": 2}, "batch: not possible together with spawn"),
        ({"merge": True, "consume": 2}, "merge: not possible together with consume"),
        ({"merge": True, "spawn": 2}, "merge: not possible together with spawn"),
        ({"batch": 0}, "batch: 0 given; must be"),
        ({"batch": "2"}, "batch: must be"),
        ({"batch_bytes": 0}, "batch_bytes: 0 given; must be"),
        ({"batch_seconds": -1}, "batch_seconds: -1 given; must be"),
        ({"batch_key": 1}, "batch_key: must be a function"),
        ({"flatten": "yes"}, "flatten: must be True or False"),
    ],
)
def test_what_can_not_be_is_refused_at_construction(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PiperError, match=text) as raised:
        Piper(same, **options)
    assert isinstance(raised.value, (TypeError, ValueError))


def test_a_generator_function_is_refused_with_what_to_write() -> None:
    with pytest.raises(PiperError, match="flatten=True"):
        Piper(spread)
    with pytest.raises(PiperError, match="flatten=True"):
        Piper(spread, route=True)


def test_a_route_without_branches_is_refused() -> None:
    with pytest.raises(DaggerError, match="cut routes, and there are no pipers behind it"):
        list(Dagger([Piper(sign, route=True, name="cut")]).results([[1]]))
    with pytest.raises(PiperError, match="in a Dagger"):
        Piper(sign, route=True).connect([[1]])


def test_a_route_of_pairs_is_refused() -> None:
    left, right, cut, end = Piper(same), Piper(same), Piper(sign, route=True, name="cut"), Piper(same)
    with pytest.raises(DaggerError, match="cut routes one item at a time"):
        list(Dagger(pipes=[(left, cut, end), (right, cut)]).results([[1], [2]]))


@pytest.mark.parametrize("options", [{"flatten": True}, {"batch": 2}])
def test_pairs_of_unequal_numbers_are_refused(options: dict[str, Any]) -> None:
    read, other, join = Piper(same, name="read"), Piper(spread, flatten=True, name="other"), Piper(same, name="join")
    change = Piper(same, name="change", **options)
    dagger = Dagger(pipes=[(read, join), (read, change, join)])
    with pytest.raises(DaggerError, match=r"join can't pair .*change.*read: change changes how many.*merge=True"):
        dagger.connect([[1]])
    with pytest.raises(DaggerError, match=r"change and other|other and change"):
        Dagger(pipes=[(Piper(same), change, join), (Piper(same), other, join)]).connect([[1], [2]])
    with pytest.raises(PiperError, match="can't pair"):
        join.connect([Piper(spread, flatten=True).connect([[1]]), [1]])


@pytest.mark.slow
def test_rows_of_unequal_numbers_are_refused_and_run_takes_them() -> None:
    read, change, plain = Piper(same, unpack=True), Piper(spread, unpack=True, flatten=True), Piper(same, unpack=True)
    dagger = Dagger(pipes=[(read, change), (read, plain)])
    with pytest.raises(DaggerError, match="make no tuples"):
        next(dagger.results([[1]]))
    # Far more than the outputs of one piper may be apart.
    assert dagger.run([[400] * 100]).results == 400 * 100 + 100
    assert dagger.run([[0] * 40_000]).results == 40_000


def test_constants_that_no_function_takes_are_refused() -> None:
    dagger = Dagger([Piper(scaled, unpack=True)])
    with pytest.raises(DaggerError, match=r"no function has a parameter 'factr'; did you mean 'factor'\?") as raised:
        dagger.run([[1]], constants={"factr": 2})
    assert isinstance(raised.value, ValueError)
    for wrong in (["factor"], {1: 2}):
        with pytest.raises(DaggerError, match="constants: must be a dictionary"):
            dagger.start([[1]], constants=wrong)  # type: ignore[arg-type]


# as it comes --------------------------------------------------------------


@pytest.mark.parametrize("kind", WORKERS)
def test_constants_reach_all_functions(kind: str) -> None:
    imap = pool(kind)
    dagger = Plumber(
        pipes=[(Piper(scaled, imap, unpack=True), Piper(same, imap, unpack=True), Piper(scaled, imap, unpack=True))]
    )
    assert list(dagger.results([[1, 2]], constants={"factor": 3})) == [9, 18]
    assert list(dagger.results([[1, 2]])) == [1, 2]
    own = Piper(scaled, imap, unpack=True)
    assert list(Dagger([own]).results([[1]], constants={"factor": {"a": 1}["a"] + 1})) == [2]


def test_a_linear_generator_is_read_as_it_is_asked_for() -> None:
    made: list[int] = []

    def endless(start: int) -> Iterator[int]:
        for number in count(start):
            made.append(number)
            yield number

    dagger = Dagger(pipes=[(Piper(endless, unpack=True, flatten=True), Piper(same, unpack=True))])
    assert list(islice(dagger.results([[5]]), 3)) == [5, 6, 7]
    assert made == [5, 6, 7]


@pytest.mark.parametrize("value", ["text", b"bytes", 5, None])
def test_what_is_no_iterable_of_values_fails(value: Any) -> None:
    (failed,) = Dagger([Piper(same, unpack=True, flatten=True)]).results([[value]])
    assert isinstance(failed.exception, TypeError)
    assert "flatten=True needs an iterable" in str(failed)


@pytest.mark.parametrize("kind", WORKERS)
def test_each_answer_comes_when_its_request_does(kind: str) -> None:
    imap = pool(kind)
    requests: SimpleQueue[Any] = SimpleQueue()
    cut = Piper(sign, imap, unpack=True, route=True)
    plus = Piper(spread, imap, unpack=True, flatten=True, branch="plus")
    minus = Piper(abs, imap, unpack=True, branch="minus")
    both = Piper(same, imap, unpack=True, merge=True)
    results = Dagger(pipes=[(cut, plus, both), (cut, minus, both)]).results([live(requests)])
    requests.put(-5)
    assert next(results) == 5
    requests.put(2)
    assert [next(results), next(results)] == [0, 1]
    requests.put(-7)
    assert next(results) == 7
    requests.put(None)
    assert list(results) == []


@pytest.mark.parametrize("kind", WORKERS)
def test_no_input_of_a_merge_waits_for_another(kind: str) -> None:
    imap = pool(kind)
    slow: SimpleQueue[Any] = SimpleQueue()
    left, right = Piper(same, unpack=True), Piper(same, unpack=True)
    both = Piper(same, imap, unpack=True, merge=True)
    results = Dagger(pipes=[(left, both), (right, both)]).results([live(slow), range(100)])
    assert list(islice(results, 100)) == list(range(100))
    slow.put("late")
    assert next(results) == "late"
    slow.put(None)
    assert list(results) == []


@pytest.mark.parametrize("kind", WORKERS)
def test_a_batch_is_given_when_its_time_is_up(kind: str) -> None:
    requests: SimpleQueue[Any] = SimpleQueue()
    batch = Piper(same, pool(kind), unpack=True, batch=100, batch_seconds=0.05)
    results = Dagger([batch]).results([live(requests)])
    requests.put(1)
    assert next(results) == [1]  # the input is blocked, and is not at its end
    requests.put(None)
    assert list(results) == []


def test_batches_by_bytes_and_keys() -> None:
    items = [b"x" * 1000, b"x" * 1000, b"x" * 5000, b"x", b"x"]
    by_bytes = Piper(lambda batch: [len(it) for it in batch], unpack=True, batch_bytes=3000)
    assert list(Dagger([by_bytes]).results([items])) == [[1000, 1000], [5000], [1, 1]]
    by_key = Piper(same, unpack=True, batch_key=lambda it: 1 // it, batch=2)
    first, failed, *others = Dagger([by_key]).results([[1, 0, 1, 1, 2, 3]])
    assert isinstance(first, PiperError)  # what fails passes by
    assert isinstance(first.exception, ZeroDivisionError)
    assert [failed, *others] == [[1, 1], [1], [2, 3]]


@pytest.mark.parametrize("kind", WORKERS)
def test_a_batch_of_several_pipers_has_a_list_of_each(kind: str) -> None:
    imap = pool(kind)
    left, right = Piper(same, imap, unpack=True), Piper(scaled, imap, unpack=True)
    both = Piper(same, imap, batch=2)
    dagger = Dagger(pipes=[(left, both), (right, both)])
    assert list(dagger.results([range(3), range(3)])) == [[[0, 1], [0, 1]], [[2], [2]]]


@pytest.mark.parametrize("kind", WORKERS)
def test_a_failed_batch_names_its_items(kind: str) -> None:
    batch = Piper(max, pool(kind), unpack=True, batch=2)
    good, failed = Dagger([batch]).results([[1, 2, 3, "x"]])
    assert good == 2
    assert failed.inbox == [[3, "x"]]
    assert failed.index == 1


def test_an_interrupted_generator_goes_on_where_it_was() -> None:
    interrupted = Event()

    def values(number: int) -> Iterator[int]:
        for value in range(number):
            if value == 2 and not interrupted.is_set():
                interrupted.set()
                signal.raise_signal(signal.SIGINT)
            yield value

    piper = Piper(values, unpack=True, flatten=True)
    got: list[int] = []
    with Dagger([piper]) as dagger:
        dagger.start([[4, 1]])
        while len(got) < 5:
            try:
                got += islice(piper, 1)
            except KeyboardInterrupt:
                assert got == [0, 1]
        assert list(piper) == []
    assert interrupted.is_set()
    assert got == [0, 1, 2, 3, 0]


def test_what_is_saved_has_the_options(tmp_path: Path) -> None:
    cut = Piper(sign, unpack=True, route=True, name="cut")
    plus = Piper(spread, unpack=True, flatten=True, branch="plus", name="plus")
    minus = Piper(abs, unpack=True, branch="minus", name="minus")
    both = Piper(
        list, unpack=True, merge=True, batch=2, batch_seconds=5.0, batch_bytes=10_000, batch_key=short, name="both"
    )
    plumber = Plumber(pipes=[(cut, plus, both), (cut, minus, both)])
    plumber.save(tmp_path / "saved.py")
    loaded = Plumber()
    loaded.load(tmp_path / "saved.py")
    named = {it.name: it for it in loaded}
    assert named["both"].numbers == both.numbers
    assert (named["cut"].route, named["plus"].flatten, named["both"].merge) == (True, True, True)
    found = list(loaded.results([[2, -3, -4, 3]]))
    assert sorted(number for batch in found for number in batch) == [0, 0, 1, 1, 2, 3, 4]
    assert all(len({short(number) for number in batch}) == 1 and len(batch) <= 2 for batch in found)


# at the end, and in between ------------------------------------------------


def counted(taken: list[int], items: int) -> Iterator[int]:
    """Notes what was taken of it."""
    for number in range(items):
        taken.append(number)
        yield number


def thrice(number: int) -> list[int]:
    return [number] * 3


@pytest.mark.parametrize("kind", ["linear", "serial", "thread"])
def test_what_is_taken_of_an_input_is_bounded(kind: str) -> None:
    imap = pool(kind, buffer=12)
    taken: list[int] = []
    pipers = [
        Piper(same, imap, unpack=True),
        Piper(thrice, imap, unpack=True, flatten=True),
        Piper(sum, imap, unpack=True, batch=6),
        Piper(same, imap, unpack=True),
    ]
    results = Dagger(pipes=[pipers]).results([counted(taken, 10_000)])
    for place in range(50):
        assert next(results) == 3 * (4 * place + 1)
        # A result is made of two items; twelve calls are on their way, of which the batches have two items each.
        assert len(taken) <= 2 * (place + 1) + (0 if kind == "linear" else 12 * 2 + 2)
    results.close()


def broken(items: int) -> Iterator[int]:
    yield from range(items)
    raise OSError("the disk")


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("options", [{"batch": 3}, {"batch": 3, "batch_seconds": 60.0}])
def test_what_was_batched_comes_before_the_error_of_an_input(kind: str, options: dict[str, Any]) -> None:
    results = Dagger([Piper(list, pool(kind), unpack=True, **options)]).results([broken(5)])
    assert [next(results), next(results)] == [[0, 1, 2], [3, 4]]
    with pytest.raises(DaggerError, match="raised OSError: the disk"):
        next(results)


@pytest.mark.parametrize("kind", WORKERS)
def test_an_input_of_a_merge_that_raises_ends_the_run(kind: str) -> None:
    requests: SimpleQueue[Any] = SimpleQueue()
    left, right = Piper(same, unpack=True), Piper(same, unpack=True)
    both = Piper(same, pool(kind), unpack=True, merge=True)
    results = Dagger(pipes=[(left, both), (right, both)]).results([broken(2), live(requests)])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(DaggerError, match="raised OSError: the disk"):
        next(results)
    requests.put(None)


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("options", [{"merge": True}, {"batch": 5, "batch_seconds": 60.0}])
def test_a_run_ends_while_an_input_is_waited_for(kind: str, options: dict[str, Any]) -> None:
    requests: SimpleQueue[Any] = SimpleQueue()
    other: SimpleQueue[Any] = SimpleQueue()
    left, right, last = Piper(same, unpack=True), Piper(same, unpack=True), Piper(same, pool(kind), **options)
    dagger = Dagger(pipes=[(left, last), (right, last)])
    dagger.start([live(requests), live(other)])
    dagger.stop(0.1)
    requests.put(None)
    other.put(None)
    assert "idle" in repr(dagger)


@pytest.mark.parametrize("kind", WORKERS)
def test_a_failure_that_came_on_several_ways_is_one_behind_a_merge(kind: str) -> None:
    imap = pool(kind)
    read = Piper(lambda n: 1 // n, imap, unpack=True)
    left, right = Piper(same, imap, unpack=True), Piper(same, imap, unpack=True)
    both = Piper(same, imap, unpack=True, merge=True)
    dagger = Dagger(pipes=[(read, left, both), (read, right, both)])
    first, failed, *others = dagger.results([[1, 0, 1]])
    assert first == 1
    assert failed == 1
    assert [isinstance(it, PiperError) for it in others] == [True, False, False]
    with pytest.raises(PiperError):
        list(dagger.results([[1, 0, 1]], on_error="raise"))
    assert list(dagger.results([[1, 0, 1]], on_error="skip")) == [1, 1, 1, 1]
