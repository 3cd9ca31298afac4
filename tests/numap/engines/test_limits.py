"""Time limits, retries, recycled workers, finalizers, given-up results, asynchronous iteration."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, ItemError, NextTimeout, TaskTimeout, WorkerDied
from tests.numap.engines.limit_items import FOREVER, count_calls, exits, inverse, stuck_in_c, stuck_with_program

STARTS = ["forkserver", "spawn", "fork"]
ENGINES: list[dict[str, Any]] = [
    {"worker_type": "serial"},
    {"worker_type": "thread", "worker_num": 2},
    *({"worker_num": 2, "start_method": start} for start in STARTS),
]


def outcomes(imap: Any) -> list[Any]:
    """Results and errors, in the order in which they come."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(imap))
        except StopIteration:
            return found
        except Exception as error:
            found.append(error)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("start", STARTS)
def test_34_an_item_over_its_limit_is_killed_and_nobody_else_notices(start: str) -> None:
    with IMap(stuck_in_c, range(50), worker_num=2, start_method=start, task_timeout=2) as imap:
        found = outcomes(imap)
        assert imap.statistics().replaced == 1
    assert [x for x in found if not isinstance(x, Exception)] == [x for x in range(50) if x != 5]
    error = found[5]
    assert isinstance(error, TaskTimeout) and not isinstance(error, TimeoutError)
    assert (error.task, error.index) == (0, 5)
    assert "item 5 of task 0 (stuck_in_c)" in str(error) and "task_timeout=2" in str(error)


def test_35_the_limit_counts_from_the_start_of_the_item() -> None:
    # 12 items of 0.3 s on one worker: the last waits for longer than the limit, none runs so long.
    found = list(IMap(time.sleep, [0.3] * 12, worker_num=1, buffer=12, task_timeout=3))
    assert found == [None] * 12


def test_15_a_program_of_the_killed_item_is_killed_too(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with IMap(stuck_with_program, range(4), (str(note),), worker_num=2, task_timeout=3) as imap:
        found = outcomes(imap)
    assert [type(x) for x in found] == [int, TaskTimeout, int, int]
    until = time.monotonic() + 60
    while alive(int(note.read_text())) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(int(note.read_text()))


@pytest.mark.parametrize("start", STARTS)
def test_5_an_item_that_always_crashes_runs_once_more_for_each_retry(start: str, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    with IMap(count_calls, range(300), (str(log),), worker_num=2, start_method=start, retries=2) as imap:
        found = outcomes(imap)
    calls = log.read_text().split()
    assert calls.count("7") == 3
    assert isinstance(found[7], WorkerDied) and found[7].exitcode == 3
    assert [x for x in found if isinstance(x, int)] == [x for x in range(300) if x != 7]


@pytest.mark.parametrize("options", ENGINES)
def test_a_function_that_fails_first_is_tried_again(options: dict[str, Any], tmp_path: Path) -> None:
    folder = str(tmp_path)

    def flaky(x: int) -> int:
        mark = os.path.join(folder, str(x))
        if not os.path.exists(mark):
            open(mark, "w").close()
            raise ValueError(x)
        return x

    assert list(IMap(flaky, range(20), retries=1, **options)) == list(range(20))


def test_retries_and_the_place_of_the_final_error() -> None:
    calls: list[int] = []

    def fails(x: int) -> int:
        calls.append(x)
        if x == 2:
            raise KeyError(x)
        return x

    found = outcomes(IMap(fails, range(4), worker_type="serial", retries=3))
    assert [type(x) for x in found] == [int, int, KeyError, int]
    assert calls.count(2) == 4 and calls.count(1) == 1


@pytest.mark.parametrize("options", ENGINES[1:])
def test_workers_are_replaced_after_so_many_items(options: dict[str, Any]) -> None:
    def who(x: int) -> tuple[int, int, int]:
        return x, os.getpid(), threading.get_native_id()

    found = list(IMap(who, range(60), max_items_per_worker=7, **options))
    assert [x for x, _, _ in found] == list(range(60))
    # Identities may be used again by the system, so this bounds how many items one of them got in a row.
    runs: dict[tuple[int, int], int] = {}
    for _, pid, thread in found:
        runs[pid, thread] = runs.get((pid, thread), 0) + 1
    assert len(runs) >= 60 // 7
    assert max(runs.values()) <= 7


@pytest.mark.parametrize("options", ENGINES)
def test_the_finalizer_runs_at_the_orderly_end(options: dict[str, Any], tmp_path: Path) -> None:
    marks = str(tmp_path)

    def begin() -> None:
        global begun
        begun = f"{os.getpid()}-{threading.get_ident()}"
        Path(marks, f"begin-{begun}").touch()

    def end() -> None:
        Path(marks, f"end-{os.getpid()}-{threading.get_ident()}").touch()

    with IMap(abs, range(50), initializer=begin, finalizer=end, **options) as imap:
        assert list(imap) == list(range(50))
        assert len(outcomes(imap)) == 0
    until = time.monotonic() + 60
    names: list[str] = []
    while time.monotonic() < until:
        names = sorted(path.name for path in tmp_path.iterdir())
        if sum(name.startswith("end") for name in names) and time.monotonic() < until:
            break
    ends = {name[4:] for name in names if name.startswith("end")}
    assert ends and ends <= {name[6:] for name in names if name.startswith("begin")}


@pytest.mark.parametrize("options", ENGINES[1:])
def test_17_a_result_that_was_late_is_given_up_or_not(options: dict[str, Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(x: int, path: str) -> int:
        while x > 0 and not os.path.exists(path):
            time.sleep(0.005)
        return x

    for skip in (False, True):
        gate.unlink(missing_ok=True)
        with IMap(wait, range(4), (str(gate),), skip=skip, **options) as imap:
            assert next(imap) == 0
            with pytest.raises(NextTimeout):
                imap.next(timeout=0.05)
            with pytest.raises(NextTimeout):
                imap.next(block=False)
            gate.touch()
            assert list(imap) == ([2, 3] if skip else [1, 2, 3])


def test_when_all_that_is_left_was_given_up_the_task_has_ended(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(x: int, path: str) -> int:
        while not os.path.exists(path):
            time.sleep(0.005)
        return x

    with IMap(wait, range(3), (str(gate),), skip=True, worker_num=1) as imap:
        for _ in range(3):
            with pytest.raises(NextTimeout):
                imap.next(timeout=0.02)
        for _ in range(2):
            with pytest.raises(StopIteration):
                imap.next(timeout=FOREVER)
        gate.touch()


@pytest.mark.parametrize("options", ENGINES)
def test_36_asynchronous_iteration(options: dict[str, Any]) -> None:
    async def main() -> None:
        assert [x async for x in IMap(abs, range(-5, 0), **options)] == [5, 4, 3, 2, 1]
        async with IMap(abs, count(), **options) as imap:
            found = []
            async for x in imap:
                found.append(x)
                if x == 3:
                    break
        assert found == [0, 1, 2, 3]
        assert imap.statistics().state == "stopped"

    asyncio.run(main())


@pytest.mark.parametrize("options", ENGINES[1:])
def test_36_a_step_that_was_cancelled_loses_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(x: int, path: str) -> int:
        while x == 2 and not os.path.exists(path):
            time.sleep(0.005)
        return x

    async def main() -> None:
        async with IMap(wait, range(6), (str(gate),), **options) as imap:
            steps = imap.__aiter__()
            found = [await steps.__anext__(), await steps.__anext__()]
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(steps.__anext__(), 0.02)
            gate.touch()
            found += [x async for x in steps]
        assert found == list(range(6))

    asyncio.run(main())


@pytest.mark.parametrize("options", ENGINES)
@pytest.mark.parametrize("ordered", [True, False])
def test_tracked_outcomes(options: dict[str, Any], ordered: bool) -> None:
    imap: IMap[Any] = IMap(ordered=ordered, **options)
    halves = imap.add_task(inverse, range(5), track=True)
    texts = imap.add_task(str, halves, track=True)
    plain = imap.add_task(str, range(5))
    with imap:
        found = outcomes(texts)
    inner, outer = halves.tracked, texts.tracked
    assert list(inner) == list(range(5)) and {k: v for k, v in inner.items() if k} == {
        1: 1.0,
        2: 0.5,
        3: 1 / 3,
        4: 0.25,
    }
    assert isinstance(inner[0], ZeroDivisionError)
    assert outer == {1: "1.0", 2: "0.5", 3: str(1 / 3), 4: "0.25"}
    assert sorted(map(str, found)) == sorted(["division by zero", *outer.values()])
    assert plain.tracked == {}


@pytest.mark.parametrize("options", ENGINES)
def test_a_stopped_map_tells_what_it_discarded(options: dict[str, Any]) -> None:
    pulled = 0

    def source() -> Any:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    imap = IMap(abs, source(), buffer=6, **options)
    assert [next(imap) for _ in range(3)] == [1, 2, 3]
    imap.stop()
    figures = imap.statistics()
    assert (figures.state, figures.yielded) == ("stopped", 3)
    # A reader that was told to stop may have taken one more, which nobody has counted then.
    assert figures.pulled - figures.yielded == figures.discarded <= pulled - 3 <= 6


def test_fork_inherits_what_can_not_be_sent() -> None:
    lock = threading.Lock()
    held = {"lock": lock}

    def use(x: int) -> int:
        with INHERITED:
            return x + len(held_outside)

    global INHERITED, held_outside
    INHERITED, held_outside = lock, held
    assert list(IMap(use, range(5), worker_num=2, start_method="fork")) == [1, 2, 3, 4, 5]


def test_what_exits_is_an_item_error_everywhere() -> None:
    for options in ENGINES:
        found = outcomes(IMap(exits, range(3), **options))
        assert [type(x) for x in found] == [int, ItemError, int]
        assert isinstance(found[1].original, SystemExit) and found[1].index == 1


begun = ""
INHERITED: Any = None
held_outside: Any = None


def test_more_workers_than_requests_fit_into_a_socket() -> None:
    with IMap(abs, range(1000), worker_num=340, initializer=abs, initargs=(1,), finalizer=int) as imap:
        assert list(imap) == list(range(1000))
