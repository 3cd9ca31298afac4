"""What may be pulled, and what is started where: one question, one answer.

The schedule counts items, the sizer knows what they cost. To decide anything takes both. A manager that asks each of them
for its part asks the same things again and again, and an item that comes to an idle map waits for all of that. So the two are
brought together here, and what changed between two decisions is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Protocol, TypeVar

from .batching import BatchSizer
from .scheduler import Scheduler

#: The workers hold far too much if that would take more than so many times the room that there is.
_FAR_TOO_MUCH = 4


class Place(Protocol):
    """Room for one worker."""

    #: What it holds.
    @property
    def jobs(self) -> Sized: ...

    #: It can be given something.
    open: bool
    #: It has been in one item for a while.
    stuck: bool
    #: Items that it may still be given.
    room: int


PlaceT = TypeVar("PlaceT", bound=Place)


class Planner:
    """The decisions of one run.

    Args:
        schedule: counts the items.
        sizer: knows what they cost.
        grows: bounds may grow where a consumer had to wait.
        single: a worker has one job of one item at most.
    """

    def __init__(self, schedule: Scheduler, sizer: BatchSizer, grows: bool, single: bool = False) -> None:
        self._schedule = schedule
        self._sizer = sizer
        self._grows = grows and schedule.buffer is None
        self._single = single
        for end in schedule.ends:
            self._weigh(end)

    # ------------------------------------------------------------------ what is started where

    def assign(self, slots: Iterable[PlaceT], start: Callable[[PlaceT, int, int], None]) -> bool:
        """Calls ``start`` with a slot, a task and a number of items for each job that can begin; returns whether one did.

        Idle slots come first, then those that can hold a second job, the ones among them that have just been given their first.
        """
        started = False
        for slot in slots:
            if slot.open and not slot.jobs:
                if not self._start(slot, start):
                    return started
                started = True
                if not self._schedule.ready:
                    return True
        for slot in slots:
            if slot.open and len(slot.jobs) == 1 and not slot.stuck:
                if not self._start(slot, start):
                    return started
                started = True
        return started

    def _start(self, slot: PlaceT, start: Callable[[PlaceT, int, int], None]) -> bool:
        """Starts what goes next, if it may go there."""
        turn = None if self._single and slot.jobs else self._schedule.next_turn()
        if turn is None:
            return False
        task, most = turn
        # What waits behind something else in a worker begins when that is done, and not at the rate of its task.
        if slot.jobs and (not self._sizer.ahead(task) or task in self._schedule.quota):
            return False
        if self._single:
            most = 1
        elif most > 1:
            bound = self._schedule.bound_of_end(self._schedule.end_of[task])
            most = min(most, self._sizer.batch(task, bound), slot.room)
        start(slot, task, most)
        return True

    # ------------------------------------------------------------------ what may be pulled

    def pulled(self, root: int, count: int, nbytes: int) -> bool:
        """``count`` items with ``nbytes`` bytes have come from an input; returns whether that changes what may be pulled."""
        if not self._sizer.observe_pulled(root, count, nbytes):
            return False
        self._weigh(self._schedule.end_of[root])
        return True

    def grow(self, end: int) -> None:
        """A consumer waited. If that is for want of items in flight, more may be."""
        if not self._grows:
            return
        schedule = self._schedule
        for root in schedule.roots_of[end]:
            bound = schedule.bound[root]
            if 2 * schedule.allowance(root) < bound:
                grown = self._sizer.grown_bound(bound, schedule.members[end])
                if grown > bound:
                    schedule.set_bound(root, grown)

    def news(self, end: int) -> tuple[int, bool]:
        """How many more places have to leave an end before that is news (0: each one is), and whether a wait there is news.

        Where roots share a buffer, everything is news: what leaves one end makes room for another.
        """
        schedule = self._schedule
        if schedule.buffer is not None:
            return 0, True
        missing, grows = 0, False
        for root in schedule.roots_of[end]:
            if not schedule.is_open[root]:
                return 0, True
            lacks, bound = schedule.missing(root), schedule.bound[root]
            missing = min(missing or lacks, lacks)
            grows = grows or (self._grows and self._sizer.grown_bound(bound, schedule.members[end]) > bound)
        return missing, grows

    # ------------------------------------------------------------------ what became of it

    def sent(self, task: int, count: int, nbytes: int) -> None:
        """``count`` items with ``nbytes`` bytes were given to a worker."""
        self._schedule.submit(task, count)
        self._sizer.observe_bytes(task, count, nbytes)

    def done(self, task: int, count: int, seconds: float, nbytes: int, behind: Sequence[int] = ()) -> bool:
        """``count`` items of ``task`` ran for ``seconds``, and their results have ``nbytes`` bytes; see `BatchSizer.observe`.

        Returns:
            Whether what the workers hold would take far more room than there is, as is known now.
        """
        self._sizer.observe(task, count, seconds, nbytes, behind)
        return bool(self._sizer.changed) and self._weigh_changed()

    def _weigh_changed(self) -> bool:
        changed, self._sizer.changed = self._sizer.changed, set()
        too_much = False
        for end in {self._schedule.end_of[task] for task in changed}:
            too_much = self._weigh(end) or too_much
        return too_much

    def _weigh(self, end: int) -> bool:
        schedule, inside = self._schedule, 0
        fits = self._sizer.fits(schedule.members[end])
        for root in schedule.roots_of[end]:
            schedule.set_fits(root, self._sizer.fits_waiting(root), fits)
            inside += schedule.inside[root]
        return inside > _FAR_TOO_MUCH * fits
