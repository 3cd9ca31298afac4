"""Threads of ours: the context they run in, and how one is started by a thread that may be interrupted at any moment.

`Thread.start` waits in Python code for the new thread. Ctrl-C in there leaves it open whether the thread runs.
"""

from __future__ import annotations

import sys
from _thread import start_new_thread
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any


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
