"""Several streams as one, with an item of one of them after the other: by their places, or as they come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from papy._base.errors import Dropped, PiperError, is_failure
from papy._base.failures import origins, passed_on
from papy._evaluate.counts import Count
from papy._streams.base import NOTHING, ResumableStream
from papy._streams.descent import KEPT
from papy._streams.pump import END, Arrival, Arrivals, Pump
from papy._streams.source import Rhythm

# Streams of one input may be so many of its items apart: far within what a fork keeps for the slower one.
AHEAD: Final = 2**10

_Failed = frozenset[tuple[int | None, int | None]]


def members(row: Sequence[Any]) -> Iterator[Any]:
    """The items at one place of several streams; a failure that has come on several ways is one, and nothing is a mark."""
    known: set[_Failed] = set()
    kept: list[Any] = []
    marks: list[PiperError] = []
    for item in row:
        if isinstance(item, Dropped):
            marks.append(item)
            continue
        if isinstance(item, PiperError) and is_failure(item):
            failed = _failed(item)
            if failed in known:
                continue
            known.add(failed)
        kept.append(item)
    return iter(kept or [passed_on(marks)])


def _failed(item: PiperError) -> _Failed:
    return frozenset((origin.number, origin.index) for origin in origins(item))


class AsTheyCome(ResumableStream):
    """The items of several streams, each when it is there; none waits for another.

    Only where two of them read the same input, one that is far ahead waits: what it has read is kept for the other.

    Args:
        streams: What to read.
        rhythms: Of these streams.

    Attributes:
        sources: For the last items, which stream each is of, and its place there.
        read: How many items of each stream were read.
    """

    __slots__ = ("_arrivals", "_came", "_known", "_live", "_pumps", "_rhythms", "_streams", "read", "sources")

    def __init__(self, streams: Sequence[Iterator[Any]], rhythms: Sequence[Rhythm]) -> None:
        super().__init__(iter(()))
        self._streams = streams
        self._rhythms = rhythms
        self.read = [Count() for _ in streams]
        self.sources: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._arrivals = Arrivals()
        self._pumps = [Pump(stream, self._arrivals, place) for place, stream in enumerate(streams)]
        self._live = list(range(len(streams)))
        self._came: list[Arrival] = []
        self._known: OrderedDict[_Failed, None] = OrderedDict()

    def _reads(self) -> Sequence[object]:
        return self._streams

    def _pull(self) -> None:
        while self._held is NOTHING:
            if not self._came:
                if not self._live:
                    raise StopIteration
                for source in self._live:
                    if not self._is_ahead(source):
                        self._pumps[source].ask()
                self._arrivals.take_into(self._came)
            self._deal_with(self._came[0])

    def _deal_with(self, arrival: Arrival) -> None:
        source, item, error = arrival
        pump, came, read = self._pumps[source], list[Arrival](), self.read[source]
        if item is END:
            if error is None or isinstance(error, Exception):
                self._live = [] if error is not None else [it for it in self._live if it != source]
            self._came, pump.asked = came, False
            if error is not None:
                raise error
            return
        wanted = not (isinstance(item, PiperError) and is_failure(item)) or self._is_news(item, read.given)
        if wanted:
            self.sources[self.count.given] = source, read.given
            if len(self.sources) > KEPT:
                self.sources.popitem(last=False)
            self._held = item
        self._came, pump.asked = came, False
        read.given += 1

    def _is_news(self, item: PiperError, place: int) -> bool:
        """Whether this is not a failure that has come already; what stands for a dropped item goes on, see `Flattened`."""
        if isinstance(item, Dropped):
            return True
        failed = _failed(item)
        news = failed not in self._known
        self._known[failed] = None
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return news

    def _is_ahead(self, source: int) -> bool:
        """Whether a stream is far ahead of another that reads the same."""
        return any(
            self._rhythms[source].ahead(self.read[source], self._rhythms[it], self.read[it]) > AHEAD
            for it in self._live
            if it != source
        )
