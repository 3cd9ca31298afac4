"""Programs that a worker runs as one: each item goes through all of them before the next begins.

Between two tasks an item goes to the caller and back, which costs more than short functions do. A result that is immutable and
plain can go on at once, as it can't be told from its copy. A record goes on as its copy: the function that
gave it may keep it and change it, and must not change the next function's item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._items.segments import LONG, is_atom
from .._records.writer import RecordWriter
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


def fused(
    calls: Sequence[Callable[[Any], Any]], words: memoryview, encode: Callable[[object], bytes]
) -> Callable[[Any], Any]:
    """One function for several, each of the result of the one before it, as long as that is an atom or a record.

    The function returns `NotFusable` for what is not handed on, and tells in the progress page where the item is.

    Args:
        calls: the functions.
        words: of the progress page.
        encode: see `RecordWriter`.
    """
    first, behind = calls[0], list(enumerate(calls))[1:]
    quick, copy = _QUICK, RecordWriter(encode).copy

    def call(value: Any) -> Any:
        words[STAGE] = 0
        value = first(value)
        for stage, follow in behind:
            if type(value) not in quick and not is_atom(value):
                copied = copy(value, LONG)
                if copied is None:
                    return NotFusable(value, stage - 1)
                (value,) = copied
            words[STAGE] = stage
            value = follow(value)
        return value

    return call
