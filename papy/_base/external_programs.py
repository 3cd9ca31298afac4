"""What works for a run outside of the interpreter (programs), so that it can be ended together with the run.

A thread can't be ended, but the program that it waits for can: then the thread goes on, and sees that the run is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import count

_numbers = count()
# All changes are single operations on the dictionary, so that no lock is needed.
_running: dict[int, ExternalRun] = {}
if hasattr(os, "register_at_fork"):  # what the parent runs a forked child has no say in
    os.register_at_fork(after_in_child=_running.clear)


class ExternalRun:
    """Something that runs for an owner: a context, from before it starts until it has ended.

    Args:
        owner: What a run knows of it: a function, or a constant argument of one.
    """

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.ended = False
        self._number = next(_numbers)
        self._end: Callable[[], None] | None = None

    def __enter__(self) -> ExternalRun:
        _running[self._number] = self
        return self

    def __exit__(self, *_: object) -> None:
        _running.pop(self._number, None)

    def started(self, end: Callable[[], None]) -> None:
        """From now on it can be ended by this call, which may come from any thread, and more than once."""
        # First this, then the look, and `end` does it the other way round: one of both sees what the other did.
        self._end = end
        if self.ended:
            end()

    def end(self) -> None:
        """End it, or if it has not started, have it end as soon as it does."""
        self.ended = True
        if self._end is not None:
            self._end()


def end_of(owners: Iterable[object]) -> None:
    """End all that runs for these owners, which are told by identity."""
    known = {id(owner) for owner in owners}
    for running in list(_running.values()):
        if id(running.owner) in known:
            running.end()
