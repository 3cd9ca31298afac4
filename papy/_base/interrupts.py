"""Flag: something that happens once, for threads that may be interrupted at any moment while they wait for it, or set it."""

from __future__ import annotations

from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue


class Flag:
    """An event that is set once and never cleared.

    Those of `threading` have a lock that an interrupt can leave locked: the next thread that needs it waits for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._words: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Whether it has been set."""
        return self._is_set

    def set(self) -> None:
        """It has happened: all threads that wait go on."""
        # Between these an interrupt can't come: CPython looks for signals behind calls.
        self._is_set = True
        self._words.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so many seconds at most; whether it is."""
        if not self._is_set:
            try:
                # In one call of C, so that no interrupt comes between the two: the word is for the other threads, too.
                any(map(self._words.put, islice(iter(partial(self._words.get, True, timeout), 0), 1)))
            except Empty:
                pass
        return self._is_set
