"""What is shown of something that runs: a row for each task, piper or step, and what follows from two looks at it.

Pure figures: no clock, no thread, no text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

#: Seconds of the past that a rate is of: short enough to see a change, long enough to be read.
_WINDOW: Final = 10.0


class Row(NamedTuple):
    """One task, piper or step at one moment.

    Attributes:
        label: its name.
        done: items that have come to an end there, failed ones among them.
        failed: so many of these.
        total: how many there will be; None: that is not known.
        inside: items that it has and is not done with.
        retried: how often an item was run again.
        marked: it is what limits the others.
    """

    label: str
    done: int
    failed: int = 0
    total: int | None = None
    inside: int = 0
    retried: int = 0
    marked: bool = False


class Look(NamedTuple):
    """All rows at one moment; ``over``: they change no more."""

    rows: Sequence[Row]
    over: bool


class Measured(NamedTuple):
    """A row with what follows from it and the looks before.

    Attributes:
        row: the row.
        seconds: since the start.
        rate: items per second, of the last seconds; over all of the time once it is over.
        left: seconds to the end, if all goes on like this; None: that can't be told.
    """

    row: Row
    seconds: float
    rate: float
    left: float | None


class Meter:
    """Measures rows from look to look.

    >>> meter = Meter(0.0)
    >>> meter.measure(Look([Row("a", 0, total=100)], False), 0.0)[0].left is None
    True
    >>> row, seconds, rate, left = meter.measure(Look([Row("a", 50, total=100)], False), 2.0)[0]
    >>> rate, left
    (25.0, 2.0)
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._past: deque[tuple[float, list[int]]] = deque([(began, [])])

    def measure(self, look: Look, now: float) -> list[Measured]:
        """The rows of a look at the moment ``now``, in seconds of the clock that the start was told by."""
        done = [row.done for row in look.rows]
        past = self._past
        while len(past) > 1 and past[1][0] <= now - _WINDOW:
            past.popleft()
        since, before = (self._began, []) if look.over else past[0]
        past.append((now, done))
        span = now - since
        return [
            self._measured(row, now, (row.done - (before[at] if at < len(before) else 0)) / span if span > 0 else 0.0)
            for at, row in enumerate(look.rows)
        ]

    def _measured(self, row: Row, now: float, rate: float) -> Measured:
        left = None if row.total is None or rate <= 0 else max(0, row.total - row.done) / rate
        return Measured(row, now - self._began, rate, left)
