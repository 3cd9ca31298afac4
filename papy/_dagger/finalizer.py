"""Closes what was forgotten, in a thread of its own. Knows nothing of pipers.

A finalizer may run anywhere, also where its thread holds a lock that closing needs. So it only puts a word into a queue,
and a thread that waits for that word does the rest.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event

from papy._base.threads import ContextThread, launch


class ThreadedFinalizer:
    """Does something in a thread of its own when an object was dropped, unless it is released before.

    Args:
        owner: The object; what is to be done may not hold it.
        close: What to do, in this order.
    """

    def __init__(self, owner: object, *close: Callable[[], object]) -> None:
        self._words: SimpleQueue[bool] = SimpleQueue()
        self._finalizer = weakref.finalize(owner, self._words.put, True)
        self._finalizer.atexit = False  # at the end of the interpreter the IMaps stop by themselves
        self._done = Event()
        self._thread = ContextThread(_wait, "papy-finalizer", (self._words, self._done, close))

    def start(self) -> None:
        """Start the thread; by then the owner has to know this object, so that it can be released after an interrupt."""
        launch(self._thread)

    def wait(self, seconds: float) -> None:
        """Wait until it has done what is to be done, if the object was dropped."""
        self._done.wait(seconds)

    def release(self) -> None:
        """Nothing is to be done any more."""
        self._finalizer.detach()
        self._words.put(False)


def _wait(words: SimpleQueue[bool], done: Event, calls: tuple[Callable[[], object], ...]) -> None:
    try:
        if words.get():
            for call in calls:
                call()
    finally:
        done.set()
