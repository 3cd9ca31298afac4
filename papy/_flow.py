"""What runs between pipers: streams of items, in which a failed item is a value. Knows nothing of pipers and graphs.

Three kinds of streams meet here: the user's data, streams of numap (tasks, branches of a fork), whose failed places
raise, and `Chain`, what linear pipers are made of. `items_of` makes one kind of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from threading import Event
from typing import Any, Final, NamedTuple

from numap import IMap, ItemError, SerializationError, SourceError, TaskTimeout, WorkerDied
from papy._errors import DaggerError, PiperError, failure, place
from papy._worker import PiperCall

__all__ = ["Chain", "Evaluator", "Source", "in_step", "items_of"]

ITEM_ERRORS: Final = (ItemError, SerializationError, TaskTimeout, WorkerDied)
END: Final = object()


class Evaluator:
    """Who makes the items of a stream.

    Args:
        call: The piper's call.
        started: Set when all IMaps of the run have been started: before that none of their streams may be read.
        imap: The IMap that evaluates the call, if one does.

    Attributes:
        calls: Whose call each task of the IMap evaluates, as far as they are chained: an error says in which task it
            happened, and comes out at the end of the chain.
    """

    __slots__ = ("call", "calls", "imap", "started")

    def __init__(self, call: PiperCall, started: Event, imap: IMap[Any] | None = None) -> None:
        self.call = call
        self.calls: dict[int, PiperCall] = {}
        self.imap = imap
        self.started = started

    def failure(self, error: BaseException) -> PiperError:
        """The failure of an item that the engine could not deliver."""
        call = self.calls.get(getattr(error, "task", -1), self.call)
        return failure(call.__name__, call.number, error)


class Source(NamedTuple):
    """One input of a piper.

    Attributes:
        stream: Where the items come from.
        name: What to call it in an error.
        maker: Who makes the items; None: the stream is the user's data.
    """

    stream: Iterable[Any]
    name: str
    maker: Evaluator | None = None


class Chain:
    """A stream of items that go through one call after the other, in the thread of whoever pulls them.

    Linear pipers that follow each other are one chain: as nested iterators a thousand of them would be too deep.
    """

    __slots__ = ("calls", "items")

    def __init__(self, items: Iterable[Any], calls: tuple[Callable[[Any], Any], ...] = ()) -> None:
        self.items = items
        self.calls = calls

    def then(self, call: Callable[[Any], Any]) -> Chain:
        """The chain with one call more."""
        return Chain(self.items, (*self.calls, call))

    def __iter__(self) -> Iterator[Any]:
        for index, item in enumerate(self.items):
            for call in self.calls:
                item = call(item)
                if isinstance(item, PiperError):
                    place(item, index)
            yield item


def items_of(source: Source) -> Iterable[Any]:
    """The items of a source as values: what failed is a `PiperError` that knows its place.

    What ends the run is raised: a `DaggerError` if an input raised or did not fit, or else the error of numap.
    """
    if isinstance(source.stream, Chain):
        return source.stream
    if source.maker is None:
        return _from_data(source.stream, source.name)
    return _from_numap(source.stream, source.maker)


def in_step(streams: Sequence[Iterable[Any]], names: Sequence[str], where: str) -> Iterator[list[Any]]:
    """Yield lists with one item of each stream; a `DaggerError` names the stream that ends before the others.

    Args:
        streams: What to read.
        names: What to call each in the error.
        where: Who reads them, for the error.
    """
    iterators = [iter(stream) for stream in streams]
    if len(iterators) == 1:
        for item in iterators[0]:
            yield [item]
        return
    for length in count():
        row = [next(iterator, END) for iterator in iterators]
        ended = [name for name, item in zip(names, row, strict=True) if item is END]
        if len(ended) == len(row):
            return
        if ended:
            longer = [name for name, item in zip(names, row, strict=True) if item is not END]
            raise DaggerError(
                f"{where}: {' and '.join(ended)} ended after {length} items, {' and '.join(longer)} go on"
            )
        yield row


def _from_data(data: Iterable[Any], name: str) -> Iterator[Any]:
    # No "yield from": it would close the user's generator when this one is closed.
    try:
        for item in data:  # noqa: UP028
            yield item
    except Exception as error:
        raise DaggerError(f"{name} raised {type(error).__name__}: {error}") from error


def _from_numap(stream: Iterable[Any], maker: Evaluator) -> Iterator[Any]:
    iterator = iter(stream)
    # An IMap that is started first may pull from here, in a thread of its own, when the one behind is not yet.
    maker.started.wait()
    for index in count():
        try:
            item = next(iterator)
        except StopIteration:
            return
        except ITEM_ERRORS as error:
            # Without its frames: one of them is this one, and a reference cycle.
            item = maker.failure(error.with_traceback(None))
        except SourceError as error:
            ended = _end_of_run(error)
            raise ended from ended.__cause__
        if isinstance(item, PiperError):
            place(item, index)
        yield item


def _end_of_run(error: SourceError) -> DaggerError:
    """What to raise where numap says that an input has ended the run; its cause is what the user's input raised."""
    behind: BaseException | None = error
    while isinstance(behind, SourceError):  # one for each task on the way
        error, behind = behind, behind.__cause__
    if isinstance(behind, DaggerError):  # the input was a linear piper, and has said it all
        return behind
    ended = DaggerError(str(error))
    ended.__cause__ = behind or error
    return ended
