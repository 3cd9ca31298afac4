"""An engine that is added as CONTRIBUTING.rst says, and keeps the promises that all engines keep."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import pytest

from numap import IMap, join
from numap._base.capabilities import CAPABILITIES, Capabilities
from numap._base.options import Options
from numap._items.call import bound
from numap._items.exceptions import trace_of
from numap._items.failures import Failure
from numap._items.segments import FAILED, RAW, Segment, item_of, singles
from numap._runtime.build import ENGINES
from numap._sync.event_queue import NEVER, EventQueue
from numap.engines.protocol import Engine, Event, Job, Output, Program, Returned, SideOutput, Slot


class ToyEngine:
    """Runs each job in the thread that asks what has happened: the manager's."""

    capabilities = Capabilities(pickles=False, kills=False, most_workers=1)

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._calls = [bound(it.func, it.args, it.kwargs) for it in programs]
        self.slots = [Slot() for _ in range(options.workers)]
        self._submitted: EventQueue[tuple[Slot, Job]] = EventQueue()
        self._recalls = False

    def start(self) -> None:
        """Nothing is to be started."""

    def submit(self, slot: Slot, job: Job) -> None:
        slot.jobs.append(job)
        self._submitted.put((slot, job))

    def due(self) -> float:
        return NEVER

    def listen(self, until: float) -> None:
        self._submitted.listen(until)

    def events(self) -> list[Event]:
        return [event for slot, job in self._submitted.take() for event in self._outcome(slot, job)]

    def _outcome(self, slot: Slot, job: Job) -> list[Event]:
        if job not in slot.jobs:  # the engine was stopped
            return []
        slot.jobs.remove(job)
        if self._recalls:
            return [Returned(job.program, job.first, job.count, job.segments)]
        began = perf_counter()
        outcomes = [self._run(job, item) for segment in job.segments for item in singles(segment, False)]
        job.done = job.count
        return [Output(job, job.first, job.count, outcomes, perf_counter() - began)]

    def _run(self, job: Job, item: Segment) -> Segment:
        try:
            return RAW, 1, [self._calls[job.program](item_of(item))]
        except BaseException as error:
            return FAILED, 1, Failure(error, trace_of(error))

    def wake(self) -> None:
        self._submitted.wake()

    def recall(self) -> None:
        self._recalls = True

    def stop(self) -> Sequence[SideOutput]:
        for slot in self.slots:
            slot.open = False
            slot.jobs.clear()
        return ()


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two rows."""
    monkeypatch.setitem(CAPABILITIES, "toy", ToyEngine.capabilities)
    monkeypatch.setitem(ENGINES, "toy", (__name__, "ToyEngine"))


def toy(**options: Any) -> IMap[Any]:
    return IMap(worker_type="toy", **options)


def test_it_is_an_engine() -> None:
    engine: Engine = ToyEngine([], Options(worker_type="toy"))
    assert len(engine.slots) == 1


def test_results_come_in_order() -> None:
    assert list(IMap(str, range(1000), worker_type="toy")) == list(map(str, range(1000)))


def test_chains_and_joins_work() -> None:
    imap = toy()
    doubled = imap.add_task(lambda n: 2 * n, range(100))
    texts = imap.add_task(str, doubled)
    halves = imap.add_task(lambda n: n / 2, range(100))
    with imap:
        assert list(join(texts, halves)) == [(str(2 * n), n / 2) for n in range(100)]


def test_an_item_that_raises_costs_itself() -> None:
    found = list(IMap(lambda n: 1 / n, [1, 0, 2], worker_type="toy", on_error="return"))
    assert (found[0], type(found[1]), found[2]) == (1.0, ZeroDivisionError, 0.5)
    assert found[1].__notes__ == ["in task 0 (test_an_item_that_raises_costs_itself.<locals>.<lambda>), item 1"]


def test_an_item_is_tried_again() -> None:
    left = [2]

    def fail(item: int) -> int:
        left[0] -= 1
        return item // (left[0] < 0)

    assert list(IMap(fail, [7], worker_type="toy", retries=2)) == [7]


def test_an_endless_input_is_left() -> None:
    from itertools import count

    for n in IMap(abs, count(), worker_type="toy"):
        if n == 1000:
            break


def test_what_it_can_not_do_is_refused() -> None:
    with pytest.raises(ValueError, match="task_timeout: needs workers that can be killed, and worker_type is 'toy'"):
        toy(task_timeout=1)
    with pytest.raises(ValueError, match="start_method: needs worker processes, and worker_type is 'toy'; 'fork'"):
        toy(start_method="fork")
