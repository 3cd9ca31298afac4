"""Programs that a worker runs as one: each item goes through all of them before the next begins.

A result that goes from task to task through the caller costs two messages each time. Where the result is an atom, nothing
is lost without that way: it is immutable, so it can't be told whether it was pickled. Anything else goes on through
the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._items.segments import is_atom
from .._transport.progress_page import STAGE

_QUICK = frozenset((int, float, bool, type(None)))


class NotFusable:
    """A result that goes no further here: another process could tell it from its copy.

    Args:
        value: the result.
        stage: place of the program that gave it.
    """

    __slots__ = ("stage", "value")

    def __init__(self, value: Any, stage: int) -> None:
        self.value = value
        self.stage = stage


def fused(calls: Sequence[Callable[[Any], Any]], words: memoryview) -> Callable[[Any], Any]:
    """One function for several, each of the result of the one before it, as long as that is an atom.

    The function returns NotFusable for what is not handed on, and notes in the progress page in which program the item is.
    """
    first, behind = calls[0], list(enumerate(calls))[1:]
    quick = _QUICK

    def call(value: Any) -> Any:
        words[STAGE] = 0
        value = first(value)
        for stage, follow in behind:
            if type(value) not in quick and not is_atom(value):
                return NotFusable(value, stage - 1)
            words[STAGE] = stage
            value = follow(value)
        return value

    return call
