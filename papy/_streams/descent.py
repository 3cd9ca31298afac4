"""Which items each item of a stream was made of, where their numbers differ: so that failures can say where they came from.

Only what may still fail is of interest. So the last ones are kept, and an entry stands for all items of the same call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

# As many as may be between a piper and the place where its failures come out; see `papy._streams.results.REMEMBERED`.
KEPT: Final = 2**16

#: For the place of an item in a stream, the number of each input that it descends from with the place there.
Descent = Callable[[int], Iterable[tuple[int, int]]]


class Parents:
    """For the places of a stream those of the items before, which they were made of.

    Attributes:
        call: The place of the item that is being taken apart.
    """

    __slots__ = ("_known", "call")

    def __init__(self) -> None:
        self.call = -1
        self._known: deque[tuple[int, tuple[range, ...]]] = deque(maxlen=KEPT)

    def note(self, index: int, call: int) -> None:
        """The item at this place, and all behind it until the next note, are of this call."""
        known = self._known
        if not known or known[-1][1][0].start != call:
            known.append((index, (range(call, call + 1),)))

    def note_all(self, index: int, spans: tuple[range, ...]) -> None:
        """The item at this place is made of the items at these places."""
        self._known.append((index, spans))

    def of(self, index: int) -> Iterator[int]:
        """The places of what the item at this place was made of; none, if that is not known any more."""
        for span in self._spans(index):
            yield from span

    def _spans(self, index: int) -> tuple[range, ...]:
        while True:
            try:
                return next((spans for first, spans in reversed(self._known) if first <= index), ())
            except RuntimeError:  # another thread has added something
                continue


def through(parents: Parents, descents: tuple[Descent, ...]) -> Descent:
    """Where items come from that were made of those of several streams."""

    def descent(index: int) -> Iterator[tuple[int, int]]:
        for before in parents.of(index):
            for known in descents:
                yield from known(before)

    return descent


def together(descents: tuple[Descent, ...]) -> Descent:
    """Where items come from that were paired by their place."""
    if len(descents) == 1:
        return descents[0]

    def descent(index: int) -> Iterator[tuple[int, int]]:
        for known in descents:
            yield from known(index)

    return descent


def unknown(index: int) -> tuple[tuple[int, int], ...]:
    """Where items come from whose places say nothing, as they come in any order."""
    return ()
