"""Coroutine pipelines: iterators around iterators, in one thread and without memory of what has passed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from numap.interop import checks
from papy._base.public import public

__all__ = [
    "PipelineStep",
    "chunk",
    "combine_pipeline",
    "consume",
    "flatten",
    "identity_step",
    "is_iterable",
    "recursive_flatten",
]

StepFunction = Callable[[Iterator[Any]], Iterable[Any]]


@public
def combine_pipeline(source: Any, steps: Iterable[Any], debugger: Any = None) -> Any:
    """Puts steps around a source, so that to iterate over the result is to pull entries through all of them.

    Nothing runs before that, and everything runs in the thread that iterates.

    Args:
        source: An iterable; or a callable that makes one: then the result is a callable, too, which passes its arguments to
            the source and makes a fresh pipeline with each call.
        steps: Functions that take an iterator and return an iterable: generator functions, `PipelineStep` objects, the
            ``results`` of a `Pipeline`. They may be nested in lists and other iterables.
        debugger: A `PipelineRuntimeDebugger`, to see where the time goes.

    Returns:
        The iterable of the last step, or a callable that returns one.

    Raises:
        TypeError: The source is neither iterable nor callable, the steps are no list, or a step is not callable.

    >>> from papy import combine_pipeline
    >>> def odd(numbers):
    ...     return (n for n in numbers if n % 2)
    >>> def square(numbers):
    ...     for n in numbers:
    ...         yield n * n
    >>> list(combine_pipeline([1, 2, 3], [odd, [square]]))
    [1, 9]
    >>> squares = combine_pipeline(range, [odd, square])
    >>> list(squares(4)), list(squares(6))
    ([1, 9], [1, 9, 25])
    """
    flat = list(_steps(steps))
    if callable(source):
        return _Factory(source, flat, debugger)
    if not is_iterable(source):
        raise checks.wrong_type("source", "iterable or a callable", source)
    return _combined(source, flat, debugger)


def _combined(source: Iterable[Any], steps: list[StepFunction], debugger: Any) -> Any:
    if debugger is not None:
        return debugger.combine(source, steps)
    made: Any = source
    for step in steps:
        made = step(made)
    return made


class _Factory:
    """A pipeline whose source is yet to be made."""

    def __init__(self, source: Callable[..., Any], steps: list[StepFunction], debugger: Any) -> None:
        self._source = source
        self._steps = steps
        self._debugger = debugger

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _combined(self._source(*args, **kwargs), self._steps, self._debugger)


def _steps(steps: Any) -> Iterator[StepFunction]:
    """The steps, whatever they are nested in."""
    if not is_iterable(steps):
        raise TypeError(f"{checks.wrong_type('steps', 'a list of steps', steps)}" + "; write [it]" * callable(steps))
    stack = [iter(steps)]
    while stack:
        for step in stack[-1]:
            if isinstance(step, type) and issubclass(step, PipelineStep):
                raise TypeError(f"steps: must be objects; {step.__name__} is a class, so write {step.__name__}(...)")
            if callable(step):
                yield step
            elif is_iterable(step) and not isinstance(step, str | bytes):
                stack.append(iter(step))
                break
            else:
                raise checks.wrong_type("steps", "callable, or iterables of such", step)
        else:
            stack.pop()


@public
class PipelineStep:
    """A step of a coroutine pipeline as a class: override ``process``. Without that, it changes nothing.

    >>> from papy import PipelineStep, combine_pipeline
    >>> class Add(PipelineStep):
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def process(self, iterator):
    ...         for entry in iterator:
    ...             yield entry + self.n
    >>> list(combine_pipeline([1, 2], [Add(10), PipelineStep()]))
    [11, 12]
    """

    #: What to write where one is given to a piper.
    __papy_instead__ = (
        "{0} is a step for combine_pipeline(source, [...]): it takes an iterator over all items, and a Piper needs a function "
        "of one inbox"
    )

    def __call__(self, iterator: Iterable[Any]) -> Iterable[Any]:
        return self.process(iterator)

    def process(self, iterator: Iterable[Any]) -> Iterable[Any]:
        """What comes out for the entries that come in."""
        return iterator


@public
def identity_step(iterator: Iterable[Any]) -> Iterable[Any]:
    """A step that changes nothing: returns what it was given.

    >>> identity_step([1, 2])
    [1, 2]
    """
    return iterator


@public
def chunk(size: int = 32) -> Callable[[Iterable[Any]], Iterator[list[Any]]]:
    """Makes a step that turns entries into lists of ``size``; the last one may be shorter.

    Raises:
        TypeError, ValueError: ``size`` is not a whole number of at least 1.

    >>> list(chunk(2)("abcde"))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    checks.whole("size", size, 1)

    def chunks(iterable: Iterable[Any]) -> Iterator[list[Any]]:
        entries = iter(iterable)
        while piece := list(islice(entries, size)):
            yield piece

    return chunks


@public
def flatten(iterable: Iterable[Iterable[Any]]) -> Iterator[Any]:
    """A step that yields the members of its entries: one level less.

    >>> list(flatten([[1, 2], [3, [4]]]))
    [1, 2, 3, [4]]
    """
    for entry in iterable:
        yield from entry


@public
def recursive_flatten(iterable: Iterable[Any]) -> Iterator[Any]:
    """A step that yields what is in its entries, at whatever depth. Texts (str) are taken as they are.

    >>> list(recursive_flatten([1, [2, ["ab", (3,)]], range(2)]))
    [1, 2, 'ab', 3, 0, 1]
    """
    stack = [iter(iterable)]
    while stack:
        for entry in stack[-1]:
            if is_iterable(entry) and not isinstance(entry, str):
                stack.append(iter(entry))
                break
            yield entry
        else:
            stack.pop()


@public
def is_iterable(it: object) -> bool:
    """Whether ``iter`` takes it.

    >>> is_iterable([]), is_iterable("ab"), is_iterable(1)
    (True, True, False)
    """
    try:
        iter(it)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


@public
def consume(iterator: Iterable[Any], n: int | None = None) -> None:
    """Takes ``n`` entries of an iterator, or all (None), and forgets them.

    >>> numbers = iter(range(5))
    >>> consume(numbers, 3)
    >>> list(numbers)
    [3, 4]
    """
    deque(iterator if n is None else islice(iterator, n), maxlen=0)
