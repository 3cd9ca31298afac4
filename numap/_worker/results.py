"""What a worker has done and not yet told. A second thread tells it while the first one is in an item that takes long.

Outcomes wait for one another, as a message costs as much as a hundred short items. So outcomes may wait behind a slow item,
which could take hours, and the thread that runs it can't do anything about that. The caller sees it in the progress
page and asks for them, by a nudge.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from _thread import LockType, allocate_lock, get_native_id, start_new_thread
from collections.abc import Callable
from io import TextIOWrapper
from time import perf_counter as clock
from typing import Any

from .._items.segments import RAW, SHARED, Gatherer, Segment, pack
from .._system.forked_items import end_fork, flush_streams
from .._system.processes import see_off
from .._system.thread_signals import Nudge
from .._transport.channel import outgoing
from .._transport.messages import Outcomes
from .._transport.outbox import Outbox
from .imports import ImportReport

#: The signal of a nudge. Ignored by default, and used by hardly anything.
_SIGNAL = getattr(signal, "SIGURG", None)
#: Exit code of a worker that can't tell its outcomes any more: some item has closed its descriptors.
CUT_OFF = 113
#: Seconds after which a second thread that has not begun is given up; it takes some microseconds.
_START_TIMEOUT = 5.0
#: Calls within each other that telling may need, and more.
_DEPTH = 40


class Results:
    """The outcomes of the job that a worker is at.

    A thread waits for the caller's nudge, which costs nothing meanwhile, and tells them as soon as it gets the interpreter:
    C code that waits, or computes for long, mostly lets go of it. Much of the rest looks for signals (powers, regular
    expressions). So a nudge is also a signal to this thread, for which the main thread tells them between two steps, or in
    the middle of such code.

    The second thread is started with the first job in which an outcome can have to wait. It is not there while this process
    forks: the child of a process with several threads is not safe, and CPython 3.12 warns of it.

    Args:
        outbox: takes the messages.
        nudge: by which the caller asks for outcomes.

    Attributes:
        entries: what `Gatherer` takes, as a segment with the stage where an item did not go through all. The thread that runs
            items appends; all else is done under the lock.
        since: when the oldest of them was begun.
    """

    def __init__(self, outbox: Outbox, nudge: Nudge) -> None:
        self.entries: list[Any] = []
        self.since = 0.0
        self._gatherer = Gatherer()
        self._outbox = outbox
        self._nudge = nudge
        self._imports: ImportReport | None = None
        self._pid = os.getpid()
        self._seq = self._last_stage = 0
        #: Whichever thread holds it takes from the entries, and tells.
        self._lock = allocate_lock()
        #: Held by the second thread as long as there is one.
        self._thread_lock = allocate_lock()
        self._thread = 0
        if _SIGNAL is not None:
            signal.signal(_SIGNAL, self.on_signal)
            signal.siginterrupt(_SIGNAL, False)

    def tell_imports(self, report: ImportReport) -> None:
        """The code of the map is loaded. The caller hears of the modules that came with it, and from now on of those that items
        import, before their outcomes: the map may end with these."""
        self._imports = report
        self._tell_imports(report, at_setup=True)

    def _tell_imports(self, report: ImportReport, at_setup: bool = False) -> None:
        news = report.news(at_setup)
        if news is not None:
            self._outbox.send(news)

    def begin(self, seq: int, last_stage: int, several: bool) -> None:
        """A job begins with item ``seq``; all of the one before has been told.

        Args:
            seq: number of its first item.
            last_stage: how many programs an item goes through behind the first.
            several: it has more than one item.
        """
        self._seq, self._last_stage = seq, last_stage
        self.since = clock()
        if several and not self._thread_lock.locked():
            self._start_thread()

    def tell(self, last: bool) -> None:
        """Tells the caller what is done. ``last``: the job is at its end. A process that an item has forked ends here."""
        if os.getpid() != self._pid:
            end_fork()
        try:
            if self._imports is not None:
                self._tell_imports(self._imports)
            with self._lock:
                self._tell(last, flush_streams)
        except OSError:
            os._exit(CUT_OFF)

    def _tell(self, last: bool, flush: Callable[[], None]) -> None:
        entries = self.entries
        count = len(entries)
        if not count and not last:
            return
        flush()
        elapsed = clock() - self.since
        segments, stages = _segments(self._gatherer, entries[:count], self._last_stage)
        # From here on this process uses no block of them, so one that comes back is not mistaken for one that goes.
        del entries[:count]
        self._outbox.send(Outcomes(self._seq, segments, last, elapsed, stages))
        self.since = clock()
        if self._outbox.ended:
            os._exit(1)

    # ------------------------------------------------------------------ the second thread

    def _start_thread(self) -> None:
        global _with_thread
        _with_thread = self
        self._thread_lock.acquire()
        claim, running = allocate_lock(), allocate_lock()
        running.acquire()
        try:
            start_new_thread(self._serve, (claim, running))  # not of `threading`: items find none but their own there
        except (RuntimeError, MemoryError):  # no more threads here: the outcomes come with the end of the item
            self._thread_lock.release()
            return
        # The item may keep the interpreter from its first moment on. Without memory for its first call a thread ends before it
        # has begun; one that comes after the claim does nothing.
        if not running.acquire(timeout=_START_TIMEOUT) and claim.acquire(False):
            self._thread_lock.release()

    def _serve(self, claim: LockType, running: LockType) -> None:
        if not claim.acquire(False):
            return
        self._thread = get_native_id()
        # An item may have taken away what this needs, modules or descriptors: then the second thread goes without the signal.
        with contextlib.suppress(Exception):
            if _SIGNAL is not None:
                self._nudge.ring(_SIGNAL)
        running.release()
        try:
            with contextlib.suppress(OSError):  # the item has closed all descriptors; the main thread will find it, too
                while self._nudge.wait():
                    with self._lock:
                        self._tell(False, _flush_own_streams)
        finally:
            self._thread_lock.release()

    def on_signal(self, signum: int, frame: object) -> None:
        """Runs between two steps of the item, so it must leave no trace there, and wait for nothing."""
        if os.getpid() == self._pid and _has_room(_DEPTH) and not self._outbox.is_busy and self._lock.acquire(False):
            try:
                self._tell(False, _flush_own_streams)
            except OSError:  # the item has closed our socket: nothing can be told any more
                os._exit(CUT_OFF)
            finally:
                self._lock.release()

    def end_thread(self) -> None:
        """This process is going to fork: the second thread ends. Nothing is left for it to tell until the next job."""
        if self._thread_lock.locked():
            self.tell(False)
            if self._nudge.leave():
                with self._thread_lock:
                    if sys.version_info >= (3, 12):  # the others do not warn
                        see_off(self._thread)


def _has_room(depth: int) -> bool:
    """Whether so many more calls stay within the recursion limit."""
    try:
        return depth == 0 or _has_room(depth - 1)
    except RecursionError:
        return False


def _segments(gatherer: Gatherer, done: list[Any], most: int) -> tuple[list[Segment], list[int]]:
    """Entries as segments for another process, with their stages where ``most`` is not 0."""
    found: list[Any] = gatherer.segments(done)
    stages = [s[3] if len(s) > 3 else most for s in found] if most else []
    for segment in found:
        if segment[0] == SHARED:
            segment[2].hand_over()
    return [pack(s[2]) if s[0] == RAW else outgoing(s[:3]) for s in found], stages


def _flush_own_streams() -> None:
    """The same where no code of the user's may run."""
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
        if type(stream) is TextIOWrapper:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # the last: it is just written to
                stream.flush()


#: Those of this process, if they have a second thread or had one.
_with_thread: Results | None = None


def _before_fork() -> None:
    if _with_thread is not None:
        _with_thread.end_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
