"""What `join` and `tee` are made of: iterators that keep failed places, and lose nothing to an interrupt.

A generator ends with the first error that goes through it. These streams are plain objects, so iteration can go on behind an
error; what an interrupt kept from being handed over is given again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from operator import length_hint
from typing import Any

from .._items.failures import exception_of
from .._items.segments import FAILED, RAW, SKIPPED, Segment


class _Box:
    """Where a stream puts what it gives, in the same breath as it notes that it has given it."""

    __slots__ = ("segment",)

    def __init__(self) -> None:
        self.segment: Segment | None = None


class Puller:
    """What a stream gets its outcomes from.

    It is apart from the stream. The frames of an item that fails in the reader's own thread lead back to the reader's, and a
    caller that keeps the error would keep a stream that is dropped everywhere else.
    """

    def __init__(self) -> None:
        #: What an interrupt kept from being handed over, to be given first. Changed in one statement, without a call.
        self.again: tuple[Segment, ...] = ()

    def pull_into(self, box: _Box) -> None:
        """Puts the next outcome into the box, or raises what ends the stream."""
        raise NotImplementedError

    def returns(self) -> bool:
        """Whether a reader gets exceptions as results: as with what the stream is made of."""
        raise NotImplementedError


class Stream:
    """An iterator whose items may be values, failures at their places, or skipped places."""

    def __init__(self, puller: Puller) -> None:
        self._puller = puller

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        puller = self._puller
        del self
        while True:
            box = _Box()
            try:
                again = puller.again
                if again:
                    puller.again, box.segment = again[1:], again[0]
                else:
                    puller.pull_into(box)
                assert box.segment is not None, "a stream gives something or raises"
                kind, _, data = box.segment
                # Python 3.10 looks for signals at conditional jumps, too; none follows on what gives the item away.
                if kind == FAILED:
                    error = exception_of(data)
                    if puller.returns() if data.returns is None else data.returns:
                        return error
                    box.segment = None
                    raise error
                if kind != SKIPPED:
                    return data[0]
            except BaseException:
                if box.segment is not None:
                    puller.again = (box.segment, *puller.again)
                raise

    def _returns(self) -> bool:
        return self._puller.returns()

    def _next_outcome(self, apart: bool = True) -> Segment:
        """The next outcome, for threads of ours: no interrupt comes there. Failures are failures in any case."""
        box = _Box()
        self._puller.pull_into(box)
        assert box.segment is not None, "a stream gives something or raises"
        return box.segment


def _outcomes(items: Iterator[Any]) -> Iterator[Segment]:
    """The outcomes of any iterator, as an iterator that steps without losing anything to an interrupt."""
    reader = getattr(items, "_next_outcome", None)
    if reader is None:
        return map(_value, items)
    # A partial, which is C: behind a call in Python an interrupt could come before the outcome is handed on.
    return iter(partial(reader, True), None)


def _returns(items: object) -> bool:
    returns = getattr(items, "_returns", None)
    return returns is not None and bool(returns())


def _value(item: Any) -> Segment:
    return RAW, 1, [item]


def length_of(items: object) -> int | None:
    """How many items something has or will give, as far as it says so itself; None: it doesn't, or raises."""
    try:
        length = length_hint(items, -1)
    except Exception:  # whatever a method of the user's raises: its length is only a hint
        return None
    return None if length < 0 else length


def least(lengths: Iterable[int | None]) -> int | None:
    """The length of what takes one item of each; None if one is not known."""
    found: int | None = None
    for length in lengths:
        if length is None:
            return None
        found = length if found is None else min(found, length)
    return found
