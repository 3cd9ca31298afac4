"""Every state and every event: allowed, or a StateError that names both and changes nothing."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from numap import IMap, StateError, WorkerStartError
from numap._base.lifecycle import MOVES, move
from numap.testing import ScriptedEngine
from tests.numap import work
from tests.numap.tools import says

STATES = ("idle", "running", "finished", "failed", "stopped")
EVENTS = ("add_task", "pop_task", "start", "next", "stop", "finish", "fail")
#: What the user may do in each state, said a second time.
ALLOWED = {
    "idle": {"add_task", "pop_task", "start", "stop"},
    "running": {"start", "next", "stop"},
    "finished": {"next", "stop"},
    "failed": {"next", "stop"},
    "stopped": {"add_task", "pop_task", "start", "stop"},
}
CALLS: dict[str, Callable[[IMap[Any]], object]] = {
    "add_task": lambda imap: imap.add_task(abs, [1]),
    "pop_task": lambda imap: imap.pop_task(),
    "start": lambda imap: imap.start(),
    "next": lambda imap: imap.next(),
    "stop": lambda imap: imap.stop(),
}


def test_the_table_knows_these_states_and_events() -> None:
    assert {state for state, _ in MOVES} | set(MOVES.values()) == set(STATES)
    assert {event for _, event in MOVES} == set(EVENTS)


@pytest.mark.parametrize(("state", "event"), [*product(STATES, EVENTS)])
def test_each_move(state: str, event: str) -> None:
    if (state, event) in MOVES:
        assert move(state, event) == MOVES[state, event]
        return
    with pytest.raises(StateError) as error:
        move(state, event)
    assert says(error, event, state)
    assert isinstance(error.value, RuntimeError)
    assert error.value.__cause__ is None and error.value.__suppress_context__


@pytest.mark.parametrize("state", STATES)
def test_stop_is_allowed_everywhere(state: str) -> None:
    assert move(state, "stop") in ("idle", "stopped")


@pytest.mark.parametrize(("state", "event"), [*product(STATES, CALLS)])
def test_what_users_may_do(state: str, event: str) -> None:
    assert ((state, event) in MOVES) == (event in ALLOWED[state])


@pytest.fixture(params=["serial", "thread"])
def worker_type(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def bring_to(state: str, worker_type: str) -> IMap[Any]:
    """A map in a state, with one task of two items if it may have one."""
    # The buffer keeps the second item away until the first has been handed over for good.
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=1, buffer=1)
    if state == "failed":
        engine = ScriptedEngine(1)
        engine.fail_start(WorkerStartError("no database"))
        with engine.installed():
            task = imap.add_task(abs, [-1, -2])
            imap.start()
        with pytest.raises(WorkerStartError):
            next(task)
        return imap
    task = imap.add_task(abs, [-1, -2])
    if state != "idle":
        imap.start()
        assert next(task) == 1
    if state == "finished":
        assert list(task) == [2]
    if state == "stopped":
        imap.stop()
    return imap


@pytest.mark.parametrize("state", STATES)
def test_states_are_reached(state: str, worker_type: str) -> None:
    imap = bring_to(state, worker_type)
    assert imap.statistics().state == state
    assert state in repr(imap)
    imap.stop()


@pytest.mark.parametrize(("state", "event"), [*product(STATES, CALLS)])
def test_each_call_in_each_state(state: str, event: str, worker_type: str) -> None:
    imap = bring_to(state, worker_type)
    if (state, event) == ("stopped", "start"):
        imap.add_task(abs, [1])
    before = imap.statistics()
    if event in ALLOWED[state]:
        with suppress(StopIteration):
            CALLS[event](imap)
    else:
        with pytest.raises(StateError) as error:
            CALLS[event](imap)
        assert says(error, event, state)
        after = imap.statistics()
        assert (after.state, after.tasks) == (before.state, before.tasks), "a call that is not allowed changes nothing"
        if state == "running":
            assert list(imap) == [2]
        elif state == "idle":
            imap.start()
            assert list(imap) == [1, 2]
    imap.stop()


@pytest.mark.parametrize("state", STATES)
def test_stop_twice(state: str, worker_type: str) -> None:
    imap = bring_to(state, worker_type)
    imap.stop()
    imap.stop()
    imap.close()
    assert imap.statistics().state == ("idle" if state == "idle" else "stopped")


@pytest.mark.parametrize("state", ["idle", "stopped"])
@pytest.mark.parametrize("event", ["add_task", "pop_task", "stop"])
def test_a_call_leads_where_the_table_says(state: str, event: str) -> None:
    imap = bring_to(state, "serial")
    CALLS[event](imap)
    assert imap.statistics().state == MOVES[state, event]


def test_a_map_is_used_again_after_stop(worker_type: str) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=2)
    for offset in range(3):
        task = imap.add_task(pow, range(5), args=(offset,))
        with imap:
            assert list(task) == [x**offset for x in range(5)]


def test_an_iterator_of_the_last_run_is_of_no_use_in_the_next(worker_type: str) -> None:
    imap = bring_to("running", worker_type)
    imap.stop()
    with pytest.raises(StateError) as error:
        imap.next()
    assert says(error, "next", "stop")


def test_a_running_iterator_learns_of_stop(worker_type: str) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=1)
    task = imap.add_task(abs, [-1, -2])
    imap.start()
    assert next(task) == 1
    imap.stop()
    with pytest.raises(StateError) as error:
        next(task)
    assert says(error, "next", "stop")


def test_the_end_is_an_end_for_good(worker_type: str) -> None:
    imap: IMap[int] = IMap(abs, [-1], worker_type=worker_type, worker_num=1)
    assert list(imap) == [1]
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(imap)
    imap.stop()


@pytest.mark.usefixtures("restless")
def test_who_has_seen_the_end_finds_the_map_finished() -> None:
    for _ in range(300):
        imap = IMap(abs, [-1], worker_type="thread", worker_num=1)
        assert list(imap) == [1]
        assert imap.statistics().state == "finished"
        imap.stop()


def test_after_a_start_error_comes_the_end() -> None:
    imap = bring_to("failed", "thread")
    for _ in range(3):
        with pytest.raises(StopIteration):
            imap.next()
    imap.stop()


@pytest.mark.parametrize("kind", ["serial", "thread"])
def test_an_initializer_that_raises(kind: str) -> None:
    def broken() -> None:
        raise ValueError("no database")

    imap: IMap[Any] = IMap(worker_type=kind, worker_num=1, initializer=broken)
    task = imap.add_task(abs, [-1])
    with pytest.raises(WorkerStartError, match="no database") as error:
        imap.start()
        next(task)
    assert isinstance(error.value.__cause__, ValueError)
    imap.stop()


def test_start_without_a_task(worker_type: str) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=1)
    with pytest.raises(StateError) as error:
        imap.start()
    assert says(error, "start", "add_task")
    assert imap.statistics().state == "idle"


def test_an_error_of_start_leaves_the_map_as_it_was(worker_type: str) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=1, buffer=1)
    imap.add_task(abs, [-1])
    imap.add_task(abs, [-2])
    with pytest.raises(ValueError, match="buffer"):
        imap.start()
    assert imap.statistics().state == "idle"
    imap.pop_task()
    imap.start()
    assert list(imap) == [1]
    imap.stop()


def test_pop_task(worker_type: str) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=1)
    for value in range(4):
        imap.add_task(abs, [value])
    imap.pop_task()
    assert len(imap.statistics().tasks) == 3
    imap.pop_task(2)
    assert len(imap.statistics().tasks) == 1
    imap.pop_task(True)
    assert imap.statistics().tasks == ()


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_a_map_that_raised_ends_when_it_is_dropped(kind: str) -> None:
    """The exception refers to the frames of who caught it, and these to the map: nothing of ours may refer to the exception."""

    def use() -> weakref.ref[IMap[int]]:
        imap = IMap(work.fail_at, itertools.count(), (2, ValueError, "two"), worker_type=kind, worker_num=1)
        with pytest.raises(ValueError, match="two"):
            while True:
                next(imap)
        return weakref.ref(imap)

    ref = use()
    gc.collect()
    assert ref() is None
