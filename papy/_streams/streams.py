"""What runs between pipers: streams of items, in which a failed item is a value. Knows nothing of pipers and graphs.

A stream that raised for a failed item would end there in Python. So failures are items, and only what ends a run is raised.

Streams of numap (tasks, branches of a fork) raise at the places of failed items. All others here are a `ResumableStream`: they give
a `PiperError` as the item, and raise only what ends them. `items_of` makes the second kind of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, cycle, repeat
from math import inf
from operator import length_hint
from typing import Any, Final

from numap import (
    ItemError,
    NextTimeout,
    SerializationError,
    SourceError,
    StateError,
    TaskTimeout,
    WorkerDied,
    WorkerStartError,
    tee,
)
from papy._base.errors import DaggerError, PiperError
from papy._base.threads import Flag
from papy._base.tracebacks import without_ours
from papy._evaluate.provenance import Provenance
from papy._streams.base import NOTHING, ResumableStream
from papy._streams.source import Link, StreamSource

# A PiperError is what a call raises that is evaluated again, as often as that is to be.
ITEM_ERRORS: Final = (ItemError, NextTimeout, PiperError, SerializationError, TaskTimeout, WorkerDied)
SEQUENCES: Final = (list, tuple, range)  # these raise nothing

# Consumers of one piper may be so many items apart. What one has read and another has not is kept, so this bounds
# the memory. Pipers on IMaps stay within their buffers, far below; a reader of outputs one by one can get here.
FORK_LIMIT: Final = 2**15


class Chain(ResumableStream):
    """A stream of items that go through one call after the other, in the thread of their reader.

    Linear pipers that follow each other are one chain: as nested iterators a thousand of them would be too deep.
    """

    __slots__ = ("_item", "_links")
    _counted = True

    def __init__(self, items: Iterator[Any], links: Iterable[Link]) -> None:
        super().__init__(items)
        self._links = list(links)
        self._item: Any = NOTHING

    def then(self, link: Link) -> Chain:
        """This chain with one call more."""
        # In place: a copy for each of thousands of pipers would be most of the time that connecting them takes.
        self._links.append(link)
        return self

    def _pull(self) -> None:
        if self._item is NOTHING:
            items = self._items
            for self._item in items:
                break
            else:
                raise StopIteration
        item = self._item
        for call, tracked in self._links:
            item = call(item)
            if tracked is not None:
                tracked[self.count.given] = item
        self._held = item
        self._item = NOTHING


class InputStream(ResumableStream):
    """The user's data; what it raises ends the run as a `DaggerError` that names it.

    Attributes:
        closable: It may be cut off: an orderly stop takes nothing more from it.
        closed: Nothing more is taken.
        data: What is read, if it is a sequence.
    """

    __slots__ = ("_kept", "_name", "_used", "closable", "closed", "data")

    def __init__(self, data: Iterable[Any], name: str, closable: bool = False) -> None:
        super().__init__(iter(data))
        self._name = name
        self.closable = closable
        self.closed = False
        self.data = data if type(data) in SEQUENCES else None
        self._kept: deque[tuple[int, Any]] | None = None
        self._used: Callable[[], int] | None = None

    def keep(self, kept: deque[tuple[int, Any]], used: Callable[[], int] | None) -> None:
        """Keep what is given, with its place, until so many have been used; None: as many as the deque holds."""
        self._kept, self._used = kept, used

    def left(self) -> float | None:
        """How many items are left, where that is certain: infinitely many, perhaps. None: only the user's code knows."""
        items = self._items
        kind = type(items)
        if kind in (count, cycle):
            return inf
        # What is "iterator" asks the user's code.
        if kind is not repeat and (kind.__module__ != "builtins" or kind.__name__ == "iterator"):
            return None
        try:
            hint = length_hint(items, -1)
        except TypeError:  # a `repeat` without limit
            return inf
        return None if hint < 0 else hint

    def _pull(self) -> None:
        if self.closed:
            raise StopIteration
        try:
            items = self._items
            for self._held in items:
                kept = self._kept
                if kept is None:
                    return
                given = self.count.given
                kept.append((given, self._held))
                if self._used is None:
                    return
                needed = given + 2 - self._used()
                while len(kept) > needed:
                    kept.popleft()
                return
        except SourceError as error:  # it may be data of ours, which several read, and has said it all
            ended = _end_of_run(error)
            raise ended from ended.__cause__
        except StateError as error:
            raise DaggerError(f"{self._name} can't be read: {_state_text(error, 'the same data')}") from error
        except Exception as error:
            raise DaggerError(f"{self._name} raised {type(error).__name__}: {error}") from without_ours(error)
        raise StopIteration


class TaskStream(ResumableStream):
    """The items of a stream of numap as values: what failed is a `PiperError`.

    Args:
        stream: The items.
        maker: What makes them.
        again: A result that was waited for in vain comes later, behind the failure in its place.
    """

    __slots__ = ("_again", "_error", "_maker", "_started")
    _counted = True

    def __init__(self, stream: Iterable[Any], maker: Provenance, again: bool = False) -> None:
        super().__init__(iter(stream))
        maker.show(self.count)
        self._again = again
        self._maker = maker
        self._started = False
        self._error: Exception | None = None

    def _pull(self) -> None:
        if not self._started:
            # An IMap that is started first may pull from here, in a thread of its own, when the one behind is not yet.
            self._maker.started.wait()
            self._started = True
        if self._error is None:
            items = self._items
            try:
                for self._held in items:
                    return
                raise StopIteration
            except ITEM_ERRORS as error:
                self._error = error
            except SourceError as error:
                ended = _end_of_run(error)
                raise ended from ended.__cause__
            except WorkerStartError as error:
                self._maker.name(error)
                raise
            except StateError as error:
                raise StateError(_state_text(error, self._maker.call.__name__)) from None
        self._fail(self._error)
        self._error = None

    def _fail(self, error: Exception) -> None:
        """The next item is the failure of one that the engine could not deliver."""
        # Without its frames: one of them is this one, and a reference cycle.
        self._held = self._maker.failure(error.with_traceback(None))


class TimedTaskStream(TaskStream):
    """As `TaskStream`, of a task whose ``next`` has a time limit: a result that comes late is given up, its place has failed.

    Args:
        stream: The task.
        maker: What makes the items.
        unlimited: The same task without a limit. A late result is waited for there, and dropped, before the next is asked for.
    """

    __slots__ = ("_due", "_unlimited")

    def __init__(self, stream: Iterable[Any], maker: Provenance, unlimited: Iterable[Any]) -> None:
        super().__init__(stream, maker)
        self._unlimited = iter(unlimited)
        self._due: Any = None  # NOTHING: a late result has not come yet

    def _reads(self) -> Sequence[object]:
        return (self._items, self._unlimited)

    def _pull(self) -> None:
        if self._due is NOTHING:
            try:
                unlimited = self._unlimited
                for self._due in unlimited:
                    break
            except ITEM_ERRORS:
                self._due = None
        self._due = None
        super()._pull()

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        if isinstance(error, NextTimeout):
            self._due = NOTHING


class DeferredStream(ResumableStream):
    """What one consumer reads of a piper that has not been started: then the items are there.

    Args:
        started: Set when it has been told the items, or never will be.
    """

    __slots__ = ("_started", "ended")

    def __init__(self, started: Flag) -> None:
        super().__init__(iter(()))
        self._started = started
        self.ended = False

    def read_from(self, items: Iterator[Any]) -> None:
        """The piper starts: these are the items."""
        self._items = items

    def _pull(self) -> None:
        self._started.wait()
        items = self._items
        for self._held in items:
            return
        self.ended = True
        raise StopIteration


def items_of(source: StreamSource) -> Iterator[Any]:
    """The items of a source as values.

    What ends the run is raised: a `DaggerError` if an input raised or did not fit, or else the error of numap.
    """
    stream = source.stream
    if isinstance(stream, ResumableStream):
        return stream
    if source.maker is not None:
        return TaskStream(stream, source.maker)
    if type(stream) in SEQUENCES:
        return iter(stream)
    return InputStream(stream, source.name)


def branches(output: StreamSource, consumers: int) -> list[StreamSource]:
    """Split what a piper puts out between its consumers."""
    if consumers < 2:
        return [output] * consumers
    return [output._replace(stream=branch) for branch in tee(output.stream, consumers, limit=FORK_LIMIT)]


def _state_text(error: StateError, name: str = "one piper") -> str:
    """What numap says of a state that forbids to read; of tees our users know nothing."""
    if error.branch_limit is None:
        return str(error)
    return (
        f"what {name} gives is read by several, and one of them is {error.branch_limit:,} items ahead of another, "
        f"which is the limit; read the outputs in step (as Dagger.results does)"
    )


def _end_of_run(error: SourceError) -> DaggerError | WorkerStartError:
    """What to raise where numap says that an input has ended the run; its cause is what the user's input raised."""
    behind: BaseException | None = error
    while isinstance(behind, SourceError):  # one for each task on the way
        error, behind = behind, behind.__cause__
    if isinstance(behind, (DaggerError, WorkerStartError)):  # the input was one of our streams, and has said it all
        return behind
    ended = DaggerError(_state_text(behind) if isinstance(behind, StateError) else str(error))
    ended.__cause__ = without_ours(behind or error)
    return ended
