"""Line: one run of a pipeline, from its source to whoever takes the results."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from papy._books import DROPPED, ENDED, FAILED, STOPPED, Books, Counts, add_note
from papy._debugger import PipelineRuntimeDebugger
from papy._definition import StepSpec
from papy._entries import Meta
from papy._intake import Intake, Reading
from papy._reporters import Resources
from papy._stages import Passing, Stage, stages
from papy._upstream import FromMap

__all__ = ["Line", "Results"]


class Line:
    """The steps of a pipeline at work.

    Args:
        specs: The steps.
        intake: What the first one reads.
        forever: The end of the iterables in it is not the end.
        ordered: Results come in the order of the entries.
        on_failure: Called once if the run fails.
        debugger: Told what the steps do, or None.
    """

    def __init__(
        self, specs: Sequence[StepSpec], intake: Intake, forever: bool, ordered: bool, on_failure: Callable[[], object],
        debugger: PipelineRuntimeDebugger | None,
    ) -> None:
        self.books = Books()
        self.intake = intake
        self._on_failure = on_failure
        self._debugger = debugger
        self._reading = Reading(intake, self.books, forever)
        self.stages = stages(specs, self._reading, self.books, ordered, debugger is not None)
        intake.begin(self.books)
        self._stopped = threading.Event()
        self._closing = threading.Lock()
        self._final: Counts | None = None
        #: Who sees to the run: whoever starts it, from the very beginning, as a signal may come at any time.
        self.driver = threading.current_thread()
        #: Set when nothing more will happen.
        self.over = threading.Event()

    def start(self) -> None:
        """Starts everything.

        Raises:
            Exception: What a hook raised; then nothing is left running.
        """
        try:
            for stage in self.stages:
                stage.prepare()
        except BaseException as error:
            self.books.ok = False
            self.books.reason = FAILED
            add_note(error, f"raised by the initialization of step {stage.spec.name!r}")
            self._tell()
            self._settle()
            raise
        try:
            for stage in self.stages:
                if self.books.reason is None:  # a hook may have failed already
                    stage.imap.start()
        except Exception as error:
            self.books.fail(error, f"raised at the start of step {stage.spec.name!r}", entries=0)
        except BaseException:
            self.books.end(STOPPED)
            raise
        finally:
            # Not before: to start a map and to stop it are not for two threads at once.
            args = (self.books, self.stages, self._reading, self.intake, self._stopped)
            threading.Thread(target=_supervise, args=args, daemon=True, name="papy-supervisor").start()

    def readable(self) -> FromMap:
        """The map from which results can be taken one by one; before the start."""
        output = self.stages[-1].output
        if not isinstance(output, FromMap):
            passing = Passing(self.stages[-1].spec, output, self.books)
            self.stages.append(passing)
            output = passing.output
        return output

    def drain(self) -> None:
        """Takes all results and only counts them; raises what ended the run."""
        books = self.books
        try:
            for _ in self.stages[-1].output:
                books.count += 1
                if self._debugger is not None:
                    self.report()
        except BaseException:
            books.end(STOPPED)
            self.close()
            raise
        self.close()

    def close(self) -> None:
        """Ends the run, and waits until it has ended.

        Raises:
            Exception: What went wrong in it, at the first of these calls.
        """
        self.books.end(ENDED)
        self.wait()
        failure, self.books.failure = self.books.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it refers to this frame

    def wait(self) -> None:
        """Waits until the run has ended, as somebody has said that it shall."""
        with self._closing:
            if self.over.is_set():
                return
            self._stopped.wait()
            for stage in self.stages:
                stage.conclude(self.books.reason == ENDED)
            if not self.books.ok:
                self._tell()
            if self._debugger is not None:
                self.report(force=True)
            self._settle()

    def release(self) -> None:
        """Leaves the user's queue to others; when the run is over."""
        drained = self.books.drained
        if drained.thread is not None:
            self.intake.release(drained)
            drained.thread.join()

    def _tell(self) -> None:
        try:
            self._on_failure()
        except Exception:
            import logging

            logging.getLogger("papy").exception("the fail_callback of a pipeline failed")

    def _settle(self) -> None:
        self.intake.discard(self.books)
        self._final = self.books.counts(over=True)
        self.over.set()

    def report(self, force: bool = False) -> None:
        """Shows what the steps have done so far, if it is time for that."""
        if self._debugger is not None and self._debugger.due(force):
            steps = [(stage.spec.name, Resources(passed, stage.seconds())) for stage, passed in self._passed()]
            self._debugger.show([("source", Resources(self.books.taken)), *steps])

    def flows(self) -> Iterator[tuple[str, int]]:
        """What `Pipeline.counter` shows."""
        came = self.books.taken
        for stage, passed in self._passed():
            yield stage.spec.name, passed
            if isinstance(stage.output, FromMap):
                yield f"{stage.spec.name} in", max(0, came - passed - stage.output.skipped)
            came = passed

    def _passed(self) -> list[tuple[Stage, int]]:
        own = [stage for stage in self.stages if stage.own]
        return [*((stage, stage.output.passed) for stage in own[:-1]), (own[-1], self.books.count)]

    def counts(self) -> Counts:
        """The figures of the run. Once it is over they change no more, but for what producers still put in a queue."""
        if self.books.dropped:
            self.wait()
        if self._final is None:
            return self.books.counts(over=False)
        late = self.books.drained.taken
        return self._final.plus(Counts(taken=late, skipped=late))

    def is_part(self) -> bool:
        """Whether the run needs the thread that asks: a worker, or who sees to it."""
        return self.driver is threading.current_thread() or any(stage.is_worker() for stage in self.stages)


def _supervise(
    books: Books, stages: list[Stage], reading: Reading, intake: Intake, stopped: threading.Event
) -> None:
    """The life of the thread that ends a run: for whom it may be, and wherever they are."""
    reason = books.mailbox.get()
    try:
        for stage in stages:
            stage.interrupt()
        if reading.waits:
            intake.wake()
        for stage in stages:
            stage.imap.stop()
        reading.drop()
        if intake.foreign and reason in (FAILED, STOPPED):
            # Producers may wait for room in a queue that nobody reads any more.
            drained = books.drained
            drained.thread = threading.Thread(target=intake.drain, args=(drained,), daemon=True, name="papy-drain")
            drained.thread.start()
    finally:
        stopped.set()  # whatever happens, nobody may wait for ever


class Results(Iterator[Any]):
    """The results of one run of a pipeline, for one thread at a time.

    The run begins with the first ``next``, and ends with this object.

    Args:
        begin: Starts the run; gives its line.
    """

    def __init__(self, begin: Callable[[], Line]) -> None:
        self._begin: Callable[[], Line] | None = begin
        self._line: Line | None = None
        self._box: list[Any] = []
        self._output: FromMap

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        line = self._line
        if line is None:
            line = self._start()
        books = line.books
        line.report()
        while True:
            box = self._box
            if not box:
                # A single call: an interrupt comes before an entry is taken, or when it is in the box.
                try:
                    box.extend(islice(self._output.task, 1))
                except Exception as error:
                    self._output.lost(error)
                if not box:
                    line.close()
                    raise StopIteration
            entry = box[0]
            fresh: list[Any] = []
            if type(entry) is tuple:
                value = entry[1]
                # Without a call from here on: an interrupt comes before it or after it.
                self._box, books.count = fresh, books.count + 1
                return value
            if type(entry) is Meta:
                books.count += 1
            else:
                self._output.skip()
            self._box = fresh

    def _start(self) -> Line:
        if self._begin is None:
            raise StopIteration
        begin, self._begin = self._begin, None
        line = begin()
        weakref.finalize(self, line.books.end, DROPPED).atexit = False
        self._output = line.readable()
        self._line = line
        line.start()
        return line

    def close(self) -> None:
        """Ends the run; what is still on its way is skipped. Again, or before the first ``next``, is no error."""
        self._begin = None
        if self._line is not None:
            self._line.books.end(STOPPED)
            self._line.close()
