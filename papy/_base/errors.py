"""The errors of a pipeline.

    WorkerError    the function raised: what a Worker returns in place of a result
    PiperError     an item failed: what travels in its place; also raised for a Piper that can't be made or read
    DaggerError    the graph or the run: a pipe that can't be, a call at the wrong time, inputs that don't fit
    PlumberError   a call that the state of a Plumber forbids, or a pipeline that can't be saved or loaded

Arguments that can't be are errors of these kinds, and also TypeError or ValueError, as Python's own are; too many failures are a
DaggerError, and also a `numap.TooManyFailures`. Their classes go by the names of these.

A PiperError is a failure only if a piper made it. Any other exception object that a function returns is a value. How failures
are made, and what is asked of them, is in `papy._base.failures`.

All of these may have come a long way: an exception of the user's may hold what can't be pickled, and a failure wraps the one
before it, thousands of times in a long graph. So each says itself how it is pickled.
"""

from __future__ import annotations

import pickle
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from numap import TooManyFailures
from numap.interop import Copied, surviving_form
from papy._base.public import public
from papy._base.tracebacks import line_of, without_frames

# What is done with an item that failed, from the mildest to the strictest: the failure is the result in the item's
# place, the item is dropped, the failure is raised. Where several failures meet the strictest decides.
POLICIES: Final = ("return", "skip", "raise")


@public
class WorkerError(Exception):
    """A function raised an exception; ``args`` are the exception, the name of the function and its inbox.

    ``__cause__`` shows the traceback, which thus survives the way back from another process.

    With other ``args``, those of a program, it is an exception like others, and the attributes are None, None and ``()``.

    Attributes:
        exception: The original exception. One whose constructor doesn't take its ``args`` is rebuilt without it; one that
            can't be pickled at all arrives as an `Exception` that says the same.
        function: The name of the function that raised it.
        inbox: What the function was given. What can't be pickled arrives as its ``repr``.
    """

    exception: BaseException | None = None
    function: str | None = None
    inbox: Sequence[Any] = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if len(args) == 3 and isinstance(args[0], BaseException):
            self.exception, self.function, self.inbox = args
            if args[0].__traceback__ is not None:
                self.__cause__ = without_frames(args[0])

    def __str__(self) -> str:
        return super().__str__() if self.exception is None else f"{self.function} raised {line_of(self.exception)}"

    def __reduce__(self) -> Any:
        return self.__numap_reduce__(by_pickle)

    def __numap_reduce__(self, copied: Copied) -> Any:
        """What a map pickles, which can do more than pickle."""
        if self.exception is None:
            return super().__reduce__()
        exception = surviving_form(self.exception, copied)
        if exception is None:
            exception = Exception(line_of(self.exception))
        inbox = [item if _travels(item, copied) else reprlib.repr(item) for item in self.inbox]
        return _restore, (exception, self.function, inbox, self.__cause__)


@public
class PiperError(Exception):
    """An item failed, and this travels in its place.

    Pipers further down don't run their functions on it; each wraps what it got into a PiperError of its own, so that
    ``args[0]`` is what the piper before it gave, and innermost stands the `WorkerError` of the function, or the error
    of the engine (a worker that died, for example). The attributes lead there directly. They are None where they have
    no meaning, as in a PiperError that is raised because a `Piper` was made or used in a wrong way.

    >>> from papy import Dagger, Piper
    >>> inverse = Piper(lambda x: 1 / x, unpack=True, name="inverse")
    >>> double = Piper(lambda x: 2 * x, unpack=True, name="double")
    >>> first, second = Dagger(pipes=[(inverse, double)]).results([[0, 4]])
    >>> second
    0.5
    >>> print(first)
    inverse failed on item 0: ZeroDivisionError: division by zero
    >>> first.exception, first.inbox, first.piper, first.index
    (ZeroDivisionError('division by zero'), [0], 'inverse', 0)
    """

    _failed = False  # whether a piper made it
    _piper: str | None = None
    _number: int | None = None  # of the piper: its name need not be the only one
    _index: int | None = None
    _policy: str = POLICIES[0]
    _sources: tuple[tuple[int, int, Any], ...] = ()  # the place of an input, the place of an item there, and the item
    _dropped: frozenset[int] = frozenset()  # the numbers of pipers that dropped what it was to be paired with

    @property
    def __numap_placed__(self) -> bool:
        """A failure says on which item of which piper: no map needs to add a task."""
        return self._failed

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        # Pickle leaves it behind. What was passed on has it from the one before, which may stand at the end of a long way.
        self.__cause__ = self.args[0].__cause__ if self.args and is_failure(self.args[0]) else self._cause()

    def __reduce__(self) -> Any:
        return (_unfolded, (_folded(self),)) if self._failed else super().__reduce__()

    def __repr__(self) -> str:
        if not self._failed:
            return super().__repr__()
        text, seen = "", set[int]()
        ahead: list[PiperError | str] = [self]
        # As calls within each other, as Python has it for nested exceptions, thousands of them would be too deep.
        while ahead:
            here = ahead.pop()
            if isinstance(here, str):
                text += here
            elif id(here) in seen:
                text += "PiperError(...)"
            else:
                seen.add(id(here))
                parts = [part for it in here.args for part in (", ", it if is_failure(it) else repr(it))]
                ahead += [")", *parts[:0:-1], "PiperError("]
        return text

    def __str__(self) -> str:
        if not self._failed:
            return super().__str__()
        name, where = self.piper or "a worker", ""
        if self.function not in (None, name, "<lambda>"):
            name += f" ({self.function})"
        if self.index is not None:
            where = f" on item {self.index}"
        return f"{name} failed{where}: {line_of(self.exception)}"

    @property
    def exception(self) -> BaseException | None:
        """The original exception of the function, or the error of the engine."""
        cause = self._cause()
        return cause.exception if isinstance(cause, WorkerError) else cause

    @property
    def function(self) -> str | None:
        """The name of the function that raised the exception."""
        cause = self._cause()
        return cause.function if isinstance(cause, WorkerError) else None

    @property
    def inbox(self) -> Sequence[Any] | None:
        """What the function was given."""
        cause = self._cause()
        return cause.inbox if isinstance(cause, WorkerError) else None

    @property
    def source(self) -> Any:
        """The item of the input that it descends from; a tuple, if there are several (of several inputs, or a batch).

        None, if that is not known: it is where the failure has come out of a run, and the items before were in the order of the
        inputs. Behind an unordered IMap, a ``stride`` with ``produce`` or ``consume``, or ``merge=True`` of a data
        iterator where items come in any order, it is not.
        """
        items = [item for _, _, item in self._origin()._sources]
        return None if not items else items[0] if len(items) == 1 else tuple(items)

    @property
    def piper(self) -> str | None:
        """The name of the piper on which the item failed."""
        return self._origin()._piper

    @property
    def index(self) -> int | None:
        """The place of the item, counted from 0, in what that piper put out; if its IMap is unordered, as it came."""
        return self._origin()._index

    @property
    def number(self) -> int | None:
        """The number of that piper; unlike its name it is the only one."""
        return self._origin()._number

    def _origin(self) -> PiperError:
        """The innermost failure, the first where there are several."""
        error = self
        while error._failed and error.args and is_failure(error.args[0]):
            error = error.args[0]
        return error

    def _cause(self) -> BaseException | None:
        args = self._origin().args
        return args[0] if args and isinstance(args[0], BaseException) else None


class Dropped(PiperError):
    """Travels in the place of an item that is not to be there: it was filtered, or sent elsewhere. Only streams see it.

    It is dealt with as a failure, so that what has none is not slowed down: no function is called with it, and it goes on to
    the end. There it is not noted, and falls out.
    """

    _failed = True

    def __reduce__(self) -> Any:
        return dropped, (self._dropped,)


def dropped(numbers: frozenset[int]) -> Dropped:
    """What travels in the place of an item that pipers with these numbers have dropped."""
    made = Dropped()
    made._dropped = numbers
    return made


@public
class SkipEntry(Exception):
    """Raised by a function: this item, or entry of a `Pipeline`, is dropped, and that is no error; ``papy.Skip`` is the same.

    In a `Pipeline` it is counted as skipped, in a graph as ``filtered`` (see `RunStatistics`). In a graph its place falls out
    of all that is behind: a piper that would pair it with others does not get these either, and other branches are not
    touched. In a row of several outputs the class `Skip` itself stands where there is nothing for the item; a row with
    nothing else falls out. A failure is never hidden: paired with what was dropped it is the failure that goes on.

    >>> from papy import Dagger, Pipeline, Piper, Skip, SkipEntry
    >>> def odd(n):
    ...     if n % 2 == 0:
    ...         raise SkipEntry
    ...     return n
    >>> pipeline = Pipeline((odd, 1))
    >>> list(pipeline.results(range(6))), pipeline.skipped
    ([1, 3, 5], 3)
    >>> keep = Piper(odd, unpack=True)
    >>> list(Dagger([keep]).results([range(6)]))
    [1, 3, 5]
    >>> double = Piper(lambda n: 2 * n, unpack=True)
    >>> list(Dagger([keep, double]).results([range(3), range(3)]))
    [(<class 'papy.SkipEntry'>, 0), (1, 2), (<class 'papy.SkipEntry'>, 4)]
    """


# As long as a test: where a filter is one line of a function, it reads better.
Skip = SkipEntry


@public
class DaggerError(Exception):
    """The graph, or the run as a whole: a pipe that can't be, a call at the wrong time, inputs that don't fit."""


@public
class PlumberError(Exception):
    """A call that the state of a `Plumber` forbids, or a pipeline that can't be saved or loaded."""


class _Both(Exception):
    """Two kinds of errors at once, known by the name of one; pickled as what it is made of, as that name is another class's."""

    def __reduce__(self) -> Any:
        return _of_both, (type(self).__bases__[1:], self.args, self.__dict__)


def _of_both(bases: tuple[type[Exception], ...], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    kind = next(kind for kind in _Both.__subclasses__() if kind.__bases__[1:] == bases)
    made = kind(*args)
    made.__dict__.update(state)
    return made


def _also(error: type[Exception], kind: type[Exception]) -> type[Exception]:
    return type(error.__name__, (_Both, error, kind), {"__module__": error.__module__, "__doc__": error.__doc__})


# An argument that can't be: an error of ours, by its name, that is also one of Python's.
ARGUMENT_ERRORS: Final[dict[tuple[type[Exception], type[Exception]], type[Exception]]] = {
    (error, kind): _also(error, kind)
    for error in (PiperError, DaggerError, PlumberError)
    for kind in (TypeError, ValueError)
}


class TooManyFailed(_Both, DaggerError, TooManyFailures):
    """More items failed than ``max_failures`` allows."""

    __module__, __qualname__ = TooManyFailures.__module__, TooManyFailures.__name__

    def __reduce__(self) -> Any:
        return _of_both, (type(self).__bases__[1:], (*self.args, self.failed, self.max_failures), self.__dict__)


TooManyFailed.__name__ = TooManyFailures.__name__


def is_failure(item: object) -> bool:
    """Whether this stands for an item that failed, or was dropped."""
    return isinstance(item, PiperError) and item._failed


def failures_in(inbox: Iterable[Any]) -> list[PiperError]:
    """The failures among the items of an inbox, and what stands for items that were dropped."""
    return [item for item in inbox if isinstance(item, PiperError) and item._failed]


class _Inner(NamedTuple):
    """A failure by its place among those that are pickled together."""

    place: int


def _folded(error: PiperError) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The args and states of a failure and of all that it wraps, each behind those that it wraps itself.

    Pickle follows what is nested by calls within each other, and thousands of them would be too deep.
    """
    folded: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    places: dict[int, _Inner] = {}
    ahead = [error]
    while ahead:
        here = ahead[-1]
        inner = [it for it in failures_in(here.args) if id(it) not in places]
        if inner:
            ahead += inner
            continue
        ahead.pop()
        if id(here) not in places:
            places[id(here)] = _Inner(len(folded))
            folded.append((tuple(places.get(id(it), it) for it in here.args), here.__dict__))
    return folded


def _unfolded(folded: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> PiperError:
    made: list[PiperError] = []
    for args, state in folded:
        error = PiperError(*(made[it.place] if isinstance(it, _Inner) else it for it in args))
        error.__setstate__(state)
        made.append(error)
    return made[-1]


def _restore(exception: BaseException, function: str, inbox: Sequence[Any], cause: BaseException | None) -> WorkerError:
    error = WorkerError(exception, function, inbox)
    error.__cause__ = cause
    return error


def by_pickle(item: object) -> object:
    """As pickle does it: code goes by its name."""
    return pickle.loads(pickle.dumps(item))


def _travels(item: object, copied: Copied) -> bool:
    """Whether an object survives the way; many exceptions with constructors of their own don't."""
    try:
        copied(item)
    except Exception:  # whatever the object's own methods raise
        return False
    return True
