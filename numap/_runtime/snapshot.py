"""The numbers of a run as they are at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._base.lifecycle import STOPPED
from .._base.statistics import Statistics, TaskStatistics
from .._results.output_queue import OutputQueue
from .._schedule.scheduler import Scheduler
from .router import Router


def snapshot(
    state: str,
    workers: int,
    labels: Sequence[str],
    schedule: Scheduler,
    router: Router,
    outputs: Mapping[int, OutputQueue],
    replaced: int,
    bound_bytes: int,
) -> Statistics:
    """The figures of a run as the caller sees them; read while the run goes on, each exact in itself.

    Of a run that was stopped, what was in flight was discarded.
    """
    handed_over = {end: output.handed_over for end, output in outputs.items()}
    pulled, failed = list(router.places), list(router.failed)
    discarded = sum(pulled[root] - handed_over[schedule.end_of[root]] for root in schedule.roots)
    tasks = tuple(
        TaskStatistics(
            label,
            pulled[task],
            router.done[task],
            failed[task],
            handed_over.get(task, 0),
            schedule.waiting[task],
            schedule.inside[task],
        )
        for task, label in enumerate(labels)
    )
    return Statistics(
        state,
        workers,
        schedule.total_bound(),
        sum(pulled),
        sum(handed_over.values()),
        sum(failed),
        discarded if state == STOPPED else 0,
        replaced,
        tasks,
        bound_bytes,
    )
