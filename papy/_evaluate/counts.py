"""How often pipers evaluate their functions: counted where items come out, and not where they are worked on.

That may be another process. A piper evaluates its functions once for each item that a stream behind it gives, but for
those that failed before they came to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from numap import NextTimeout
from papy._base.errors import PiperError, is_failure
from papy._base.failures import origins, undropped

# Stands among the numbers of pipers for an item that will come once more, as a result was waited for in vain.
LATE: Final = -1


class Fate(NamedTuple):
    """What became of an item: the numbers of the pipers on which it failed, and of those that dropped it."""

    failed: frozenset[int | None]
    dropped: frozenset[int]


class Count:
    """How many items a stream has given.

    Attributes:
        given: So many.
        failed: How many of these were failures, or dropped, for each fate.
    """

    __slots__ = ("_noted", "failed", "given")

    def __init__(self) -> None:
        self.given = 0
        self.failed: dict[Fate, int] = {}
        self._noted = -1

    def note(self, error: PiperError, again: bool) -> None:
        """The item that will be given next is this one; after an interrupt it is said once more.

        Args:
            error: The item.
            again: If it is a result that was waited for in vain, that comes later.
        """
        if self._noted == self.given or not is_failure(error):
            return
        late = again and bool(error.args) and isinstance(error.args[0], NextTimeout)
        numbers = [origin.number for origin in undropped(origins(error))]
        fate = Fate(frozenset([*numbers, *([LATE] if late else [])]), error._dropped)
        before = self.failed.get(fate, 0)
        # No call may stand between these.
        self.failed[fate] = before + 1
        self._noted = self.given


# For the number of a piper the streams that show how often it was evaluated: one would do, that which is furthest counts.
StreamCounts = dict[int, list[Count]]


def evaluations(ups: Mapping[int, Iterable[int]], counts: StreamCounts) -> dict[int, int]:
    """How often each piper evaluated its functions.

    Args:
        ups: For the number of each piper those of the pipers that it reads, which come before it.
        counts: The streams.
    """
    streams = {id(count): (count.given, dict(count.failed)) for several in counts.values() for count in several}
    # For each way to fail the pipers that had nothing to do then.
    idle: dict[Fate, set[int]] = {fate: set() for _, failed in streams.values() for fate in failed}
    for fate, passed in idle.items():
        numbers = fate.failed | fate.dropped
        for number, behind in ups.items():
            if LATE in numbers or any(up in numbers or up in passed for up in behind):
                passed.add(number)

    def evaluated(number: int, count: Count) -> int:
        given, failed = streams[id(count)]
        return given - sum(times for fate, times in failed.items() if number in idle[fate])

    return {number: max((evaluated(number, it) for it in counts.get(number, ())), default=0) for number in ups}


def filtered(number: int, counts: StreamCounts) -> int:
    """How many items a piper has dropped."""
    streams = [list(count.failed.items()) for count in counts.get(number, ())]
    return max((sum(times for fate, times in fates if number in fate.dropped) for fates in streams), default=0)
