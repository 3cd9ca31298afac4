"""The tasks of a map as they were added, before and while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._base.checks import shown
from ._base.errors import StateError
from ._base.statistics import TaskStatistics
from ._base.task_spec import TaskSpec
from ._flow.sources import check_free
from ._results.stream import least, length_of
from ._results.tracking import Track
from ._task_inputs import check_input, check_members, check_unread, detach_all, members_of


class Tasks:
    """What a map knows of its tasks. They go with `forget`, when it is stopped.

    Args:
        ordered: results come in order; else only those of tasks that are joined by place.
    """

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        #: While the map starts: the tasks that the input of one is made of.
        self.streamed: list[int] = []
        self.forget()

    def forget(self) -> None:
        """There are no tasks any more."""
        self.specs: list[TaskSpec] = []
        #: For each task the tasks of this map that it reads.
        self.inputs: list[list[int]] = []
        #: For each task how many items it will have; None: that is not known.
        self.lengths: list[int | None] = []
        #: What keeps the outcomes of tasks that were added with ``track``.
        self.tracks: dict[int, Track] = {}
        self._in_order: set[int] = set()

    def add(self, imap: Any, spec: TaskSpec, track: bool) -> int:
        """Adds a task of the map ``imap``; returns its index.

        Raises:
            TypeError, ValueError: its input is not allowed.
        """
        number, iterable = len(self.specs), spec.iterable
        check_input(imap, number, iterable)
        members = members_of(imap, iterable)
        if members:
            check_members(members, self.inputs)
            # The iterator holds the map; to hold the iterator would be a circle.
            spec = spec._replace(iterable=())
        elif not isinstance(iterable, (list, tuple, range)):
            # What is no iterable fails here; an iterator gives itself, so nothing is pulled.
            items = iter(iterable)
            check_unread(items, self.specs)
            spec = spec._replace(iterable=items)
        self.lengths.append(least([self.lengths[member] for member in members]) if members else length_of(iterable))
        self.specs.append(spec)
        self.inputs.append(members)
        if track:
            self.tracks[number] = Track()
        return number

    def pop(self, number: int | bool) -> None:
        """Removes the last ``number`` tasks; True: all of them."""
        if isinstance(number, bool) or not isinstance(number, int):
            if number is not True:
                raise TypeError(f"number: must be a whole number of tasks or True, not {shown(number)}")
        elif number < 0:
            raise ValueError(f"number: {number} given; must be at least 0, or True for all tasks")
        count = len(self.specs) if number is True else int(number)
        if count > 0:
            del self.specs[-count:]
            del self.inputs[-count:]
            del self.lengths[-count:]
            self.tracks = {task: track for task, track in self.tracks.items() if task < len(self.specs)}

    def check(self, task: int) -> None:
        """Raises a ValueError unless there is such a task."""
        if isinstance(task, bool) or not isinstance(task, int):
            raise TypeError(f"task: must be the index of a task, not {shown(task)}")
        if not 0 <= task < len(self.specs):
            raise ValueError(f"task: there is no task {task}; the map has {len(self.specs)}")

    def checked_ends(self, ends: Iterable[int], exist: bool) -> list[int]:
        """Indices of tasks, which have to ``exist``."""
        if isinstance(ends, (str, bytes)) or not hasattr(type(ends), "__iter__"):
            raise TypeError(f"ends: must be a sequence of task indices or None, not {shown(ends)}")
        found = list(ends)
        for task in found if exist else ():
            self.check(task)
        return found

    def deliver_in_order(self, task: int, is_started: bool) -> None:
        """The results of a task will be paired with others by their place."""
        if not self._ordered:
            if is_started:
                raise StateError(
                    "join: results of a started, unordered map have lost their places; join before start()"
                )
            self._in_order.add(task)

    def ordered(self) -> list[bool]:
        """For each task whether its results come in order."""
        return [self._ordered or task in self._in_order for task in range(len(self.specs))]

    def check_free(self) -> None:
        """ValueError if another map reads one of the inputs."""
        for spec in self.specs:
            check_free(spec.iterable)

    def detach(self, imap: Any) -> dict[int, list[int]]:
        """The map starts, and its inputs belong to their sources from here on, and go with them; see `detach_all`."""
        found = detach_all(imap, self.specs)
        self.specs = [spec._replace(iterable=()) for spec in self.specs]
        return found

    def statistics(self) -> tuple[TaskStatistics, ...]:
        """The figures of tasks that have not run."""
        return tuple(TaskStatistics(spec.label, 0, 0, 0, 0, 0, 0) for spec in self.specs)
