"""What comes out of the outputs of a graph: read together, as rows, or one by one. Knows no pipers.

Rows are made where all outputs give as many results. Where they don't, and the results are dropped anyway, the output that is
behind is read: what one has read of a piper, and another has not, would have to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from papy._base.errors import DaggerError
from papy._streams.base import ResumableStream
from papy._streams.results import DaggerResults, RunReport, apply_policies
from papy._streams.source import Rhythm, StreamSource
from papy._streams.streams import InputStream, branches, items_of
from papy._streams.zip_streams import Column, ZipShares, ZipStrict


class Outlets:
    """The outputs of a run.

    Args:
        sources: What they give.
        shares: How many results of each there are for the same number of items, where nothing changes that.
        inputs: What each of them reads in the end.
    """

    def __init__(self, sources: list[StreamSource], shares: Sequence[int], inputs: Sequence[set[Any]]) -> None:
        self._sources = sources
        self._shares = shares
        self._inputs = inputs
        self._streams = [items_of(source) for source in sources]

    @property
    def counted(self) -> list[tuple[Rhythm, ResumableStream]]:
        """What comes out, with how much that is."""
        pairs = zip(self._sources, self._streams, strict=True)
        return [(source.rhythm, stream) for source, stream in pairs if isinstance(stream, ResumableStream)]

    def rows(self, report: RunReport, dropped: bool) -> Iterator[Any]:
        """See `papy._dagger.graph_run.GraphRun.rows`."""
        if len(self._streams) == 1:
            return apply_policies(self._streams[0], False, report)
        if len({source.rhythm.number for source in self._sources}) > 1:
            if dropped:
                return apply_policies(Balanced(self._sources, self._streams), True, report)
            self._refuse_rhythms()
        if dropped and len(set(self._shares)) > 1:
            return apply_policies(ZipShares(self._streams, self._shares), True, report)
        for place, share in enumerate(self._shares):
            for other in range(place):
                if share != self._shares[other] and self._inputs[place] & self._inputs[other]:
                    raise DaggerError(
                        f"for each {self._shares[other]} results of {self._sources[other].name} there are {share} of "
                        f"{self._sources[place].name} (produce, consume), so they make no tuples; read them one by one"
                    )
        return apply_policies(self._in_step(range(len(self._streams))), True, report)

    def single(self, report: RunReport, skips: bool) -> list[DaggerResults]:
        """What comes out of each output; an item that is skipped is skipped in all outputs with as many items.

        Args:
            report: Gets the figures.
            skips: Items may be skipped.
        """
        streams = list(self._streams)
        rhythms = [source.rhythm.number for source in self._sources]
        for rhythm in dict.fromkeys(rhythms) if skips else ():
            alike = [place for place, its in enumerate(rhythms) if its == rhythm]
            if len(alike) > 1:
                kept = DaggerResults(self._in_step(alike), True, report, ("skip",))
                fork = branches(self._sources[alike[0]]._replace(stream=kept), len(alike))
                for column, (place, branch) in enumerate(zip(alike, fork, strict=True)):
                    streams[place] = Column(items_of(branch), column)
        return [DaggerResults(stream, False, report) for stream in streams]

    def _in_step(self, places: Sequence[int]) -> ZipStrict:
        names = [self._sources[place].name for place in places]
        return ZipStrict([self._streams[place] for place in places], names, "the outputs are of unequal length")

    def _refuse_rhythms(self) -> None:
        first = self._sources[0]
        other = next(it for it in self._sources if it.rhythm.number != first.rhythm.number)
        raise DaggerError(
            f"the results of {first.name} and {other.name} make no tuples: {first.rhythm.different(other.rhythm)}; "
            f"read them one by one (start, then iterate over each), or have a piper with merge=True take them all"
        )


class Balanced(ResumableStream):
    """Rows with one item, each of that stream that is furthest behind.

    Args:
        sources: Tell how far the streams are.
        streams: What to read.
    """

    __slots__ = ("_left", "_row")

    def __init__(self, sources: Sequence[StreamSource], streams: Sequence[Iterator[Any]]) -> None:
        counted = [it if isinstance(it, ResumableStream) else InputStream(it, "the data") for it in streams]
        super().__init__(iter(()))
        self._left = [(source.rhythm, stream) for source, stream in zip(sources, counted, strict=True)]
        self._row: list[Any] = []

    def _reads(self) -> Sequence[object]:
        return [stream for _, stream in self._left]

    def _pull(self) -> None:
        while not self._row:
            if not self._left:
                raise StopIteration
            chosen = min(self._left, key=lambda it: it[0].places(it[1].count))
            self._row.extend(islice(chosen[1], 1))
            if not self._row:
                self._left = [it for it in self._left if it is not chosen]
        row: list[Any] = []
        self._held, self._row = self._row, row
