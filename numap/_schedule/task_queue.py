"""The items of one task that are ready to run, by place.

Items wait as they came, many in one segment, and are cut only where a job ends: most are never looked at one by one.
"""

from __future__ import annotations

from collections import deque

from .._items.segments import Segment, part


class TaskQueue:
    """A queue of segments with their places; what was given back goes first."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Segment]] = deque()

    def append(self, first: int, segment: Segment) -> None:
        """Items that are ready, the first of them of place ``first``."""
        self._entries.append((first, segment))

    def put_back(self, first: int, segments: list[Segment], ran: bool = True) -> None:
        """Items that were taken and go first again; those that did not run do so in the order of their places."""
        # Several workers may give theirs back, in any order, and an ordered map waits for the first of them. What ran goes before
        # all others, alone: it may kill its worker again.
        before = []
        while not ran and self._entries and self._entries[0][0] < first:
            before.append(self._entries.popleft())
        places = []
        for segment in segments:
            places.append((first, segment))
            first += segment[1]
        self._entries.extendleft(reversed(before + places))

    def take(self, most: int) -> tuple[int, int, list[Segment]]:
        """Up to ``most`` items with neighbouring places: the first place, their number, the segments."""
        entries = self._entries
        first = entries[0][0]
        count = 0
        segments: list[Segment] = []
        while entries and count < most and entries[0][0] == first + count:
            place, segment = entries.popleft()
            size = segment[1]
            if size > most - count:
                keep = most - count
                entries.appendleft((place + keep, part(segment, keep, size)))
                segment = part(segment, 0, keep)
                size = keep
            segments.append(segment)
            count += size
        return first, count, segments

    def drop_from(self, limit: int) -> int:
        """Forgets items of place ``limit`` and behind; returns how many."""
        kept: deque[tuple[int, Segment]] = deque()
        dropped = 0
        for first, segment in self._entries:
            count = segment[1]
            keep = min(max(limit - first, 0), count)
            dropped += count - keep
            if keep:
                kept.append((first, part(segment, 0, keep)))
        self._entries = kept
        return dropped
