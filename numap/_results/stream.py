"""join and tee: the safe ways to pair tasks and to split them, failed places included."""

from __future__ import annotations

import weakref
from _thread import allocate_lock
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count, islice, repeat
from operator import length_hint
from queue import SimpleQueue
from typing import Any

from .._base.errors import SourceError, StateError
from .._base.options import positive, shown
from .._base.public import public
from .._items.failures import FAILED, RAW, SKIPPED, Segment, exception_of, source_error
from .._sync.demand import current
from .._sync.interrupt_lock import OpenTurn, Turn


class _Box:
    """Where a stream puts what it gives, in the same breath as it notes that it has given it."""

    __slots__ = ("segment",)

    def __init__(self) -> None:
        self.segment: Segment | None = None


class Puller:
    """What a stream gets its outcomes from.

    It is apart from the stream, as the frames of an item that fails in the reader's own thread lead back to the reader's:
    whoever keeps the error would keep a stream that everybody else has dropped.
    """

    def __init__(self) -> None:
        #: What an interrupt kept from being handed over, to be given first. Changed in one statement, without a call.
        self.again: tuple[Segment, ...] = ()

    def pull_into(self, box: _Box) -> None:
        """Puts the next outcome into the box, or raises what ends the stream."""
        raise NotImplementedError

    def returns(self) -> bool:
        """Whether who reads gets exceptions as results: as with what the stream is made of."""
        raise NotImplementedError


class Stream:
    """An iterator whose items may be values, failures at their places, or skipped places."""

    def __init__(self, puller: Puller) -> None:
        self._puller = puller

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        puller = self._puller
        del self
        while True:
            box = _Box()
            try:
                again = puller.again
                if again:
                    puller.again, box.segment = again[1:], again[0]
                else:
                    puller.pull_into(box)
                assert box.segment is not None, "a stream gives something or raises"
                kind, _, data = box.segment
                # Python 3.10 looks for signals at conditional jumps, too; none follows on what gives the item away.
                if kind == FAILED:
                    error = exception_of(data)
                    if puller.returns():
                        return error
                    box.segment = None
                    raise error
                if kind != SKIPPED:
                    return data[0]
            except BaseException:
                if box.segment is not None:
                    puller.again = (box.segment, *puller.again)
                raise

    def _returns(self) -> bool:
        return self._puller.returns()

    def _next_outcome(self, apart: bool = True) -> Segment:
        """The next outcome, for threads of ours: no interrupt comes there. Failures are failures in any case."""
        box = _Box()
        self._puller.pull_into(box)
        assert box.segment is not None, "a stream gives something or raises"
        return box.segment


def _outcomes(items: Iterator[Any]) -> Iterator[Segment]:
    """The outcomes of any iterator, as an iterator that steps without losing anything to an interrupt."""
    reader = getattr(items, "_next_outcome", None)
    if reader is None:
        return map(_value, items)
    # A partial, which is C: behind a call in Python an interrupt could come before the outcome is handed on.
    return iter(partial(reader, True), None)


def _returns(items: object) -> bool:
    returns = getattr(items, "_returns", None)
    return returns is not None and bool(returns())


def _value(item: Any) -> Segment:
    return RAW, 1, [item]


def length_of(items: object) -> int | None:
    """How many items something has or will give, as far as it says so itself; None: it doesn't, or raises."""
    try:
        length = length_hint(items, -1)
    except Exception:  # whatever a method of the user's raises: nobody has asked for its length
        return None
    return None if length < 0 else length


def least(lengths: Iterable[int | None]) -> int | None:
    """The length of what takes one item of each; None if one is not known."""
    found: int | None = None
    for length in lengths:
        if length is None:
            return None
        found = length if found is None else min(found, length)
    return found


def detach(stream: object, owner: object) -> None:
    """Whatever a stream is made of lets go of the map ``owner``, whose own input the stream is.

    A stream of somebody else's that reads tasks can take part: it has ``__numap_detach__`` and passes this on.
    """
    let_go = getattr(stream, "__numap_detach__", None)
    if let_go is not None:
        let_go(owner)


class _Pairs(Puller):
    """Pulls from each member of a join in turn."""

    def __init__(self, members: tuple[Iterator[Any], ...]) -> None:
        super().__init__()
        self._members = members
        self._pulls = [_outcomes(member) for member in members]
        self._parts: list[list[Segment]] = [[] for _ in members]
        self._count = 0
        self._over = False
        self._turn = Turn()

    def pull_into(self, box: _Box) -> None:
        """See `Puller.pull_into`."""
        self._turn.hold(partial(self._fill, box))

    def returns(self) -> bool:
        """See `Puller.returns`."""
        return any(map(_returns, self._members))

    def _fill(self, box: _Box) -> None:
        if self._over:
            raise StopIteration
        for pull, part in zip(self._pulls, self._parts, strict=True):
            # A part that is here already was pulled before an interrupt.
            if not part:
                part.extend(islice(pull, 1))
        ended = [place for place, part in enumerate(self._parts) if not part]
        if ended:
            self._over = True
            if len(ended) == len(self._parts):
                raise StopIteration
            raise SourceError(
                f"the inputs of a join have unequal lengths: input {ended[0]} ended first, after {self._count} items"
            )
        given = _joined([part[0] for part in self._parts])
        fresh: list[list[Segment]] = [[] for _ in self._parts]
        self._parts, self._count, box.segment = fresh, self._count + 1, given


class Join(Stream):
    """See `join`."""

    def __init__(self, members: tuple[Iterator[Any], ...]) -> None:
        super().__init__(_Pairs(members))
        #: The joined iterators. A map that gets this as an input pairs its own tasks without unpickling them.
        self.members = members

    def __numap_detach__(self, owner: object) -> None:
        for member in self.members:
            detach(member, owner)

    def __length_hint__(self) -> int:
        """How many items are still to come; NotImplemented unless all members say it of themselves."""
        length = least(map(length_of, self.members))
        return NotImplemented if length is None else length

    def __repr__(self) -> str:
        return f"<join of {len(self.members)} inputs>"


def _joined(members: list[Segment]) -> Segment:
    """The outcome of a place: the first member that has no value speaks for it."""
    for segment in members:
        if segment[0] in (FAILED, SKIPPED):
            return segment
    return RAW, 1, [tuple(segment[2][0] for segment in members)]


def made_of(stream: object) -> Iterator[object]:
    """What a stream reads in the end, through all joins and branches; of anything else the thing itself."""
    ahead = [stream]
    for it in ahead:
        if isinstance(it, Join):
            ahead.extend(it.members)
        elif isinstance(it, Branch):
            ahead.append(it.source)
        else:
            yield it


@public
def join(*tasks: Iterable[Any]) -> Join:
    """Pairs tasks by place: an iterator of tuples, to be read or to be the input of a task.

    A place with a failed member fails (with the error of the first such member), one with a skipped member falls out; no
    other place shifts. Where a member's map has ``on_error="return"``, who reads the join gets that error as the result of the
    place; a task that reads it does not. Members of unequal length end in a SourceError that names which ended first.

    Args:
        tasks: tasks of one map or of several, `tee` branches, other joins, or any iterables.

    Raises:
        ValueError: no task is given.
        TypeError: a member is not iterable.
        StateError: a member belongs to an unordered map that is started.

    >>> from numap import IMap, join
    >>> imap = IMap(worker_type="serial")
    >>> halves = imap.add_task(lambda x: x / 2, [2, 4])
    >>> names = imap.add_task(str, [2, 4])
    >>> with imap:
    ...     print(list(join(names, halves)))
    [('2', 1.0), ('4', 2.0)]
    """
    if not tasks:
        raise ValueError("join: at least one task is needed")
    members = []
    for place, task in enumerate(tasks):
        if not hasattr(type(task), "__iter__"):
            raise TypeError(f"join: input {place} must be iterable, not {shown(task)}")
        claim = getattr(task, "_claim_order", None)
        if claim is not None:
            claim()
        members.append(iter(task))
    return Join(tuple(members))


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
        self._pulling = OpenTurn()
        #: Threads of ours that are too far ahead; each is given True where a consumer waits for it in vain.
        self.parked: deque[SimpleQueue[bool]] = deque()
        #: So many items that a branch takes are news to those: not each single one, as to wake a thread costs more.
        self.news = max(1, limit // 8)
        self._drops: list[weakref.ref[Branch]] = []
        self._error: BaseException | None = None
        self._over = False

    def add(self, branch: Branch) -> None:
        """One more branch, from the first item on."""
        self._branches.add(branch)
        self._drops.append(weakref.ref(branch, partial(_look_again, self.parked)))

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
            self._pulling.hold_or_wait(partial(self._pull, place), partial(self._has, place))

    def _has(self, place: int) -> bool:
        return self._find(place) is not None

    def _find(self, place: int) -> Segment | None:
        with self._lock:
            return self._look_up(place)

    def _look_up(self, place: int) -> Segment | None:
        """With the lock; apart, as no loop may stand within a `with` through which an interrupt can come (see Turn)."""
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
                raise StateError(
                    f"tee: this branch is {self._ahead(place)} items ahead of the slowest one, and limit={self.limit}; "
                    f"read the branches more evenly, or give a larger limit"
                )
            gate: SimpleQueue[bool] = SimpleQueue()
            self.parked.append(gate)
            # Who takes items or drops a branch from here on tells us.
            if self._ahead(place) < self.limit:
                return
            demand.ask(partial(gate.put, True))
            refused = gate.get()
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


def _look_again(parked: deque[SimpleQueue[bool]], dropped: object = None) -> None:
    """A branch was taken from, or dropped: who was too far ahead of it may go on."""
    try:
        any(map(SimpleQueue.put, iter(parked.popleft, None), repeat(False)))
    except IndexError:  # all have been told
        return


class _Cursor(Puller):
    """Where a branch is."""

    def __init__(self, splitter: _Splitter) -> None:
        super().__init__()
        self.splitter = splitter
        self.place = 0
        self._turn = Turn()

    def pull_into(self, box: _Box) -> None:
        """See `Puller.pull_into`."""
        self._turn.hold(partial(self._take, box))

    def returns(self) -> bool:
        """See `Puller.returns`."""
        return _returns(self.splitter.source)

    def _take(self, box: _Box) -> None:
        splitter = self.splitter
        segment = splitter.get(self.place)
        box.segment, self.place = segment, self.place + 1
        if splitter.parked and not self.place % splitter.news:
            _look_again(splitter.parked)


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
            dropped holds nobody back.

    Raises:
        TypeError, ValueError: an argument is not allowed.

    >>> from numap import IMap, tee
    >>> a, b = tee(IMap(abs, [-1, -2], worker_type="serial"))
    >>> list(zip(a, b))
    [(1, 1), (2, 2)]
    """
    if not hasattr(type(source), "__iter__"):
        raise TypeError(f"source: must be iterable, not {shown(source)}")
    positive("n", n, or_none=False)
    positive("limit", limit, or_none=False)
    splitter = _Splitter(iter(source), limit)
    return tuple(Branch(splitter) for _ in range(n))
