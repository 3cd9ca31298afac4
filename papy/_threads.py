"""How a thread is started by one that may be interrupted at any moment."""

from __future__ import annotations

from _thread import start_new_thread
from threading import Thread

__all__ = ["launch"]


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
