"""What makes the items of a stream: needed to say which piper failed, and how often each was evaluated.

Tasks of one IMap are chained by numap, which knows only their numbers. An error comes out at the end of such a chain, far
from the piper that it happened on, so the last one knows them all.
"""

from __future__ import annotations

from numap import NumapError
from numap.interop import add_note
from papy._base.errors import PiperError
from papy._base.failures import failure
from papy._base.threads import Flag
from papy._evaluate.call import PiperCall
from papy._evaluate.counts import Count, StreamCounts


class Provenance:
    """The piper that makes the items of a stream.

    Args:
        call: The piper's call.
        started: Set when the IMaps that evaluate it and those before it have been started, or never will be: before
            that none of their streams may be read.
        counts: Of the run; gets those of the streams that show how often the piper was evaluated.

    Attributes:
        calls: The call that each task of the IMap evaluates, as far as they are chained: an error says in which task it
            happened, and comes out at the end of the chain.
        shown: The numbers of the pipers whose evaluations a stream of these items shows.
    """

    __slots__ = ("call", "calls", "counts", "shown", "started")

    def __init__(self, call: PiperCall, started: Flag, counts: StreamCounts | None = None) -> None:
        self.call = call
        self.counts: StreamCounts = {} if counts is None else counts
        self.shown: frozenset[int] = frozenset()
        self.calls: dict[int, PiperCall] = {}
        self.started = started

    def failure(self, error: BaseException) -> PiperError:
        """The failure of an item that the engine could not deliver, or that failed once too often."""
        if isinstance(error, PiperError):
            return error
        call = self.calls.get(getattr(error, "task", -1), self.call)
        return failure(call.__name__, call.number, error, call.policy)

    def show(self, count: Count) -> None:
        """A stream of these items has this count."""
        for number in self.shown:
            self.counts.setdefault(number, []).append(count)

    def name(self, error: NumapError) -> None:
        """Note at an error that ends the IMap which pipers are on it, as far as they are chained."""
        add_note(
            error, f"on the IMap of {', '.join(call.__name__ for call in self.calls.values()) or self.call.__name__}"
        )
