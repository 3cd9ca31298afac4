"""The numbers of a run as they are at this moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._results.output_queue import OutputQueue
from .._schedule.scheduler import Scheduler
from .router import Router


def figures(
    schedule: Scheduler, flow: Router, outlets: Mapping[int, OutputQueue], replaced: int, bound_bytes: int
) -> Callable[[str], Any]:
    """Numbers for `Statistics`, by name; read while the run goes on, each exact in itself."""
    values = {
        "bound": schedule.total_bound(),
        "in_flight": sum(flow.places[root] - outlets[schedule.end_of[root]].handed_over for root in schedule.roots),
        "pulled": list(flow.places),
        "yielded": {end: outlet.handed_over for end, outlet in outlets.items()},
        "done": list(flow.done),
        "failed": list(flow.failed),
        "waiting": list(schedule.waiting),
        "inside": list(schedule.inside),
        "replaced": replaced,
        "bound_bytes": bound_bytes,
    }
    return values.__getitem__
