"""The engine without workers: items run in the threads that ask for results, for debugging and doctests.

The decisions are made in the manager's thread as with all engines, so an interrupt of the thread that runs the items finds
nothing half done: an item whose outcome has not been posted runs again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from _signal import NSIG, getsignal  # type: ignore[import-not-found]
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from opcode import opmap
from time import perf_counter
from typing import Any

from .._base.capabilities import CAPABILITIES
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.failures import Failure, safe_text, trace_of, without_ours
from .._items.finalizers import finalize
from .._items.segments import FAILED, RAW, Segment, item_of
from .._sync.event_queue import NEVER, EventQueue
from .._sync.interrupt_lock import InterruptSafeLock, LockTimeout
from .._sync.threads import own_context
from .._system.forked_items import end_fork
from .protocol import Event, Job, Output, Program, SideOutput, Slot

_RAISE = opmap["RAISE_VARARGS"]
#: More is wrapped around no handler, unless it is wrapped around itself.
_WRAPPED = 100

#: A job with its outcome and the seconds that it took.
_Done = tuple[Job, Segment, float]


class SerialEngine:
    """Keeps one job of one item, until somebody who wants a result runs it.

    A reader thread runs items only where an input is made of tasks of the same map.

    Args:
        programs: the functions.
        options: of the map; the initializer runs at the start, the finalizer at the end.
    """

    capabilities = CAPABILITIES["serial"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._calls = [bound(it.func, it.args, it.kwargs) for it in programs]
        self._initializer = options.initializer
        self._initargs = options.initargs
        self._finalizer = options.finalizer
        #: Of who starts the map: items may run in other threads.
        self._context = own_context()
        self._label = ", ".join(it.label for it in programs)
        #: One while the finalizer is owed; who takes it runs that.
        self._owed: deque[None] = deque()
        self.slots = [Slot()]
        #: Called when there is a job to run.
        self.offer: Callable[[], None] = lambda: None
        self._signals: EventQueue[_Done] = EventQueue()
        self._ready: deque[Job] = deque()
        #: Who has the token runs items.
        self._turn = InterruptSafeLock()

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
        self._owed.append(None)

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
            ran = self._turn.hold(self._run_ready, block=False)
        except LockTimeout:
            return False
        if ran and self._ready:
            # Who came for the next item while it was still our turn has gone to wait.
            self.offer()
        return ran

    def _run_ready(self) -> bool:
        ready = self._ready
        if not ready:
            return False
        job = ready[0]
        began = perf_counter()
        outcome = self._run(job)
        # Who is interrupted between these two runs the item twice; the other way round it would be lost.
        self._signals.put((job, outcome, perf_counter() - began))
        ready.popleft()
        return True

    def _run(self, job: Job) -> Segment:
        pid = os.getpid()
        try:
            result = self._context.run(self._calls[job.program], item_of(job.segments[0]))
        except BaseException as error:
            if os.getpid() != pid:
                end_fork(error)
            if from_outside(error):
                raise
            return FAILED, 1, Failure(error, trace_of(error))
        if os.getpid() != pid:
            end_fork()
        return RAW, 1, [result]

    def due(self) -> float:
        """See `Engine.due`."""
        return NEVER

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._signals.listen(until)

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        jobs = self.slots[0].jobs
        events: list[Event] = []
        for job, outcome, seconds in self._signals.take():
            if jobs and jobs[0] is job:
                jobs.popleft()
                job.done = 1
                events.append(Output(job, job.first, 1, [outcome], seconds))
        return events

    def wake(self) -> None:
        """Ends a `listen`."""
        self._signals.wake()

    def recall(self) -> None:
        """Nothing begins by itself here."""

    def stop(self) -> Sequence[SideOutput]:
        """Forgets what has not run."""
        # Not `clear`: somebody may be about to take out the job that has just run.
        self._ready = deque()
        self.slots[0].jobs.clear()
        return ()

    def finalize(self) -> None:
        """Runs the finalizer, once, in the thread that ends the map or finds it ended; see `finalizers.finalize`."""
        with contextlib.suppress(IndexError):
            self._owed.pop()
            if self._finalizer is not None:
                # A copy: it may be an item, in the context itself, that stops the map.
                call = partial(self._context.copy().run, self._finalizer)
                finalize(call, f"the serial map of {self._label}", from_outside)


def from_outside(error: BaseException) -> bool:
    """Whether a signal is behind it: a handler of the user's raised it, or (Ctrl-C) the interpreter between two instructions."""
    if threading.get_ident() != threading.main_thread().ident:  # handlers run nowhere else
        return isinstance(error, KeyboardInterrupt)
    # Not those of `signal`, which look for an enum member each time: items may fail often.
    handlers = {_code_of(handler) for handler in map(getsignal, range(1, NSIG)) if callable(handler)} - {None}
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code in handlers:
            return True
        if tb.tb_next is None and isinstance(error, KeyboardInterrupt):
            return tb.tb_frame.f_code.co_code[tb.tb_lasti] != _RAISE
        tb = tb.tb_next
    return isinstance(error, KeyboardInterrupt)


def _code_of(handler: Any) -> object:
    """The code that runs when a handler is called, without what is wrapped around it; None: there is none in Python."""
    for _ in range(_WRAPPED):
        inner = handler.func if isinstance(handler, partial) else getattr(handler, "__wrapped__", None)
        if inner is None:
            break
        handler = inner
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
