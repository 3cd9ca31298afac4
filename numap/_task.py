"""The results of a task as the caller holds them: what `IMap.add_task` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ._base.public import public
from ._results.reader import Reader

if TYPE_CHECKING:
    from ._results.output_queue import OutputQueue
    from ._results.tracking import Track

T = TypeVar("T")


@public
class TaskIterator(Reader[T]):
    """The results of one task, from `IMap.add_task` or `IMap.get_task`.

    It may be iterated, be the input of another task, or be split by `tee` and paired by `join`. It keeps its map alive.

    Attributes:
        task: index of the task in its map.
    """

    def __init__(self, imap: Any, task: int) -> None:
        self.task = task
        #: The map, which no module from here on downwards knows; None: it has started, and this is part of an input of it.
        self._imap: Any = imap
        self._track: Track | None = None

    @property
    def tracked(self) -> dict[int, Any]:
        """The outcomes so far by the index of their item, errors as exceptions; empty unless added with ``track=True``.

        It stays when the map is stopped.
        """
        return {} if self._track is None else self._track.results()

    def _find_output(self) -> OutputQueue:
        output = self._output
        if output is None:
            assert self._imap is not None, "without a map there is an output"
            output = self._output = self._imap._output_of(self.task)
        return output

    def __numap_detach__(self, imap: Any) -> None:
        """This iterator is part of an input of its own map, which has started: it must not keep the map alive."""
        if self._imap is imap:
            imap._tasks.streamed.append(self.task)
            self._find_output()
            self._imap = None

    def __length_hint__(self) -> int:
        """How many results are still to come, as far as the input says how many items it has; else NotImplemented.

        Where failures are skipped, and for an input that was wrong about itself, it is an estimate; behind the last result it is 0.
        """
        return remaining(self._imap, self.task) if self._imap is not None else NotImplemented

    def _claim_order(self) -> None:
        """Its results will be paired with others by their place."""
        if self._imap is not None:
            self._imap._deliver_in_order(self.task)

    def __repr__(self) -> str:
        return f"<task {self.task} of {self._imap.name if self._imap is not None else 'its own map'}>"


class TimedTaskIterator(TaskIterator[T]):
    """A TaskIterator whose ``next`` waits for a limited time, or not at all."""

    def __init__(self, imap: Any, task: int, timeout: float | None, block: bool) -> None:
        super().__init__(imap, task)
        self._timeout = timeout
        self._block = block

    def __next__(self) -> T:
        output = self._find_output()
        while True:
            # As in Reader: nothing is called between the step and the return.
            for value in output.values:
                return value  # type: ignore[no-any-return]
            output.open(self._timeout, self._block)


def iterator(imap: Any, task: int, timeout: float | None, block: bool) -> TaskIterator[Any]:
    """The iterator over the results of a task."""
    return TaskIterator(imap, task) if timeout is None and block else TimedTaskIterator(imap, task, timeout, block)


def remaining(imap: Any, task: int) -> int:
    """How many results of a task are still to come; NotImplemented, which means 0, where that is not known."""
    lengths, manager = imap._tasks.lengths, imap._life.manager
    length = lengths[task] if task < len(lengths) else None
    consumed = 0
    if manager is not None:
        output = manager.outputs.get(task)
        if output is None:  # another task reads it
            return NotImplemented  # type: ignore[no-any-return]
        length, consumed = length if output.expected is None else output.expected, output.consumed
    return NotImplemented if length is None else max(0, length - consumed)
