"""Line: one run of a pipeline, from its source to whoever takes the results."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from time import monotonic
from typing import Final

from numap import TooManyFailures
from papy._base.interrupts import Flag
from papy._base.threads import ContextThread, launch
from papy._monitor.debugger import PipelineRuntimeDebugger
from papy._monitor.reporters import Resources
from papy._pipeline.entry_reader import EntryReader
from papy._pipeline.input_queue import InputQueue, log_left
from papy._stages.accounting import DROPPED, ENDED, FAILED, STOPPED, Counts, RunState, noted, tell_of
from papy._stages.spec import Limits, StepSpec
from papy._stages.stages import Stage, stages
from papy._stages.upstream import FromHandover, FromMap

__all__ = ["PipelineRun"]


#: Where it was raised, for the user.
REPORTED: Final = "raised by a reporter of the debugger"
#: Seconds that a reader gets to leave an iterable when its time is up.
_SLACK: Final = 0.5
#: Seconds that the end of the interpreter waits for runs that nobody has ended: longer than numap lets finalizers take.
_EXIT: Final = 3.0

#: Runs that have workers, or may have them.
_live: weakref.WeakSet[PipelineRun] = weakref.WeakSet()


class PipelineRun:
    """The steps of a pipeline at work; without effect until it is started.

    Args:
        specs: The steps.
        intake: What the first one reads.
        forever: The end of the iterables in it is not the end.
        ordered: Results come in the order of the entries.
        on_failure: Called once if the run fails.
        debugger: Told what the steps do, or None.
        limits: Of memory and failures.
    """

    def __init__(
        self,
        specs: Sequence[StepSpec],
        intake: InputQueue,
        forever: bool,
        ordered: bool,
        on_failure: Callable[[], object],
        debugger: PipelineRuntimeDebugger | None,
        limits: Limits,
    ) -> None:
        self._pid = os.getpid()
        self.books = RunState(debugger is not None, limits.max_failures)
        self.intake = intake
        self._on_failure = on_failure
        self._debugger = debugger
        self._reading = EntryReader(intake, self.books, forever)
        self._build = partial(stages, specs, self._reading, self.books, ordered, limits.buffer_bytes)
        self.stages: list[Stage] = []
        #: It is the run of its pipeline.
        self.begun = False
        self._prepared = False
        #: Taken by the thread that ends the run: after an interrupt of the start a second one is started, to be sure.
        self._claims = deque([None])
        self._supervisor: threading.Thread | None = None
        self._final: Counts | None = None
        #: Nobody looks at its results.
        self.in_background = False
        #: Who sees to the run: whoever starts it, from the very beginning, as a signal may come at any time.
        self.driver = threading.current_thread()
        #: The driver is in a call of ours, and not between two of them.
        self.is_driven = True
        #: Set when nothing more will happen, and when what was lost by that has been told, too.
        self.over = Flag()
        self.told = Flag()
        #: How many iterables were not read to their end, once it is over.
        self._unread = 0
        #: Called then.
        self.at_end: Callable[[], object] = lambda: None

    def start(self, readable: bool = False) -> None:
        """Starts everything; whoever is not told that this is done has to `abort`.

        Args:
            readable: Results will be taken one by one, from `output`.

        Raises:
            Exception: What a constructor or a hook raised.
        """
        self._prepare(readable)
        self._start_maps()
        # Not before: to start a map and to stop it are not for two threads at once.
        _watch_exit()
        _live.add(self)
        launch(self._new_supervisor())

    def abort(self) -> None:
        """Ends what there is, however far it has come, and waits until nothing is left."""
        if not self.begun:
            self.intake.leave(self.books)
            self.over.set()
        if self.over.is_set():
            return
        self.books.end(STOPPED)
        try:
            launch(self._new_supervisor())
        except RuntimeError:  # no thread can be started
            self._supervise()
        self.wait()

    def _new_supervisor(self) -> threading.Thread:
        return ContextThread(self._supervise, "papy-supervisor")

    def _prepare(self, readable: bool) -> None:
        """Makes the objects of the steps, and calls the hooks that come before the workers."""
        try:
            self.stages = self._build(readable)
            self._reading.room = _room(self.books, self.stages[0])
            for stage in self.stages:
                with noted(f"raised by the initialization of step {stage.spec.name!r}"):
                    stage.prepare()
        except BaseException:
            self.books.ok = False
            self.books.end(FAILED)
            raise
        self._prepared = True

    def _start_maps(self) -> None:
        try:
            for stage in self.stages:
                if self.books.reason is None:  # a hook may have failed already
                    stage.imap.start()
        except Exception as error:
            self.books.fail(error, f"raised at the start of step {stage.spec.name!r}", entries=0)
        except BaseException:
            self.books.end(STOPPED)
            raise

    @property
    def output(self) -> FromMap:
        """The map from which results can be taken one by one, if it was started so."""
        output = self.stages[-1].output
        assert isinstance(output, FromMap), "it was not"
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

    def is_elsewhere(self) -> bool:
        """Whether it goes on in another process, of which this one is a fork: here are none of its threads, and nothing happens."""
        return os.getpid() != self._pid and not self.over.is_set()

    def wait(self) -> None:
        """Waits until the run has ended, as somebody has said that it shall; at once where the end waits for the caller."""
        if not self.is_elsewhere() and not self.is_inside():
            self.over.wait()

    def wait_until(self, leave_at: float | None) -> None:
        """Waits for the end of a run that leaves iterables that may be endless at that moment.

        At its end the interpreter starts no thread for one, so the reader is in it itself and may never come back; then the run
        ends without it.
        """
        if (
            leave_at is not None
            and not self.over.wait(max(0.0, leave_at - monotonic()) + _SLACK)
            and self._reading.is_held_up()
        ):
            log_left()
            self.books.end(STOPPED)
        self.over.wait()

    def tell(self) -> None:
        """The user has heard of the end: the queue of the user's is left to its producers."""
        if self.books.drained.thread is not None and not self.is_elsewhere():
            self.intake.tell(self.books.drained)

    def release(self) -> None:
        """Leaves the user's queue to others; when the run is over."""
        drained = self.books.drained
        if drained.thread is not None:
            self.intake.release(drained)
            drained.thread.join()

    def _supervise(self) -> None:
        """The life of the thread that ends the run: for whom it may be, and wherever they are. It holds no lock."""
        try:
            self._claims.pop()
        except IndexError:  # another one does it
            return
        self._supervisor = threading.current_thread()
        reason = self.books.mailbox.get()
        try:
            self._stop(reason)
            if self._prepared:
                for stage in self.stages:
                    stage.conclude(self.books.reason == ENDED)
                self._report_last()
            self._tell()
        finally:
            self._settle()  # whatever happens, nobody may wait for ever
        try:
            if self.in_background and self.books.reason == DROPPED:
                self._log_dropped()
        finally:
            self.told.set()
            self.at_end()

    def _stop(self, reason: str) -> None:
        self.books.patience.end(processes=False)
        for stage in self.stages:
            stage.interrupt()
        self._reading.leave()
        for stage in self.stages:
            stage.imap.stop()
        self._unread = self._reading.unread()
        self._reading.drop()
        if self.intake.foreign and (reason in (FAILED, STOPPED) or (reason == ENDED and not self._reading.at_end)):
            # Producers may wait for room in a queue that nobody reads any more.
            self._drain()

    def _drain(self) -> None:
        drained = self.books.drained
        thread = ContextThread(self.intake.drain, "papy-drain", (drained, self._reading.gate))
        # Before the thread: whoever sees it has to end it.
        self.intake.draining, drained.thread = drained, thread
        try:
            thread.start()
        except RuntimeError:  # at its end the interpreter starts no thread, and the producers end with it
            self.intake.draining = drained.thread = None

    def _report_last(self) -> None:
        try:
            self.report(force=True)
        except BaseException as error:
            self.books.fail(error, REPORTED, entries=0)

    def _tell(self) -> None:
        """Says that the run has failed, or that entries have, if it has not failed by that."""
        books = self.books
        mishaps, books.mishaps = books.mishaps, {}  # errors refer to frames, and these to entries
        if books.ok and not mishaps:
            return
        import logging

        logger = logging.getLogger("papy")
        try:
            self._on_failure()
        except BaseException:  # also SystemExit: this thread is not the user's, and has an end to make
            logger.exception("the fail_callback of a pipeline failed")
        if mishaps and not isinstance(books.failure, TooManyFailures):
            try:
                logger.warning("entries of a pipeline have failed: %s", tell_of(mishaps, self._came()))
            except BaseException:  # of a handler, or of an error that can't be shown
                logger.warning("%d entries of a pipeline have failed", books.failed)

    def _came(self) -> dict[str, int]:
        """Entries that came to each step and left it in whatever way."""
        return {
            stage.spec.name: passed + (stage.output.fallen if isinstance(stage.output, FromMap) else 0)
            for stage, passed, _ in self._passed()
        }

    def _settle(self) -> None:
        try:
            self.intake.discard(self.books)
            self._final = self.books.counts(over=True)
        finally:
            self.over.set()

    def _log_dropped(self) -> None:
        lost = self.counts().skipped - self.books.counts(over=False).skipped
        if lost > 0 or self._unread:
            import logging

            rest = f" and {self._unread} iterable{'s' * (self._unread > 1)} that it had not read to the end"
            logging.getLogger("papy").warning(
                "a pipeline was dropped while it ran in the background, and %d entries%s with it; stop() lets it finish them: %s",
                lost,
                rest if self._unread else "",
                self.counts(),
            )

    def report(self, force: bool = False) -> None:
        """Shows what the steps have done so far, if it is time for that; an error of a reporter ends the run."""
        if self._debugger is not None and self._debugger.due(force):
            steps = [
                (stage.spec.name, Resources(passed + output.weight.more, stage.seconds(), stage.cpu()))
                for stage, passed, output in self._passed()
            ]
            try:
                self._debugger.show([("source", Resources(self.books.taken + self._reading.weight.more)), *steps])
            except Exception as error:
                self.books.fail(error, REPORTED, entries=0)

    def flows(self) -> Iterator[tuple[str, int]]:
        """What `Pipeline.counter` shows."""
        came = self.books.taken
        for stage, passed, _ in self._passed():
            yield stage.spec.name, passed
            if isinstance(stage.output, FromMap):
                yield f"{stage.spec.name} in", max(0, came - passed - stage.output.fallen)
            came = passed

    def _passed(self) -> Iterator[tuple[Stage, int, FromMap | FromHandover]]:
        """The stages of the steps, with what they have passed on, and where that is read."""
        own = [stage for stage in self.stages if stage.own]
        for stage in own[:-1]:
            yield stage, stage.output.passed, stage.output
        if own:
            yield own[-1], self.books.count, self.stages[-1].output

    def counts(self) -> Counts:
        """The figures of the run. Once it is over they change no more, but for what producers still put in a queue."""
        if self.books.dropped:
            self.wait()
        if self._final is None:
            return self.books.counts(over=False)
        late = self.books.drained.taken + self.books.drained.late
        saved = self.books.count - self._final.count  # who reads results may have had one in its hands
        return self._final.plus(Counts(taken=late, count=saved, skipped=late - saved))

    def is_untouched(self) -> bool:
        """Whether nothing was taken from its source, and nothing will be; when it is over."""
        return self.over.is_set() and self.counts().taken == 0 and not self._reading.is_asked()

    def is_part(self) -> bool:
        """Whether the run needs the thread that asks: a worker, a source, or who sees to it."""
        return self.driver is threading.current_thread() or self.is_inside()

    def is_driven_here(self) -> bool:
        """Whether the thread that asks is about to start the run or to take a result, as in a hook or a signal handler."""
        return self.is_driven and self.driver is threading.current_thread()

    def is_inside(self) -> bool:
        """Whether the end of the run has to wait for the thread that asks, so that it may not wait for the end."""
        return (
            self._supervisor is threading.current_thread()
            or self._reading.is_asked_here()
            or any(stage.is_worker() for stage in self.stages)
        )


def _end_all() -> None:
    """At the end of the interpreter: hooks that workers call at their end, and their errors, have their turn."""
    lines = [line for line in list(_live) if not line.is_elsewhere() and not line.over.is_set()]
    for line in lines:
        line.books.end(STOPPED)
    until = monotonic() + _EXIT
    for line in lines:
        line.over.wait(max(0.0, until - monotonic()))


@cache
def _watch_exit() -> None:
    # Once a map has started, so that this has its turn before numap ends all maps.
    atexit.register(_end_all)


def _room(books: RunState, first: Stage) -> Callable[[int], int]:
    """How many entries more, of so many bytes each, the map of the first stage may hold; it doesn't hold the map."""
    buffer, nbytes, reference = first.imap.options["buffer"], first.room.share, weakref.ref(first.output)

    def room(size: int) -> int:
        output = reference()
        if not isinstance(output, FromMap):
            return 0
        most = min(buffer, nbytes // size) if size else buffer
        return int(most) - books.taken + output.passed + output.fallen

    return room
