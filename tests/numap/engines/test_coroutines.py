"""Coroutine functions in thread maps: many at once in one event loop, cancelled at their limit and at the end of the map."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from numap import IMap, ItemError, TaskTimeout, WorkerStartError
from tests.numap.tools import says

variable: ContextVar[str] = ContextVar("variable", default="none")


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


async def stuck_if_negative(item: int) -> int:
    if item < 0:
        await asyncio.sleep(10_000)
    return item


def in_loop(*args: Any, **options: Any) -> IMap[Any]:
    return IMap(*args, **{"worker_type": "thread", "worker_num": 4, **options})


@pytest.mark.parametrize("ordered", [True, False])
def test_results_are_those_of_the_built_in_map(ordered: bool) -> None:
    found = list(in_loop(double, range(2000), ordered=ordered))
    assert (found if ordered else sorted(found)) == list(range(0, 4000, 2))


def test_so_many_run_at_once_and_no_more() -> None:
    running = most = 0
    all_there: list[Any] = []

    async def meet(item: int) -> int:
        nonlocal running, most
        if not all_there:
            all_there.append(asyncio.Event())
        running += 1
        most = max(most, running)
        if running == 200:
            all_there[0].set()
        await asyncio.wait_for(all_there[0].wait(), 60)
        running -= 1
        return item

    threads = threading.active_count()
    imap = in_loop(meet, range(400), worker_num=200)
    assert next(imap) == 0
    assert threading.active_count() <= threads + 3, "one thread for all"
    assert list(imap) == list(range(1, 400))
    assert most == 200


def test_chains_joins_and_ordinary_functions_on_one_map() -> None:
    imap = in_loop()
    doubled = imap.add_task(double, range(100))
    texts = imap.add_task(str, doubled)
    again = imap.add_task(double, texts)
    with imap:
        assert list(again) == [2 * str(2 * n) for n in range(100)]


def test_an_item_that_raises_costs_itself() -> None:
    async def invert(item: int) -> float:
        if item == 3:
            raise SystemExit(5)
        if item == 4:
            raise asyncio.CancelledError
        return 1 / item

    found = list(in_loop(invert, [1, 0, 3, 4, 2], on_error="return"))
    assert (found[0], found[4]) == (1.0, 0.5)
    assert isinstance(found[1], ZeroDivisionError) and "item 1" in found[1].__notes__[0]
    assert [type(error.original) for error in found[2:4]] == [SystemExit, asyncio.CancelledError]
    assert all(isinstance(error, ItemError) for error in found[2:4])


def test_an_item_over_its_limit_is_cancelled_and_no_other_notices() -> None:
    ended = []

    async def note(item: int) -> int:
        try:
            return await stuck_if_negative(item)
        finally:
            ended.append(item)

    found = list(in_loop(note, [1, -1, 2, 3], task_timeout=0.1, on_error="return"))
    assert found[::2] == [1, 2] and found[3] == 3
    assert isinstance(found[1], TaskTimeout) and (found[1].task, found[1].index) == (0, 1)
    assert sorted(ended) == [-1, 1, 2, 3], "the item that was cancelled has cleaned up"


def test_an_item_that_ignores_its_limit_is_left_to_itself() -> None:
    async def stubborn(item: int) -> int:
        while item < 0:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                item += 1
        return item

    found = list(in_loop(stubborn, [-2, 1], worker_num=1, task_timeout=0.05, on_error="return"))
    assert isinstance(found[0], TaskTimeout) and "left to itself" in str(found[0])
    assert found[1] == 1


def test_a_limit_may_be_that_of_one_task_and_is_tried_again() -> None:
    runs = []

    async def second_time(item: int) -> int:
        runs.append(item)
        return await stuck_if_negative(-1 if len(runs) == 1 else item)

    imap = in_loop()
    results = imap.add_task(second_time, [7], task_timeout=0.1, retries=1, retry_on=TaskTimeout, backoff=0.01)
    with imap:
        assert list(results) == [7]
    assert runs == [7, 7]


@pytest.mark.parametrize("how", ["stop", "drop"])
def test_running_items_are_cancelled_at_the_end(how: str) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait(item: int) -> None:
        try:
            began.set()
            await asyncio.sleep(10_000)
        finally:
            ended.set()

    imap = in_loop(wait, [1])
    assert began.wait(60)
    if how == "stop":
        imap.stop()
        assert ended.is_set()
    del imap
    assert ended.wait(60)


def test_a_coroutine_that_blocks_holds_up_no_stop() -> None:
    began, release = threading.Event(), threading.Event()

    async def block(item: int) -> None:
        began.set()
        release.wait(60)

    imap = in_loop(block, [1])
    assert began.wait(60)
    before = time.monotonic()
    imap.stop()
    assert time.monotonic() - before < 30
    release.set()


def test_context_variables_are_those_of_the_caller() -> None:
    async def see(item: int) -> str:
        seen = variable.get()
        variable.set(str(item))
        await asyncio.sleep(0)
        assert variable.get() == str(item)
        return seen

    token = variable.set("the caller's")
    try:
        assert set(in_loop(see, range(20))) == {"the caller's"}
    finally:
        variable.reset(token)
    assert variable.get() == "none"


@pytest.mark.parametrize("kind", ["coroutine", "ordinary"])
def test_initializer_and_finalizer_run_once_in_the_loop(kind: str) -> None:
    told: list[Any] = []

    async def begin(word: str) -> None:
        await asyncio.sleep(0)
        told.append((word, asyncio.get_running_loop()))

    async def end() -> None:
        await asyncio.sleep(0)
        told.append(("end", asyncio.get_running_loop()))

    def begin_now(word: str) -> None:
        told.append((word, asyncio.get_running_loop()))

    async def look(item: int) -> bool:
        return told[0][1] is asyncio.get_running_loop()

    first = begin if kind == "coroutine" else begin_now
    with in_loop(look, range(50), initializer=first, initargs=("begin",), finalizer=end) as imap:
        assert set(imap) == {True}
    assert [word for word, _ in told] == ["begin", "end"] and told[0][1] is told[1][1]


def test_an_initializer_that_raises_ends_the_map() -> None:
    async def fail() -> None:
        raise ValueError("no server")

    with pytest.raises(WorkerStartError, match="the initializer raised in a worker thread: ValueError: no server"):
        list(in_loop(double, range(3), initializer=fail))


def test_an_initializer_that_never_ends_holds_up_no_stop() -> None:
    async def wait() -> None:
        await asyncio.sleep(10_000)

    imap = in_loop(double, range(3), initializer=wait)
    imap.stop()


def test_an_awaited_initializer_needs_a_loop_everywhere() -> None:
    async def begin() -> None:
        pass

    with pytest.raises(ValueError, match=r"^initializer: it is a coroutine function, and abs is none"):
        in_loop(abs, [1], initializer=begin)


@pytest.mark.parametrize("options", [{"worker_type": "process"}, {"worker_type": "serial"}])
def test_other_workers_refuse_them(options: dict[str, Any]) -> None:
    for function in double, functools.partial(double):
        with pytest.raises(TypeError, match=r"^func: ") as caught:
            IMap(function, [1], **options)
        assert says(caught, "double is a coroutine function", "worker_type='thread'")


def test_what_does_not_fit_is_refused() -> None:
    async def several(item: int) -> Any:
        yield item

    with pytest.raises(TypeError, match="asynchronous generator function"):
        in_loop(several, [1])
    with pytest.raises(ValueError, match="max_items_per_worker: "):
        in_loop(double, [1], max_items_per_worker=3)
    with pytest.raises(ValueError, match=r"task_timeout: .*or a coroutine function") as caught:
        in_loop(abs, [1], task_timeout=3)
    assert says(caught, "needs workers that can be killed")
    assert list(in_loop(double, [1], task_timeout=3)) == [2]


def test_a_rate_holds_for_all_of_them() -> None:
    began = []

    async def note(item: int) -> None:
        began.append(time.monotonic())
        await asyncio.sleep(0.2)

    assert list(in_loop(note, range(6), worker_num=100, rate=20)) == [None] * 6
    assert began[-1] - began[0] >= 4.5 / 20
