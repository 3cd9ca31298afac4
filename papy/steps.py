"""Steps of a pipeline: classes with hooks, and how functions become such classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import current_thread
from time import monotonic
from types import new_class
from typing import Any, cast

from numap import NextTimeout
from numap.interop import checks
from papy._base.errors import SkipEntry
from papy._base.public import public

__all__ = [
    "AbstractIterStep",
    "AbstractStep",
    "Entries",
    "SiblingInfo",
    "SkipEntry",
    "Step",
    "TimedChunk",
    "funcstep",
    "is_step",
    "iterstep",
]


@public
@dataclass(frozen=True)
class SiblingInfo:
    """What a worker thread of a step knows about the others. A worker process knows only itself.

    Attributes:
        index: Which of them it is, counted from 0; 0 in each worker process.
        storage: A dictionary that all of them share. Each worker process has one of its own: what one puts in, no other one
            sees, nor does ``step_shutdown``.
        threads: The step objects of all workers, one for each thread; in a worker process that one's only.
    """

    index: int
    storage: dict[str, Any]
    threads: list[Any]


class Step:
    """What both kinds of steps have: hooks, which do nothing by default, and what they may know.

    Attributes:
        name: The name of the step in its pipeline.
        options: The options that the pipeline was given for this step, which `initialize` also gets.
        sibling: The workers of the step, see `SiblingInfo`.
    """

    name: str = ""
    options: dict[str, Any]
    sibling: SiblingInfo
    #: What to write where one is given to a piper.
    __papy_instead__ = (
        "{0} is a step of a Pipeline: write Pipeline(({0}, 1)); a Piper needs a function, the method process of an object of it, "
        "for example, with unpack=True"
    )
    #: Calls ``reenqueue`` of the pipeline; None outside of one, and where it is not possible.
    _reenqueue: Callable[[Any], None] | None = None

    def step_initialize(self) -> None:
        """Called once for the step before anything else, on the first of its objects, by the thread that starts the pipeline."""

    def initialize(self, *_: Any, **options: Any) -> None:
        """Called once on each object, with the options of the step, by the thread that starts the pipeline.

        In a worker process it is called there.
        """

    def thread_initialize(self) -> None:
        """Called in each worker at its start."""

    def thread_shutdown(self) -> None:
        """Called in each worker at its end."""

    def step_shutdown(self) -> None:
        """Called once, by the last worker of the step, after its `thread_shutdown`.

        If the workers are processes, it is called in the process that started the pipeline.
        """

    def in_queue_empty(self) -> None:
        """Called in a worker thread when it has done the last of the entries that had come to the step so far."""

    @property
    def ident(self) -> int | None:
        """The identity of the thread that asks."""
        return current_thread().ident


@public
class AbstractStep(Step, ABC):
    """A step as a class: give it ``process``, and whichever hooks it needs. One object serves one worker.

    >>> from papy import AbstractStep, Pipeline
    >>> class Scale(AbstractStep):
    ...     def initialize(self, factor):
    ...         self.factor = factor
    ...     def process(self, entry):
    ...         return entry * self.factor
    >>> list(Pipeline([(Scale, 1, {"factor": 3})]).results([1, 2]))
    [3, 6]

    The hooks, in their order: `step_initialize`, `initialize`, `thread_initialize`, then `process` for each entry,
    `thread_shutdown`, `step_shutdown`.

    Attributes:
        reenqueues: Whether the step has a queue of its own, which `reenqueue` needs. It takes some 20 microseconds for each
            entry: a step that has next to nothing to do, and never calls that method, is quicker with False.
    """

    reenqueues: bool = True

    @abstractmethod
    def process(self, entry: Any) -> Any:
        """Makes the result of one entry.

        Raises:
            SkipEntry: To drop the entry.
            Exception: Anything else: the entry is tried again up to ``max_retries`` times, then the pipeline ends.
        """

    def process_meta(self, entry: Any) -> Any:
        """Makes the result of a meta entry, see `Pipeline.put_meta`. By default it passes unchanged."""
        return entry

    def reenqueue(self, entry: Any) -> None:
        """Puts a new entry into the queue of this step, for whichever worker is free.

        A step has such a queue unless ``reenqueues = False`` stands in its class.

        >>> from papy import AbstractStep, Pipeline
        >>> class Countdown(AbstractStep):
        ...     def process(self, n):
        ...         if n:
        ...             self.reenqueue(n - 1)
        ...         return n
        >>> sorted(Pipeline((Countdown, 2)).results([3]))
        [0, 1, 2, 3]

        Raises:
            RuntimeError: The worker is a process, or the object is in no pipeline.
        """
        if self._reenqueue is None:
            raise RuntimeError(
                f"reenqueue: step {self.name or type(self).__name__!r} has no queue here: it belongs to no running pipeline, "
                f"its workers are processes, or its class says 'reenqueues = False', as that of a function does"
            )
        self._reenqueue(entry)


@public
class Entries(ABC):
    """The entries of an iterator step, as its function gets them: an iterator, with one method more."""

    def __iter__(self) -> Iterator[Any]:
        return self

    @abstractmethod
    def __next__(self) -> Any: ...

    @abstractmethod
    def next(self, timeout: float | None = None) -> Any:
        """The next entry.

        Args:
            timeout: Seconds to wait at most; None: without limit.

        Raises:
            StopIteration: There are no more.
            TimeoutError: None came in time. It can still be had.
        """


@public
class AbstractIterStep(Step, ABC):
    """A step as a class whose ``process`` gets an iterator over entries and yields any number of results.

    >>> from papy import AbstractIterStep, Pipeline
    >>> class Pairs(AbstractIterStep):
    ...     def process(self, iterator):
    ...         for first in iterator:
    ...             yield first, next(iterator, None)
    >>> list(Pipeline((Pairs, 1)).results("abc"))
    [('a', 'b'), ('c', None)]

    With several workers each one gets an iterator of its own, and each entry goes to one of them. An iterator step
    runs in threads. An error in it ends the pipeline: what a generator has lost can't be tried again.
    """

    @abstractmethod
    def process(self, iterator: Entries) -> Iterable[Any] | None:
        """Yields the results of the entries of the iterator; to return before its end is allowed."""

    def _before_meta(self) -> Iterable[Any]:
        """Results that have to leave before a meta entry that has just come."""
        return ()


@public
class TimedChunk(AbstractIterStep):
    """A step that collects entries into lists.

    A list goes on when it has ``size`` entries, when its first entry has waited for ``timeout`` seconds, before a meta
    entry, and at the end.

    >>> from papy import Pipeline, TimedChunk
    >>> list(Pipeline([(TimedChunk, 1, {"size": 2})]).results("abc"))
    [['a', 'b'], ['c']]
    """

    _size: int = 64
    _timeout: float = 5.0
    _chunk: list[Any]

    def initialize(self, size: int = 64, timeout: float = 5.0) -> None:
        """Takes the options.

        Raises:
            TypeError, ValueError: One of them is not allowed.
        """
        checks.whole("size", size, 1)
        checks.seconds("timeout", timeout, or_none=False)
        if not timeout > 0:
            raise checks.wrong_value("timeout", "more than 0 seconds", timeout)
        self._size, self._timeout, self._chunk = size, timeout, []

    def process(self, iterator: Entries) -> Iterator[list[Any]]:
        """Yields the lists."""
        deadline = 0.0
        while True:
            # Looked at anew each time: a meta entry may have sent the list away.
            waiting = bool(self._chunk)
            try:
                entry = iterator.next(max(0.0, deadline - monotonic()) if waiting else None)
            except StopIteration:
                break
            except NextTimeout:
                yield from self._before_meta()
                continue
            if not self._chunk:
                deadline = monotonic() + self._timeout
            self._chunk.append(entry)
            if len(self._chunk) >= self._size:
                yield from self._before_meta()
        yield from self._before_meta()

    def _before_meta(self) -> Iterable[list[Any]]:
        chunk, self._chunk = self._chunk, []
        return [chunk] if chunk else []


@public
def funcstep(func: Callable[[Any], Any], base: type[AbstractStep] = AbstractStep) -> type[AbstractStep]:
    """Makes a step class of a function of one entry.

    Args:
        func: Any callable.
        base: The class to derive from, with its hooks. Without one the step has no queue for `AbstractStep.reenqueue`.

    Raises:
        TypeError: ``func`` is not callable.

    >>> from papy import Pipeline, funcstep
    >>> Length = funcstep(len)
    >>> Length.__name__
    'len'
    >>> list(Pipeline((Length, 1)).results(["a", "bc"]))
    [1, 2]
    """
    return cast(type[AbstractStep], _step_of(func, base))


@public
def iterstep(
    func: Callable[[Iterator[Any]], Iterable[Any] | None], base: type[AbstractIterStep] = AbstractIterStep
) -> type[AbstractIterStep]:
    """Makes an iterator step class of a function that gets an iterator of entries and yields results.

    So every step of a coroutine pipeline can be a step here, too.

    Args:
        func: Any callable; a generator function, mostly.
        base: The class to derive from, with its hooks.

    Raises:
        TypeError: ``func`` is not callable.

    >>> from papy import Pipeline, chunk, iterstep
    >>> list(Pipeline((iterstep(chunk(2)), 1)).results("abc"))
    [['a', 'b'], ['c']]
    """
    return cast(type[AbstractIterStep], _step_of(func, base))


def _step_of(func: Callable[[Any], Any], base: type[Step]) -> type[Step]:
    if not callable(func):
        raise checks.wrong_type("func", "callable", func)
    name = getattr(func, "__name__", None)
    if not isinstance(name, str):
        name = type(func).__name__
    body = {"process": staticmethod(func), "__module__": __name__, "__doc__": getattr(func, "__doc__", None)}
    if base is AbstractStep:  # no object that could reenqueue is given to the function
        body["reenqueues"] = False
    return new_class(name, (base,), exec_body=lambda namespace: namespace.update(body))


@public
def is_step(it: object) -> bool:
    """Whether this is a step class, of either kind."""
    return isinstance(it, type) and issubclass(it, Step)
