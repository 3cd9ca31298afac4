"""All ways to iterate over a map mix, in one thread or in many."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from numap import IMap, StateError
from tests.numap import work

MANY = 4000


def in_a_list(x: int) -> list[int]:
    return [x]


def with_for(imap: IMap[Any], found: list[Any]) -> None:
    for x in imap:
        found += [x]


def with_next(imap: IMap[Any], found: list[Any]) -> None:
    while (x := next(imap, None)) is not None:
        found.append(x)


def with_extend(imap: IMap[Any], found: list[Any]) -> None:
    found.extend(imap)


@pytest.mark.parametrize("func", [work.increment, in_a_list])
@pytest.mark.parametrize("worker_type", ["thread", "process"])
@pytest.mark.usefixtures("restless")
def test_many_threads_share_one_map(worker_type: str, func: Callable[[int], Any]) -> None:
    with IMap(func, range(MANY), worker_type=worker_type, worker_num=2) as imap:
        ways = [with_for, with_next, with_extend] * 3
        found: list[list[Any]] = [[] for _ in ways]
        threads = [threading.Thread(target=way, args=(imap, own)) for way, own in zip(ways, found, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(x for own in found for x in own) == [func(x) for x in range(MANY)]


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
def test_all_ways_go_on_where_another_stopped(worker_type: str) -> None:
    with IMap(work.identity, range(MANY), worker_type=worker_type, worker_num=2) as imap:
        found = [next(imap), *islice(imap, 10)]
        for x in imap:
            found.append(x)
            if x == 100:
                break
        found += [imap.next(), imap.__next__(), imap.next(timeout=30)]
        found.extend(iter(imap))
        assert found == list(range(MANY))
        assert list(imap) == []


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
def test_an_iterator_that_is_kept_goes_on_behind_an_error(worker_type: str) -> None:
    def odd(x: int) -> int:
        return x // (x % 2)

    with IMap(odd, range(100), worker_type=worker_type, worker_num=2) as imap:
        step = imap.__next__
        found: list[Any] = []
        while True:
            try:
                found.append(step())
            except StopIteration:
                break
            except ZeroDivisionError:
                found.append(None)
        assert found == [x if x % 2 else None for x in range(100)]


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
@pytest.mark.parametrize("taken", [1, 50, MANY])
def test_after_stop_nothing_comes_that_was_open(worker_type: str, taken: int) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=2)
    task = imap.add_task(work.identity, range(MANY))
    imap.start()
    steps = [task.__next__, imap.__next__]
    assert [steps[x % 2]() for x in range(taken)] == list(range(taken))
    imap.stop()
    for step in [*steps, task.__next__, imap.__next__, imap.next]:
        with pytest.raises(StateError, match="stop"):
            step()
    imap.add_task(work.increment, range(3))
    imap.start()
    assert list(imap) == [1, 2, 3]
    with pytest.raises(StateError, match="stop"):
        next(task)
    imap.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_child_gets_nothing_that_was_open() -> None:
    with IMap(work.identity, range(MANY), worker_num=2) as imap:
        step = imap.__next__
        assert [step() for _ in range(100)] == list(range(100))
        pid = os.fork()
        if pid == 0:
            try:
                step()
            except StateError:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert list(imap) == list(range(100, MANY))


@pytest.mark.parametrize("taken", [0, 10])
def test_next_alone_keeps_a_map(taken: int) -> None:
    imap: IMap[Any] = IMap(work.identity, range(MANY), worker_type="thread")
    assert list(islice(imap, taken)) == list(range(taken))
    step = imap.__next__
    del imap
    assert [step() for _ in range(taken, MANY)] == list(range(taken, MANY))


def test_next_can_be_overridden() -> None:
    class Counted(IMap[int]):
        steps = 0

        def __next__(self) -> int:
            self.steps += 1
            return super().__next__()

    with Counted(abs, range(10), worker_type="thread") as imap:
        assert [*imap, imap.steps] == [*range(10), 11]
    with IMap(abs, range(10), worker_type="thread") as plain:
        assert IMap.__next__(plain) == 0


def test_who_reads_is_no_cycle() -> None:
    """A map that is dropped goes at once, and what it had with it."""
    gc.collect()
    gc.disable()
    try:
        imap: IMap[Any] = IMap(in_a_list, range(MANY), worker_type="thread", worker_num=2)
        for _ in zip(imap, range(100), strict=False):
            pass
        gone = weakref.ref(imap)
        del imap
        assert gone() is None
    finally:
        gc.enable()
