"""Where items come from: inputs that can't block are read by the manager, all others in a thread of their own.

An input is code of the user that may take as long as it likes, and the manager waits for nothing. So a thread pulls, as many
items as it was granted, and pickles each before it pulls the next: an input may reuse its objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Sized
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from .._items.failures import source_error
from .._items.segments import ATOMS, LONG, RAW, SKIPPED, Gatherer, Segment, is_atom, size_of
from .._items.sizes import sizeof
from .._sync.demand import Demand
from .._sync.threads import ContextThread
from ..engines.protocol import Encode
from .wakeup import Wakeup

#: Items of a sequence in one piece at most.
_PIECE = 2048
#: Of so many items that are pulled one is measured: it takes as long as to pull some of them.
_EACH = 16
_ALIKE = frozenset(ATOMS - {str, bytes})


class Source(Protocol):
    """One input of a run. All methods are called by the manager."""

    #: No item will come any more behind those that `collect` has returned.
    ended: bool
    #: Why it ended, if not by its own end.
    error: BaseException | None
    #: Nothing comes but at a grant.
    solicited_only: bool

    @property
    def entries(self) -> Sized:
        """What was pulled and not collected."""
        ...

    @property
    def notes(self) -> Sized:
        """What else there is to collect: where neither has anything in it, `collect` has nothing to tell."""
        ...

    @property
    def demand(self) -> Demand | None:
        """The demand for its items, where a thread reads them that may ask."""
        ...

    def start(self) -> None:
        """Gets ready; pulls nothing."""

    def grant(self, count: int, nbytes: int) -> None:
        """``count`` more items may be pulled, unless they have more than ``nbytes`` bytes."""

    def collect(self) -> tuple[list[Segment], int]:
        """What has been pulled since the last call, and how many of the granted items will not be: those before them were large."""
        ...

    def stop(self) -> int:
        """Pulls nothing any more and lets the input go; returns how many granted items were not pulled."""
        ...


class SequenceSource:
    """A list, tuple or range: reading it does not block and runs no code, unless its items must be pickled.

    Args:
        items: the sequence.
        pull_apart: makes a source with a thread for an iterator; for items that are no atoms. None: never needed.
    """

    #: No item of a sequence is waited for.
    demand = None

    def __init__(self, items: Sequence[Any], pull_apart: Callable[[Iterator[Any]], Source] | None) -> None:
        self._items: Sequence[Any] | None = items
        self._pull_apart = pull_apart
        self._input: Source | None = None
        self._place = 0
        self._granted = 0
        self._nbytes = 0
        self.entries: Sized = ()
        #: What was granted and not looked at.
        self.notes: Sized = ()
        self.solicited_only = True
        self.ended = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Nothing to do."""

    def grant(self, count: int, nbytes: int) -> None:
        """See `Source.grant`."""
        if self._input is not None:
            self._input.grant(count, nbytes)
        else:
            self.notes = (count,)
        self._nbytes = nbytes
        self._granted += count

    def collect(self) -> tuple[list[Segment], int]:
        """See `Source.collect`; what is in a list takes its memory already, so nothing of that is spared."""
        if self._input is not None:
            return self._from_thread(self._input)
        self.notes = ()
        found: list[Segment] = []
        items = self._items
        while items is not None and self._granted and not self.ended:
            piece = items[self._place : self._place + min(self._granted, _PIECE)]
            # A part of a range crosses to another process as what it is.
            if self._pull_apart is None or type(items) is not range:
                piece = list(piece)
            if not piece:
                self.ended = True
            elif self._pull_apart is not None and type(items) is not range and not _all_atoms(piece):
                self._hand_over_to(self._pull_apart(islice(items, self._place, None)))
                break
            else:
                found.append((RAW, len(piece), piece))
                self._place += len(piece)
                self._granted -= len(piece)
        if items is not None and self._place >= len(items):
            self.ended = True
        return found, 0

    def _hand_over_to(self, source: Source) -> None:
        """The rest of the sequence is read by another source."""
        self._input = source
        self.entries, self.notes, self.solicited_only = source.entries, source.notes, source.solicited_only
        source.start()
        source.grant(self._granted, self._nbytes)

    def _from_thread(self, source: Source) -> tuple[list[Segment], int]:
        found, spared = source.collect()
        self._granted -= sum(segment[1] for segment in found) + spared
        self.ended, self.error = source.ended, source.error
        return found, spared

    def stop(self) -> int:
        """See `Source.stop`."""
        self._items = None
        if self._input is not None:
            self._input.stop()
        self.ended = True
        unused, self._granted = self._granted, 0
        return unused


def _all_atoms(items: Sequence[Any]) -> bool:
    kinds = set(map(type, items))
    return kinds <= _ALIKE or (kinds <= ATOMS and all(map(is_atom, items)))


#: By identity, iterators that sources read, each with a question: whether that map still wants it.
_read: dict[int, Callable[[], bool]] = {}


def begin_to_read(key: int, wanted: Callable[[], bool]) -> None:
    """A source reads the iterator with this id, as long as that is wanted."""
    _read[key] = wanted


def end_to_read(key: int, wanted: Callable[[], bool]) -> None:
    """It reads no more; called while it still has the iterator."""
    # Another map may have begun to read it since this one was stopped.
    if _read.get(key) == wanted:
        del _read[key]


def check_free(items: object) -> None:
    """ValueError if an iterator is being read by another map: each of its items would go to one of the two."""
    wanted = _read.get(id(items))
    if wanted is not None and wanted():
        raise ValueError(
            f"iterable: this {type(items).__name__} is the input of another map, which runs, and each of its items "
            f"would go to one of the two only; split it with numap.tee, and give each map a branch, or stop() the other map first"
        )


class InputThread:
    """A source with a thread that pulls one iterator and pickles what it pulled before it pulls on.

    ``entries`` is filled by the thread and emptied by the manager; a deque needs no lock for that.

    Args:
        items: the iterator; the only reference that is kept to it.
        encode: for items that go to another process; None: they stay as they are.
        wakeup: rung when something was pulled.
        wanted: whether the map goes on.
    """

    solicited_only = False

    def __init__(self, items: Iterator[Any], encode: Encode | None, wakeup: Wakeup, wanted: Callable[[], bool]) -> None:
        self.demand = Demand(wakeup.notify)
        self.entries: deque[Any] = deque()
        self._gatherer = Gatherer()
        self.grants: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._granted = 0
        #: Granted items that are not pulled, and a 0 for the end of the input.
        self.notes: deque[int] = deque()
        self._over = False
        self.ended = False
        self.error: BaseException | None = None
        self._key = id(items)
        self._wanted = wanted
        self._thread = ContextThread("numap-input", _run_input, (items, encode, wakeup, self))

    def is_wanted(self) -> bool:
        """Whether more may be pulled, sooner or later."""
        return not self._over and self._wanted()

    def start(self) -> None:
        """Starts the thread."""
        begin_to_read(self._key, self.is_wanted)
        self._thread.start()

    def grant(self, count: int, nbytes: int) -> None:
        """See `Source.grant`."""
        self._granted += count
        self.grants.put((count, nbytes))

    def collect(self) -> tuple[list[Segment], int]:
        """See `Source.collect`."""
        spared = 0
        # Before the look whether it is over: the note of that comes behind it.
        while self.notes:
            spared += self.notes.popleft()
        over = self._over
        entries = self.entries
        # Only as many as there are now: the thread may add while we take.
        taken = [entries.popleft() for _ in range(len(entries))]
        self._granted -= len(taken) + spared
        if over and not entries:
            self.ended = True
        return self._gatherer.segments(taken), spared

    def spare(self, count: int) -> None:
        """So many of the granted items are not pulled; by the thread."""
        self.notes.append(count)

    def finish(self, error: BaseException | None) -> None:
        """The input ended; by the thread, after its last entry, while it still has the iterator."""
        self.error = error
        self._over = True
        self.notes.append(0)
        end_to_read(self._key, self.is_wanted)

    def stop(self) -> int:
        """See `Source.stop`."""
        self.ended = self._over = True
        self.grants.put((0, 0))
        self.demand.end()
        unused, self._granted = self._granted - len(self.entries), 0
        self.entries.clear()
        return unused


def _run_input(items: Iterator[Any], encode: Encode | None, wakeup: Wakeup, thread: InputThread) -> None:
    """The life of the thread of an input."""
    error: BaseException | None = None
    pull = outcome_reader(items) if hasattr(items, "_next_outcome") else None
    thread.demand.enter()
    try:
        while True:
            count, nbytes = thread.grants.get()
            if thread.ended:
                return
            if not _serve(items, pull, encode, wakeup, thread, count, nbytes):
                break
    except BaseException as caught:
        error = source_error(caught)
        del caught
    finally:
        thread.finish(error)
        # The input goes here, in its own thread, whatever becomes of the map.
        del items, pull
        error = None
        wakeup.notify()


def _serve(
    items: Iterator[Any],
    pull: Callable[[], Segment] | None,
    encode: Encode | None,
    wakeup: Wakeup,
    thread: InputThread,
    count: int,
    nbytes: int,
) -> bool:
    """Pulls ``count`` items, or as many as have ``nbytes`` bytes; False: the input has ended."""
    if pull is not None:
        return _serve_outcomes(pull, encode, wakeup, thread, count, nbytes)
    append = thread.entries.append
    for value in items:
        entry = value
        if encode is None:
            entry = RAW, 1, [value]
        elif type(value) not in _ALIKE and (type(value) is not str or len(value) >= LONG):
            entry = encode(value, "item")
        append(entry)
        count -= 1
        if not count % _EACH:
            nbytes -= _EACH * (len(entry) if type(entry) is bytes else sizeof(value))
            if nbytes < 0:
                thread.spare(count)
                count = 0
        del value, entry
        if wakeup.idle:
            wakeup.notify()
        if not count or thread.ended:
            return True
    return False


def _serve_outcomes(
    pull: Callable[[], Segment], encode: Encode | None, wakeup: Wakeup, thread: InputThread, count: int, nbytes: int
) -> bool:
    """The same for an input of which the failures come, too."""
    append = thread.entries.append
    while count and not thread.ended:
        try:
            segment = pull()
        except StopIteration:
            return False
        if segment[0] == RAW and encode is not None:
            value = segment[2][0]
            append(value if is_atom(value) and type(value) is not bytes else encode(value, "item"))
        else:
            append(segment)
        count -= 1
        if not count % _EACH:
            nbytes -= _EACH * size_of(segment)
            if nbytes < 0:
                thread.spare(count)
                count = 0
        if wakeup.idle:
            wakeup.notify()
    return True


def outcome_reader(items: Iterator[Any]) -> Callable[[], Segment]:
    """A function that gives the next item as a segment; streams of ours give their failures, too."""
    reader = getattr(items, "_next_outcome", None)
    if reader is None:
        return lambda: (RAW, 1, [next(items)])

    def pull() -> Segment:
        while True:
            segment: Segment = reader()
            if segment[0] != SKIPPED:
                return segment

    return pull
