"""What the tasks of a map read: each other, streams of them, or what the caller gives. Before the start; nothing is pulled here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._base.detaching import detach
from ._base.task_spec import TaskSpec
from ._flow.sources import check_free
from ._results.join import Join, made_of
from ._task import TaskIterator


def members_of(imap: Any, iterable: object) -> list[int]:
    """The tasks of a map that an input consists of; none: it is something else."""
    if isinstance(iterable, Join):
        tasks = [members_of(imap, member) for member in iterable.members]
        return [task[0] for task in tasks] if len(tasks) > 1 and all(len(task) == 1 for task in tasks) else []
    if isinstance(iterable, TaskIterator) and iterable._imap is imap:
        return [iterable.task]
    return [0] if iterable is imap else []


def check_members(members: Sequence[int], inputs: Sequence[Sequence[int]]) -> None:
    """ValueError unless the tasks can be read by one more task. ``inputs``: for each task those that it reads."""
    for member in members:
        for number in range(member + 1, len(inputs)):  # what reads a task was added after it
            if member in inputs[number]:
                raise ValueError(f"iterable: task {member} is read by task {number} already; split it with numap.tee")
    if len(members) != len(set(members)):
        raise ValueError("iterable: a task is joined with itself; split it with numap.tee first")


def check_input(imap: Any, number: int, iterable: object) -> None:
    """ValueError for an input that would be the task itself which reads it, the one with this number: it would wait for ever."""
    for part in made_of(iterable):
        if part is imap and not number:
            raise ValueError(
                "iterable: the map itself stands for the results of its task 0, and this would be task 0; "
                "give what the function is to be mapped over, or add another task first"
            )
        if isinstance(part, TaskIterator) and part._imap is imap and part.task >= number:
            raise ValueError(f"iterable: task {part.task} was removed; give the iterator of a task that the map has")


def check_unread(items: object, specs: Sequence[TaskSpec]) -> None:
    """ValueError if an iterator is the input of a task already, of this map or of one that runs: each would get a part of it."""
    for task, spec in enumerate(specs):
        if spec.iterable is items:
            raise ValueError(
                f"iterable: this {type(items).__name__} is the input of task {task} already, and each of its items would "
                f"go to one of the two only; split it with numap.tee, and give each task a branch"
            )
    check_free(items)


def detach_all(imap: Any, specs: Sequence[TaskSpec]) -> dict[int, list[int]]:
    """Has the inputs let go of their map, which starts; returns by task those of the map that streams bring into its input."""
    found: dict[int, list[int]] = {}
    for task, spec in enumerate(specs):
        detach(spec.iterable, imap)
        if imap._tasks.streamed:
            found[task], imap._tasks.streamed = imap._tasks.streamed, []
    return found
