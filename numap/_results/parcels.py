"""Parcels of results on their way from the manager to the consumers of one task, through any interrupt.

An interrupt may come between any two instructions of a consumer, and several consumers may share a task. So a parcel stays
where it is until the next one was opened. What is opened changes in one statement without a call: before it nothing has
happened, after it everything. Consumers share a lock among themselves, never with the manager.
"""

from __future__ import annotations

import pickle
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from operator import length_hint
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Protocol

from .._base.errors import StateError, next_timeout
from .._items.failures import Failure, overrun_error, unpickle_failure
from .._items.segments import END, ENDING, FAILED, PACKED, PICKLES, RAW, RECORDS, SKIPPED, Segment, item_of, part
from .._sync.interrupt_lock import InterruptSafeLock, LockTimeout
from .waiters import Waiters


class Hooks(Protocol):
    """What an output needs of the manager."""

    paused: bool
    warning: str | None
    changed_outputs: deque[int]
    awaited: list[Waiters]

    def on_release(self) -> None:
        """Places were handed over, or a consumer found nothing to take."""

    def on_interrupt(self) -> None:
        """A KeyboardInterrupt leaves `next`: nothing new may begin."""

    def resume(self) -> None:
        """A consumer asks for results again."""

    def on_end(self) -> None:
        """A consumer has seen the end of a task."""

    def help(self, task: int, patient: bool) -> bool:
        """Runs an item in this thread, where there are no workers and one waits to be run; returns whether it did.

        Else reads an item for that task, where inputs are read so, too; in this thread only if that is ``patient``.
        """
        ...


class ParcelQueue:
    """Parcels of results, opened one at a time by the consumers of a task.

    Args:
        task: index of the task.
        label: name of its function.
        skip: a result that was not ready in time is given up.
        hooks: the manager.
    """

    def __init__(self, task: int, label: str, skip: bool, hooks: Hooks) -> None:
        self.task = task
        self._label = label
        #: Opened results; what steps this iterator has taken one.
        self.values: Iterator[Any] = NOTHING
        #: Knows how many are left of the ``_count`` that were opened. Stored together, without a call in between.
        self._left: Iterator[Any] = NOTHING
        self._count = 0
        #: Places that are handed over for good. The places of ``values`` follow when the next parcel is opened.
        self.released = 0
        #: From how many released places on that is news to the manager, and whether it is that a consumer waits; set by it.
        self.notify_from = 0
        self.notify_waits = True
        self._skip = skip
        #: Outcomes to come that were given up.
        self._given_up = 0
        #: Their places, for the manager to take.
        self.dropped: deque[int] = deque()
        #: Places that there will be; None: not known yet.
        self.total: int | None = None
        #: As far as is known now: an error may end the task sooner.
        self.expected: int | None = None
        #: The consumers that wait.
        self.waiters = Waiters(self._tell)
        self._hooks = hooks
        self._lock = InterruptSafeLock()
        #: Parcels with the number of outcomes before each. The manager appends; a consumer removes one when the next was opened.
        self._parcels: deque[tuple[int, int, Segment]] = deque()
        self._sent = 0
        self._opened = 0
        self._places = 0
        #: An opened failure, with nothing in ``values``.
        self.failure: Failure | None = None
        self._ending: BaseException | None = None
        self._closed: str | None = None
        self._parked = False

    # ------------------------------------------------------------------ the manager's side

    def put(self, first: int, segment: Segment) -> None:
        """Hands over a parcel whose first place is ``first``. A consumer that waits for it is told by `Waiters.announce`."""
        self._parcels.append((self._sent, first, segment))
        self._sent += segment[1] or 1
        # A consumer that begins to wait after this look finds the parcel itself.
        waiters = self.waiters
        if waiters.waiting or waiters.callbacks:
            self._hooks.awaited.append(waiters)

    def know_total(self, total: int) -> None:
        """There will be ``total`` places."""
        self.total = self.expected = total
        self.waiters.announce()

    def close(self, why: str, at_exit: bool = False) -> None:
        """From now on `take` is a StateError; what was not taken is gone.

        At the exit of the interpreter a daemon thread that asks is left waiting instead: it is about to vanish, and an
        error would only be noise.
        """
        self._parked = at_exit
        self._closed = why
        self.released = self.handed_over
        self.values, self._left, self._count, self._places = NOTHING, NOTHING, 0, 0
        self._parcels.clear()
        if not at_exit:
            self.waiters.close()

    def after_fork(self) -> None:
        """In a child of the user's: the map belongs to the parent, and so may the locks."""
        self._lock = InterruptSafeLock()
        self.waiters.after_fork()
        self.close("next: this map belongs to the process that started it; make a new one in the child")

    # ------------------------------------------------------------------ the consumers' side

    def _tell(self, waits: bool = True) -> None:
        """Something left, or a consumer waits. One that is interrupted before this tells it with its next wait."""
        # In this order: the note first, then the marks; the manager changes the marks first, then looks for notes.
        self._hooks.changed_outputs.append(self.task)
        if self.released >= self.notify_from or (waits and self.notify_waits) or self.dropped:
            self._hooks.on_release()

    @property
    def handed_over(self) -> int:
        """Places that were handed over so far, the last of them perhaps still in the caller's hands."""
        return self.released + self._count - length_hint(self._left)

    @property
    def consumed(self) -> int:
        """Places that consumers have had, skipped ones included, and the last one, though it counts until the next is asked for."""
        return self.released + self._places - length_hint(self._left) - (self.failure is not None)

    def _advance(self, deadline: float | None, block: bool, skipped: bool = False) -> bool:
        """Opens the next parcel unless something is open; returns True for a skipped place where these are asked for."""
        remaining = None if deadline is None else max(0.0, deadline - monotonic())
        try:
            return self._lock.run_locked(partial(self._open_next, deadline, block, skipped), block, remaining)
        except LockTimeout:
            raise next_timeout("next: other threads waited for results all the time that was given") from None

    def _open_next(self, deadline: float | None, block: bool, skipped: bool) -> bool:
        # In this order: a failure that another thread makes a value of (see OutputQueue) is seen as the one or as the other.
        while self.failure is None and self._ending is None and not length_hint(self._left):
            if self._closed is not None:
                while self._parked and threading.current_thread() is not threading.main_thread():
                    SimpleQueue[None]().get()
                raise StateError(self._closed)
            if self._hooks.paused:
                self._hooks.resume()
            if self._hooks.warning is not None:
                self._warn(self._hooks)
            if self._places:
                # One statement without a call: an interrupt comes before it or after it.
                self.released, self._places, self._left, self._count = self.released + self._places, 0, NOTHING, 0
                self._tell(waits=False)
            parcels = self._parcels
            while parcels and parcels[0][0] < self._opened:
                parcels.popleft()
            if parcels:
                was_skipped = self._open(*parcels[0])
                # At once: an exception that is raised refers to the frames of its reader, and these perhaps to the map.
                parcels.popleft()
                if was_skipped and skipped:
                    return True
            else:
                self._wait(deadline, block)
        return False

    def _warn(self, hooks: Hooks) -> None:
        """Warns in the thread of a consumer: warnings run code of the user's."""
        text, hooks.warning = hooks.warning, None
        if text is not None:
            warnings.warn(text, RuntimeWarning, stacklevel=7)

    def _open(self, number: int, first: int, segment: Segment) -> bool:
        """Opens a parcel; an interrupt before the last statement leaves it to be opened again."""
        kind, count, data = segment
        if kind == END:
            self._hooks.on_end()
            raise StopIteration
        values: list[Any] = []
        if kind in (RECORDS, PICKLES) and count > 1:
            values = _open_several(kind, data)
            opened_count = len(values) or 1
            if opened_count < count:
                # What can't be opened begins a parcel of its own. In one step, before what they were: that counts as opened then.
                behind = number + opened_count, first + opened_count, part(segment, opened_count, count)
                segment = part(segment, 0, opened_count)
                count = opened_count
                self._parcels.extendleft((behind, (number, first, segment)))
        failure: Failure | None = None
        ending: BaseException | None = None
        if kind == RAW:
            values = data
        elif not values:
            values, failure, ending = _unpack(segment)
            if failure is not None and failure.task < 0:
                failure = failure.at(self.task, first, self._label)
        given_up = min(self._given_up, count)
        if given_up:
            failure = None
        size = len(values)
        rest = values[given_up:]
        # Atoms may stay until the last of them is taken; other objects are let go one by one.
        opened, left = (iter(rest),) * 2 if kind == PACKED else drained(rest)
        self._given_up, self._opened, self._places, self.failure, self._ending, self.values, self._left, self._count = (
            self._given_up - given_up,
            number + (count or 1),
            count,
            failure,
            ending,
            opened,
            left,
            size,
        )
        return kind == SKIPPED

    def _wait(self, deadline: float | None, block: bool) -> None:
        """Waits for a parcel; another consumer may have taken it when this returns."""
        patient = block and deadline is None
        if self._hooks.help(self.task, patient):
            return
        if self._given_up and self.total is not None and self.released + self._places + self._given_up >= self.total:
            # All that is still to come was given up.
            raise StopIteration
        remaining = None if deadline is None else deadline - monotonic()
        if not block or (remaining is not None and remaining <= 0):
            raise next_timeout(f"next: no result of task {self.task} was ready" + ("" if not block else " in time"))
        self.waiters.begin()
        # An item may have become ready to run since the first look, when no consumer was waiting to be told.
        if self._parcels or self._closed is not None or self._hooks.help(self.task, patient):
            return
        try:
            self.waiters.wait(remaining)
        except Empty:
            if self._parcels:
                return
            if self._skip:
                place = self.released + self._given_up
                # Both or none: an interrupt comes before the one or after the other.
                self._given_up += 1
                self.dropped.append(place)
                self._tell()
            raise next_timeout(f"next: no result of task {self.task} was ready in time") from None


def _unpack(segment: Segment) -> tuple[list[Any], Failure | None, BaseException | None]:
    """The results of a parcel, or its failure, or what ends the task."""
    kind, _, data = segment
    if kind == PACKED:
        return pickle.loads(data), None, None
    if kind == FAILED:
        return [], data, None
    if kind == ENDING:
        return [], None, data if isinstance(data, BaseException) else overrun_error(data)
    if kind == SKIPPED:
        return [], None, None
    try:
        return [item_of(segment)], None, None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever its own code raises: only its own item fails
        return [], unpickle_failure(error), None


def _open_several(kind: int, data: Any) -> list[Any]:
    """The values of several pickles, up to one that can't be opened."""
    try:
        return data.values() if kind == RECORDS else list(map(pickle.loads, data))
    except KeyboardInterrupt:
        raise
    except BaseException:
        values: list[Any] = []
    for single in range(len(data)):
        try:
            values.append(item_of(part((kind, len(data), data), single, single + 1)))
        except KeyboardInterrupt:
            raise
        except BaseException:
            break
    return values


def drained(values: list[Any]) -> tuple[Iterator[Any], Iterator[Any]]:
    """An iterator that keeps nothing that it gave, and one that knows how many values are left in it."""
    left = repeat(values[::-1], len(values))
    return map(list.pop, left), left


#: Nothing, for ever.
NOTHING: Iterator[Any] = iter(())
