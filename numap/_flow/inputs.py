"""What comes in: how much each input may give, and what it has given. It knows no worker.

A wake-up costs the manager as much as a small item, so consumers wake it only for news. What is news depends on bounds and
inputs, which change all the time; so it is looked up once, before the manager sleeps, and written where consumers see it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from .._items.segments import size_of_all
from .._results.output_queue import OutputQueue
from .parts import Parts
from .sources import Source


class InputController:
    """The inputs of one run. All methods are called by the manager's thread.

    Args:
        parts: say how many items may come, and take them; are told of those that left.
        outputs: of the ends; they count what left, and which consumers had to wait.
        changed: ends where something left or a consumer had to wait, as consumers tell.
    """

    def __init__(self, parts: Parts, outputs: Mapping[int, OutputQueue], changed: deque[int]) -> None:
        self._schedule = schedule = parts.schedule
        self._planner = parts.planner
        self._router = parts.router
        self._ends = parts.ends
        #: Bytes of what is in flight from one input, at most.
        self._share = parts.sizer.share
        self._outputs = outputs
        self._changed = changed
        #: Ends with items that were given up and have not left their workers.
        self.late: set[int] = set()
        self._sources: dict[int, Source] = {}
        #: Roots whose input gives when it likes.
        self._unsolicited: set[int] = set()
        #: Ends of which consumers may not know what is news.
        self._unmarked: set[int] = set()
        self._released = dict.fromkeys(schedule.ends, 0)
        self._wait_counts = dict.fromkeys(schedule.ends, 0)

    def start(self, sources: Mapping[int, Source]) -> None:
        """Starts the readers of the inputs, by root."""
        self._sources = dict(sources)
        self._unsolicited = {root for root, source in sources.items() if not source.solicited_only}
        for source in self._sources.values():
            source.start()

    def stop(self) -> None:
        """Lets the inputs go."""
        for source in self._sources.values():
            source.stop()
        self._sources = {}
        self._unsolicited = set()

    def settle(self) -> bool:
        """Before a sleep: takes what came meanwhile and says what is news; returns whether there is more to look at."""
        came = self.poll()
        for end in self._unmarked:
            self._mark(end)
        self._unmarked.clear()
        # Last of all, see `_mark`.
        return came or bool(self._changed)

    # ------------------------------------------------------------------ what consumers have taken

    def take_releases(self) -> None:
        """What consumers have taken makes room; where one had to wait, there may be more room."""
        ends = set(self.late)
        # Only as many as there are now: consumers may add while we take.
        for _ in range(len(self._changed)):
            ends.add(self._changed.popleft())
        for end in ends:
            output = self._outputs[end]
            while output.dropped:
                self._ends.give_up(end, output.dropped.popleft())
            late = len(self._ends.late[end])
            # An item that was given up keeps its place until it has left its worker.
            released = output.released - late
            if released > self._released[end]:
                self._schedule.release(end, released - self._released[end])
                self._released[end] = released
            if output.waiters.count != self._wait_counts[end]:
                self._wait_counts[end] = output.waiters.count
                self._planner.grow(end)
            if late:
                self.late.add(end)
            else:
                self.late.discard(end)
            self._unmarked.add(end)

    # ------------------------------------------------------------------ what inputs give

    def poll(self) -> bool:
        """Lets the inputs give what they may, and takes what they have given; returns whether anything came."""
        came = False
        changed, sources = self._schedule.changed, self._sources
        if changed:
            self._schedule.changed = set()
        for root in changed | self._unsolicited:
            source = sources.get(root)
            if source is None:
                continue
            if root in changed:
                if not self._schedule.is_open[root]:
                    # Its end was cut off: another input of a join was shorter.
                    self._let_go(root, source)
                    continue
                granted = self._schedule.grant(root)
                if granted > 0:
                    self._schedule.pull(root, granted)
                    source.grant(granted, self._share)
                self._unmarked.add(self._schedule.end_of[root])
            if source.entries or source.notes:
                came = self._take(root, source) or came
            if source.demand is not None and source.demand.asked is not None:
                self._unmarked.add(self._schedule.end_of[root])
        return came

    def _take(self, root: int, source: Source) -> bool:
        """Takes what an input has given; returns whether that was anything."""
        segments, spared = source.collect()
        for segment in segments:
            self._router.enter(root, segment)
        if segments:
            count = segments[0][1] if len(segments) == 1 else sum(segment[1] for segment in segments)
            if self._planner.pulled(root, count, size_of_all(segments)):
                self._unmarked.add(self._schedule.end_of[root])
        if spared:
            self._schedule.unpull(root, spared)
        if source.ended and self._schedule.is_open[root]:
            self._close(root, source)
        elif not source.solicited_only:
            self._unsolicited.add(root)
        return bool(segments) or spared > 0 or source.ended

    # ------------------------------------------------------------------ what is news

    def mark(self, end: int) -> None:
        """Something has changed that decides on what is news at this end."""
        self._unmarked.add(end)

    def _mark(self, end: int) -> None:
        """Says from when on it is news that something leaves this end, or that a consumer waits there.

        Consumers that take results leave a note in any case, and the manager looks for notes between this and its sleep, so a
        mark that comes late loses nothing.
        """
        output, asked = self._outputs[end], []
        for root in self._schedule.roots_of[end]:
            source = self._sources.get(root)
            if source is not None and source.demand is not None and source.demand.asked is not None:
                asked.append((root, source.demand))
        missing, waits = (0, True) if end in self.late else self._planner.news(end)
        output.notify_from = self._released[end] + missing if missing else 0
        output.notify_waits = waits or bool(asked)
        for root, demand in asked:
            # Nothing of it is on the way: a consumer waits in vain, if one waits.
            if self._router.places[root] == self._schedule.released[root] and output.waiters.is_needed():
                demand.answer()

    # ------------------------------------------------------------------ ends of inputs

    def close(self) -> None:
        """Takes what has been given, and nothing after that."""
        for root, source in list(self._sources.items()):
            for segment in source.collect()[0]:
                self._router.enter(root, segment)
            if self._schedule.is_open[root]:
                self._close(root, source)

    def _close(self, root: int, source: Source) -> None:
        """An input has ended."""
        self._let_go(root, source)
        self._router.close(root, source.error)

    def _let_go(self, root: int, source: Source) -> None:
        del self._sources[root]
        self._unsolicited.discard(root)
        self._unmarked.add(self._schedule.end_of[root])
        source.stop()
