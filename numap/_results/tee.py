"""Splits one stream of results into several.

`itertools.tee` is not safe in threads and keeps without limit what one branch has not read. Here a branch that is too far
ahead gets an error, or waits where a map reads it, so that nothing grows and nothing hangs.
"""

from __future__ import annotations

import weakref
from _thread import allocate_lock
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count, islice, repeat
from queue import SimpleQueue
from typing import Any

from .._base.checks import counted, shown, whole
from .._base.detaching import detach
from .._base.errors import StateError
from .._base.public import public
from .._items.failures import source_error
from .._items.segments import Segment
from .._sync.demand import current
from .._sync.interrupt_lock import InterruptSafeLock, NotifyingLock
from .stream import Puller, Stream, _Box, _outcomes, _returns, length_of


class _Splitter:
    """What the branches of a tee share: the items that not all of them have taken."""

    def __init__(self, source: Iterator[Any], limit: int) -> None:
        self.limit = limit
        self.source = source
        self._pulls = _outcomes(source)
        self._numbers = count()
        self._log: deque[tuple[Segment, int]] = deque()
        self._branches: weakref.WeakSet[Branch] = weakref.WeakSet()
        #: Guards the log, briefly; the other one guards the source, for as long as it blocks.
        self._lock = allocate_lock()
        self._pulling = NotifyingLock()
        #: Threads of ours that are too far ahead; each is given True where a consumer waits for it in vain.
        self.held_up: deque[SimpleQueue[bool]] = deque()
        #: So many items that a branch takes are news to those: not each single one, as to wake a thread costs more.
        self.news = max(1, limit // 8)
        self._drops: list[weakref.ref[Branch]] = []
        self._error: BaseException | None = None
        self._over = False

    def add(self, branch: Branch) -> None:
        """One more branch, from the first item on."""
        self._branches.add(branch)
        self._drops.append(weakref.ref(branch, partial(_look_again, self.held_up)))

    @property
    def over(self) -> bool:
        """Whether no more will be pulled."""
        return self._over or self._error is not None

    @property
    def pulled(self) -> int:
        """How many items have been pulled: what is not in the log any more all branches have taken."""
        log = list(self._log)
        return log[-1][1] + 1 if log else max((branch.place for branch in list(self._branches)), default=0)

    def get(self, place: int) -> Segment:
        """The outcome of a place; raises StopIteration, what ended the source, or StateError."""
        while True:
            found = self._find(place)
            if found is not None:
                return found
            self._stay_near(place)
            self._pulling.run_or_wait(partial(self._pull, place), partial(self._has, place))

    def _has(self, place: int) -> bool:
        return self._find(place) is not None

    def _find(self, place: int) -> Segment | None:
        with self._lock:
            return self._look_up(place)

    def _look_up(self, place: int) -> Segment | None:
        """With the lock; apart, as no loop may stand within a `with` through which an interrupt can come."""
        log = self._log
        slowest = min((branch.place for branch in list(self._branches)), default=place)
        while log and log[0][1] < slowest:
            log.popleft()
        return log[place - log[0][1]][0] if log and place - log[0][1] < len(log) else None

    def _ahead(self, place: int) -> int:
        return place - min((branch.place for branch in list(self._branches)), default=place)

    def _stay_near(self, place: int) -> None:
        """Returns when a branch may have the item of a place; StateError if it is too far ahead.

        A map reads on its own account, so it waits for the others. But where a consumer has taken all that the map has of this
        branch and waits for more, nothing says that the others will ever be read, as far as that consumer is concerned.
        """
        demand = current()
        refused = demand is None
        while self._ahead(place) >= self.limit:
            if demand is None or refused:
                error = StateError(
                    f"tee: this branch is {counted(self._ahead(place), 'item')} ahead of the slowest one, and limit={self.limit}; "
                    f"read the branches more evenly, or give a larger limit"
                )
                error.branch_limit = self.limit
                raise error
            answer: SimpleQueue[bool] = SimpleQueue()
            self.held_up.append(answer)
            # A reader that takes items or drops a branch from here on tells us.
            if self._ahead(place) < self.limit:
                return
            demand.ask(partial(answer.put, True))
            refused = answer.get()
            demand.withdraw()

    def _pull(self, place: int) -> None:
        if self._find(place) is not None:
            return
        if self._error is not None:
            raise self._error
        if self._over:
            raise StopIteration
        try:
            # One call, so that an interrupt comes before the item is pulled or after it is in the log.
            self._log.extend(zip(islice(self._pulls, 1), self._numbers, strict=False))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._error = source_error(error)
        if self._error is not None:
            raise self._error
        if not self._log or self._log[-1][1] < place:
            self._over = True
            raise StopIteration


def _look_again(held_up: deque[SimpleQueue[bool]], dropped: object = None) -> None:
    """A branch was taken from, or dropped: those too far ahead of it may go on."""
    try:
        any(map(SimpleQueue.put, iter(held_up.popleft, None), repeat(False)))
    except IndexError:  # all have been told
        return


class _Cursor(Puller):
    """Where a branch is."""

    def __init__(self, splitter: _Splitter) -> None:
        super().__init__()
        self.splitter = splitter
        self.place = 0
        self._lock = InterruptSafeLock()

    def pull_into(self, box: _Box) -> None:
        """See `Puller.pull_into`."""
        self._lock.run_locked(partial(self._take, box))

    def returns(self) -> bool:
        """See `Puller.returns`."""
        return _returns(self.splitter.source)

    def _take(self, box: _Box) -> None:
        splitter = self.splitter
        segment = splitter.get(self.place)
        box.segment, self.place = segment, self.place + 1
        if splitter.held_up and not self.place % splitter.news:
            _look_again(splitter.held_up)


class Branch(Stream):
    """One branch of a `tee`."""

    def __init__(self, splitter: _Splitter) -> None:
        self._cursor = _Cursor(splitter)
        super().__init__(self._cursor)
        splitter.add(self)

    @property
    def source(self) -> Iterator[Any]:
        """What was split."""
        return self._cursor.splitter.source

    @property
    def place(self) -> int:
        """Items that this branch has given out."""
        return self._cursor.place

    def __numap_detach__(self, owner: object) -> None:
        detach(self.source, owner)

    def __length_hint__(self) -> int:
        """How many items are still to come; NotImplemented unless what was split says it of itself."""
        splitter = self._cursor.splitter
        length = 0 if splitter.over else length_of(splitter.source)
        return NotImplemented if length is None else length + splitter.pulled - self.place + len(self._cursor.again)

    def __repr__(self) -> str:
        return f"<tee branch at item {self.place}>"


@public
def tee(source: Iterable[Any], n: int = 2, limit: int = 1024) -> tuple[Iterator[Any], ...]:
    """Splits a task, or any iterable, into ``n`` iterators that each give all of its items, failures at their places.

    The branches may be read in different threads and at different speeds. What one has taken and another has not is
    kept, outside the buffer of the map.

    Args:
        source: a task, a `join`, or any iterable.
        n: number of branches.
        limit: items that a branch may be ahead of the slowest one; beyond that it gets a StateError. A branch that was
            dropped holds none back.

    Raises:
        TypeError, ValueError: an argument is not allowed.

    >>> from numap import IMap, tee
    >>> a, b = tee(IMap(abs, [-1, -2], worker_type="serial"))
    >>> list(zip(a, b))
    [(1, 1), (2, 2)]
    """
    if not hasattr(type(source), "__iter__"):
        raise TypeError(f"source: must be iterable, not {shown(source)}")
    whole("n", n, 1, index=True)
    whole("limit", limit, 1, index=True)
    splitter = _Splitter(iter(source), limit)
    return tuple(Branch(splitter) for _ in range(n))
