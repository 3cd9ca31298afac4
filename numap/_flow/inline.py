"""The work of consumers of a map without workers: items run in their threads, and inputs are read there.

A serial map is for debugging, so what fails has to fail in the thread that asks, under the user's own frames. The decisions
are made by the manager's thread as for all maps; a consumer that finds nothing to take does what is to be done next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from .._base.errors import SourceError
from .._items.failures import source_error
from .._items.segments import RAW, Segment
from .._results.output_queue import OutputQueue
from .._schedule.scheduler import Scheduler
from .._sync.interrupt_lock import InterruptSafeLock, LockTimeout
from .._sync.threads import ContextThread, own_context
from .._system.interruptions import from_outside
from ..engines.protocol import InlineEngine
from .sources import Source, begin_to_read, end_to_read
from .wakeup import Wakeup


class AskedSource:
    """An input that is read in the thread that asks for a result, one item when one is needed.

    See `Source`; the methods are called by the manager, but for `pull`, which any consumer calls.

    Args:
        items: the iterator; the only reference that is kept to it.
        wake: wakes the manager.
        wanted: whether the map goes on.
    """

    solicited_only = False
    #: Its items are read by the consumer that waits for them.
    demand = None

    def __init__(self, items: Iterator[Any], wake: Callable[[], None], wanted: Callable[[], bool]) -> None:
        self._items: Iterator[Any] | None = items
        self._key = id(items)
        self._wanted = wanted
        self._wake = wake
        self._apart = False
        self._context = own_context()
        self._lock = InterruptSafeLock()
        #: An item on its way from the input to ``entries``; each step is one of C, so an interrupt loses nothing.
        self._box: list[Any] = []
        self.entries: deque[Any] = deque()
        #: Something is in it when the input has ended.
        self.notes: deque[None] = deque()
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

    def collect(self) -> tuple[list[Segment], int]:
        """See `Source.collect`."""
        self.notes.clear()
        over, count = self._over, len(self.entries)
        # In this order: the consumer that asks sees that there are entries, or that fewer may come.
        self._granted -= count
        taken = [self.entries.popleft() for _ in range(count)]
        if over and not self.entries:
            self.ended = True
        return [(RAW, count, taken)] if taken else [], 0

    def stop(self) -> int:
        """See `Source.stop`."""
        self.ended = self._over = True
        self._let_go()
        unused, self._granted = self._granted - len(self.entries), 0
        self.entries.clear()
        return unused

    def pull(self, patient: bool) -> None:
        """Reads an item, if one may be read and none waits.

        Args:
            patient: it may take as long as it takes; else it is read in a thread of its own, and the caller goes on at once.

        Raises:
            BaseException: a real KeyboardInterrupt, or what a signal handler raised.
        """
        if self._granted > 0 and not (self.entries or self._over or self._apart):
            if patient:
                self._read()
            else:
                self._apart = True
                with suppress(RuntimeError):  # at its end the interpreter starts no thread
                    ContextThread("numap-input", self._read_apart).start()
        elif self.entries or (self._over and not self.ended):
            # It was read before, and an interrupt may have come between that and this.
            self._wake()

    def _read_apart(self) -> None:
        self._apart = False
        self._read()

    def _read(self) -> None:
        with suppress(LockTimeout):
            self._lock.run_locked(self._pull, block=False)
            self._wake()

    def _pull(self) -> None:
        items = self._items
        if items is None or self.entries or self._over:
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
            self.entries.extend(map(self._box.pop, (0,)))
            self._cut = None
        else:
            self._finish(None if self._cut is None else _cut_short(self._cut))

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        self._over = True
        self.notes.append(None)
        self._let_go()

    def _let_go(self) -> None:
        end_to_read(self._key, self.is_wanted)
        self._items = None


class Inline:
    """What consumers do in the place of workers.

    Args:
        engine: has the item to run.
        schedule: knows which inputs lead where.
        wakeup: knows whether the manager sleeps.
        outputs: where results are waited for.
    """

    def __init__(
        self, engine: InlineEngine, schedule: Scheduler, wakeup: Wakeup, outputs: Mapping[int, OutputQueue]
    ) -> None:
        self._engine = engine
        self._schedule = schedule
        self._wakeup = wakeup
        self._outputs = outputs
        self._sources: dict[int, AskedSource] = {}
        engine.offer = self.offer

    def start(self, sources: Mapping[int, Source]) -> None:
        """Learns of the inputs, by root."""
        self._sources = {root: source for root, source in sources.items() if isinstance(source, AskedSource)}

    def offer(self) -> None:
        """There is something to do, perhaps: wakes the consumers that wait."""
        for output in self._outputs.values():
            output.waiters.announce()

    def before_sleep(self) -> None:
        """The manager has nothing to do, and has said so: consumers that found it busy may read."""
        if self._sources:
            self.offer()

    def help(self, task: int, patient: bool) -> bool:
        """See `Hooks.help`."""
        if self._engine.run_one():
            return True
        # Only if all that was read has come out: then the manager sleeps, and no job is where its outcome waits to be seen.
        if self._sources and self._wakeup.idle and not self._engine.slots[0].jobs:
            for root in self._schedule.roots_of[task]:
                if root in self._sources:
                    self._sources[root].pull(patient)
        return False

    def finalize(self) -> None:
        """Runs the finalizer in this thread, if it has not run."""
        self._engine.finalize()


def _cut_short(by: str) -> SourceError:
    return SourceError(
        f"the input iterable ended right after a {by} had interrupted it, perhaps before its end, as a generator can't go on then; "
        f"with worker_type='thread' inputs are read where no interrupt comes"
    )
