"""What decides in a run, and what carries the decisions out on items: made once, before there is any thread or worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .._base.options import Options
from .._results.output_queue import OutputQueue
from .._results.tracking import Track
from .._schedule.batching import BatchSizer, Share
from .._schedule.delays import Pace
from .._schedule.failure_limit import Tolerance
from .._schedule.fusion import Fusion
from .._schedule.planner import Planner
from .._schedule.scheduler import Scheduler
from ..engines.protocol import Engine, InlineEngine, Program
from .ends import Ends
from .outcomes import Outcomes
from .router import Router


class Parts:
    """The parts of one run that know no thread.

    Args:
        options: of the map.
        programs: the functions of the tasks.
        inputs: for each task the tasks it reads; none: it has a source.
        ordered: tasks whose outcomes come in order.
        engine: says what it can do.
        tracks: tasks whose outcomes are kept, with what keeps them.

    Attributes:
        outputs: by end, where its results leave; the manager fills it.

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
        able, self.workers = engine.capabilities, options.workers
        self.labels = [program.label for program in programs]
        self.outputs: dict[int, OutputQueue] = {}
        share = Share(options.buffer_bytes, options.sharing, sum(not members for members in inputs))
        self.sizer = BatchSizer(len(programs), options.workers, able.prefetch_below_seconds, able.pickles, share)
        self.schedule = Scheduler(inputs, options.stride, options.buffer, self.sizer.initial_bound())
        self.schedule.needed = self.sizer.needed
        rates = {task: it.settings.rate for task, it in enumerate(programs) if it.settings.rate is not None}
        #: Of tasks with a rate; None: there is none.
        self.pace = Pace(rates) if rates else None
        if self.pace is not None:
            self.schedule.quota = self.pace.quota
        self.planner = Planner(self.schedule, self.sizer, able.ahead, isinstance(engine, InlineEngine))
        self.fusion = Fusion(inputs, self.sizer, _apart(options, engine, programs, inputs, tracks))
        self.tolerance = Tolerance(options.max_failures, {end: ordered[end] for end in self.schedule.ends})
        self.ends = Ends(self.schedule, ordered, self.outputs)
        #: By task, what becomes of items that failed in it.
        self.policies = [program.settings.on_error for program in programs]
        self.router = Router(self.schedule, self.labels, self.ends, able.pickles, tracks, self.tolerance, self.policies)
        self.outcomes = Outcomes(programs, self.schedule, self.fusion, self.router)


def _apart(
    options: Options,
    engine: Engine,
    programs: Sequence[Program],
    inputs: Sequence[Sequence[int]],
    tracks: Mapping[int, Track],
) -> Collection[int]:
    """Tasks that nothing is fused to: their items are counted, timed, run again or looked at one task at a time."""
    limits = (options.stride, options.max_items_per_worker)
    looked_at = any(program.retries or program.settings.task_timeout is not None for program in programs)
    if engine.capabilities.fuses and limits == (None, None) and not looked_at:
        paced = [task for task, program in enumerate(programs) if program.settings.rate is not None]
        return {*tracks, *(member for task in paced for member in inputs[task])}
    return range(len(programs))
