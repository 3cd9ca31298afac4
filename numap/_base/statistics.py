"""A map's figures at one moment."""

from __future__ import annotations

from typing import NamedTuple

from .public import public


@public
class TaskStatistics(NamedTuple):
    """The figures of one task.

    Attributes:
        label: the name of its function.
        pulled: items taken from its input (0 for a task that reads another task).
        done: items that gave a result.
        failed: items that gave an error.
        yielded: outcomes handed over to the caller (0 for a task that another task reads).
        waiting: items ready to run.
        inside: items that workers hold.
    """

    label: str
    pulled: int
    done: int
    failed: int
    yielded: int
    waiting: int
    inside: int


@public
class Statistics(NamedTuple):
    """The figures of a map; a snapshot that does not change.

    Attributes:
        state: ``idle``, ``running``, ``finished``, ``failed`` or ``stopped``.
        workers: workers that the map uses.
        bound: items that may be in flight at most, all tasks together (the ``buffer`` in force).
        pulled: items taken from the inputs.
        yielded: outcomes handed over to the caller.
        failed: items that ended in an error.
        discarded: items taken from the inputs whose outcome was given up by ``stop``.
        replaced: workers that died and were replaced.
        tasks: the figures of each task.
        bound_bytes: bytes that items and results in flight may have, about (``buffer_bytes``); a few large ones may have more.
    """

    state: str
    workers: int
    bound: int
    pulled: int
    yielded: int
    failed: int
    discarded: int
    replaced: int
    tasks: tuple[TaskStatistics, ...]
    bound_bytes: int = 0
