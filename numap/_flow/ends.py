"""The ends of a run: in which order outcomes leave there, how many do, and what is raised behind the last one.

Workers finish in any order, and an error of an input or too many failures end a task at a place that others may not have
reached. So an end knows its limit before it gets there, and drops what comes from behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._items.failures import Overrun
from .._items.segments import END, ENDING, Segment
from .._results.output_queue import OutputQueue
from .._schedule.ordering import ReorderBuffer
from .._schedule.scheduler import Scheduler


class Ends:
    """Hands outcomes over to the outputs. All methods are called by the thread that has the manager's role.

    Args:
        schedule: is told how many places were handed over.
        ordered: tasks whose outcomes come in order.
        outputs: where the outcomes leave.

    Attributes:
        open: ends that have not come to their end.
        delivered: by end, places that were handed over.
        late: by end, places that were handed over as given up, and whose items are still on their way.
    """

    def __init__(self, schedule: Scheduler, ordered: Sequence[bool], outputs: Mapping[int, OutputQueue]) -> None:
        self._schedule = schedule
        self._outputs = outputs
        self._buffers = {end: ReorderBuffer(ordered[end]) for end in schedule.ends}
        self.late = {end: buffer.late for end, buffer in self._buffers.items()}
        self.open = set(schedule.ends)
        self.delivered = dict.fromkeys(schedule.ends, 0)
        #: How many places there will be, once that is known, and what is raised then.
        self._limits: dict[int, int] = {}
        self._endings: dict[int, BaseException | Overrun] = {}

    def deliver(self, end: int, first: int, segment: Segment) -> None:
        """Outcomes are known, the first of them that of place ``first``."""
        if end in self.open and first < self._limits.get(end, first + 1):
            self._hand_over(end, self._buffers[end].add(first, segment))

    def give_up(self, end: int, place: int) -> None:
        """A consumer gave up the outcome of a place; it holds back nothing any more."""
        if end in self.open:
            self._hand_over(end, self._buffers[end].give_up(place))

    def _hand_over(self, end: int, ready: list[tuple[int, Segment]]) -> None:
        limit = self._limits.get(end)
        for place, segment in ready:
            if limit is not None and place >= limit:
                break  # it came before the end was cut there
            self.delivered[end] += segment[1]
            self._outputs[end].put(place, segment)
        self._schedule.delivered[end] = self.delivered[end] - len(self.late[end])
        if limit is not None:
            self.check(end)

    def complete(self, end: int, total: int) -> None:
        """An end will have ``total`` places, unless it was cut before."""
        if end in self.open:
            self._outputs[end].know_total(self._limits.setdefault(end, total))
            self.check(end)

    def cut(self, end: int, limit: int, error: BaseException | Overrun) -> bool:
        """An end will have ``limit`` places, then raise; returns whether it would have had more. To be followed by `check`."""
        if end not in self.open or self._limits.get(end, limit + 1) <= limit:
            return False
        self._limits[end] = self._outputs[end].expected = limit
        self._endings[end] = error
        return True

    def check(self, end: int) -> None:
        """Ends what has come to its end."""
        if self.delivered[end] != self._limits.get(end) or end not in self.open:
            return
        # Before the end is put: the consumer that sees it may look at the state of the map.
        self.open.discard(end)
        self._put_end(end, self._endings.pop(end, None))

    def _put_end(self, end: int, error: BaseException | Overrun | None) -> None:
        output, place = self._outputs[end], self.delivered[end]
        if error is not None:
            output.put(place, (ENDING, 0, error))
        output.put(place, (END, 0, None))

    def fail_all(self, error: BaseException) -> None:
        """Nothing goes on: every end that is open raises ``error``, once."""
        ends = sorted(self.open)
        self.open.clear()
        for end in ends:
            self._outputs[end].expected = self.delivered[end]
            self._put_end(end, error)
