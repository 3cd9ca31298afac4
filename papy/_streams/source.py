"""Where a stream begins, and what its reader has to know of it: names for errors, and the rounds that it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from operator import length_hint
from typing import Any, NamedTuple, Protocol

from numap import IMap
from papy._evaluate.provenance import Provenance
from papy._streams.descent import Descent, unknown


class Progress(Protocol):
    """Knows how many items a stream has given."""

    @property
    def given(self) -> int:
        """So many."""


class Furthest:
    """Of several streams that which is furthest counts."""

    def __init__(self, counts: Sequence[Progress]) -> None:
        self._counts = counts

    @property
    def given(self) -> int:
        """How many items it has given."""
        return max(count.given for count in self._counts)


class Rhythm(NamedTuple):
    """How many items a stream has: as many as all others of this rhythm and these inputs.

    Attributes:
        number: The number of the piper that has changed the number of items last; None: there are as many as in the inputs.
        name: The name of that piper.
        inputs: The numbers of the pipers that read the data.
        path: For each rhythm before this one its number, and how many of its items have been used.
        descent: From which items of the inputs an item comes.
        placed: The items are in the order of the inputs.
        share: So many items there are for so many of the piper that has changed their number last, or of the inputs.
    """

    number: int | None = None
    name: str | None = None
    inputs: frozenset[int] = frozenset()
    path: tuple[tuple[int | None, Progress], ...] = ()
    descent: Descent = unknown
    placed: bool = True
    share: Fraction = Fraction(1)

    def ahead(self, own: Progress, other: Rhythm, its: Progress) -> int:
        """How many items, of a piper or an input that both read, a stream of this rhythm is ahead of another."""
        if not self.inputs & other.inputs:
            return 0
        theirs = {number: count.given for number, count in (*other.path, (other.number, its))}
        return max(
            (count.given - theirs[number] for number, count in (*self.path, (self.number, own)) if number in theirs),
            default=0,
        )

    def places(self, own: Progress) -> tuple[int, ...]:
        """How far a stream of this rhythm is: of the inputs first."""
        return (*(count.given for _, count in self.path), int(own.given / self.share))

    def different(self, other: Rhythm) -> str:
        """Which pipers have given two streams different numbers of items, in words."""
        names = [rhythm.name for rhythm in (self, other) if rhythm.name is not None]
        if len(names) == 1:
            return f"{names[0]} changes how many there are (flatten, batch or merge)"
        return f"{names[0]} and {names[1]} each change how many there are (flatten, batch or merge)"

    def changed(
        self, number: int, name: str, used: Progress, descent: Descent, inputs: frozenset[int], placed: bool
    ) -> Rhythm:
        """The rhythm behind a piper with this number, which has used so many items."""
        return Rhythm(number, name, inputs, (*self.path, (self.number, used)), descent, placed)


@dataclass
class Ending:
    """How a stream of blocks ends: the number of the one that is shorter than the others (None: not yet), and its stride."""

    block: int | None = None
    stride: int = 0


class StreamSource(NamedTuple):
    """One input of a piper.

    Attributes:
        stream: Where the items come from.
        name: What to call it in an error.
        maker: What makes the items; None: the stream is the user's data.
        width: How many items a round has; see `papy._streams.interleave`.
        stride: How many rounds are spread together.
        imap: The IMap that evaluates the maker's call, if one does.
        ending: How the rounds end; None: that is not known.
        rhythm: How many items there are.
    """

    stream: Iterable[Any]
    name: str
    maker: Provenance | None = None
    width: int = 1
    stride: int = 1
    imap: IMap[Any] | None = None
    ending: Ending | None = None
    rhythm: Rhythm = Rhythm()

    def length(self) -> int | None:
        """How many items the user's data have, if they say so."""
        left = getattr(self.stream, "left", None)
        found = left() if left is not None else length_hint(self.stream, -1)
        return None if found in (None, inf, -1) else int(found)


class Link(NamedTuple):
    """One call of a chain.

    Attributes:
        call: What to do with an item.
        tracked: Gets the results by the index of their item, if they are wanted.
    """

    call: Callable[[Any], Any]
    tracked: dict[int, Any] | None = None
