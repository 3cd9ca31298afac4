"""The door for libraries: what objects from outside tell a map, and what a library asks of one."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from numap import IMap, StateError, join, tee
from numap.interop import detach, is_detachable, keep_order, share_bytes


class Task:
    """A callable that tells its map a name, and how often an item is tried again."""

    def __init__(self) -> None:
        self.attempts: list[int] = []

    @property
    def __numap_label__(self) -> str:
        return "the task of a library"

    @property
    def __numap_retries__(self) -> int:
        return 2

    def __call__(self, item: int) -> int:
        self.attempts.append(item)
        return 1 // item


class PlacedError(Exception):
    """Says itself where it happened, if it is told so."""

    @property
    def __numap_placed__(self) -> bool:
        return bool(self.args[0])


class Doubled:
    """An iterator over a task, of a library."""

    def __init__(self, task: Iterator[int]) -> None:
        self.task = task

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return 2 * next(self.task)

    def __numap_detach__(self, owner: object) -> None:
        detach(self.task, owner)


def test_a_task_says_its_name_and_its_retries() -> None:
    task = Task()
    with pytest.raises(ZeroDivisionError) as caught:
        list(IMap(task, [0], worker_type="serial"))
    assert task.attempts == [0] * 3
    assert "the task of a library" in caught.value.__notes__[0]


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("worker_type", ["serial", "thread"])
def test_an_exception_that_says_its_place_gets_no_note(worker_type: str, placed: bool) -> None:
    def fail(item: int) -> None:
        raise PlacedError(placed)

    with pytest.raises(PlacedError) as caught:
        list(IMap(fail, [1], worker_type=worker_type))
    assert hasattr(caught.value, "__notes__") is not placed


def test_what_reads_a_task_can_be_detached() -> None:
    imap: IMap[str] = IMap(worker_type="serial")
    task = imap.add_task(str, [1])
    streams = [task, join(task, [2]), tee([1])[0], Doubled(iter([1]))]
    assert [is_detachable(it) for it in (*streams, iter([1]), [1])] == [True] * 4 + [False] * 2


def test_a_stream_of_a_library_does_not_keep_its_own_map_alive() -> None:
    imap: IMap[int] = IMap(worker_type="thread", worker_num=1)
    ends = imap.add_task(abs, Doubled(imap.add_task(abs, [-1, -2, -3])))
    imap.start()
    assert next(ends) == 2
    gone = weakref.ref(imap)
    del imap, ends
    gc.collect()
    assert gone() is None


def test_the_order_of_a_task_of_an_unordered_map_can_be_asked_for() -> None:
    imap: IMap[int] = IMap(worker_type="thread", ordered=False)
    task = imap.add_task(abs, range(100))
    keep_order(task)
    with imap:
        assert list(task) == list(range(100))
        with pytest.raises(StateError):
            keep_order(task)


def test_a_share_of_the_bytes_is_no_option_of_a_map() -> None:
    imap: IMap[int] = IMap(worker_type="serial")
    before = imap.options
    share_bytes(imap, 4)
    assert imap.options == before
    task = imap.add_task(abs, [1])
    with imap:
        assert next(task) == 1
        assert imap.statistics().bound_bytes == (64 << 20) // 4


def test_a_branch_that_is_too_far_ahead_says_the_limit() -> None:
    ahead, behind = tee(range(10), limit=3)
    for _ in range(3):
        next(ahead)
    with pytest.raises(StateError) as caught:
        next(ahead)
    assert caught.value.branch_limit == 3
    assert next(behind) == 0
    assert StateError("another").branch_limit is None
