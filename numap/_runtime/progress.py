"""How far a run is, for those who look at it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .._progress.display import display_for
from .._progress.follower import Follower
from .._progress.rows import Look, Row
from .manager import Manager


def show(manager: Manager, progress: Any, inputs: Sequence[Sequence[int]], lengths: Sequence[int | None]) -> None:
    """Has the progress of a run shown, if ``progress`` says so."""
    display = display_for(progress)
    if display is not None:
        follower = Follower(partial(look, manager, [list(it) for it in inputs], list(lengths)), display)
        manager.show_by(follower)
        follower.start()


def look(manager: Manager, inputs: Sequence[Sequence[int]], lengths: Sequence[int | None]) -> Look:
    """The tasks of a run now.

    Args:
        manager: of the run.
        inputs: for each task those that it reads.
        lengths: for each task how many items it has, where that is known.
    """
    over = manager.state != "running" or not manager.is_wanted()
    rows: list[Row] = []
    #: Items that failed in tasks before, and never come.
    lost: list[int] = []
    for task, figures in enumerate(manager.statistics("running").tasks):
        lost.append(sum(lost[up] for up in inputs[task]))
        length = lengths[task]
        total = None if length is None else max(0, length - lost[task])
        done = figures.done + figures.failed
        rows.append(Row(figures.label, done, figures.failed, total, figures.waiting + figures.inside))
        lost[task] += figures.failed
    return Look(rows, over)
