"""How many items may fail, and where a run ends that has more failures than that: decisions only."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping

from .._items.failures import Failure, Overrun


class Tolerance:
    """Counts the items that failed.

    Where outcomes come in order, the end does not depend on which worker was quicker. It is at the place of the failure that is
    one too many, counted by place. Else it is where that failure becomes known. Other ends of the run are over at once.

    Args:
        allowed: items that may fail; None: all.
        ordered: by end, whether its outcomes come in order.

    Attributes:
        overrun: set when the run ends for this.
        readers: by end, the ends that read it by a stream: they learn from it how it ended.

    >>> tolerance = Tolerance(1, {0: True})
    >>> tolerance.count(0, 7, Failure(b""), results=3)
    {}
    >>> tolerance.count(0, 5, Failure(b""), results=8)
    {0: 7}
    >>> tolerance.overrun.failed, tolerance.overrun.known
    (2, 8)
    """

    def __init__(self, allowed: int | None, ordered: Mapping[int, bool]) -> None:
        self._allowed = allowed
        self._ordered = ordered
        self._by_place = len(ordered) == 1 and all(ordered.values())
        #: By end, where items failed, in order; no more than matter.
        self._places: dict[int, list[int]] = {end: [] for end in ordered}
        self._failed = 0
        self._first: Failure | None = None
        self.overrun: Overrun | None = None
        #: The end where one failed too many.
        self._at: int | None = None
        self.readers: dict[int, set[int]] = {}

    def count(self, end: int, place: int, failure: Failure, results: int) -> dict[int, int | None]:
        """An item failed.

        Args:
            end: where its error comes out.
            place: of the item.
            failure: what comes out.
            results: items that gave a result so far.

        Returns:
            Ends that are over, each with the place at which it is; None: where it is now.
        """
        allowed = self._allowed
        if allowed is None or self._at not in (None, end):
            return {}
        places = self._places[end]
        if self._first is None or (self._by_place and place < places[0]):
            self._first = failure
        self._failed += 1
        insort(places, place)
        del places[allowed + 1 :]
        if self._failed <= allowed:
            return {}
        over: dict[int, int | None] = {}
        if self._at is None:
            over = dict.fromkeys(self._ordered.keys() - self._behind(end))
        if self._at is None or self._by_place:
            known = places[-1] + 1 if self._by_place else results + self._failed
            self.overrun = Overrun(allowed + 1, known, allowed, self._first)
        self._at = end
        over[end] = places[-1] if self._ordered[end] else None
        return over

    def _behind(self, end: int) -> set[int]:
        """The ends that read this one, or what reads it."""
        found: set[int] = set()
        ahead = [end]
        for it in ahead:
            more = self.readers.get(it, set()) - found
            found |= more
            ahead += more
        return found - {end}
