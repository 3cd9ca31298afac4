"""One run of a pipeline, from its source to the reader of its results.

A run is pulled: its last stage is read, by the user, by `run` or in the background, and each stage reads the one before it in
a thread of its map. It is ended by another thread, see `Supervisor`. So a thread that waits for the end of a run has to
know whether it is a part of it, in a worker or a hook: then it may not wait.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

from papy._monitor.debugger import PipelineRuntimeDebugger
from papy._pipeline.entry_reader import EntryReader
from papy._pipeline.figures import RunFigures
from papy._pipeline.input_queue import InputQueue, log_left
from papy._pipeline.supervisor import Supervisor
from papy._stages.accounting import FAILED, STOPPED, EntryCounts, RunState, noted
from papy._stages.base import Stage
from papy._stages.dead_letters import LetterBox
from papy._stages.entries import Returned
from papy._stages.spec import Limits, StepSpec
from papy._stages.stages import stages
from papy._stages.upstream import FromMap

#: Seconds that a reader gets to leave an iterable when its time is up.
_READER_TIMEOUT: Final = 0.5


class PipelineRun:
    """The steps of a pipeline at work; without effect until it is started.

    Args:
        specs: The steps.
        inputs: What the first one reads.
        forever: The end of the iterables in it is not the end.
        ordered: Results come in the order of the entries.
        on_failure: Called once if the run fails.
        debugger: Told what the steps do, or None.
        limits: Of memory and failures.
        letters: Gets the entries that fail without ending it.
    """

    def __init__(
        self,
        specs: Sequence[StepSpec],
        inputs: InputQueue,
        forever: bool,
        ordered: bool,
        on_failure: Callable[[], object],
        debugger: PipelineRuntimeDebugger | None,
        limits: Limits,
        letters: LetterBox,
    ) -> None:
        self.state = RunState(debugger is not None, limits.max_failures, letters, limits.goes_on(specs))
        self.inputs = inputs
        self._reports = debugger is not None
        self._reader = EntryReader(inputs, self.state, forever)
        self._build = partial(stages, specs, self._reader, self.state, ordered, limits.buffer_bytes)
        self.stages: list[Stage] = []
        #: What shows how far it is, and how many entries there will be.
        self.progress: tuple[Any, int | None] = None, None
        #: It is the run of its pipeline.
        self.begun = False
        self.figures = RunFigures(self.state, self._reader, self.stages, debugger)
        #: Shows what the steps have done so far, if it is time for that. Each result asks for it.
        self.report = self.figures.report
        self.supervisor = Supervisor(self.state, inputs, self._reader, self.stages, self.figures, on_failure)
        #: Set when nothing more will happen.
        self.over = self.supervisor.over
        #: The thread that sees to the run: the one that makes it, from the very beginning, as a signal may come at any time.
        self.driver = threading.current_thread()
        #: The driver is in a call of ours, and not between two of them.
        self.is_driven = True

    def start(self, readable: bool = False) -> None:
        """Starts everything; a caller that is not told that this is done has to `abort`.

        Args:
            readable: Results will be taken one by one, from `output`.

        Raises:
            Exception: What a constructor or a hook raised.
        """
        self._prepare(readable)
        self._start_maps()
        # Not before: to start a map and to stop it are not for two threads at once.
        self.supervisor.watch_exit()
        self.figures.show_by(*self.progress)
        self.supervisor.start()

    def abort(self) -> None:
        """Ends what there is, however far it has come, and waits until nothing is left."""
        if not self.begun:
            self.inputs.leave(self.state)
            self.over.set()
        if self.over.is_set():
            return
        self.state.end(STOPPED)
        try:
            self.supervisor.start()
        except RuntimeError:  # no thread can be started
            self.supervisor.supervise()
        self.wait()

    def _prepare(self, readable: bool) -> None:
        """Makes the objects of the steps, and calls the hooks that come before the workers."""
        try:
            self.stages += self._build(readable)
            self._reader.turns.room = _room(self.state, self.stages[0])
            for stage in self.stages:
                with noted(f"raised by the initialization of step {stage.spec.name!r}"):
                    stage.prepare()
        except BaseException:
            self.state.ok = False
            self.state.end(FAILED)
            raise
        self.supervisor.prepared = True

    def _start_maps(self) -> None:
        try:
            for stage in self.stages:
                if self.state.reason is None:  # a hook may have failed already
                    stage.imap.start()
        except Exception as error:
            self.state.fail(error, f"raised at the start of step {stage.spec.name!r}", entries=0)
        except BaseException:
            self.state.end(STOPPED)
            raise

    @property
    def output(self) -> FromMap:
        """The map from which results can be taken one by one, if it was started so."""
        output = self.stages[-1].output
        assert isinstance(output, FromMap), "it was not"
        return output

    def drain(self) -> None:
        """Takes all results and only counts them; raises what ended the run."""
        state = self.state
        try:
            for entry in self.stages[-1].output:
                if type(entry) is not Returned:  # else it has failed
                    state.count += 1
                if self._reports:
                    self.report()
        except BaseException:
            state.end(STOPPED)
            self.close()
            raise
        self.close()

    def close(self) -> None:
        """Ends the run, and waits until it has ended.

        Raises:
            Exception: What went wrong in it, at the first of these calls.
        """
        self.state.end_behind_last()
        self.wait()
        failure, self.state.failure = self.state.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it refers to this frame

    def is_elsewhere(self) -> bool:
        """Whether it goes on in another process, of which this one is a fork: here are none of its threads, and nothing happens."""
        return self.supervisor.is_elsewhere()

    def wait(self) -> None:
        """Waits until the run has ended, as it has been told to; returns at once where the end waits for the caller."""
        if not self.is_elsewhere() and not self.is_inside():
            self.over.wait()

    def wait_until(self, leave_at: float | None, timeout: float | None) -> None:
        """Waits for the end of a run that leaves iterables that may be endless at that moment.

        At its end the interpreter starts no thread for one, so the reader is in it itself and may never come back; then the run
        ends without it.

        Args:
            leave_at: By `monotonic`; None: there is no such moment.
            timeout: After so many seconds the run ends, too, and what is on its way is skipped; None: never.
        """
        stop_at = None if timeout is None else monotonic() + timeout
        if (
            leave_at is not None
            and (stop_at is None or leave_at + _READER_TIMEOUT < stop_at)
            and not self.over.wait(max(0.0, leave_at - monotonic()) + _READER_TIMEOUT)
            and self._reader.is_held_up()
        ):
            log_left()
            self.state.end(STOPPED)
        if stop_at is not None and not self.over.wait(max(0.0, stop_at - monotonic())):
            self.state.end(STOPPED)
            self.over.wait()
            self.figures.log_cut(f"stop: %s not been through within {timeout:g} s, and %s skipped")
        self.over.wait()

    def tell(self) -> None:
        """The user has heard of the end: the queue of the user's is left to its producers."""
        if self.state.late.thread is not None and not self.is_elsewhere():
            self.inputs.tell(self.state.late)

    def release(self) -> None:
        """Leaves the user's queue to others; when the run is over."""
        late = self.state.late
        if late.thread is not None:
            self.inputs.release(late)
            late.thread.join()

    def counts(self) -> EntryCounts:
        """The counts of the run; where its reader was dropped, those of its end."""
        if self.state.dropped:
            self.wait()
        return self.figures.counts()

    def is_untouched(self) -> bool:
        """Whether nothing was taken from its source, and nothing will be; when it is over."""
        return self.over.is_set() and self.counts().taken == 0 and not self._reader.is_asked()

    def is_part(self) -> bool:
        """Whether the run needs the thread that asks: a worker, a source, or its driver."""
        return self.driver is threading.current_thread() or self.is_inside()

    def is_driven_here(self) -> bool:
        """Whether the thread that asks is about to start the run or to take a result, as in a hook or a signal handler."""
        return self.is_driven and self.driver is threading.current_thread()

    def is_inside(self) -> bool:
        """Whether the end of the run has to wait for the thread that asks, so that it may not wait for the end."""
        return (
            self.supervisor.is_here()
            or self._reader.is_asked_here()
            or self.state.is_telling()
            or any(stage.is_worker() for stage in self.stages)
        )


def _room(state: RunState, first: Stage) -> Callable[[int], int]:
    """How many entries more, of so many bytes each, the map of the first stage may hold; it doesn't hold the map."""
    buffer, nbytes, reference = first.imap.options["buffer"], first.room.share, weakref.ref(first.output)

    def room(size: int) -> int:
        output = reference()
        if not isinstance(output, FromMap):
            return 0
        most = min(buffer, nbytes // size) if size else buffer
        return int(most) - state.taken + output.passed + output.fallen

    return room
