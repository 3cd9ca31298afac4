"""The numbers of a run as they are at this moment."""

from __future__ import annotations

from .._base.lifecycle import STOPPED
from .._base.statistics import Statistics, TaskStatistics
from .._flow.parts import Parts


def snapshot(parts: Parts, state: str, replaced: int) -> Statistics:
    """The figures of a run as the caller sees them; read while the run goes on, each exact in itself.

    Of a run that was stopped, what was in flight was discarded.
    """
    schedule, router = parts.schedule, parts.router
    handed_over = {end: output.handed_over for end, output in parts.outputs.items()}
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
        for task, label in enumerate(parts.labels)
    )
    return Statistics(
        state,
        parts.workers,
        schedule.total_bound(),
        sum(pulled),
        sum(handed_over.values()),
        sum(failed),
        discarded if state == STOPPED else 0,
        replaced,
        tasks,
        parts.sizer.bound_bytes,
    )
