"""The engine of a map whose workers are lent to it by an executor.

To the manager of the map it looks like any engine. Its slots are room for as many jobs as the executor has workers, and jobs
wait at the hub for a worker. What the hub learns of them it puts into a queue, which the manager's thread listens to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._base.capabilities import CAPABILITIES
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.segments import parts
from .._sync.event_queue import NEVER, EventQueue
from ..engines.protocol import (
    Died,
    Encode,
    EngineWarning,
    Event,
    Job,
    Output,
    Program,
    Returned,
    SideOutput,
    Slot,
    StartFailed,
)
from .calls import CallCost
from .hub import Hub
from .pool import LentJob


class Over(NamedTuple):
    """A job has left the workers."""

    slot: Slot
    job: Job


class Lease:
    """See above. It is an engine for the map, and a tenant for the hub.

    Args:
        programs: the functions.
        options: of the map.

    Raises:
        SerializationError: a function can't be pickled.
        StateError: the executor was shut down.
    """

    capabilities = CAPABILITIES["process"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        #: What is to be completed though no consumer may ask for results; None: this map is none of these.
        self.whole: Any = options.worker_type.whole
        self._hub: Hub = options.worker_type.hub
        self._hub.check("start")
        self._count = len(programs)
        pool = self._hub.pool
        self._exporter = pool.exporter()
        self._functions = [
            pool.function(
                p.label, (p.func, p.args, p.kwargs or None), (self._exporter, p.settings.task_timeout, p.retries > 0)
            )
            for p in programs
        ]
        self.slots = [Slot() for _ in range(options.workers)]
        self._queue: EventQueue[Event | Over] = EventQueue()
        self._pending: deque[LentJob] = deque()
        self._costs = [CallCost() for _ in programs]
        self._base = 0
        self._stopped = False
        self.placed = self.turn = 0

    @property
    def waiting(self) -> int:
        """See `Tenant.waiting`."""
        return len(self._pending)

    @property
    def quick(self) -> bool:
        """See `Tenant.quick`."""
        return bool(self._pending) and self._costs[self._pending[0].program - self._base].quick

    def is_busy(self) -> bool:
        """See `Tenant.is_busy`."""
        return self.whole is not None and not self._stopped

    # ------------------------------------------------------------------ for the map; the role of its manager

    def encoder(self) -> Encode | None:
        """What a thread that pulls an input makes entries of its items with."""
        return self._hub.pool.encoder_of(self._exporter)

    def start(self) -> None:
        """Says to the hub that jobs will come; it has workers come when they do."""
        with self._hub.lock:
            self._base = self._hub.join(self, self._count)
            for number, function in enumerate(self._functions, self._base):
                self._hub.pool.add(number, function)
            if self._hub.ended:
                self.on_failed(self._hub.failure or WorkerStartError("the executor was shut down"))

    def submit(self, slot: Slot, job: Job) -> None:
        """Has a job wait for a worker."""
        lent = LentJob(
            self._base + job.program, job.first, job.count, job.segments, tuple(self._base + p for p in job.behind)
        )
        lent.tenant, lent.local = self, Over(slot, job)
        lent.limit = self._functions[job.program].limit
        slot.jobs.append(job)
        with self._hub.lock:
            self._pending.append(lent)
            self._hub.give()

    def due(self) -> float:
        """See `Engine.due`."""
        return NEVER

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._queue.listen(until)

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        found: list[Event] = []
        for told in self._queue.take():
            if not isinstance(told, Over):
                found.append(told)
            elif told.job in told.slot.jobs:
                told.slot.jobs.remove(told.job)
        return found

    def wake(self) -> None:
        """Ends a `listen`."""
        self._queue.wake()

    def recall(self) -> None:
        """Asks for all items back that have not begun."""
        with self._hub.lock:
            self._give_back()
            self._hub.recall(self)

    def _give_back(self) -> None:
        while self._pending:
            lent = self._pending.popleft()
            self._return(lent.give_back(0))
            self._queue.put(lent.local)

    def stop(self) -> Sequence[SideOutput]:
        """Gives the workers back. What runs of this map comes to its end there, and its result is dropped."""
        for slot in self.slots:
            slot.open = False
            slot.jobs.clear()
        with self._hub.lock:
            self._stopped = True
            self._pending.clear()
            self._hub.recall(self)
            if not self.placed:
                self._leave()
        return ()

    def _leave(self) -> None:
        self._hub.forget(range(self._base, self._base + self._count))
        if self.whole is not None:
            self.whole.let_go()
        self._hub.leave(self)

    # ------------------------------------------------------------------ for the hub; with its lock

    def next_job(self, room: int) -> LentJob | None:
        """See `Tenant.next_job`."""
        lent = self._pending.popleft()
        if lent.count > room:
            # What does not fit there goes back; the worker is replaced after what does.
            self._return(lent.give_back(room))
            lent.segments = parts(lent.segments, 0, room)
        return lent

    def on_sent(self, slot: Slot, job: LentJob) -> None:
        """See `Tenant.on_sent`."""

    def on_event(self, event: Event, job: LentJob | None) -> None:
        """See `Tenant.on_event`."""
        if self._stopped:
            return
        if isinstance(event, Output) and job is not None:
            local = job.local.job
            self._costs[local.program].observe(event.count, event.seconds)
            self._queue.put(Output(local, event.first, event.count, event.segments, event.seconds, event.stages))
        elif isinstance(event, Returned):
            self._return([event])
        elif isinstance(event, Died) and event.program is not None:
            event.program -= self._base
            self._queue.put(event)
        elif isinstance(event, SideOutput) and event.program is not None:
            self._queue.put(event._replace(program=event.program - self._base))
        elif isinstance(event, (EngineWarning, StartFailed)):
            self._queue.put(event)

    def _return(self, found: list[Returned]) -> None:
        for returned in found:
            returned.program -= self._base
            self._queue.put(returned)

    def on_over(self, job: LentJob) -> None:
        """See `Tenant.on_over`."""
        if not self._stopped:
            self._queue.put(job.local)
        elif not self.placed:
            self._leave()

    def on_failed(self, error: Exception) -> None:
        """See `Tenant.on_failed`."""
        if not isinstance(error, WorkerStartError):
            wrapped = WorkerStartError(str(error))
            wrapped.__cause__ = error
            error = wrapped
        self._queue.put(StartFailed(error))
        self._hub.leave(self)


class ProcessLease(Lease):
    """Of worker processes."""


class ThreadLease(Lease):
    """Of worker threads."""

    capabilities = CAPABILITIES["thread"]
