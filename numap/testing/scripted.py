"""An engine without workers: a test dictates what becomes of each item.

Workers die and items overtake each other when they like, so a test with real workers sees few of the orders in which that can
happen. Here the test says the order, and the whole map above the engine is the real one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.exceptions import trace_of
from .._items.failures import Failure
from .._items.retry_on import is_meant, take_mark
from .._items.segments import FAILED, RAW, Segment, item_of, part, parts
from .._sync.event_queue import NEVER, seconds_left
from ..engines.protocol import (
    Capabilities,
    Died,
    Engine,
    Event,
    Job,
    Output,
    Program,
    Returned,
    SideOutput,
    Slot,
    StartFailed,
)

#: Seconds after which a wait for a fact becomes a failure with a message. Nothing that works comes near it.
FACT_TIMEOUT = 30.0


class Submission(NamedTuple):
    """Neighbouring items that were given to a worker: the place of the first, and how many."""

    worker: int
    task: int
    first: int
    items: int


class Running(NamedTuple):
    """The place of the item that a worker is in."""

    worker: int
    task: int
    place: int


_AUTO: Any = object()


class ScriptedEngine:
    """An engine without workers: what becomes of each item is dictated.

    What is dictated (`finish`, `fail`, `die`, `give_back`, `fail_start`) happens in that order, each thing as soon as
    it is possible. An item can only end once it is the one that its worker is in. All of it may be said beforehand, or
    by another thread while the map runs.

    Args:
        workers: number of workers; give the map the same ``worker_num``.
        start_error: raised by `start`.
        seconds: what each item is said to have taken.
        script: called whenever nothing is dictated and the map waits; it may dictate.

    Attributes:
        submissions: what was given to workers, in order.
        happened: how many dictated things have happened.

    >>> from numap import IMap
    >>> engine = ScriptedEngine(workers=3)
    >>> engine.finish(2)
    >>> engine.finish(0)
    >>> engine.die(1)
    >>> with engine.installed():
    ...     imap = IMap(abs, [-1, -2, -3], worker_type="thread", worker_num=3, ordered=False, on_error="return")
    >>> list(imap)
    [3, 1, WorkerDied('worker process 1001 died (...) while it ran item 1 of task 0 (abs); ...')]
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        start_error: Exception | None = None,
        seconds: float = 0.001,
        script: Callable[[ScriptedEngine], None] | None = None,
    ) -> None:
        self.capabilities = Capabilities(pickles=False, kills=True)
        self.slots: list[Slot] = [Slot() for _ in range(workers)]
        self.submissions: list[Submission] = []
        self.happened = 0
        self.started = False
        self.stopped = False
        self._calls: list[Callable[[Any], Any]] = []
        self._retry_on: list[Any] = []
        self._start_error = start_error
        self._seconds = seconds
        self._script = script
        self._orders: deque[Callable[[], list[Event] | None]] = deque()
        self._events: list[Event] = []
        #: Something has changed since the last look at what was dictated.
        self._stirred = True
        self._news = threading.Condition(threading.RLock())

    @contextmanager
    def installed(self) -> Iterator[ScriptedEngine]:
        """A map that is started in this ``with`` runs on this engine, whatever its ``worker_type``."""
        from .._runtime.build import engines_made_by

        def make(options: Options, programs: Sequence[Program]) -> Engine:
            self._calls = [bound(it.func, it.args, it.kwargs) for it in programs]
            self._retry_on = [it.settings.retry_on for it in programs]
            return self

        with engines_made_by(make):
            yield self

    # ------------------------------------------------------------------ dictation; any thread

    def finish(self, index: int, task: int = 0, count: int = 1, value: Any = _AUTO) -> None:
        """Item ``index`` ends with the value of its function, or with ``value``; ``count``: and the next of its job."""
        self._dictate(lambda: self._end(index, task, count, value, None))

    def fail(self, index: int, error: BaseException, task: int = 0) -> None:
        """Item ``index`` ends with an error."""
        self._dictate(lambda: self._end(index, task, 1, None, error))

    def die(self, index: int | None = None, task: int = 0, worker: int | None = None, exitcode: int = -9) -> None:
        """The worker that is in item ``index``, or the ``worker`` of this number, dies and is replaced."""
        self._dictate(lambda: self._die(self._whose(index, task) if worker is None else worker, exitcode))

    def give_back(self, worker: int) -> None:
        """A worker gives back what it has not begun."""
        self._dictate(lambda: self._give_back(self.slots[worker]))

    def fail_start(self, error: Exception) -> None:
        """Workers turn out not to start."""
        self._dictate(lambda: [StartFailed(error)])

    def running(self) -> list[Running]:
        """The items that workers are in, by worker."""
        with self._news:
            return [
                Running(worker, slot.jobs[0].program, slot.jobs[0].first + slot.jobs[0].done)
                for worker, slot in enumerate(self.slots)
                if slot.jobs
            ]

    def wait_for(self, index: int, task: int = 0, timeout: float = FACT_TIMEOUT) -> None:
        """Waits until a worker is in item ``index``."""
        self._until(lambda: self._whose(index, task) is not None, f"item {index} of task {task} to run", timeout)

    def settle(self, timeout: float = FACT_TIMEOUT) -> None:
        """Waits until all that was dictated has happened."""
        self._until(lambda: not self._orders, "all that was dictated to happen", timeout)

    def _until(self, fact: Callable[[], bool], what: str, timeout: float) -> None:
        with self._news:
            if not self._news.wait_for(fact, timeout):
                raise TimeoutError(f"waited {timeout} seconds for {what}; workers are in {self.running()}")

    def _dictate(self, order: Callable[[], list[Event] | None]) -> None:
        with self._news:
            self._orders.append(order)
            self._stir()

    # ------------------------------------------------------------------ what happens; the thread that waits

    def _whose(self, index: int | None, task: int) -> int | None:
        return next((it.worker for it in self.running() if it.task == task and it.place == index), None)

    def _end(self, index: int, task: int, count: int, value: Any, error: BaseException | None) -> list[Event] | None:
        worker = self._whose(index, task)
        if worker is None:
            return None
        slot = self.slots[worker]
        job = slot.jobs[0]
        count = min(count, job.count - job.done)
        items = _singles(parts(job.segments, job.done, job.done + count))
        segments = [self._outcome(job.program, item, value, error) for item in items]
        first = job.first + job.done
        job.done += count
        if job.done == job.count:
            slot.jobs.popleft()
        return [Output(job, first, count, segments, self._seconds * count)]

    def _outcome(self, program: int, item: Segment, value: Any, error: BaseException | None) -> Segment:
        if error is not None:
            retry_on = self._retry_on[program]
            return FAILED, 1, Failure(error, again=retry_on is not None and is_meant(retry_on, error))
        try:
            return RAW, 1, [self._calls[program](item_of(item)) if value is _AUTO else value]
        except Exception as raised:
            return FAILED, 1, Failure(raised, trace_of(raised), again=take_mark(raised))

    def _give_back(self, slot: Slot, begun: int = 1) -> list[Event]:
        """Returns what the slot holds but the first ``begun`` items."""
        events: list[Event] = []
        for job in list(slot.jobs):
            keep = min(job.count, job.done + begun)
            begun = max(0, begun - (job.count - job.done))
            if keep < job.count:
                segments = parts(job.segments, keep, job.count)
                events.append(Returned(job.program, job.first + keep, job.count - keep, segments))
                job.count = keep
            if keep == job.done:
                slot.jobs.remove(job)
        return events

    def _die(self, worker: int | None, exitcode: int) -> list[Event] | None:
        if worker is None:
            return None
        slot = self.slots[worker]
        events = self._give_back(slot)
        died = Died(None, None, [], 1000 + worker, exitcode)
        if slot.jobs:
            job = slot.jobs.popleft()
            blamed = parts(job.segments, job.done, job.done + 1)
            died = Died(job.program, job.first + job.done, blamed, 1000 + worker, exitcode)
        return [*events, died]

    # ------------------------------------------------------------------ the engine

    def start(self) -> None:
        """See `Engine.start`."""
        self.started = True
        if self._start_error is not None:
            raise WorkerStartError(str(self._start_error)) from self._start_error

    def submit(self, slot: Slot, job: Job) -> None:
        """See `Engine.submit`."""
        assert self.started and not self.stopped and slot.open
        assert job.count == sum(segment[1] for segment in job.segments) > 0
        with self._news:
            slot.jobs.append(job)
            self.submissions.append(Submission(self.slots.index(slot), job.program, job.first, job.count))
            self._stir()

    def due(self) -> float:
        """See `Engine.due`."""
        return 0.0 if self._events else NEVER

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        with self._news:
            self._news.wait_for(lambda: self._stirred, seconds_left(until))

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        with self._news:
            self._stirred = False
            self._obey()
            while self._script is not None and not self._events and not self._orders:
                happened = self.happened
                self._script(self)
                self._obey()
                if happened == self.happened:
                    break
            events, self._events = self._events, []
            return events

    def _stir(self) -> None:
        self._stirred = True
        self._news.notify_all()

    def _obey(self) -> None:
        """Lets happen what is dictated, as far as it is possible now."""
        while self._orders:
            events = self._orders[0]()
            if events is None:
                break
            self._orders.popleft()
            self._events += events
            self.happened += 1
            self._news.notify_all()

    def wake(self) -> None:
        """See `Engine.wake`."""
        with self._news:
            self._stir()

    def recall(self) -> None:
        """See `Engine.recall`."""
        with self._news:
            for slot in self.slots:
                self._events += self._give_back(slot)

    def stop(self) -> Sequence[SideOutput]:
        """See `Engine.stop`."""
        with self._news:
            self.stopped = True
            for slot in self.slots:
                slot.jobs.clear()
            self._news.notify_all()
        return ()


def _singles(segments: Sequence[Segment]) -> Iterator[Segment]:
    """The items of neighbouring segments."""
    for segment in segments:
        for place in range(segment[1]):
            yield part(segment, place, place + 1)
