"""``next`` that waits for a while or not at all, from one thread or from several."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, NextTimeout, NumapError
from tests.numap import work
from tests.numap.programs import ENGINES, STARTS, until

WORKERS = (*STARTS, "thread")


@pytest.fixture(params=WORKERS)
def gated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[IMap[int], Path]]:
    """A map of five items that wait for a gate, and the gate."""
    (tmp_path / "marks").mkdir()
    gate = tmp_path / "gate"
    with IMap(work.mark_and_wait, range(5), (str(tmp_path / "marks"), str(gate)), **ENGINES[request.param]) as imap:
        yield imap, gate
        gate.touch()


@pytest.mark.parametrize("caught", [NextTimeout, NumapError, TimeoutError, multiprocessing.TimeoutError])
def test_in_time_or_not(gated: tuple[IMap[int], Path], caught: type[Exception]) -> None:
    imap, gate = gated
    for timeout in (0, 0.01, 0.05):
        began = time.monotonic()
        with pytest.raises(caught):
            imap.next(timeout=timeout)
        assert time.monotonic() - began >= timeout
    gate.touch()
    # Nothing was lost.
    assert [imap.next(timeout=20) for _ in range(5)] == list(range(5))
    with pytest.raises(StopIteration):
        imap.next(timeout=20)


def test_without_blocking(gated: tuple[IMap[int], Path]) -> None:
    imap, gate = gated
    with pytest.raises(NextTimeout, match="task 0"):
        imap.next(block=False)
    gate.touch()
    found: list[int] = []

    def take() -> bool:
        try:
            found.append(imap.next(block=False))
        except NextTimeout:
            return False
        return len(found) == 5

    assert until(take)
    assert found == list(range(5))


@pytest.mark.parametrize("options", [{"timeout": 0.01}, {"block": False}, {"timeout": 0, "block": False}])
@pytest.mark.parametrize("engine", WORKERS)
def test_iterators_that_are_impatient(engine: str, options: dict[str, Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    imap: IMap[Any] = IMap(**ENGINES[engine])
    task = imap.add_task(work.mark_and_wait, range(5), (str(tmp_path), str(gate)), **options)
    with imap:
        for _ in range(3):
            with pytest.raises(NextTimeout):
                next(task)
        with pytest.raises(TimeoutError):
            next(imap.get_task(0, timeout=0.01))
        gate.touch()
        # The timeout is that of the iterator, not of the task.
        assert list(imap.get_task(0)) == list(range(5))
        with pytest.raises(StopIteration):
            next(task)


def test_an_impatient_task_may_be_chained(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    imap: IMap[Any] = IMap(worker_num=2)
    first = imap.add_task(work.mark_and_wait, range(5), (str(tmp_path), str(gate)), timeout=0.01)
    second = imap.add_task(work.increment, first)
    with imap:
        with pytest.raises(NextTimeout):
            imap.next(task=1, timeout=0.1)
        gate.touch()
        assert list(second) == [1, 2, 3, 4, 5]


def test_a_serial_item_runs_once_whatever_the_timeout() -> None:
    runs: list[int] = []
    with IMap(work.call, range(3), (runs.append, 1), worker_type="serial") as imap:
        with contextlib.suppress(NextTimeout):
            imap.next(timeout=0)
        assert set(imap) == {None} and runs == [1, 1, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_blocked_input_ends_in_a_timeout_with_any_engine(engine: str) -> None:
    live: queue.Queue[int] = queue.Queue()
    with IMap(work.increment, iter(live.get, -1), **ENGINES[engine]) as imap:
        with pytest.raises(NextTimeout):
            imap.next(timeout=0.05)
        live.put(1)
        assert imap.next(timeout=20) == 2
        live.put(-1)
        assert list(imap) == []


@pytest.mark.parametrize("engine", WORKERS)
@pytest.mark.timeout(20)
def test_while_another_thread_waits(engine: str) -> None:
    """A timeout also holds for who waits behind another consumer."""
    live: queue.Queue[int] = queue.Queue()
    with IMap(work.increment, iter(live.get, -1), **ENGINES[engine]) as imap:
        found: list[int] = []
        patient = threading.Thread(target=lambda: found.append(next(imap)))
        patient.start()
        try:
            with pytest.raises(NextTimeout):
                imap.next(timeout=0.05)
            with pytest.raises(NextTimeout):
                imap.next(block=False)
        finally:
            live.put(1)
            patient.join(20)
            live.put(-1)
        assert found == [2]
        assert list(imap) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [300, 20_000])
def test_several_consumers_share_the_results(engine: str, count: int) -> None:
    items = count if engine != "serial" else count // 10
    with IMap(work.identity, range(items), **ENGINES[engine]) as imap:
        found: list[list[int]] = [[] for _ in range(4)]

        def consume(part: list[int]) -> None:
            part.extend(imap)

        threads = [threading.Thread(target=consume, args=(part,)) for part in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert not any(thread.is_alive() for thread in threads)
    assert sorted(itertools.chain(*found)) == list(range(items))
    assert all(part == sorted(part) for part in found)


def every_third_fails(x: int) -> int:
    if x % 3 == 0:
        raise ValueError(x)
    return x


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("on_error", ["raise", "return"])
@pytest.mark.parametrize("engine", ["default", "thread", "serial"])
def test_several_consumers_get_each_error_once(engine: str, on_error: str) -> None:
    with IMap(every_third_fails, range(2000), on_error=on_error, **ENGINES[engine]) as imap:
        found: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()

        def consume() -> None:
            while True:
                try:
                    found.put(next(imap))
                except StopIteration:
                    return
                except ValueError as error:
                    found.put(error)

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert not any(thread.is_alive() for thread in threads)
    outcomes = [found.get() for _ in range(found.qsize())]
    assert sorted(y for y in outcomes if isinstance(y, int)) == [x for x in range(2000) if x % 3]
    assert sorted(y.args[0] for y in outcomes if isinstance(y, ValueError)) == list(range(0, 2000, 3))


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("_", range(5))
def test_no_item_of_a_serial_map_waits_for_somebody_who_waits_for_it(_: int) -> None:
    """Who finds nothing to run, and is about to wait, hears of what becomes ready in that very moment."""
    imap = IMap(worker_type="serial")
    tasks = [imap.add_task(work.identity, range(count)) for count in (500, 1000)]
    found: list[list[int]] = [[], []]
    with imap:
        threads = [threading.Thread(target=out.extend, args=(task,)) for out, task in zip(found, tasks, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
    assert found == [list(range(500)), list(range(1000))]

    async def read() -> list[int]:
        return [y async for y in IMap(work.identity, range(500), worker_type="serial")]

    assert asyncio.run(asyncio.wait_for(read(), 50)) == list(range(500))


@pytest.mark.parametrize("engine", ENGINES)
def test_several_consumers_all_see_the_end(engine: str) -> None:
    with IMap(work.nap, [0.05], **ENGINES[engine]) as imap:
        ends = []

        def consume() -> None:
            ends.append(list(imap))

        threads = [threading.Thread(target=consume) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(ends) == [[], [], [], [], [0.05]]


@pytest.mark.parametrize("kind", ["default", "thread", "serial"])
def test_a_map_that_nobody_else_holds(kind: str, tmp_path: Path) -> None:
    """It is not dropped as long as its ``next`` waits, but then at once, also if the error is kept."""
    (tmp_path / "marks").mkdir()
    gate = tmp_path / "gate"
    timer = threading.Timer(0.1, gate.touch)
    timer.start()
    # Not within the assert, which would hold it.
    result = IMap(work.mark_and_wait, [5], (str(tmp_path / "marks"), str(gate)), **ENGINES[kind]).next(timeout=30)
    assert result == 5
    timer.join()


@pytest.mark.parametrize("kind", ["default", "thread"])
def test_an_error_of_next_does_not_keep_the_map(kind: str, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    gate = tmp_path / "gate"
    imap = IMap(work.mark_and_wait, [5], (str(tmp_path / "marks"), str(gate)), **ENGINES[kind])
    gone = weakref.ref(imap)
    with pytest.raises(NextTimeout) as caught:
        imap.next(timeout=0.01)
    # Its traceback has our own frame, which lets go here.
    del imap
    assert gone() is None and caught.value is not None
    gate.touch()


@pytest.mark.parametrize("engine", WORKERS)
def test_an_item_that_was_given_up_keeps_its_place_in_the_buffer(engine: str, tmp_path: Path) -> None:
    pulled = []

    def source() -> Iterator[int]:
        for n in range(100):
            pulled.append(n)
            yield n

    gate = tmp_path / "gate"
    with IMap(
        work.wait_from, source(), (0, 1, str(tmp_path), str(gate)), skip=True, buffer=4, **ENGINES[engine]
    ) as imap:
        assert until(lambda: len(pulled) == 4)
        for _ in range(2):
            with pytest.raises(NextTimeout):
                imap.next(timeout=0.05)
        # Both workers are busy with what was given up; nothing more is pulled, as nothing has left.
        with pytest.raises(NextTimeout):
            imap.next(timeout=0.3)
        assert len(pulled) == 4
        gate.touch()
        assert list(imap)[-1] == 99


@pytest.mark.parametrize("engine", WORKERS)
def test_a_result_that_was_given_up_holds_back_nothing(engine: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    args = (0, 0, str(tmp_path), str(gate))
    with IMap(work.wait_from, range(4), args, skip=True, buffer=4, **ENGINES[engine]) as imap:
        with pytest.raises(NextTimeout):
            imap.next(timeout=0.05)
        assert [imap.next(timeout=30) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(StopIteration):
            imap.next(timeout=30)
        gate.touch()


LONG = (2.2e6, 5e6, 1e10, 1e300, float("inf"), 10**400)


@pytest.mark.parametrize("seconds", LONG, ids=["2e6", "5e6", "1e10", "1e300", "inf", "whole"])
def test_any_number_of_seconds_is_a_time_limit(seconds: float) -> None:
    """Also one that no clock of the system can count to."""
    imap: IMap[int] = IMap(worker_type="process", worker_num=1, task_timeout=seconds)
    task = imap.add_task(abs, range(-4, 0), timeout=seconds)
    with imap:
        assert next(task) == 4
        assert imap.next(timeout=seconds) == 3
        assert next(imap.get_task(timeout=seconds)) == 2
        assert list(task) == [1]
        with pytest.raises(StopIteration):
            imap.next(timeout=seconds)
