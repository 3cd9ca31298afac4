"""What comes in: how much each input may give, and what it has given. It knows no worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from .._items.segments import Segment, size_of_all
from .._results.output_queue import OutputQueue
from .._schedule.batching import BatchSizer
from .._schedule.scheduler import Scheduler
from .router import Router
from .sources import Source


class InputController:
    """The inputs of one run. All methods are called by the manager's thread.

    Args:
        schedule: says how many items may come, and is told of those that left.
        pacing: says how far the bounds may grow.
        flow: takes the items.
        outlets: of the ends; they count what left, and who had to wait.
        touched: ends where something left or somebody had to wait, as consumers tell.
        grows: bounds may grow where somebody had to wait.
    """

    def __init__(
        self,
        schedule: Scheduler,
        pacing: BatchSizer,
        flow: Router,
        outlets: Mapping[int, OutputQueue],
        touched: deque[int],
        grows: bool,
    ) -> None:
        self._schedule = schedule
        self._pacing = pacing
        self._flow = flow
        self._outlets = outlets
        self._touched = touched
        self._grows = grows and schedule.buffer is None
        #: Ends with items that were given up and have not left their workers.
        self._late: set[int] = set()
        self._sources: dict[int, Source] = {}
        #: Roots whose input gives when it likes.
        self._restless: set[int] = set()
        #: By end, the tasks that lead to it.
        self._tasks: dict[int, list[int]] = {end: [] for end in schedule.ends}
        for task, end in enumerate(schedule.end_of):
            self._tasks[end].append(task)
        #: Ends whose marks may be wrong.
        self._unmarked: set[int] = set()
        self._released = dict.fromkeys(schedule.ends, 0)
        self._starved = dict.fromkeys(schedule.ends, 0)

    def start(self, sources: Mapping[int, Source]) -> None:
        """Starts the readers of the inputs, by root."""
        self._sources = dict(sources)
        for source in self._sources.values():
            source.start()

    def stop(self) -> None:
        """Lets the inputs go."""
        for source in self._sources.values():
            source.stop()
        self._sources = {}
        self._restless = set()

    def settle(self) -> bool:
        """Before a sleep: takes what came meanwhile and sets the marks; returns whether there is more to look at."""
        came = self.draw()
        for end in self._unmarked:
            self._mark(end)
        self._unmarked.clear()
        # Last of all, see `_mark`.
        return came or bool(self._touched)

    def _left(self, end: int) -> int:
        """Places that are free again: an item that was given up keeps its own until it has left its worker."""
        return self._outlets[end].released - self._flow.late(end)

    def take_releases(self) -> None:
        """What consumers have taken makes room; where one had to wait, there may be more room."""
        touched = set(self._late)
        # Only as many as there are now: consumers may add while we take.
        for _ in range(len(self._touched)):
            touched.add(self._touched.popleft())
        for end in touched:
            self._take_release(end, self._outlets[end])

    def _take_release(self, end: int, outlet: OutputQueue) -> None:
        while outlet.dropped:
            self._flow.give_up(end, outlet.dropped.popleft())
        released = self._left(end)
        if released > self._released[end]:
            self._schedule.release(end, released - self._released[end])
            self._released[end] = released
        if outlet.starved != self._starved[end]:
            self._starved[end] = outlet.starved
            self._grow(end)
        if self._flow.late(end):
            self._late.add(end)
        else:
            self._late.discard(end)
        self.mark(end)

    def _grow(self, end: int) -> None:
        """A consumer waited. If that is for want of items in flight, more may be."""
        schedule = self._schedule
        if not self._grows:
            return
        for root in schedule.roots_of[end]:
            bound = schedule.bound(root)
            if 2 * schedule.allowance(root) < bound:
                grown = self._pacing.grown_bound(bound, self._tasks[end])
                if grown > bound:
                    schedule.set_bound(root, grown)

    def draw(self) -> bool:
        """Lets the inputs give what they may, and takes what they have given; returns whether anything came."""
        came = False
        schedule = self._schedule
        changed = schedule.take_changed()
        for root in changed | self._restless:
            source = self._sources.get(root)
            if source is None:
                continue
            if root in changed:
                if not schedule.is_open(root):
                    # Its end was cut off: another input of a join was shorter.
                    self._let_go(root, source)
                    continue
                granted = schedule.grant(root)
                if granted > 0:
                    schedule.pull(root, granted)
                    source.grant(granted, self._pacing.share)
                self.mark(schedule.end_of[root])
            segments = source.collect()
            for segment in segments:
                self._flow.enter(root, segment)
                came = True
            if segments:
                self._measure(root, segments)
            spared = source.spared()
            if spared:
                schedule.unpull(root, spared)
                came = True
            if source.demand is not None and source.demand.asked:
                self.mark(schedule.end_of[root])
            if source.ended and schedule.is_open(root):
                came = True
                self._close(root, source)
            elif not source.quiet:
                self._restless.add(root)
        return came

    def weigh(self, end: int) -> bool:
        """Items or results of this end were measured. True: what the workers hold would take far more room than there is."""
        fits, schedule = self._pacing.fits(self._tasks[end]), self._schedule
        for root in schedule.roots_of[end]:
            schedule.set_fits(root, self._pacing.fits_waiting(root), fits)
        self.mark(end)
        return sum(schedule.inside[root] for root in schedule.roots_of[end]) > 4 * fits

    def _measure(self, root: int, segments: Sequence[Segment]) -> None:
        if self._pacing.observe_pulled(root, sum(segment[1] for segment in segments), size_of_all(segments)):
            self.weigh(self._schedule.end_of[root])

    def mark(self, end: int) -> None:
        """Something has changed that the marks of this end depend on."""
        self._unmarked.add(end)

    def _mark(self, end: int) -> None:
        """Says from when on it is news that something leaves this end, or that somebody waits there.

        A wake-up costs the manager as much as a small item. Whoever takes results leaves a note in any case, and the manager
        looks for notes between this and its sleep, so a mark that comes late loses nothing. Where roots share a buffer,
        everything is news: what leaves one end makes room for another.
        """
        schedule, outlet, tasks = self._schedule, self._outlets[end], self._tasks[end]
        everything = schedule.buffer is not None or end in self._late
        missing, grows, asked = 0, False, []
        for root in schedule.roots_of[end]:
            source = self._sources.get(root)
            if source is not None and source.demand is not None and source.demand.asked:
                asked.append((root, source.demand))
            everything = everything or not schedule.is_open(root)
            lacks, bound = schedule.missing(root), schedule.bound(root)
            missing = min(missing or lacks, lacks)
            # An idle worker waits for room, too.
            missing = 1 if schedule.holds_back(root) else missing
            grows = grows or (self._grows and self._pacing.grown_bound(bound, tasks) > bound)
        outlet.tell_at = 0 if everything else self._released[end] + missing
        outlet.tell_wait = everything or grows or bool(asked)
        for root, demand in asked:
            # Nothing of it is on the way: a consumer waits in vain, if one waits.
            if self._flow.places[root] == schedule.released[root] and outlet.is_awaited():
                demand.answer()

    def close(self) -> None:
        """Takes what has been given, and nothing after that."""
        for root, source in list(self._sources.items()):
            for segment in source.collect():
                self._flow.enter(root, segment)
            if self._schedule.is_open(root):
                self._close(root, source)

    def _close(self, root: int, source: Source) -> None:
        """An input has ended."""
        self._let_go(root, source)
        self._flow.close(root, source.error)

    def _let_go(self, root: int, source: Source) -> None:
        del self._sources[root]
        self._restless.discard(root)
        self.mark(self._schedule.end_of[root])
        source.stop()
