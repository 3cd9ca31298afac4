"""A queue that may be waited at for a limited time.

Up to CPython 3.12 the first that asks an empty `SimpleQueue` takes its lock, looks at the time again, and waits for ever if its
time is up by then, as a thread that is held up for so long finds it. One that does not wait may be the first.
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def timed(queue: SimpleQueue[T]) -> SimpleQueue[T]:
    """An empty queue that nothing was put into yet, as one that keeps time limits.

    >>> timed(SimpleQueue()).get(True, 1e-9)
    Traceback (most recent call last):
    _queue.Empty
    """
    with suppress(Empty):
        queue.get_nowait()
    return queue
