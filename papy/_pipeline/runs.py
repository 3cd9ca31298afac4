"""The runs of a pipeline, one after the other.

At most one run goes on at a time, and its end is not always seen by the thread that started it: it may be in the
background, it may be ended by a signal handler or in a fork, and an interrupt may leave it half begun. So what a call
may do is decided here, from the last run and whether the user has heard of its end.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from numap import StateError
from numap.interop import add_note
from papy._pipeline.background import Background, made, release, tell_unread, wait_at_exit
from papy._pipeline.input_queue import InputQueue
from papy._pipeline.pipeline_run import PipelineRun
from papy._stages.accounting import DROPPED, STOPPED, EntryCounts


class Runs:
    """The last run of a pipeline, whether it goes on or is over, and the counts of those before.

    Args:
        inputs: What is put into the pipeline.

    Attributes:
        last: That run; None: there was none.
    """

    def __init__(self, inputs: InputQueue) -> None:
        self.inputs = inputs
        self.last: PipelineRun | None = None
        self._lock = threading.RLock()  # a signal handler may call stop()
        self._background: Background | None = None
        self._before = EntryCounts()
        self.pid = os.getpid()
        made.add(self)
        weakref.finalize(self, tell_unread, inputs, self.pid).atexit = False
        self._finalizers: list[weakref.finalize[..., Any]] = []

    def counts(self) -> EntryCounts:
        """Those of all runs."""
        return self._before if self.last is None else self._before.plus(self.last.counts())

    # ------------------------------------------------------------------ what a call may do

    def is_elsewhere(self) -> bool:
        """Whether the run goes on in another process, of which this one is a fork."""
        return self.last is not None and self.last.is_elsewhere()

    def check_here(self, call: str) -> None:
        """StateError for a call of this name in a fork."""
        if self.is_elsewhere():
            raise StateError(
                f"{call}: not allowed in a fork of the process in which the pipeline runs; make another one here"
            )

    def check_put(self, call: str) -> None:
        """StateError if what this call puts would be lost."""
        self.check_here(call)
        run, background = self.last, self._background
        if run is not None and run.inputs is not self.inputs and run.state.reason is None:
            raise StateError(
                f"{call}: not allowed while results() of the pipeline are read; they are those of one iterable"
            )
        ending = run is not None and (not run.state.ok or run.state.source_failure is not None)
        if run is not None and ending and (background is not None or not run.over.is_set()):
            source = run.state.source_failure
            raised = source[0] if source is not None else None if background is None else background.error
            failure = run.state.failure or raised
            raise StateError(f"{call}: the pipeline has failed, and takes no more; stop() tells why") from failure

    def check_free(self, call: str) -> PipelineRun | None:
        """The run before, if there was one; StateError unless it is over, and the user has heard of that."""
        run = self.last
        if run is not None and (not run.over.is_set() or self._background is not None):
            if run.state.reason is None or (run.state.ok and run.inputs is not self.inputs):
                raise StateError(f"{call}: not allowed while {_what_runs(run.inputs is self.inputs)}")
            how = "is at its end" if run.state.ok else "has failed"
            raise StateError(f"{call}: the pipeline {how}; stop() it first")
        return run

    def settle(self) -> None:
        """Waits for the end of a run that is ending: its end may have been asked for without waiting."""
        last = self.last
        if last is not None and last.state.reason is not None:
            last.wait()  # without the lock: its end calls the user, who may call us

    # ------------------------------------------------------------------ beginnings

    def begin(self, call: str, run: PipelineRun) -> None:
        """From here on it is the last run, if none goes on: before it is started, so the caller has to see to its end."""
        self.check_here(call)
        self.settle()
        with self._lock:
            last, inputs, before = self.check_free(call), run.inputs, self._before
            if last is not None:
                last.release()
            waiting = self.inputs.waiting() if inputs is not self.inputs else ""
            if waiting:
                raise StateError(
                    f"{call}: not allowed while entries wait that were put before ({waiting}); run() with them first"
                )
            inputs.claim(call)
            if last is not None:
                before = before.plus(last.counts())
            for finalizer in self._finalizers:
                finalizer.detach()
            self._finalizers.clear()
            if inputs.foreign:
                self._when_dropped(release, inputs, run.state.late, os.getpid())
            inputs.begin(run.state)
            # In one statement, without a call: an interrupt comes before it or after it.
            self._before, self.last, run.begun = before, run, True

    def run(self, call: str, run: PipelineRun) -> None:
        """Begins it, starts it, and waits for its end."""
        try:
            self.begin(call, run)
            run.start()
            run.drain()
        except BaseException:
            run.abort()
            run.tell()
            raise

    def run_behind(self, call: str, run: PipelineRun, daemon: bool) -> None:
        """Begins it and starts it; its results are read in the background, as a daemon or until the end of the program."""
        background = Background(run)
        try:
            self.begin(call, run)
            run.start()
            self._background = background
            background.start()
            self._when_dropped(run.state.end, DROPPED)
            if not daemon:
                wait_at_exit(self, run)
        except BaseException:
            run.abort()
            run.tell()
            self._forget(background)
            raise

    def _when_dropped(self, call: Callable[..., object], *args: object) -> None:
        """What is to be called if the pipeline is dropped before its next run."""
        finalizer = weakref.finalize(self, call, *args)
        finalizer.atexit = False
        self._finalizers.append(finalizer)

    # ------------------------------------------------------------------ ends

    def stop(self, patiently: bool = False, timeout: float | None = None) -> None:
        """See `Pipeline.stop`; ``patiently``: the iterables are read to their end, and failed entries tried again in time."""
        background, run = self._background, self.last
        if run is None or run.is_elsewhere():
            return
        if background is None and run.over.is_set():
            run.tell()
            return
        if run.inputs is not self.inputs:
            run.state.end(STOPPED)
            if not run.is_driven_here():
                run.wait()
            return
        if timeout == 0:
            run.state.end(STOPPED)
        else:
            self.inputs.finish(run.state, hasty=not patiently)
        if not patiently:
            run.state.backoff.end(processes=True)
        if run.is_part() or self.inputs.is_putting():
            return
        try:
            run.wait_until(self.inputs.leave_at, timeout)
            if background is not None:
                self._forget(background)
                background.join()
        except KeyboardInterrupt:
            self._abort(run, background)
            raise
        finally:
            if run.over.is_set():
                run.tell()

    def leave_block(self, error: BaseException | None) -> None:
        """A ``with`` block ends, in this way."""
        background, run = self._background, self.last
        if self.is_elsewhere():
            return
        if error is not None and background is not None and run is not None:
            failure = run.state.failure or background.error
            if failure is None or error.__cause__ is not failure:
                # It goes on, and what was put is not waited for.
                failure = self._abort(run, background)
                if failure is not None:
                    _tell_of(failure, error)
                return
        self.stop(patiently=True)

    def _abort(self, run: PipelineRun, background: Background | None) -> BaseException | None:
        """Ends a run without finishing what was put; returns what went wrong in the background and was not told."""
        run.state.end(STOPPED)
        run.over.wait()
        run.tell()
        if background is None:
            return None
        self._forget(background)
        return background.ended()

    def _forget(self, background: Background) -> None:
        """A run in the background is over; another thread may have stopped it, too, and started the next one."""
        with self._lock:
            if self._background is background:
                self._background = None


def _what_runs(own: bool) -> str:
    if own:
        return "the pipeline runs; stop() it first"
    return "the pipeline runs, as its results() are read; read them to their end, close() them, or stop() the pipeline first"


def _tell_of(failure: BaseException, error: BaseException) -> None:
    """The user's error goes on, and shows that of the pipeline, which may be why."""
    first, seen = error, {id(failure)}
    while id(first) not in seen:
        seen.add(id(first))
        first = first.__context__ or first
    if error is not failure and first is not failure:
        add_note(error, f"the pipeline had failed before: {type(failure).__name__}: {failure}")
        if first is not failure.__context__:
            first.__context__ = failure
