"""The items that a worker has made its own and has not begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ._page import CLAIMED, EPOCH

#: Items in a piece at most: at this size the price of a claim has vanished for the smallest items.
_MOST = 32
#: Seconds that a piece of several items may take; longer ones are claimed one by one.
_SHORT = 50e-6


class Piece:
    """Items of a job that one look at the caller's count of recalls is good for.

    To claim items one by one costs as much as the smallest of them. So short ones are claimed by the piece. If one of
    these turns out to be slow, the caller's signal ends the piece behind it (`cut`); only an item that is stuck where no
    Python code runs keeps what is left of its piece.

    Args:
        words: of the progress page.
    """

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._size = 1
        #: Items, what is left of them, number of the first; None: nothing is claimed.
        self._claim: tuple[list[Any], Iterator[Any], int] | None = None

    def claim(self, items: Sequence[Any], place: int, seq: int, epoch: int) -> Iterator[Any] | None:
        """Claims items from ``place`` on, the first of them with number ``seq``; None: they were recalled."""
        words = self._words
        piece = list(items[place : place + self._size])
        left = iter(piece)
        self._claim = piece, left, seq
        words[CLAIMED] = seq + len(piece)
        # After the claim: whoever recalls counts first, waits, and then looks at what is claimed.
        if words[EPOCH] == epoch:
            return left
        self._claim = None
        words[CLAIMED] = seq
        return None

    def end(self, seconds: float) -> None:
        """The piece took so long."""
        self._claim = None
        self._size = min(2 * self._size, _MOST) if seconds < _SHORT else 1

    def cut(self, epoch: int) -> None:
        """Lets go of what has not begun if it was recalled. Runs in a signal handler, between any two steps of a job."""
        claim, words = self._claim, self._words
        if claim is not None and words[EPOCH] != epoch:
            piece, left, seq = claim
            begun = len(piece) - left.__length_hint__()  # type: ignore[attr-defined]
            # An iterator over a list ends where the list does.
            del piece[begun:]
            words[CLAIMED] = seq + begun
