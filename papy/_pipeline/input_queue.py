"""Where the entries of a pipeline are put, and from where its first step gets them.

The queue may be the user's, with other producers and rules of its own: bounded, shared with other processes, shut down, or
ordered. So all that has to be said to its reader goes through it as marks, and nothing of ours may stay in it after a run.
"""

from __future__ import annotations

import inspect
import os
import queue
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, Full, SimpleQueue
from threading import Lock, RLock, get_ident
from time import monotonic
from typing import Any

from numap import StateError
from papy._base.checks import counted
from papy._stages.accounting import LateEntries, RunState
from papy._stages.entries import First

#: What a queue that was shut down raises, from Python 3.13 on; before, something that doesn't come up where it is expected.
ShutDown: Any = getattr(queue, "ShutDown", Full)


#: Seconds in which a producer puts its next entry, or has none.
PRODUCER_TIMEOUT = 1.0
#: Seconds after `stop` in which an iterable that may be endless can come to its end.
ITERABLE_TIMEOUT = 5.0


_SEQUENCES: tuple[Any, ...] = ([], (), range(0), range(2**99), "", "\xe9", b"", bytearray(), reversed([]), deque())
_MAPPINGS: tuple[Any, ...] = (set(), {}, {}.values(), {}.items(), reversed({}), OrderedDict())
#: The iterators of Python's own containers.
_ENDING = frozenset(type(iter(it)) for it in _SEQUENCES + _MAPPINGS)


class InputIterable:
    """An iterable, to be read entry by entry."""

    __slots__ = ("entries", "finite")

    def __init__(self, iterable: Iterable[Any]) -> None:
        self.entries = iter(iterable)
        #: Whether it is known to end, and never blocks. A length says nothing: that of a class is what it says, and it may go on.
        self.finite = type(self.entries) in _ENDING


class _Mark(First, type):
    """What is put into the queue as a class."""


class End(metaclass=_Mark):
    """Stands in the queue, as the class itself, behind the last entry: classes also get through queues that pickle."""


class _Wake(metaclass=_Mark):
    """Stands in the queue, as the class itself, for a reader that waits there in vain."""


#: The readers of queues of the user's, by the queue's identity.
_readers: dict[int, InputQueue] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_readers.clear)  # they read in the other process


class InputQueue:
    """A queue of entries, iterables and meta entries.

    Args:
        given: The queue of the user's, which others put into; None: one of our own, without limit.
        alone: There will be one iterable, and nothing else.

    Raises:
        TypeError: It is no such queue.
    """

    def __init__(self, given: Any = None, alone: bool = False) -> None:
        self.alone = alone
        if given is not None:
            _check_queue(given)
        self.foreign = given is not None
        self._queue: Any = SimpleQueue() if given is None else given
        #: For threads that wait in ``join`` of the user's queue.
        self._task_done: Any = getattr(given, "task_done", None)
        # A signal handler may call `finish` while this very thread is in here.
        self._lock = RLock()
        #: The thread that has the lock in order to put something.
        self._putting = 0
        #: How many were put in our own queue for one run.
        self._entries = 0
        self.finished = False
        #: The end is still to be put in the queue, which was full.
        self._pending = False
        self.iterables = 0
        #: Those that have not been begun.
        self.unread: deque[InputIterable] = deque()
        #: When iterables that may be endless are left where they are, by `monotonic`; None: never.
        self.leave_at: float | None = None
        #: Whether the reader waits for the queue; then `wake` is needed to have it look around.
        self.waits = False
        self._run: RunState | None = None
        #: Set while the queue is drained after a run.
        self.draining: LateEntries | None = None

    def put(self, entry: Any, call: str) -> None:
        """Adds an entry, for a call of this name.

        Raises:
            StateError: The end has been put already.
        """
        if self.foreign:
            # May wait, as its owner wanted: not under a lock.
            self._check(call)
            self._queue.put(entry)
            return
        me = get_ident()
        with self._lock:
            # No call on the way into the `try`: a signal handler comes before or in it.
            before, self._putting = self._putting, me
            try:
                self._check(call)
                self._queue.put(entry)
                self._entries += 1
            finally:
                self._putting = before

    def put_iterable(self, iterable: Iterable[Any]) -> None:
        """Adds all entries of an iterable, to be taken as the steps go on."""
        source = InputIterable(iterable)
        with self._lock:
            self._check("put_iterable")
            self.iterables += 1
            # In this order: the reader says first that it waits, and then looks for it.
            self.unread.append(source)
        if self.waits:
            self.wake()

    @property
    def is_read(self) -> bool:
        """Whether a run reads it."""
        return self._run is not None

    def waiting(self) -> str:
        """What was put for the next run, for the user; it is in no queue of the user's."""
        entries, iterables = self._entries, len(self.unread)
        what = [counted(entries, "entry", "entries")] if entries else []
        return " and ".join([*what, counted(iterables, "iterable")] if iterables else what)

    def claim(self, call: str) -> None:
        """A call of this name wants to read.

        Raises:
            StateError: Another pipeline reads the same queue: each would take what is to end the other.
        """
        if not self.foreign:
            return
        other = _readers.get(id(self._queue), self)
        if other is not self:
            if other._run is not None:
                raise StateError(
                    f"{call}: not allowed while another pipeline reads the same in_queue; give it one of its own"
                )
            late = other.draining
            if late is not None and late.thread is not None:
                other.release(late)
                late.thread.join()
        _readers[id(self._queue)] = self

    def begin(self, state: RunState) -> None:
        """A run begins to read."""
        with self._lock:
            self._run = state

    def leave(self, run: RunState) -> None:
        """A run does not come about; what was put stays for the next one."""
        with self._lock:
            if self._run is run:
                self._run = None
        self._unclaim()

    def finish(self, run: RunState | None = None, hasty: bool = False) -> None:
        """Adds the end; again is no error.

        Args:
            run: The end is for this run; if that is over already, there is nothing to do.
            hasty: Iterables that may be endless are read on for `ITERABLE_TIMEOUT` seconds, and no longer.
        """
        with self._lock:
            if self.finished or (run is not None and run is not self._run):
                return
            self.finished = self._pending = True
            self.leave_at = monotonic() + ITERABLE_TIMEOUT if hasty else None
            self._put_end()

    def _put_end(self) -> None:
        """Puts the end, if it is still to be put and there is room; else the reader makes room, and comes here again."""
        with self._lock, suppress(Full, ShutDown):  # shut down: that is the end
            if self._pending:
                self._queue.put_nowait(End)
                self._pending = False

    def is_putting(self) -> bool:
        """Whether the thread that asks is in `put`, so that a signal handler in it may not wait for the end of a run."""
        return self._putting == get_ident()

    def _check(self, call: str) -> None:
        if self.finished:
            raise StateError(f"{call}: not allowed after finish(); the entry would be lost")

    def finish_if_empty(self) -> bool:
        """Ends, unless there is something left: for a run that needs no `finish`."""
        with self._lock:
            if self.unread or not self._queue.empty():
                return False
            self.finished = True
            return True

    def wake(self) -> None:
        """Wakes the reader that waits for an entry."""
        with suppress(Full, ShutDown):  # then it doesn't wait
            self._queue.put_nowait(_Wake)

    def wake_before_end(self) -> None:
        """Wakes the reader, unless the end does: in the user's queue nothing of ours may stay behind that."""
        with self._lock:
            if self.waits and not self.finished:
                self.wake()

    def discard(self, state: RunState) -> None:
        """Takes what no reader will take any more, and counts it as taken; then the next run can begin."""
        with self._lock:
            while not self.foreign and not self._queue.empty():
                state.taken += is_entry(self._queue.get())
            self.finished = self._pending = False
            self.leave_at = None
            self._entries = self.iterables = 0
            self.unread.clear()
            self._run = None
        self._unclaim()

    def _unclaim(self) -> None:
        if self._run is None and self.draining is None and _readers.get(id(self._queue)) is self:
            del _readers[id(self._queue)]

    def drain(self, late: LateEntries, queue_lock: Lock) -> None:
        """Takes whatever producers put into the user's queue after a run that ended before its input.

        They wait for room, perhaps, and know nothing of the end. What they put is taken, and thus skipped: until the queue is
        released or, once the user has heard of the end, until nothing comes for a second.

        Args:
            late: Where that is counted.
            queue_lock: Free when the reader of the run has left the queue.
        """
        late.waits = True
        with queue_lock:
            pass
        while not late.released:
            late.waits = True
            # In this order: a release says so first, and then looks whether we wait.
            try:
                entry = _Wake if late.released else self._take(True, *([PRODUCER_TIMEOUT] if late.told else []))
            except Exception:  # nothing has come, or nothing can: the queue is broken
                late.waits = False
                return
            late.waits = False
            late.taken += is_entry(entry)

    def tell(self, late: LateEntries) -> None:
        """The user has heard of the end of the run: `drain` ends by itself."""
        late.told = True
        if late.waits:
            self.wake()

    def release(self, late: LateEntries) -> None:
        """Ends `drain`."""
        late.released = True
        if late.waits:
            self.wake()
        self.draining = None
        self._unclaim()

    def is_empty(self) -> bool:
        """Whether there is nothing to `get` now."""
        return not self._pending and bool(self._queue.empty())

    def get(self, block: bool) -> Any:
        """The next thing in the queue; End: none will come, Empty: there is none now."""
        if self._pending:
            self._put_end()
        if not block and self._queue.empty():
            raise Empty
        return self._take(block)

    def _take(self, *how: Any) -> Any:
        found = self._queue.get(*how)
        if self._task_done is not None:
            self._task_done()
        return found


def _check_queue(it: Any) -> None:
    for method in ("put", "put_nowait", "get", "empty"):
        if not callable(getattr(it, method, None)):
            raise TypeError(f"in_queue: must be a queue, but a {type(it).__name__} has no method {method}()")
    if inspect.iscoroutinefunction(it.get):
        raise TypeError("in_queue: must be a queue for threads, not one for coroutines")


def is_entry(it: Any) -> bool:
    return it is not End and it is not _Wake


def log_left() -> None:
    """Tells that iterables were left where they are."""
    import logging

    logging.getLogger("papy").warning(
        "stop: an iterable that may be endless has not come to its end within %g s and is not read any further; "
        "call finish() before to have it read to its end",
        ITERABLE_TIMEOUT,
    )
