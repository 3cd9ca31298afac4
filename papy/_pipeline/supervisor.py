"""The end of a run of a pipeline, whatever brings it about.

A run may have to end at any moment: by the end of its input, an error in a worker, `stop` in another thread, a finalizer,
or a signal handler. None of these can stop maps and wait for workers where they are: a worker would wait for itself, and
a finalizer may hold any lock. So they only put a request to end into the state of the run. A thread of its own waits for
that from the start, and does the rest.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from time import monotonic
from typing import Final

from numap import TooManyFailures
from papy._base.checks import counted
from papy._base.threads import ContextThread, Flag, launch
from papy._pipeline.entry_reader import EntryReader
from papy._pipeline.figures import RunFigures
from papy._pipeline.input_queue import InputQueue
from papy._stages.accounting import DROPPED, ENDED, FAILED, STOPPED, Reason, RunState, tell_of
from papy._stages.base import Stage

#: Seconds that the end of the interpreter waits for runs that were not ended: longer than numap lets finalizers take.
_EXIT_TIMEOUT: Final = 3.0

#: Of runs that have workers, or may have them.
_live: weakref.WeakSet[Supervisor] = weakref.WeakSet()


class Supervisor:
    """Ends a run: stops its maps, leaves its input, and tells what went wrong and what was lost. It holds no lock.

    Args:
        state: Of the run.
        inputs: Its input.
        reading: What reads that.
        stages: Its stages; empty until they are made.
        figures: Of the run.
        on_failure: Called once if the run fails.
    """

    def __init__(
        self,
        state: RunState,
        inputs: InputQueue,
        reader: EntryReader,
        stages: Sequence[Stage],
        figures: RunFigures,
        on_failure: Callable[[], object],
    ) -> None:
        self.state = state
        self._inputs = inputs
        self._reader = reader
        self._stages = stages
        self._figures = figures
        self._on_failure = on_failure
        self._pid = os.getpid()
        #: The hooks that come before the workers have been called, so that those of the end are to be.
        self.prepared = False
        #: The results are read by a thread of the pipeline.
        self.in_background = False
        #: Taken by the thread that ends the run: after an interrupt of the start a second one is started, to be sure.
        self._claims = deque([None])
        self._thread: threading.Thread | None = None
        #: Set when nothing more will happen, and when what was lost by that has been told, too.
        self.over = Flag()
        self.told = Flag()
        #: How many iterables were not read to their end, once it is over.
        self._unread = 0
        #: Called then.
        self.at_end: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Starts the thread; RuntimeError if that is not possible, as at the end of the interpreter."""
        launch(ContextThread(self.supervise, "papy-supervisor"))

    def watch_exit(self) -> None:
        """Has the run ended with the interpreter: once a map has started, so that this comes before numap ends all maps."""
        _register()
        _live.add(self)

    def is_here(self) -> bool:
        """Whether the thread that asks is the one that ends the run."""
        return self._thread is threading.current_thread()

    def is_elsewhere(self) -> bool:
        """Whether the run goes on in another process, of which this one is a fork: here are none of its threads."""
        return os.getpid() != self._pid and not self.over.is_set()

    def supervise(self) -> None:
        """Waits until the run is to end, and ends it; in a thread that has been started for that, or where none can be."""
        try:
            self._claims.pop()
        except IndexError:  # another one does it
            return
        self._thread = threading.current_thread()
        reason = self.state.end_requests.get()
        try:
            self._stop(reason)
            if self.prepared:
                for stage in self._stages:
                    stage.conclude(self.state.reason == ENDED)
                self._figures.report_last()
            self._tell()
        finally:
            self._settle()  # whatever happens, nothing may wait for ever
        try:
            if self.in_background and self.state.reason == DROPPED:
                self._log_dropped()
        finally:
            self.told.set()
            self.at_end()

    def _stop(self, reason: Reason) -> None:
        self.state.backoff.end(processes=False)
        for stage in self._stages:
            stage.interrupt()
        self._reader.leave()
        for stage in self._stages:
            stage.imap.stop()
        self._unread = self._reader.unread()
        self._reader.drop()
        if self._inputs.foreign and (reason in (FAILED, STOPPED) or (reason == ENDED and not self._reader.at_end)):
            # Producers may wait for room in a queue that is not read any more.
            self._drain()

    def _drain(self) -> None:
        late = self.state.late
        thread = ContextThread(self._inputs.drain, "papy-drain", (late, self._reader.queue_lock))
        # Before the thread: whatever sees it has to end it.
        self._inputs.draining, late.thread = late, thread
        try:
            thread.start()
        except RuntimeError:  # at its end the interpreter starts no thread, and the producers end with it
            self._inputs.draining = late.thread = None

    def _tell(self) -> None:
        """Says that the run has failed, or that entries have, if it has not failed by that."""
        state = self.state
        self._log_source()
        entry_failures, state.entry_failures = state.entry_failures, {}  # errors refer to frames, and these to entries
        if state.ok and not entry_failures:
            return
        import logging

        logger = logging.getLogger("papy")
        try:
            self._on_failure()
        except BaseException:  # also SystemExit: this thread is not the user's, and has an end to make
            logger.exception("the fail_callback of a pipeline failed")
        if entry_failures and not isinstance(state.failure, TooManyFailures):
            try:
                logger.warning("entries of a pipeline have failed: %s", tell_of(entry_failures, self._figures.came()))
            except BaseException:  # of a handler, or of an error that can't be shown
                logger.warning("%d entries of a pipeline have failed", state.failed)

    def _log_source(self) -> None:
        """The run was stopped before the error of its source could end it, and so it is raised nowhere."""
        failed, self.state.source_failure = self.state.source_failure, None
        if failed is not None and self.state.ok:
            import logging

            logging.getLogger("papy").warning("a pipeline was stopped whose source had failed", exc_info=failed[0])

    def _settle(self) -> None:
        try:
            self._inputs.discard(self.state)
            self._figures.settle()
        finally:
            self.over.set()

    def _log_dropped(self) -> None:
        lost = self._figures.lost()
        if lost > 0 or self._unread:
            import logging

            rest = f" and {counted(self._unread, 'iterable')} that it had not read to the end"
            logging.getLogger("papy").warning(
                "a pipeline was dropped while it ran in the background, and %s%s with it; stop() lets it finish them: %s",
                counted(lost, "entry", "entries"),
                rest if self._unread else "",
                self._figures.counts(),
            )


def _end_all() -> None:
    """At the end of the interpreter: hooks that workers call at their end, and their errors, have their turn."""
    found = [it for it in list(_live) if not it.is_elsewhere() and not it.over.is_set()]
    for it in found:
        it.state.end(STOPPED)
    until = monotonic() + _EXIT_TIMEOUT
    for it in found:
        it.over.wait(max(0.0, until - monotonic()))


@cache
def _register() -> None:
    atexit.register(_end_all)
