"""In which order the outcomes of one task are handed over: decisions only, no item is looked at.

What came too early waits by its place, so that each outcome is touched once, however far it is ahead.
"""

from __future__ import annotations

from .._items.segments import SKIPPED, Segment, part


class ReorderBuffer:
    """Puts the segments of one task in order.

    Args:
        ordered: the n-th outcome is that of the n-th item; else as they come.

    >>> buffer = ReorderBuffer(ordered=True)
    >>> buffer.add(2, (0, 2, ["c", "d"]))
    []
    >>> buffer.add(0, (0, 2, ["a", "b"]))
    [(0, (0, 2, ['a', 'b'])), (2, (0, 2, ['c', 'd']))]
    """

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.next = 0
        self._early: dict[int, Segment] = {}
        #: Places that were given up and whose outcome has not come yet.
        self.late: set[int] = set()

    def add(self, first: int, segment: Segment) -> list[tuple[int, Segment]]:
        """A segment that begins at place ``first`` is known; returns what can be handed over now, with its places."""
        if not self.ordered:
            return [(first, segment)]
        while self.late and first in self.late:
            self.late.discard(first)
            if segment[1] == 1:
                return []
            first, segment = first + 1, part(segment, 1, segment[1])
        if first != self.next:
            self._early[first] = segment
            return []
        if not self._early:
            self.next = first + segment[1]
            return [(first, segment)]
        return self._ready(first, segment)

    def give_up(self, place: int) -> list[tuple[int, Segment]]:
        """No consumer waits for the outcome of the next place any more; returns what can be handed over now, as `add` does."""
        if not self.ordered or place != self.next:
            return []  # it has come meanwhile
        self.late.add(place)
        return self._ready(place, (SKIPPED, 1, None))

    def _ready(self, first: int, segment: Segment) -> list[tuple[int, Segment]]:
        ready = [(first, segment)]
        self.next = first + segment[1]
        while self._early:
            follower = self._early.pop(self.next, None)
            if follower is None:
                break
            ready.append((self.next, follower))
            self.next += follower[1]
        return ready


class JoinBuffer:
    """Brings the members of joined tasks together by their place.

    A place with a failed member fails as a whole, once; its other members are absorbed when they come.

    >>> buffer = JoinBuffer([0, 1])
    >>> buffer.add(0, 0, "a0")
    >>> buffer.add(1, 0, "b0")
    ('a0', 'b0')
    """

    def __init__(self, members: list[int]) -> None:
        self._members = members
        self._open: dict[int, dict[int, object]] = {}
        self._failed: dict[int, int] = {}

    def add(self, member: int, index: int, part: object) -> tuple[object, ...] | None:
        """A member's part for a place is known; returns all parts in the members' order once they are complete."""
        if self._absorbed(index):
            return None
        parts = self._open.setdefault(index, {})
        parts[member] = part
        if len(parts) < len(self._members):
            return None
        del self._open[index]
        return tuple(parts[place] for place in self._members)

    def fail(self, index: int) -> bool:
        """A member of a place failed; returns whether it is the first to."""
        if self._absorbed(index):
            return False
        missing = len(self._members) - len(self._open.pop(index, ())) - 1
        if missing:
            self._failed[index] = missing
        return True

    def _absorbed(self, index: int) -> bool:
        missing = self._failed.get(index)
        if missing is None:
            return False
        if missing == 1:
            del self._failed[index]
        else:
            self._failed[index] = missing - 1
        return True

    def reaches(self, limit: int) -> bool:
        """Whether a place of ``limit`` or behind waits for a member."""
        return any(index >= limit for index in self._open) or any(index >= limit for index in self._failed)
