"""Which items go next, and how many may be pulled: decisions only.

This module knows counts of items. It knows no item, worker, thread, process or clock; it is told what happened
and answers what to do.

An item that was pulled at a root is in flight until its place has been handed over at its end; see `TaskGraph` for the two
words. The buffer is shared among the roots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .task_graph import TaskGraph

#: More items than there will ever be.
NO_END = 1 << 62


class Scheduler(TaskGraph):
    """The schedule of one run.

    Args:
        inputs: for each task the tasks it reads, in order; none: it is a root.
        stride: items of one task inside the workers at once, and per turn; None: no limit.
        buffer: items in flight, all roots together; None: each root has a bound of its own, see `set_bound`. Below it is
            what has room in bytes, see `set_fits`.
        initial: the bound of a root at the start where ``buffer`` is None.

    Raises:
        ValueError: the buffer is smaller than the number of roots.
    """

    def __init__(self, inputs: Sequence[Sequence[int]], stride: int | None, buffer: int | None, initial: int) -> None:
        super().__init__(inputs)
        self.stride = stride
        self.buffer = buffer
        count = len(inputs)
        if buffer is not None and buffer < len(self.roots):
            raise ValueError(
                f"buffer: {buffer} is too small for {len(self.roots)} independent inputs; give at least {len(self.roots)}"
            )
        self.waiting = [0] * count
        self.inside = [0] * count
        self.pulled = [0] * count
        self.released = [0] * count
        #: Whether more may be pulled at a root, sooner or later.
        self.is_open = dict.fromkeys(self.roots, True)
        self._bound = dict.fromkeys(self.roots, max(initial, stride or 1))
        self._cap: dict[int, int] = {}
        #: Items of a root that have room in bytes, as they come, and with what becomes of them.
        self._fits = dict.fromkeys(self.roots, NO_END)
        self._fits_begun = dict.fromkeys(self.roots, NO_END)
        #: The bound in force of a root: the smaller one of what is given in items and what is in bytes.
        self.bound = dict(self._bound)
        #: Items of a root that were given to the workers and did not come back, or that never will be given to them.
        self.begun = [0] * count
        #: Places that were handed to the consumers of an end, without those that were given up and are still on their way.
        self.delivered = dict.fromkeys(self.ends, 0)
        #: Items of a root that may run where there is no room, but nothing for a consumer to take, either.
        self.needed = 1
        #: Roots that are worth a look at their `grant`: more may be pulled than before, or nothing any more. All at the start;
        #: what has looked takes them out.
        self.changed = set(self.roots)
        #: By task that has a rate, how many items of it may begin now.
        self.quota: Mapping[int, int] = {}
        self._share()
        self._turn = 0
        self._left = stride or 0
        places = {end: place for place, end in enumerate(self.ends)}
        self._place_of = [places[end] for end in self.end_of]
        #: By the place of an end, how many items wait for a worker in all that leads to it.
        self._ready_for = [0] * len(self.ends)
        #: Items of all tasks that wait for a worker.
        self.ready = 0

    def _share(self) -> None:
        """Shares the buffer evenly among the roots that still have something in flight or to pull."""
        if self.buffer is None:
            return
        sharing = [root for root in self.roots if self.is_open[root]]
        if not sharing:
            return
        held_by_ended = sum(self.in_flight(root) for root in self.roots if not self.is_open[root])
        each, rest = divmod(self.buffer - held_by_ended, len(sharing))
        for place, root in enumerate(sharing):
            self._bound[root] = each + (place < rest)
            self.bound[root] = min(self._bound[root], self._fits[root])
        self.changed.update(sharing)

    # ------------------------------------------------------------------ inputs

    def bound_of_end(self, end: int) -> int:
        """The bounds in force for all that leads to one end."""
        roots = self.roots_of[end]
        return self.bound[roots[0]] if len(roots) == 1 else sum(map(self.bound.__getitem__, roots))

    def set_bound(self, root: int, bound: int) -> None:
        """Sets the bound of a root; without effect where the buffer was given."""
        if self.buffer is None:
            self._bound[root] = max(bound, self.stride or 1)
            self.bound[root] = min(self._bound[root], self._fits[root])
            self.changed.add(root)

    def set_fits(self, root: int, items: int, begun: int) -> None:
        """So many items of a root have room in bytes: as they come, and once they were given to the workers."""
        if items != self._fits[root]:
            self._fits[root] = items
            self.bound[root] = min(self._bound[root], items)
            self.changed.add(root)
        self._fits_begun[root] = begun

    def total_bound(self) -> int:
        """Items that may be in flight now, all roots together."""
        return self.buffer if self.buffer is not None else sum(self.bound.values())

    def in_flight(self, root: int) -> int:
        """Items pulled at ``root`` whose place has not been handed over."""
        return self.pulled[root] - self.released[root]

    def allowance(self, root: int) -> int:
        """How many items may be pulled now."""
        if not self.is_open[root]:
            return 0
        pulled = self.pulled[root]
        room = self.bound[root] - pulled + self.released[root]
        return min(room, self._cap[root] - pulled) if root in self._cap else room

    def grant(self, root: int) -> int:
        """How many items to pull now: not each single one, as a grant is a message to another thread.

        So many that they are an eighth of the bound, or all that is still owed.
        """
        allowed = self.allowance(root)
        owed = self._cap.get(root, 0) - self.pulled[root]
        return allowed if allowed * 8 >= self.bound[root] or allowed == owed else 0

    def missing(self, root: int) -> int:
        """How many more places must be handed over before something can go on, if they are of this root alone.

        That is `grant`, which gives something then; or an idle worker, where items wait for room.
        """
        if self.waiting[root] and self.holds_back(root):
            return 1
        return max(1, -(-self.bound[root] // 8) - self.allowance(root))

    def startable(self, root: int) -> int:
        """How many items of a root may be given to the workers: while what others became takes all the room, none.

        Unless there is nothing to take at the end: what is there may have to wait for the results of those that did not run.
        """
        released, end = self.released[root], self.end_of[root]
        room = self._fits_begun[root] - self.begun[root] + released
        if room > 0 or self.delivered[end] > released:
            return max(0, room)
        return max(0, self.needed - sum(self.inside[task] for task in self.members[end]))

    def holds_back(self, root: int) -> bool:
        """Whether items of a root wait for room, and not for a worker."""
        return self.waiting[root] > self.startable(root)

    def cap(self, root: int, places: int) -> None:
        """A root needs ``places`` places in all and no more."""
        self._cap[root] = places
        self.changed.add(root)

    def pull(self, root: int, count: int) -> None:
        """``count`` items were pulled, or promised to a reader that will pull them."""
        self.pulled[root] += count

    def unpull(self, root: int, count: int) -> None:
        """A promise was not used: the input ended first, or had given so many bytes already."""
        self.pulled[root] -= count
        self.changed.add(root)

    def close(self, root: int) -> None:
        """The input ended: nothing will be pulled any more, and what it holds of the buffer shrinks as it is released."""
        self.is_open[root] = False
        self.changed.add(root)
        self._share()

    def release(self, end: int, places: int) -> None:
        """``places`` more places of ``end`` were handed over, in whatever order."""
        shares = False
        for root in self.roots_of[end]:
            self.released[root] += places
            self.changed.add(root)
            shares = shares or not self.is_open[root]
        if shares:
            self._share()

    # ------------------------------------------------------------------ turns

    def arrive(self, task: int, count: int) -> None:
        """``count`` items of ``task`` are ready to run."""
        self.ready += count
        self.waiting[task] += count
        self._ready_for[self._place_of[task]] += count

    def again(self, task: int, count: int) -> None:
        """``count`` items of ``task`` have come back from the workers, to run again."""
        self.leave(task, count)
        self.begun[task] -= count

    def submit(self, task: int, count: int) -> None:
        """``count`` items were given to the workers; without a stride that is a turn."""
        self.ready -= count
        self.waiting[task] -= count
        self.inside[task] += count
        self.begun[task] += count
        place = self._place_of[task]
        self._ready_for[place] -= count
        if self.stride is None:
            self._turn = (place + 1) % len(self.ends)
            return
        if place != self._turn or self._left <= 0:
            self._turn = place
            self._left = self.stride
        self._left -= count

    def leave(self, task: int, count: int) -> None:
        """``count`` items left the workers: done, failed, or to `arrive` again."""
        self.inside[task] -= count

    def next_turn(self) -> tuple[int, int] | None:
        """The task whose items go next and how many at most, or None: none can go. Changes nothing.

        Groups (all that leads to one end) take turns; in a group, what is further down goes first.
        """
        count = len(self.ends)
        begin = self._turn
        if self.stride is not None and self._left <= 0:
            begin += 1
        for step in range(count):
            place = (begin + step) % count
            if not self._ready_for[place]:
                continue
            found = self._ready(self.ends[place])
            if found is None:
                continue
            task, room = found
            if self.stride is not None:
                left = self._left if place == self._turn and self._left > 0 else self.stride
                room = min(room, self.stride - self.inside[task], left)
            return task, room
        return None

    def _ready(self, end: int) -> tuple[int, int] | None:
        """The task that goes next of those that lead to an end, and how many of its items may."""
        best, most = None, 0
        for task in self.members[end]:
            if best is not None and self.depth[task] < self.depth[best]:
                break
            room = self.waiting[task]
            if self.quota and task in self.quota:
                room = min(room, self.quota[task])
            if not room or (self.stride is not None and self.inside[task] >= self.stride):
                continue
            if not self.inputs[task]:
                room = min(room, self.startable(task))
                if not room:
                    continue
            if best is None or self.inside[task] < self.inside[best]:
                best, most = task, room
        return None if best is None else (best, most)
