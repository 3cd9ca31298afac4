"""When an item that failed runs again, and how many items may begin: decisions only, which are told the time.

An item that waits for its next run is in no worker, and takes no thread: it is an entry here. A limit on how many items
begin in a second is a bucket of tokens, which the schedule takes one of for each item that it gives out; workers have no part in
it, so it holds for all of them together.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

#: A moment that does not come.
NEVER = float("inf")
#: Seconds whose items may begin at once after a while without any, where these are more than one: to wake for each item of many
#: would cost more than the items.
BURST = 0.020


class Delays(Generic[T]):
    """Entries that wait for their moment.

    Attributes:
        due: the moment of the first of them, or `NEVER`.

    >>> delays = Delays()
    >>> delays.add(5.0, "b"); delays.add(3.0, "a")
    >>> delays.due, delays.take(4.0), delays.due
    (3.0, ['a'], 5.0)
    """

    def __init__(self) -> None:
        self.due = NEVER
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0

    def add(self, due: float, entry: T) -> None:
        """An entry waits until that moment."""
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, entry))
        self.due = self._heap[0][0]

    def take(self, now: float) -> list[T]:
        """The entries whose moment has come."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        self.due = self._heap[0][0] if self._heap else NEVER
        return found


class TokenBucket:
    """Tokens that come at a rate, one for each item that begins.

    Args:
        rate: tokens a second.

    >>> bucket = TokenBucket(2.0)
    >>> bucket.available(10.0), bucket.available(99.0)
    (1, 1)
    >>> bucket.take(1); bucket.available(99.0), bucket.next(99.0), bucket.available(99.5)
    (0, 99.5, 1)
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._tokens = 1.0
        self._seen = NEVER

    def available(self, now: float) -> int:
        """How many items may begin now."""
        # A little more than nothing: a sum of fractions that should be one may be less.
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._seen) * self._rate)
        self._seen = now
        return int(self._tokens + 1e-6)

    def take(self, count: int) -> None:
        """So many items begin, or, less than 0, have come back without having begun."""
        self._tokens = min(self._most, self._tokens - count)

    def next(self, now: float) -> float:
        """The moment at which it is worth to give out more: for one, or for as many as begin in half of `BURST`."""
        return now + max(0.0, max(1.0, self._most / 2) - self._tokens) / self._rate


class Pace:
    """The buckets of the tasks that have a rate.

    Args:
        rates: by task.

    Attributes:
        quota: by task, how many items may begin now; the schedule looks at it.
        due: when there is more for an item that waits, or `NEVER`.
    """

    def __init__(self, rates: Mapping[int, float]) -> None:
        self._buckets = {task: TokenBucket(rate) for task, rate in rates.items()}
        self.quota = dict.fromkeys(rates, 0)
        self.due = NEVER

    def refill(self, now: float) -> None:
        """Before items are given out."""
        for task, bucket in self._buckets.items():
            self.quota[task] = bucket.available(now)

    def take(self, task: int, count: int) -> None:
        """So many items of a task were given out, or came back."""
        if task in self._buckets:
            self._buckets[task].take(count)
            self.quota[task] -= count

    def look_ahead(self, waiting: list[int], now: float) -> None:
        """After items were given out; ``waiting``: how many of each task wait."""
        late = [b.next(now) for task, b in self._buckets.items() if waiting[task] and self.quota[task] <= 0]
        self.due = min(late, default=NEVER)
