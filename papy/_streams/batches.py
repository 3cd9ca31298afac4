"""Items that go into one call together: so many, or those of so much time, memory or one key.

What failed, or was dropped, is no item of a batch. It passes by, so that it holds up no batch, and none holds it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import monotonic
from typing import Any, Final, NamedTuple

from numap import sizeof
from papy._base.errors import PiperError, failures_in
from papy._base.failures import passed_on
from papy._evaluate.counts import Count
from papy._streams.base import NOTHING, ResumableStream
from papy._streams.descent import Parents
from papy._streams.pump import END, Arrival, Arrivals, Pump

_NO_ITEM: Final = object()


class BatchLimits(NamedTuple):
    """How much goes into one batch; None: any number, time, size, keys.

    Attributes:
        items: So many items.
        seconds: What came in so many seconds after the first item.
        size: So many bytes, as `numap.sizeof` counts them; one item at least.
        key: Neighbours for which this gives the same.
    """

    items: int | None = None
    seconds: float | None = None
    size: int | None = None
    key: Callable[[Any], Any] | None = None


class Batches(ResumableStream):
    """Lists of items.

    Args:
        items: The stream; a failure or what was dropped passes by.
        limits: When a batch is complete.
        rows: The items are rows, with one item of each of several streams.
        failed: Makes a failure of what the key raised for an item; None: that is to be raised.

    Attributes:
        parents: Knows which items each of the last batches has.
        read: How many items were read.
    """

    __slots__ = (
        "_ahead",
        "_batch",
        "_error",
        "_failed",
        "_key",
        "_limits",
        "_over",
        "_places",
        "_rows",
        "_size",
        "parents",
        "read",
    )

    def __init__(
        self,
        items: Iterator[Any],
        limits: BatchLimits,
        rows: bool,
        failed: Callable[[BaseException, Sequence[Any]], PiperError | None],
    ) -> None:
        super().__init__(items)
        self.parents = Parents()
        self.read = Count()
        self._limits = limits
        self._rows = rows
        self._failed = failed
        #: The item that was read last, if it is in no batch yet.
        self._ahead: list[Any] = []
        self._batch: list[Any] = []
        self._places: list[int] = []
        self._size = 0
        self._key: Any = _NO_ITEM
        self._over = False
        self._error: Exception | None = None

    def _pull(self) -> None:
        while self._held is NOTHING:
            if not self._ahead and not self._over:
                self._read()
            if self._ahead:
                self._deal_with(self._ahead[0])
            elif self._batch:  # its time is up, or there is no more
                self._give()
            elif self._over:
                raise self._error or StopIteration

    def _deal_with(self, item: Any) -> None:
        """Give an item, or add it to the batch, or give the batch first."""
        failures = failures_in(item) if self._rows and not isinstance(item, PiperError) else failures_in((item,))
        at = self.read.given - 1
        if failures:
            passing = passed_on(failures) if self._rows else failures[0]
            self._pass_by(passing, at)
            return
        key, size, limits = self._key, 0, self._limits
        try:
            if limits.key is not None:
                key = limits.key(item)
                fits = self._key is _NO_ITEM or bool(key == self._key)
            else:
                fits = True
        except BaseException as error:
            failure = self._failed(error, list(item) if self._rows else [item])
            if failure is None:
                raise
            self._pass_by(failure, at)
            return
        if limits.size is not None:
            size = sizeof(item)
            fits = fits and self._size + size <= limits.size
        if self._batch and not fits:
            self._give()
            return
        if not self._batch:
            self._begin()
        # In one call, so that an interrupt loses none.
        self._batch.extend(islice(iter(self._ahead.pop, NOTHING), 1))
        self._places.append(at)
        self._key, self._size = key, self._size + size
        if limits.items is not None and len(self._batch) >= limits.items:
            self._give()

    def _begin(self) -> None:
        """The first item of a batch is there."""

    def _pass_by(self, item: PiperError, at: int) -> None:
        self.parents.note_all(self.count.given, (range(at, at + 1),))
        self._held, self._ahead = item, []

    def _give(self) -> None:
        spans = _spans(self._places)
        places: list[int] = []
        batch: list[Any] = []
        self.parents.note_all(self.count.given, spans)
        self._held, self._batch, self._places, self._size, self._key = self._batch, batch, places, 0, _NO_ITEM

    def _read(self) -> None:
        """Read an item; what ends them is raised when all before it has been given."""
        try:
            # One call, so that an item that was taken is there.
            self._ahead.extend(islice(self._items, 1))
            self.read.given += len(self._ahead)
            self._over = not self._ahead
        except Exception as error:
            self._error, self._over = error, True


class TimedBatches(Batches):
    """As `Batches`, which are given when their time is up, also while an item is waited for."""

    __slots__ = ("_arrivals", "_came", "_deadline", "_pump", "_seconds")

    def __init__(
        self,
        items: Iterator[Any],
        limits: BatchLimits,
        rows: bool,
        failed: Callable[[BaseException, Sequence[Any]], PiperError | None],
    ) -> None:
        super().__init__(items, limits, rows, failed)
        assert limits.seconds is not None
        self._seconds = limits.seconds
        self._arrivals = Arrivals()
        self._pump = Pump(items, self._arrivals)
        self._came: list[Arrival] = []
        self._deadline = 0.0

    def _begin(self) -> None:
        self._deadline = monotonic() + self._seconds

    def _read(self) -> None:
        if not self._came:
            self._pump.ask()
            timeout = max(0.0, self._deadline - monotonic()) if self._batch else None
            self._arrivals.take_into(self._came, timeout)
        if not self._came:
            return
        _, item, error = self._came[0]
        ahead: list[Any] = []
        came: list[Arrival] = []
        if item is not END:
            ahead.append(item)
            self._ahead, self._came, self._pump.asked = ahead, came, False
            self.read.given += 1
            return
        self._came, self._pump.asked = came, False
        if error is not None and not isinstance(error, Exception):
            raise error
        self._error, self._over = error, True


def _spans(places: list[int]) -> tuple[range, ...]:
    """These places, as they follow each other."""
    if not places or places[-1] - places[0] + 1 == len(places):
        return (range(places[0], places[-1] + 1),) if places else ()
    return tuple(range(place, place + 1) for place in places)
