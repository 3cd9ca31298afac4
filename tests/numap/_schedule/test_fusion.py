"""Chained tasks that run as one: nobody can tell."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from typing import Any

import pytest

from numap import IMap, SerializationError, WorkerDied
from numap._schedule.batching import LIGHT, BatchSizer
from numap._schedule.fusion import Fusion
from numap._transport.progress_page import STAGE
from numap._worker.fused_calls import NotFusable, fused

COUNT = 4000
#: An item that comes when chains run as one for long.
LATE = 3000


def increment(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


def chain(imap: IMap[Any], *functions: Any, items: Any = range(COUNT)) -> Any:
    for function in functions:
        items = imap.add_task(function, items)
    return items


def outcomes(end: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        try:
            found.append(next(end))
        except StopIteration:
            return found
        except Exception as error:
            found.append(error)


@pytest.mark.parametrize("ordered", [True, False])
def test_results_and_figures_are_those_of_three_tasks(ordered: bool) -> None:
    imap: IMap[Any] = IMap(worker_num=2, ordered=ordered)
    end = chain(imap, increment, double, str)
    with imap:
        found = list(end)
        figures = imap.statistics()
    wanted = [str(2 * (x + 1)) for x in range(COUNT)]
    assert found == wanted if ordered else sorted(found) == sorted(wanted)
    assert [task.done for task in figures.tasks] == [COUNT] * 3
    assert [(task.waiting, task.inside) for task in figures.tasks] == [(0, 0)] * 3


def test_an_item_stays_in_its_worker() -> None:
    def mark(x: int) -> str:
        return f"{x} {os.getpid()}"

    def compare(text: str) -> bool:
        return int(text.split()[1]) == os.getpid()

    imap: IMap[Any] = IMap(worker_num=2)
    end = chain(imap, mark, compare)
    with imap:
        assert all(list(end)[LATE:])


@pytest.mark.parametrize("task", range(3))
def test_an_error_is_that_of_its_task(task: int) -> None:
    def fail(x: int) -> int:
        if x == LATE:
            raise ValueError(f"at {x}")
        return x

    functions = [abs, abs, abs]
    functions[task] = fail
    imap: IMap[Any] = IMap(worker_num=2)
    end = chain(imap, *functions)
    with imap:
        found = outcomes(end)
        figures = imap.statistics()
    error = found[LATE]
    assert isinstance(error, ValueError)
    where = "".join(traceback.format_exception(error))
    assert f"in task {task} (" in where and f"item {LATE}," in where
    assert found[:LATE] + found[LATE + 1 :] == [x for x in range(COUNT) if x != LATE]
    assert [it.failed for it in figures.tasks] == [int(n == task) for n in range(3)]
    assert [it.done for it in figures.tasks] == [COUNT - (n >= task) for n in range(3)]


def test_what_is_no_atom_goes_by_way_of_the_caller() -> None:
    kept: list[int] = []

    def collect(x: int) -> Any:
        if x % 7:
            return x
        kept.append(x)
        return kept

    def size(found: Any) -> int:
        if isinstance(found, int):
            return found
        length = len(found)
        found.clear()  # a copy: what `collect` keeps stays as it is
        return length

    imap: IMap[Any] = IMap(worker_num=1)
    end = chain(imap, collect, size)
    with imap:
        assert list(end) == [x if x % 7 else x // 7 + 1 for x in range(COUNT)]


def test_a_result_that_can_not_travel_fails_where_it_was_made() -> None:
    def odd(x: int) -> Any:
        return (n for n in range(x)) if x == LATE else x

    imap: IMap[Any] = IMap(worker_num=2)
    end = chain(imap, odd, increment)
    with imap:
        found = outcomes(end)
    assert isinstance(found[LATE], SerializationError)
    assert found[:LATE] == list(range(1, LATE + 1))


@pytest.mark.parametrize("task", range(3))
def test_a_death_is_blamed_on_the_task_that_ran(task: int) -> None:
    def die(x: int) -> int:
        if x == LATE:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    functions = [abs, abs, abs]
    functions[task] = die
    imap: IMap[Any] = IMap(worker_num=2)
    end = chain(imap, *functions)
    with imap:
        found = outcomes(end)
        figures = imap.statistics()
    error = found[LATE]
    assert isinstance(error, WorkerDied)
    assert (error.task, error.index) == (task, LATE)
    assert found[:LATE] + found[LATE + 1 :] == [x for x in range(COUNT) if x != LATE]
    assert [it.failed for it in figures.tasks] == [int(n == task) for n in range(3)]
    assert [it.inside for it in figures.tasks] == [0, 0, 0]


def test_a_slow_item_holds_back_no_other() -> None:
    def wait(x: int) -> int:
        if x == LATE:
            time.sleep(10_000)
        return x

    imap: IMap[Any] = IMap(worker_num=2, ordered=False)
    end = chain(imap, abs, wait, abs)
    with imap:
        assert sorted(next(end) for _ in range(COUNT - 1)) == [x for x in range(COUNT) if x != LATE]


APART: list[dict[str, Any]] = [{"retries": 1}, {"task_timeout": 60}, {"stride": 50}, {"max_items_per_worker": 10_000}]


@pytest.mark.parametrize("options", APART, ids=lambda options: next(iter(options)))
def test_where_somebody_could_tell_tasks_run_apart(options: dict[str, Any]) -> None:
    imap: IMap[Any] = IMap(worker_num=2, **options)
    end = chain(imap, abs, abs, items=range(500))
    with imap:
        assert list(end) == list(range(500))
        assert imap._life.manager._dispatcher._fusion.follows[0] == ()


def test_a_tracked_task_is_not_fused() -> None:
    imap: IMap[Any] = IMap(worker_num=2)
    first = imap.add_task(increment, range(500), track=True)
    end = chain(imap, double, increment, items=first)
    with imap:
        assert list(end) == [2 * (x + 1) + 1 for x in range(500)]
        assert imap._life.manager._dispatcher._fusion.follows[0] == ()
        assert imap._life.manager._dispatcher._fusion.follows[1] == (2,)
    assert first.tracked == {x: x + 1 for x in range(500)}


def test_a_join_is_where_a_fused_chain_ends() -> None:
    pacing = BatchSizer(5, 2, 0.004)
    fusion = Fusion([[], [0], [], [1, 2], [3]], pacing, ())
    assert [fusion.follows[task] for task in range(5)] == [(1,), (), (), (4,), ()]


def test_only_light_items_are_fused() -> None:
    pacing = BatchSizer(2, 2, 0.004)
    fusion = Fusion([[], [0]], pacing, ())
    pacing.observe(0, 1, LIGHT / 2, 1)
    assert fusion.behind(0) == (), "the cost of the second is not known"
    pacing.observe(1, 1, LIGHT / 4, 1)
    assert fusion.behind(0) == (1,)
    pacing.observe(0, 1, 2 * LIGHT, 1, behind=(1,))
    assert fusion.behind(0) == ()


def test_a_fused_call_says_where_it_is() -> None:
    words = memoryview(bytearray(64)).cast("Q")
    seen = []

    def look(x: Any) -> Any:
        seen.append(words[STAGE])
        return x

    call = fused([look, look, look], words, pickle.dumps)
    assert call(3) == 3
    assert seen == [0, 1, 2]
    kept = [5]
    copy = fused([lambda x: kept, lambda x: x], words, pickle.dumps)(5)
    assert copy == kept and copy is not kept
    halted = fused([lambda x: [iter((x,))], len], words, pickle.dumps)(5)
    assert isinstance(halted, NotFusable)
    assert (next(halted.value[0]), halted.stage) == (5, 0)
