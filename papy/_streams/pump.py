"""Reads a stream in a thread of its own, for a reader that must not be held up by it: one that waits for several, or not for ever.

The thread reads an item when it is told to, so that it is one item ahead at most. It knows neither its reader nor the pump: when
these are dropped the thread ends, as soon as the stream lets it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from papy._base.threads import ContextThread, launch

END: Final = object()


class Arrival(NamedTuple):
    """What has come of a stream: an item, or ``END``, or what it raised.

    Attributes:
        source: The place of the stream among those that share a queue.
        item: The item.
        error: What was raised.
    """

    source: int
    item: Any
    error: BaseException | None = None


class Arrivals:
    """What has come of several streams, in the order in which it came."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Arrival] = SimpleQueue()

    def take_into(self, taken: list[Arrival], timeout: float | None = None) -> None:
        """Add the next one to a list, in one call, so that an interrupt loses none; nothing, if the time runs out."""
        try:
            taken.extend(islice(iter(partial(self.queue.get, True, timeout), END), 1))
        except Empty:
            pass


class Pump:
    """Has a stream read.

    Args:
        stream: What to read.
        arrivals: Get what it gives.
        source: Its place among those that share these.

    Attributes:
        asked: An item is being read, or has arrived and was not taken.
    """

    def __init__(self, stream: Iterator[Any], arrivals: Arrivals, source: int = 0) -> None:
        self._work: tuple[Any, ...] | None = None
        self._words: SimpleQueue[bool] = SimpleQueue()
        # The thread that takes this reads: an interrupt may come between the start of a thread and the note of it.
        lead: SimpleQueue[None] = SimpleQueue()
        lead.put(None)
        self._work = (stream, self._words, arrivals.queue, source, lead)
        weakref.finalize(self, self._words.put, False).atexit = False
        self.asked = False

    def ask(self) -> None:
        """Have one item read; the thread is started at the first."""
        if self.asked:
            return
        if self._work is not None:
            launch(ContextThread(_pump, "papy-pump", self._work))
            self._work = None
        self._words.put(True)
        self.asked = True


def _pump(
    stream: Iterator[Any], words: SimpleQueue[bool], queue: SimpleQueue[Arrival], source: int, lead: SimpleQueue[None]
) -> None:
    try:
        lead.get(block=False)
    except Empty:
        return
    while words.get():
        try:
            for item in stream:
                queue.put(Arrival(source, item))
                break
            else:
                queue.put(Arrival(source, END))
                return
            del item  # it may be large, and its reader done with it
        except Exception as error:  # the stream has ended, and its reader is told
            queue.put(Arrival(source, END, error.with_traceback(None)))
            return
        except BaseException as error:  # as Ctrl-C is: the stream goes on
            queue.put(Arrival(source, END, error))
