"""An input of a map without workers: it is read in the thread that asks for a result, one item when one is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from .._base.errors import SourceError
from .._items.failures import source_error
from .._items.segments import RAW, Segment
from .._sync.interrupt_lock import InterruptSafeLock, LockTimeout
from .._sync.threads import ContextThread, own_context
from .._system.interruptions import from_outside
from .sources import begin_to_read, end_to_read


class AskedSource:
    """See `Source`; the manager's methods, but for `pull`, which any consumer calls.

    Args:
        items: the iterator; the only reference that is kept to it.
        wake: wakes the manager.
        wanted: whether the map goes on.
    """

    quiet = False
    #: Its items are read by the consumer that waits for them.
    demand = None

    def __init__(self, items: Iterator[Any], wake: Callable[[], None], wanted: Callable[[], bool]) -> None:
        self._items: Iterator[Any] | None = items
        self._key = id(items)
        self._wanted = wanted
        self._wake = wake
        self._apart = False
        self._context = own_context()
        self._turn = InterruptSafeLock()
        #: An item on its way from the input to ``_entries``; each step is one of C, so an interrupt loses nothing.
        self._box: list[Any] = []
        self._entries: deque[Any] = deque()
        self._granted = 0
        #: What has cut the last attempt short; an input in Python ends with that.
        self._cut: str | None = None
        self._over = False
        self.ended = False
        self.error: BaseException | None = None

    def is_wanted(self) -> bool:
        """Whether more may be pulled, sooner or later."""
        return not self._over and self._wanted()

    def start(self) -> None:
        """Says that the iterator is in use."""
        begin_to_read(self._key, self.is_wanted)

    def grant(self, count: int, nbytes: int) -> None:
        """See `Source.grant`; one item is read at a time, so their bytes need no bound."""
        self._granted += count

    def spared(self) -> int:
        """See `Source.spared`."""
        return 0

    def collect(self) -> list[Segment]:
        """See `Source.collect`."""
        over, count = self._over, len(self._entries)
        # In this order: who asks sees that there are entries, or that fewer may come.
        self._granted -= count
        taken = [self._entries.popleft() for _ in range(count)]
        if over and not self._entries:
            self.ended = True
        return [(RAW, count, taken)] if taken else []

    def stop(self) -> int:
        """See `Source.stop`."""
        self.ended = self._over = True
        self._let_go()
        unused, self._granted = self._granted - len(self._entries), 0
        self._entries.clear()
        return unused

    def pull(self, patient: bool) -> None:
        """Reads an item, if one may be read and none waits.

        Args:
            patient: it may take as long as it takes; else it is read in a thread of its own, and the caller goes on at once.

        Raises:
            BaseException: a real KeyboardInterrupt, or what a signal handler raised.
        """
        if self._granted > 0 and not (self._entries or self._over or self._apart):
            if patient:
                self._read()
            else:
                self._apart = True
                with suppress(RuntimeError):  # at its end the interpreter starts no thread
                    ContextThread("numap-input", self._read_apart).start()
        elif self._entries or (self._over and not self.ended):
            # It was read before, and an interrupt may have come between that and this.
            self._wake()

    def _read_apart(self) -> None:
        self._apart = False
        self._read()

    def _read(self) -> None:
        with suppress(LockTimeout):
            self._turn.hold(self._pull, block=False)
            self._wake()

    def _pull(self) -> None:
        items = self._items
        if items is None or self._entries or self._over:
            return
        try:
            if not self._box:
                self._context.run(self._box.extend, islice(items, 1))
        except BaseException as error:
            if from_outside(error):
                self._cut = type(error).__name__
                raise
            self._finish(source_error(error))
            return
        if self._box:
            self._entries.extend(map(self._box.pop, (0,)))
            self._cut = None
        else:
            self._finish(None if self._cut is None else _cut_short(self._cut))

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        end_to_read(self._key, self.is_wanted)
        self._items = None


def _cut_short(by: str) -> SourceError:
    return SourceError(
        f"the input iterable ended right after a {by} had interrupted it, perhaps before its end, as a generator can't go on then; "
        f"with worker_type='thread' inputs are read where no interrupt comes"
    )
