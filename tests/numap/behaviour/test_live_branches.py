"""Guarantees 65 and 66.

What comes out of a fork is not held up by what is to come, and a map paces the branches that it reads itself.
A length is what remains.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import chain, count, islice
from operator import length_hint
from typing import Any

import pytest

from numap import IMap, SourceError, StateError, join, tee
from numap._sync.interrupt_lock import NotifyingLock
from tests.numap.behaviour.live_items import more, same

KINDS = ["process", "thread", "serial"]


def pool(kind: str, **options: Any) -> IMap[Any]:
    return IMap(worker_type=kind, worker_num=2, **options)


# ---------------------------------------------------------------------- live inputs


def diamond(kind: str, items: Any) -> Any:
    imap = pool(kind)
    one, other = tee(imap.add_task(abs, items))
    both = imap.add_task(sum, join(imap.add_task(more, one), imap.add_task(same, other)))
    imap.start()
    return both


def nested(kind: str, items: Any) -> Any:
    imap = pool(kind)
    one, other = tee(imap.add_task(abs, items))
    left, right = tee(imap.add_task(more, one))
    ends = [imap.add_task(same, it) for it in (left, right, other)]
    both = imap.add_task(sum, join(*ends))
    imap.start()
    return both


def two_maps(kind: str, items: Any) -> Any:
    one, other = tee(items)
    return map(
        sum, join(IMap(more, one, worker_type=kind, worker_num=2), IMap(same, other, worker_type=kind, worker_num=2))
    )


def two_inputs(kind: str, items: Any) -> Any:
    imap = pool(kind)
    one, other = tee(items)
    both = imap.add_task(sum, join(imap.add_task(more, one), imap.add_task(same, map(same, other))))
    imap.start()
    return both


@pytest.mark.parametrize("shape", [diamond, nested, two_maps, two_inputs])
@pytest.mark.parametrize("kind", KINDS)
def test_65_each_answer_comes_before_the_next_request(kind: str, shape: Callable[..., Any]) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answers = shape(kind, iter(requests.get, None))
    for n in range(8):
        requests.put(n)
        assert next(answers) in (2 * n + 1, 3 * n + 2)  # were it held up, this would wait for ever
    requests.put(None)
    assert list(answers) == []


def test_65_who_finds_an_item_in_the_log_does_not_wait_for_the_source() -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    ahead, behind = tee(iter(requests.get, None))
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: any(map(taken.put, ahead)))
    reader.start()
    for n in range(300):
        requests.put(n)
        # The reader of the other branch is in the source again, or about to be.
        assert next(behind) == n
        assert taken.get(timeout=100) == n
    requests.put(None)
    reader.join()
    assert list(behind) == []


def test_who_waits_for_a_turn_is_told_when_it_ends() -> None:
    lock = NotifyingLock()
    begun, go_on, looked = threading.Event(), threading.Event(), threading.Event()
    found: list[int] = []

    def work() -> None:
        begun.set()
        go_on.wait(100)
        found.append(1)

    def look() -> bool:
        looked.set()
        return bool(found)

    def never() -> None:
        raise AssertionError

    worker = threading.Thread(target=lock.run_locked, args=(work,))
    worker.start()
    assert begun.wait(100)
    waiter = threading.Thread(target=lock.run_or_wait, args=(never, look))
    waiter.start()
    assert looked.wait(100)
    go_on.set()
    waiter.join(100)
    assert not waiter.is_alive()
    worker.join()
    lock.run_or_wait(lambda: found.append(2), look)
    assert found == [1, 2]


# ---------------------------------------------------------------------- pacing


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(("kind", "size"), [("process", 300), ("thread", 300), ("serial", 100)])
def test_65_a_map_paces_the_branches_that_it_reads(kind: str, size: int, on_error: str, ordered: bool) -> None:
    imap = pool(kind, on_error=on_error, ordered=ordered)
    one, other = tee(imap.add_task(abs, range(size)), limit=7)
    both = imap.add_task(sum, join(imap.add_task(more, one), imap.add_task(same, other)))
    with imap:
        assert sorted(both) == [2 * n + 1 for n in range(size)]


@pytest.mark.parametrize("buffer", [3, 5, None])
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_65_branches_that_are_read_in_step_stay_in_step(kind: str, buffer: int | None) -> None:
    imap = pool(kind, buffer=buffer)
    one, other = tee(imap.add_task(abs, range(100)), limit=2)
    left, right = imap.add_task(more, one), imap.add_task(same, other)
    with imap:
        assert list(zip(left, right, strict=True)) == [(n + 1, n) for n in range(100)]


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_65_a_map_that_reads_one_branch_waits_for_whoever_reads_the_other(kind: str) -> None:
    one, other = tee(range(100), limit=5)
    with IMap(more, one, worker_type=kind, worker_num=2) as imap:
        assert all(n == m + 1 for n, m in zip(imap, other, strict=True))
    one, other = tee(range(100), limit=5)
    right = IMap(more, (n for n in IMap(more, other, worker_type=kind)), worker_type=kind)
    with IMap(more, one, worker_type=kind) as left, right:
        both = IMap(sum, join((n for n in left), right), worker_type="thread")
        assert list(both) == [2 * n + 3 for n in range(100)]


@pytest.mark.parametrize("kind", KINDS)
def test_65_who_reads_one_branch_alone_gets_an_error_and_waits_for_nothing(kind: str) -> None:
    imap = pool(kind)
    one, other = tee(imap.add_task(abs, count()), limit=5)
    left, _right = imap.add_task(more, one), imap.add_task(same, other)
    with (
        imap,
        pytest.raises(
            StateError, match=r"^tee: this branch is 5 items ahead of the slowest one, and limit=5; read the"
        ),
    ):
        list(left)
    one, _other = tee(count(), limit=5)
    # Behind another map, too, which reads on its own account.
    behind = IMap(more, (n for n in IMap(more, one, worker_type=kind)), worker_type=kind)
    with behind, pytest.raises(StateError, match="tee: this branch is 5 items ahead"):
        list(behind)


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_65_a_branch_that_is_dropped_holds_nobody_back(kind: str) -> None:
    one, other = tee(iter(range(100)), limit=5)
    with IMap(more, one, worker_type=kind, worker_num=1) as imap:
        seen = list(islice(imap, 5))
        del other
        assert seen + list(imap) == list(range(1, 101))


@pytest.mark.parametrize("kind", KINDS)
def test_65_a_map_that_waits_for_a_branch_can_be_stopped(kind: str) -> None:
    one, _other = tee(count(), limit=5)
    imap = IMap(more, one, worker_type=kind, worker_num=1)
    assert next(imap) == 1
    imap.stop()
    inputs = [it for it in threading.enumerate() if it.name == "numap-input"]
    for it in inputs:
        it.join(100)
        assert not it.is_alive()


# ---------------------------------------------------------------------- lengths


class Says:
    """An endless source that says something of its length."""

    def __init__(self, length: Any) -> None:
        self.length = length

    def __len__(self) -> int:
        if isinstance(self.length, Exception):
            raise self.length
        return self.length  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[int]:
        return count()


@pytest.mark.parametrize("kind", KINDS)
def test_66_a_length_hint_is_what_remains(kind: str) -> None:
    imap = pool(kind)
    one, other = tee(imap.add_task(abs, list(range(20))))
    both = imap.add_task(sum, join(imap.add_task(more, one), imap.add_task(same, other)))
    end, unknown = imap.add_task(same, both), imap.add_task(same, count())
    assert [length_hint(it) for it in (imap, one, both, end, unknown)] == [20, 20, 20, 20, 0]
    with imap:
        hints = [length_hint(end)]
        hints.extend(length_hint(end) for _ in end)
        assert hints == list(range(20, -1, -1))
        assert length_hint(end, 7) == 0
        assert length_hint(unknown, 7) == 7


@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
@pytest.mark.parametrize("kind", KINDS)
def test_66_failures_count_as_they_come(kind: str, on_error: str) -> None:
    with IMap(lambda n: 12 // (n % 2), range(8), worker_type=kind, worker_num=2, on_error=on_error) as imap:
        hints = [length_hint(imap)]
        for _ in range(4 if on_error == "skip" else 8):
            try:
                next(imap)
            except ZeroDivisionError:
                assert on_error == "raise"
            hints.append(length_hint(imap))
        assert hints == ([8, 6, 4, 2, 0] if on_error == "skip" else list(range(8, -1, -1)))


def test_66_of_branches_and_joins() -> None:
    one, other = tee(iter(range(10)))
    pairs = join(one, IMap(same, list(range(10)), worker_type="serial"))
    assert [length_hint(it) for it in (one, other, pairs, join(one, count()))] == [10, 10, 10, 0]
    for n in range(4):
        assert next(pairs)[0] == n
    assert [length_hint(it) for it in (one, other, pairs)] == [6, 10, 6]
    list(other)
    list(pairs)
    assert [length_hint(it) for it in (one, other, pairs)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("length", "hint"), [(5, 5), (sys.maxsize, sys.maxsize), (-1, 0), (OSError("no connection"), 0), (2.5, 0)]
)
def test_66_a_source_that_is_wrong_about_its_length_is_read_all_the_same(length: Any, hint: int) -> None:
    with IMap(same, Says(length), worker_type="thread") as imap:
        assert length_hint(imap) == hint
        assert [next(imap) for _ in range(9)] == list(range(9))
        assert length_hint(imap) == max(0, hint - 9)


def test_66_an_input_that_breaks_or_is_shorter_than_it_says_ends_at_nothing() -> None:
    with IMap(same, map(abs, chain(range(3))), worker_type="thread") as imap:
        list(imap)
        assert length_hint(imap, 9) == 0

    class Breaks(Says):
        def __iter__(self) -> Iterator[int]:
            yield 1
            raise OSError

    with IMap(same, Breaks(7), worker_type="thread") as imap:
        assert next(imap) == 1
        with pytest.raises(SourceError):
            next(imap)
        assert length_hint(imap, 9) == 0
    assert length_hint(imap, 9) == 9
