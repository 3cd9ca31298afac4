"""Piper: a Worker at its place in a pipeline, evaluated here or by an IMap. Knows nothing of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from threading import Event
from typing import Any, Literal

from numap import IMap, StateError, join
from papy._errors import PiperError
from papy._flow import Chain, Evaluator, Source, in_step, items_of
from papy._worker import PiperCall, Worker

__all__ = ["Piper"]

_numbers = count()


@dataclass(frozen=True)
class Run:
    """What the pipers of one run share.

    Attributes:
        by_place: Results are paired somewhere: what comes out must be in the order of what went in.
        started: Set when all IMaps have been started.
    """

    by_place: bool
    started: Event


class Piper:
    """A node of a pipeline: one call of its functions for each item of its inputs, in their order.

    A function takes an *inbox*: a list with one item for each upstream piper, or with the one item of the input data.
    Where it raises an Exception a `PiperError` travels on in the item's place.

    Pipers are compared by identity: two pipers with equal workers are two nodes. A piper that nothing else in its
    `Dagger` reads is an output, and can be iterated over while the Dagger runs.

    Args:
        worker: A callable, a `Worker`, a list or tuple of these, or a piper, of which the worker is taken.
        parallel: The `numap.IMap` that evaluates the functions, shared with other pipers or not. An unordered one gives
            results as they come, but in order if results are paired anywhere in the Dagger: by a piper with several
            upstream pipers, or as there are several outputs. None or False: a linear piper, which is evaluated in the
            thread of whoever takes its results, when they are taken.
        unpack: Call the functions with the items of the inbox: ``f(item)`` with one upstream piper, ``f(a, b)`` with
            two. In this way plain functions are welcome.
        name: Shown in errors; None: ``piper_`` and a number.
        branch: Where the piper stands among its like, for example among several outputs: None, a number, a string, or
            anything that can be compared with the others.

    Raises:
        PiperError: If this is not what a piper can be made of.

    >>> from numap import IMap
    >>> from papy import Dagger
    >>> def total(inbox):
    ...     return sum(inbox)
    >>> pool = IMap(worker_type="serial")
    >>> root = Piper(abs, parallel=pool, unpack=True)
    >>> double = Piper(lambda x: 2 * x, parallel=pool, unpack=True, name="double")
    >>> double
    Piper('double', Worker(<lambda>), parallel)
    >>> dagger = Dagger(pipes=[(root, double, Piper(total))])
    >>> list(dagger.results([[1, -2, 3]]))
    [2, 4, 6]
    """

    def __init__(
        self,
        worker: Any,
        parallel: IMap[Any] | Literal[False] | None = None,
        *,
        unpack: bool = False,
        name: str | None = None,
        branch: Any = None,
    ) -> None:
        if parallel is not None and parallel is not False and not isinstance(parallel, IMap):
            raise PiperError(f"parallel: an IMap, None or False is needed, got {parallel!r}")
        try:
            self.worker: Worker = Worker(worker.worker if isinstance(worker, Piper) else worker, unpack=unpack)
        except TypeError as error:
            raise PiperError(f"worker: {error}") from error
        self.imap = parallel or None
        self.branch = branch
        self.number = next(_numbers)
        self.name = name or f"piper_{self.number}"
        self._connected = False
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        """The piper itself: it has one stream of results."""
        return self

    def __next__(self) -> Any:
        """The next result, or the `PiperError` in its place.

        Raises:
            PiperError: If the piper is no output of a running Dagger.
            DaggerError: If an input ended the run.
        """
        if self._items is None:
            what = "feeds other pipers" if self._connected else "is not in a running Dagger"
            raise PiperError(f"{self.name} can't be read: it {what}")
        return next(self._items)

    def __repr__(self) -> str:
        kind = "linear" if self.imap is None else "parallel"
        return f"Piper({self.name!r}, {self.worker!r}, {kind})"

    # for the Dagger --------------------------------------------------------

    def connect_to(self, sources: list[Source], run: Run) -> Source:
        """Become ready to read; nothing is read yet.

        Returns:
            What the piper puts out.

        Raises:
            PiperError: If the piper is connected already, or its IMap is running.
        """
        if self._connected:
            raise PiperError(f"{self.name} is in a running Dagger already")
        maker = Evaluator(PiperCall(self.worker, self.name, self.number, len(sources) > 1), run.started, self.imap)
        stream = self._chained(maker.call, sources) if self.imap is None else self._task(maker, sources, run)
        self._connected = True
        return Source(stream, self.name, maker)

    def read_from(self, source: Source) -> None:
        """Become an output: iterating over the piper gives these items."""
        self._items = iter(items_of(source))

    def disconnect(self) -> None:
        """Let go of all streams."""
        self._connected = False
        self._items = None

    def _chained(self, call: PiperCall, sources: list[Source]) -> Chain:
        streams = [items_of(source) for source in sources]
        if call.joined:
            names = [source.name for source in sources]
            return Chain(in_step(streams, names, f"the inputs of {self.name} are of unequal length"), (call,))
        first = streams[0]
        return first.then(call) if isinstance(first, Chain) else Chain(first, (call,))

    def _task(self, maker: Evaluator, sources: list[Source], run: Run) -> Iterable[Any]:
        assert self.imap is not None
        streams: list[Iterable[Any]] = []
        for source in sources:
            chained = source.maker is not None and source.maker.imap is self.imap
            if source.maker is not None and chained:
                maker.calls = source.maker.calls | maker.calls if maker.calls else source.maker.calls
            # Tasks of the same IMap are chained by numap without detours. A stream of another one is read as values:
            # an item that its engine could not deliver is a failure of a piper there.
            streams.append(source.stream if chained or source.maker is None else items_of(source))
        try:
            task = self.imap.add_task(maker.call, join(*streams) if len(streams) > 1 else streams[0])
        except StateError as error:
            raise PiperError(f"the IMap of {self.name} is running already, in another Dagger for example") from error
        maker.calls[task.task] = maker.call
        if run.by_place:
            join(task)  # never read: it makes an unordered IMap keep the order of this task
        return task
