"""How many items go together: decisions from measured costs, no clock here.

An item that is sent alone costs some 30 microseconds of pipe and wake-ups. So a worker gets as many as make about
TARGET seconds of work, once it is known what an item costs; until then one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .scheduler import NO_END

#: Seconds of work in a batch: large against the price of a message, small against what a person notices.
TARGET = 0.010
#: Items in a batch at most: at this size the price of a message has vanished for the smallest items.
BATCH_CAP = 8192
#: Bytes in a batch at most.
BATCH_BYTES = 1 << 20
#: Seconds that an item may take in tasks that run as one: less than a user would want to see apart.
LIGHT = 0.001
#: Automatic bounds: items in flight at most, and bytes.
BOUND_CAP = 1 << 16
BOUND_BYTES = 64 << 20


class Share(NamedTuple):
    """How the bytes of what is in flight are shared.

    Attributes:
        given: so many were given for a map; None: automatic, `BOUND_BYTES`, or what keeps the workers busy.
        maps: maps that share these.
        inputs: inputs of a map.
    """

    given: int | None = None
    maps: int = 1
    inputs: int = 1


def believed(known: float | None, cost: float) -> float:
    """What something takes, after it took ``cost`` seconds: more at once, less by half, as one quick item says little."""
    return cost if known is None or cost >= known else known + 0.5 * (cost - known)


def next_batch(batch: int, cost: float) -> int:
    """How many items go together behind a batch of so many, where one takes ``cost`` seconds."""
    return min(BATCH_CAP, int(TARGET / cost) if cost > 0 else BATCH_CAP, 4 * batch)


class BatchSizer:
    """Costs of the tasks of one run, and what follows from them.

    Args:
        tasks: number of tasks.
        workers: number of workers.
        alone: seconds; items that take longer never wait in a worker behind another one.
        copies: items and results are copied on their way, so a batch must not have too many bytes.
        share: bytes of what is in flight.
    """

    def __init__(self, tasks: int, workers: int, alone: float, copies: bool = True, share: Share | None = None) -> None:
        share = Share() if share is None else share
        self._workers = workers
        #: Bytes of all that is in flight, and of what is from one input.
        self.bound_bytes = BOUND_BYTES // share.maps if share.given is None else share.given
        self.share = max(1, self.bound_bytes // share.inputs)
        #: Items that have room however large they are: one, or what keeps the workers busy.
        self._least = workers + 1 if share.given is None else 1
        #: Items that may run though there is no room, where they have to.
        self.needed = workers if share.given is None else 1
        self._pulled: list[float | None] = [None] * tasks
        self._copies = copies
        self._alone = alone
        self._cost: list[float | None] = [None] * tasks
        self._bytes: list[float] = [0.0] * tasks
        self._batch = [1] * tasks
        self._initial = max(4, 2 * workers)
        #: Tasks of which something is known that may change `fits`; what has looked takes them out.
        self.changed: set[int] = set()

    def observe(self, task: int, count: int, seconds: float, nbytes: int, behind: Sequence[int] = ()) -> None:
        """``count`` items of ``task`` ran for ``seconds`` in all; their results have ``nbytes`` bytes.

        ``behind``: tasks that they went through in the same seconds.
        """
        known = self._cost[task]
        if known is None:
            self.changed.add(task)
        self._cost[task] = cost = believed(known, seconds / count)
        largest = self._bytes[task]
        size = max(nbytes / count, largest * 0.9)
        if size != largest:
            self._bytes[task] = size
            self.changed.add(task)
        batch = next_batch(self._batch[task], cost)
        if self._copies and size:
            batch = min(batch, int(BATCH_BYTES / size))
        self._batch[task] = max(1, batch)
        for other in behind:
            self._batch[other] = self._batch[task]

    def observe_bytes(self, task: int, count: int, nbytes: int) -> None:
        """``count`` items of ``task`` with ``nbytes`` bytes in all were sent to it."""
        size = nbytes / count
        if size > self._bytes[task]:
            self._bytes[task] = size
            self.changed.add(task)

    def observe_pulled(self, root: int, count: int, nbytes: int) -> bool:
        """``count`` items with ``nbytes`` bytes came from an input; returns whether that is news for `fits_waiting`."""
        known = self._pulled[root]
        self._pulled[root] = size = max(nbytes / count, 0.9 * (known or 0.0))
        return known is None or size != known

    def fits_waiting(self, root: int) -> int:
        """How many items of an input have room in bytes, as they are when they come; few until one has come."""
        size = self._pulled[root]
        return self._initial if size is None else self._fits(size)

    def fits(self, tasks: Sequence[int]) -> int:
        """How many items have room in bytes on their way through ``tasks``, as the largest of late; few until that is known."""
        fits = self._fits(max(map(self._bytes.__getitem__, tasks)))
        return min(fits, self._initial) if None in map(self._cost.__getitem__, tasks) else fits

    def _fits(self, size: float) -> int:
        return max(self._least, int(self.share / size)) if size else NO_END

    def batch(self, task: int, bound: int) -> int:
        """Items of ``task`` for one message, with ``bound`` items in flight at most."""
        return max(1, min(self._batch[task], bound // (4 * self._workers)))

    def ahead(self, task: int) -> bool:
        """Whether a worker that is busy with this task may be given a second batch."""
        cost = self._cost[task]
        return cost is not None and cost < self._alone

    def light(self, tasks: Sequence[int]) -> int:
        """How many of these tasks, from the first on, an item is known to take next to nothing for, all together."""
        total = 0.0
        for number, task in enumerate(tasks):
            cost = self._cost[task]
            if cost is None or total + cost >= LIGHT:
                return number
            total += cost
        return len(tasks)

    def initial_bound(self) -> int:
        """The automatic bound before anything is known."""
        return self._initial

    def grown_bound(self, bound: int, tasks: list[int]) -> int:
        """The bound after a consumer found nothing to take while ``bound`` items of ``tasks`` were in flight."""
        if bound >= BOUND_CAP:
            return bound
        cap = BOUND_CAP
        for task in tasks:
            if self._cost[task] is None:
                return bound
            cap = min(cap, max(self._initial, 8 * self._workers * self._batch[task]))
        return bound if cap <= bound else max(bound, min(4 * bound, cap, self.fits(tasks)))
