"""Threads that may be interrupted at any moment: what they wait for, how one is started, and the context that ours run in.

Locks of `threading` are taken and given back by Python code. Ctrl-C in there leaves one locked, and the next thread that needs it
waits for ever. `Thread.start` waits for the new thread so, and an interrupt leaves it open whether that runs.
"""

from __future__ import annotations

import sys
from _thread import start_new_thread
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from numap.interop import timed


class Flag:
    """An event that is set once and never cleared.

    Those of `threading` have a lock that an interrupt can leave locked: the next thread that needs it waits for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._words: SimpleQueue[None] = timed(SimpleQueue())

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


class ContextThread(Thread):
    """A daemon thread that runs in a copy of the context of its maker, as it acts for that."""

    def __init__(self, target: Callable[..., object], name: str, args: tuple[Any, ...] = ()) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)
        self._made_in = copy_context()

    def run(self) -> None:
        self._made_in.run(self._run_apart)

    def _run_apart(self) -> None:
        decimal: Any = sys.modules.get("decimal")
        if decimal is not None:  # the copy of the context refers to the same decimal context
            decimal.setcontext(decimal.getcontext().copy())
        super().run()


def launch(thread: Thread) -> None:
    """Have a thread started, soon: by one call of C, so that an interrupt comes before it or after it.

    `Thread.start` waits for the thread in Python code. An interrupt of that leaves it open whether the thread runs, and may be
    replaced by an error of the lock that is waited at.

    Raises:
        RuntimeError: No thread can be started.
    """
    start_new_thread(_start, (thread,))


def _start(thread: Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # no other can be started; then this one, which has no name, has to do
        thread.run()
