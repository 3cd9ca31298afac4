"""The engine without workers: items run in the threads that ask for results, for debugging and doctests.

The decisions are made in the manager's thread as with all engines. So an interrupt of the thread that runs the items finds
nothing half done: an item whose outcome has not been posted runs again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from .._base.capabilities import CAPABILITIES
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.exceptions import safe_text, without_ours
from .._items.finalizers import finalize
from .._items.segments import Segment, item_of
from .._sync.event_queue import NEVER, EventQueue
from .._sync.interrupt_lock import InterruptSafeLock, LockTimeout
from .._sync.threads import own_context
from .._system.interruptions import from_outside
from .._worker.run_item import run_item
from .protocol import Event, Job, Output, Program, SideOutput, Slot

#: A job with its outcome and the seconds that it took.
_Done = tuple[Job, Segment, float]


class SerialEngine:
    """Keeps one job of one item, until a thread that wants a result runs it.

    A reader thread runs items only where an input is made of tasks of the same map.

    Args:
        programs: the functions.
        options: of the map; the initializer runs at the start, the finalizer at the end.
    """

    capabilities = CAPABILITIES["serial"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._initializer = options.initializer
        self._initargs = options.initargs
        self._finalizer = options.finalizer
        #: Of the thread that makes the map: items may run in other threads.
        self._context = own_context()
        run: Any = self._context.run
        self._calls = [partial(run, bound(it.func, it.args, it.kwargs)) for it in programs]
        self._label = ", ".join(it.label for it in programs)
        #: One entry while the finalizer has to run; the thread that takes the entry runs it.
        self._finalizer_due: deque[None] = deque()
        self.slots = [Slot()]
        #: Called when there is a job to run.
        self.offer: Callable[[], None] = lambda: None
        self._queue: EventQueue[_Done] = EventQueue()
        self._ready: deque[Job] = deque()
        #: The thread that holds it runs items.
        self._lock = InterruptSafeLock()

    def start(self) -> None:
        """Runs the initializer.

        Raises:
            WorkerStartError: it raised.
        """
        try:
            if self._initializer is not None:
                self._context.run(self._initializer, *self._initargs)
        except BaseException as error:
            if from_outside(error):
                raise
            what = f"the initializer raised: {type(error).__name__}: {safe_text(error)}"
            raise WorkerStartError(what) from without_ours(error)
        self._finalizer_due.append(None)

    def submit(self, slot: Slot, job: Job) -> None:
        """Offers a job."""
        slot.jobs.append(job)
        self._ready.append(job)
        self.offer()

    def run_one(self) -> bool:
        """Runs the item that waits, in this thread; False: none waits, or another thread is at it.

        Raises:
            BaseException: a real KeyboardInterrupt, or what a signal handler raised; the item runs again next time.
        """
        try:
            ran = self._lock.run_locked(self._run_ready, block=False)
        except LockTimeout:
            return False
        if ran and self._ready:
            # A thread that came for the next item while this one held the lock has gone to wait.
            self.offer()
        return ran

    def _run_ready(self) -> bool:
        ready = self._ready
        if not ready:
            return False
        job = ready[0]
        began = perf_counter()
        outcome = run_item(self._calls[job.program], item_of(job.segments[0]), from_outside)
        # An interrupt between these two makes the item run twice; the other way round it would be lost.
        self._queue.put((job, outcome, perf_counter() - began))
        ready.popleft()
        return True

    def due(self) -> float:
        """See `Engine.due`."""
        return NEVER

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._queue.listen(until)

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        jobs = self.slots[0].jobs
        events: list[Event] = []
        for job, outcome, seconds in self._queue.take():
            if jobs and jobs[0] is job:
                jobs.popleft()
                job.done = 1
                events.append(Output(job, job.first, 1, [outcome], seconds))
        return events

    def wake(self) -> None:
        """Ends a `listen`."""
        self._queue.wake()

    def recall(self) -> None:
        """Nothing begins by itself here."""

    def stop(self) -> Sequence[SideOutput]:
        """Forgets what has not run."""
        # Not `clear`: a thread may be about to take out the job that has just run.
        self._ready = deque()
        self.slots[0].jobs.clear()
        return ()

    def finalize(self) -> None:
        """Runs the finalizer, once, in the thread that ends the map or finds it ended; see `finalizers.finalize`."""
        with contextlib.suppress(IndexError):
            self._finalizer_due.pop()
            if self._finalizer is not None:
                # A copy: it may be an item, in the context itself, that stops the map.
                call = partial(self._context.copy().run, self._finalizer)
                finalize(call, f"the serial map of {self._label}", from_outside)
