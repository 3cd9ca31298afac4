"""What goes to the workers of a map, and what they tell.

An engine knows jobs and programs, a schedule knows counts of tasks; neither may know the other. Here the answers of the
planner become jobs, and the events of the engine become counts, costs and outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from .._flow.inputs import InputController
from .._flow.parts import Parts
from .._items.segments import PACKED, PICKLES, RAW, RECORDS, size_of_all
from ..engines.protocol import Died, Engine, EngineWarning, Event, Job, Output, Returned, SideOutput, Slot, StartFailed
from .consumers import Consumers
from .log_forwarder import LogForwarder

#: Segments of items that may go through several tasks in one worker.
_FUSABLE = frozenset((RAW, PACKED, RECORDS, PICKLES))


class Dispatcher:
    """Between the decisions and the engine. All methods are called by the thread that has the manager's role.

    Args:
        engine: runs the items.
        parts: decide what is started where, and learn what became of it.
        inputs: learns where something changed.
        consumers: are told of warnings.
        log_forwarder: takes what workers said beside their results.
        crash: ends the run, as workers can't be started.
    """

    def __init__(
        self,
        engine: Engine,
        parts: Parts,
        inputs: InputController,
        consumers: Consumers,
        log_forwarder: LogForwarder,
        crash: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._schedule = parts.schedule
        self._planner = parts.planner
        self._pace = parts.pace
        self._fusion = parts.fusion
        self._router = parts.router
        self._outcomes = parts.outcomes
        self._inputs = inputs
        self._consumers = consumers
        self._log_forwarder = log_forwarder
        self._crash = crash
        #: Workers that died and were replaced.
        self.replaced = 0

    def submit_all(self) -> bool:
        """Gives out what can begin; returns whether anything did."""
        pace = self._pace
        if pace is None:
            return self._planner.assign(self._engine.slots, self._submit)
        now = monotonic()
        pace.refill(now)
        started = self._planner.assign(self._engine.slots, self._submit)
        pace.look_ahead(self._schedule.waiting, now)
        return started

    def _submit(self, slot: Slot, task: int, most: int) -> None:
        first, count, segments = self._router.queues[task].take(most)
        chained = self._fusion.follows[task] and all(segment[0] in _FUSABLE for segment in segments)
        job = Job(task, first, count, segments, self._fusion.behind(task) if chained else ())
        if self._pace is not None:
            self._pace.take(task, count)
        self._engine.submit(slot, job)
        self._planner.sent(task, count, size_of_all(job.segments))

    def take(self, event: Event) -> None:
        """Something happened in the engine."""
        if isinstance(event, Output):
            task = event.job.program
            nbytes = size_of_all(event.segments)
            if self._planner.done(task, event.count, event.seconds, nbytes, event.job.behind):
                self._engine.recall()
            self._inputs.mark(self._schedule.end_of[task])
            self._outcomes.take(event)
        elif isinstance(event, Returned):
            if self._pace is not None:
                self._pace.take(event.program, -event.count)
            self._router.again(event.program, event.first, event.count, event.segments, ran=False)
        elif isinstance(event, Died):
            self.replaced += 1
            if event.program is not None and event.index is not None:
                self._outcomes.blame(event, event.program, event.index)
        elif isinstance(event, StartFailed):
            self._crash(event.error)
        elif isinstance(event, EngineWarning):
            self._consumers.warning = event.text
        elif isinstance(event, SideOutput):
            self._log_forwarder.hear(event)
