"""What decides in a run, and what carries the decisions out on items: made once, before there is any thread or worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .._base.options import Options
from .._results.output_queue import OutputQueue
from .._results.tracking import Track
from .._schedule.batching import BatchSizer, Share
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
        self.planner = Planner(self.schedule, self.sizer, able.ahead, isinstance(engine, InlineEngine))
        self.fusion = Fusion(inputs, self.sizer, _apart(options, engine, programs, tracks))
        self.tolerance = Tolerance(options.max_failures, {end: ordered[end] for end in self.schedule.ends})
        self.ends = Ends(self.schedule, ordered, options.on_error == "skip", self.outputs)
        self.router = Router(self.schedule, self.labels, self.ends, able.pickles, tracks, self.tolerance)
        self.outcomes = Outcomes(programs, options.task_timeout, self.schedule, self.fusion, self.router)


def _apart(
    options: Options, engine: Engine, programs: Sequence[Program], tracks: Mapping[int, Track]
) -> Collection[int]:
    """Tasks that nothing is fused to: their items are counted, timed, run again or looked at one task at a time."""
    limits = (options.stride, options.task_timeout, options.max_items_per_worker)
    retried = any(program.retries for program in programs)
    if engine.capabilities.fuses and limits == (None, None, None) and not retried:
        return tracks
    return range(len(programs))
