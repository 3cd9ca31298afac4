"""Where a stream begins, and what its reader has to know of it: names for errors, and the rounds that it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numap import IMap
from papy._evaluate.provenance import Provenance


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
    """

    stream: Iterable[Any]
    name: str
    maker: Provenance | None = None
    width: int = 1
    stride: int = 1
    imap: IMap[Any] | None = None
    ending: Ending | None = None


class Link(NamedTuple):
    """One call of a chain.

    Attributes:
        call: What to do with an item.
        tracked: Gets the results by the index of their item, if they are wanted.
    """

    call: Callable[[Any], Any]
    tracked: dict[int, Any] | None = None
