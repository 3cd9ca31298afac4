"""The manager: the one thread that owns the state of a running map, between the pure decisions and the engine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.segments import PACKED, RAW, size_of_all
from .._results.output_queue import OutputQueue
from .._results.tracking import Track
from .._schedule.batching import BatchSizer, Share
from .._schedule.failure_limit import Tolerance
from .._schedule.fusion import Fusion
from .._schedule.scheduler import Scheduler
from .._sync.threads import ContextThread
from ..engines.protocol import (
    Died,
    Engine,
    EngineWarning,
    Event,
    InlineEngine,
    Job,
    Output,
    Program,
    Returned,
    SideOutput,
    Slot,
    StartFailed,
)
from .inputs import InputController
from .log_forwarder import LogForwarder
from .outcomes import Outcomes
from .router import Router
from .shutdown import live
from .snapshot import figures
from .sources import Source
from .wakeup import Wakeup

#: Seconds that `stop` waits for the manager's thread; it never waits for user code, so this is for a busy machine.
_PATIENCE = 10.0
#: Seconds that an interrupted consumer waits for the workers to be told.
_PAUSE = 0.5


def _close(outlets: Mapping[int, OutputQueue], why: str, at_exit: bool = False) -> None:
    for outlet in outlets.values():
        outlet.close(why, at_exit)


class Manager:
    """One run of a map.

    Args:
        options: of the map.
        labels: names of the functions of the tasks.
        inputs: for each task the tasks it reads; none: it has a source.
        ordered: tasks whose outcomes come in order.
        engine: runs the items.
        tracks: tasks whose outcomes are kept, with what keeps them.

    Raises:
        ValueError: the buffer is too small for these tasks.
    """

    def __init__(
        self,
        options: Options,
        programs: Sequence[Program],
        inputs: Sequence[Sequence[int]],
        ordered: Sequence[bool],
        engine: Engine,
        tracks: Mapping[int, Track],
    ) -> None:
        self._engine = engine
        labels = [program.label for program in programs]
        #: Ends where something left or somebody had to wait.
        self.touched: deque[int] = deque()
        #: Ends where something came that somebody waits for.
        self.awaited: list[OutputQueue] = []
        share = Share(options.buffer_bytes, options.sharing, sum(not members for members in inputs))
        self._pacing = BatchSizer(
            len(labels), options.workers, engine.capabilities.prefetch_below_seconds, engine.capabilities.pickles, share
        )
        self._schedule = Scheduler(inputs, options.stride, options.buffer, self._pacing.initial_bound())
        self._schedule.needed = self._pacing.needed
        self._fusion = Fusion(inputs, self._pacing, _apart(options, engine, programs, tracks))
        self.outlets = {
            end: OutputQueue(end, labels[end], options.on_error, options.skip, self) for end in self._schedule.ends
        }
        skip, pickled = options.on_error == "skip", engine.capabilities.pickles
        self._tolerance = Tolerance(options.max_failures, {end: ordered[end] for end in self._schedule.ends})
        self._flow = Router(self._schedule, labels, ordered, skip, pickled, self.outlets, tracks, self._tolerance)
        self._outcomes = Outcomes(programs, options.task_timeout, self._schedule, self._fusion, self._flow)
        self.know_streams = self._flow.know_streams
        self._intake = InputController(
            self._schedule, self._pacing, self._flow, self.outlets, self.touched, engine.capabilities.ahead
        )
        for end in self._schedule.ends:
            self._intake.weigh(end)
        self._replaced = 0
        self._listener = LogForwarder()
        self.bell = Wakeup(engine, self._decide)
        #: If items run in the threads of those who ask.
        self._inline = None
        if isinstance(engine, InlineEngine):
            from .inline import Inline

            self._inline = Inline(engine, self._schedule, self.bell, self.outlets)
        self.paused = False
        #: What whoever asks for the next result is to be warned of.
        self.complaint: str | None = None
        # Not an Event: a second interrupt within its wait could leave its lock locked, and us waiting for that.
        self._pause_seen: SimpleQueue[None] = SimpleQueue()
        self._abandoned = self._stopping = False
        self._claims = deque([None])
        self._draining = False
        #: Items that had come when a reader last asked to stand in for us.
        self._came = 0
        self._ended = False
        self._pid = os.getpid()
        self._failure: BaseException | None = None
        #: Something is in it when the start has come to its end.
        self.go: SimpleQueue[None] = SimpleQueue()
        self._thread = ContextThread("numap-manager", _run, (self,))

    @property
    def state(self) -> str:
        """ "running", "finished" or "failed"."""
        if self._failure is not None:
            return "failed"
        if self._flow.open_ends:
            return "running"
        return "finished" if self._tolerance.overrun is None else "failed"

    # ------------------------------------------------------------------ life; any thread

    def start(self, sources: Mapping[int, Source]) -> None:
        """Starts the workers, the readers of the inputs and the manager's thread.

        Raises:
            WorkerStartError: no worker can be started.
        """
        live.add(self)
        handled = sys.exc_info()[1]
        try:
            # First: where there is room for few, one of them has to be our thread.
            self._thread.start()
            self._engine.start()
            if self._inline is not None:
                self._inline.start(sources)
            self._intake.start(sources)
        except BaseException as error:
            # Interrupted while the thread came up, perhaps: if it did, it ends the run; if not, it finds nothing to do.
            self._stopping = True
            self.wake()
            if self.claim():
                self.end()
            # threading.Thread.start makes a RuntimeError of an interrupt that finds it at its lock.
            interrupt = _interrupt_behind(error)
            if interrupt is not None and interrupt is not handled:
                raise interrupt from None
            if type(error) is RuntimeError:
                raise WorkerStartError(f"no thread of the map can be started: {error}") from error
            raise
        finally:
            self.go.put(None)

    def claim(self) -> bool:
        """Whether the caller is the one who has to end the run: the first to ask."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True

    def stop(self, at_exit: bool = False) -> None:
        """Ends the run, whatever its state; returns when nothing of it is left but what user code holds up."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        # The collector may run a finalizer of the user's, which stops us, in either of the two.
        if threading.current_thread() not in (self._thread, self.bell.deputy):
            self.wake()
            if self._thread.ident is not None:
                # A RuntimeError: it is just coming up, behind an interrupt of `start`, and finds that it is to end.
                with contextlib.suppress(RuntimeError):
                    self._thread.join(_PATIENCE)
        if self._inline is not None:
            self._inline.finalize()
        if not at_exit:
            self._listener.settle()
        _close(self.outlets, "next: not allowed after stop(); its results are gone", at_exit)

    def abandon(self) -> None:
        """The map was dropped. Runs as a finalizer, anywhere: it takes no lock, and waits for nothing but a serial map's own."""
        if os.getpid() != self._pid:
            return
        self._abandoned = self._stopping = True
        self.wake()
        if self._inline is not None:
            self._inline.finalize()

    def is_wanted(self) -> bool:
        """Whether the run is to go on."""
        return not self._stopping

    def drain(self) -> None:
        """Pulls nothing any more; what was pulled still gets its outcome."""
        self._draining = True
        self.wake()

    def wake(self) -> None:
        """Lets the manager look at what was changed here."""
        if not self._ended:
            self._engine.wake()

    def after_fork(self) -> None:
        """In a child of the user's: the run goes on in the parent; here it is over."""
        for outlet in self.outlets.values():
            outlet.after_fork()

    # ------------------------------------------------------------------ hooks of the outlets; consumers' threads

    def on_release(self) -> None:
        """See `Hooks.on_release`."""
        # Not `ring`: an interrupt between the two things that it does would lose the wake-up.
        if self.bell.hungry:
            self.wake()

    def on_interrupt(self) -> None:
        """See `Hooks.on_interrupt`."""
        if self._inline is not None or self._ended:
            return
        self.paused = True
        self.wake()
        with contextlib.suppress(Empty):
            self._pause_seen.get(True, _PAUSE)

    def resume(self) -> None:
        """See `Hooks.resume`."""
        self.paused = False
        # The interrupt may have come before a consumer could tell what he had taken.
        self.touched.extend(self.outlets)
        self.wake()

    def on_end(self) -> None:
        """See `Hooks.on_end`."""
        if self._inline is not None and not self._flow.open_ends:
            self._inline.finalize()
        self._listener.settle()

    def help(self, task: int, patient: bool) -> bool:
        """See `Hooks.help`."""
        return self._inline is not None and not self.paused and self._inline.help(task, patient)

    # ------------------------------------------------------------------ the manager's own thread from here on

    def advance(self) -> bool:
        """Decides, waits for something to happen and deals with it; False: the run is over."""
        self._intake.take_releases()
        if self._draining:
            self._intake.close()
        self._intake.draw()
        if self._stopping:
            self.end()
            return False
        if self.paused:
            self._engine.recall()
            self._pause_seen.put(None)
        else:
            self._submit_all()
        # Whoever wakes needs the interpreter, which we hold until we sleep: so not before the work is given out, and
        # not behind what is still to do, as to wake takes a while.
        self._announce()
        if not self._flow.open_ends:
            self.end()
            return False
        for event in self.bell.rest(self._news):
            self._on(event)
        return True

    def _decide(self) -> bool:
        """See `Wakeup`: gives out work, in the thread of a reader of an input; False: our thread is needed."""
        before, self._came = self._came, sum(self._flow.places)
        # Of an input that gave more than one since, the next ones are near, and better sent together.
        if self._came > before + 1 or self._stopping or self._draining or self.paused or self._inline is not None:
            return False
        self._intake.take_releases()
        self._intake.draw()
        self._submit_all()
        # The same look as before a sleep of our own, as the marks have changed.
        return not self._news() and bool(self._flow.open_ends)

    def _announce(self) -> None:
        """Wakes those whose results came."""
        for outlet in self.awaited:
            outlet.announce()
        self.awaited.clear()

    def _news(self) -> bool:
        """Whether something came between the last look and the moment from which on it would wake us."""
        more = self._intake.settle()
        self._announce()
        if self._inline is not None:
            self._inline.before_sleep()
        return more or self._stopping

    def end(self) -> None:
        """Ends workers and readers. What consumers have not taken stays with the outlets."""
        if self._ended:
            return
        self._ended = True
        self._intake.stop()
        self._listener.close(self._engine.stop())
        self._pause_seen.put(None)
        self._announce()
        _close(
            self.outlets if self._abandoned else {}, "next: the map was dropped"
        )  # for inputs that read its own tasks

    def crash(self, error: BaseException) -> None:
        """The run can't go on: nobody may be left waiting for it."""
        self._failure = error
        self._flow.fail_all(error)
        self.end()

    # ------------------------------------------------------------------ workers

    def _submit_all(self) -> None:
        schedule = self._schedule
        for slot in _openings(self._engine.slots):
            if slot.jobs and self._inline is not None:
                return
            turn = schedule.next_turn()
            if turn is None:
                return
            task, most = turn
            if slot.jobs and not self._pacing.ahead(task):
                return
            bound = sum(schedule.bound(root) for root in schedule.roots_of[schedule.end_of[task]])
            most = min(most, self._pacing.batch(task, bound), slot.room) if self._inline is None else 1
            first, count, segments = self._flow.take(task, most)
            schedule.submit(task, count)
            behind = self._fusion.behind(task) if all(segment[0] in (RAW, PACKED) for segment in segments) else ()
            job = Job(task, first, count, segments, behind)
            self._engine.submit(slot, job)
            self._pacing.observe_bytes(task, count, size_of_all(job.segments))

    def _on(self, event: Event) -> None:
        if isinstance(event, Output):
            task = event.job.program
            self._pacing.observe(task, event.count, event.seconds, size_of_all(event.segments), event.job.behind)
            if self._intake.weigh(self._schedule.end_of[task]):
                self._engine.recall()
            self._outcomes.take(event)
        elif isinstance(event, Returned):
            self._flow.again(event.program, event.first, event.count, event.segments, ran=False)
        elif isinstance(event, Died):
            self._replaced += 1
            if event.program is not None and event.index is not None:
                self._outcomes.blame(event, event.program, event.index)
        elif isinstance(event, StartFailed):
            self.crash(event.error)
        elif isinstance(event, EngineWarning):
            self.complaint = event.text
        elif isinstance(event, SideOutput):
            self._listener.hear(event)

    # ------------------------------------------------------------------ any thread

    def figures(self) -> Callable[[str], Any]:
        """See `snapshot.figures`."""
        return figures(self._schedule, self._flow, self.outlets, self._replaced, self._pacing.bound_bytes)


def _apart(
    options: Options, engine: Engine, programs: Sequence[Program], tracks: Mapping[int, Track]
) -> Collection[int]:
    """Tasks that nothing is fused to: their items are counted, timed, run again or looked at one task at a time."""
    bound = (
        options.stride,
        options.task_timeout,
        options.max_items_per_worker,
        any(it.retries for it in programs) or None,
    )
    if engine.capabilities.fuses and bound == (None,) * len(bound):
        return tracks
    return range(len(programs))


def _interrupt_behind(error: BaseException) -> BaseException | None:
    found = error.__context__ or error.__cause__
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__context__
    return found


def _openings(slots: Sequence[Slot]) -> Iterator[Slot]:
    """Idle slots, then those that can hold a second job, the ones among them that have just been given their first."""
    for slot in slots:
        if slot.open and not slot.jobs:
            yield slot
    for slot in slots:
        if slot.open and len(slot.jobs) == 1 and not slot.stuck:
            yield slot


def _run(manager: Manager) -> None:
    """The manager's thread."""
    manager.go.get()
    if not manager.claim():
        return
    try:
        while manager.advance():
            pass
    except BaseException as error:
        manager.crash(error if isinstance(error, WorkerStartError) else _broken(error))


def _broken(error: BaseException) -> BaseException:
    wrapped = RuntimeError("the manager of the map failed; this is a defect of numap")
    wrapped.__cause__ = error
    return wrapped
