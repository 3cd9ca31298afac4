"""Whether what a thread of ours is about to read is needed now: asked by that thread, answered by the manager of its map.

A map reads its inputs ahead, so a thread that is held up there is no reason for an error. It is one as soon as a consumer
waits for just that, and only the manager can tell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_here = threading.local()


def current() -> Demand | None:
    """The demand for what this thread reads; None: it is no thread of ours."""
    return getattr(_here, "demand", None)


class Demand:
    """The demand for the items of one input.

    A thread that is held up asks. It is told when a consumer waits for an item of this input and nothing of it is on the way,
    or when nothing will be read any more.

    Args:
        notify: wakes the manager.
    """

    __slots__ = ("_notify", "_void", "asked")

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        #: What to call once for the reader, which waits for an answer; None: it does not.
        self.asked: Callable[[], object] | None = None
        self._void = False

    def enter(self) -> None:
        """From now on this thread reads for it."""
        _here.demand = self

    def ask(self, tell: Callable[[], object]) -> None:
        """Has ``tell`` called, once, in some other thread or in this one; any number of times asked, the last one counts."""
        self.asked = tell
        if self._void:
            self.answer()
        else:
            self._notify()

    def withdraw(self) -> None:
        """The reader goes on."""
        self.asked = None

    def answer(self) -> None:
        """A consumer waits in vain."""
        tell, self.asked = self.asked, None
        if tell is not None:
            tell()

    def end(self) -> None:
        """Nothing is read any more."""
        # In this order; `ask` goes the other way round.
        self._void = True
        self.answer()
