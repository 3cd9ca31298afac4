"""Failures: why an item has no result, in a form that every process can hold, and the errors that are made of it.

An exception is pickled where it is raised and made again where it is given to the consumer. What lies between only hands
it on, so it sees the pickle, and never runs code of the exception's class.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from .._base.checks import counted
from .._base.errors import (
    ItemError,
    NumapError,
    RemoteTraceback,
    SerializationError,
    SourceError,
    StateError,
    TaskTimeout,
    TooManyFailures,
    WorkerDied,
)
from .exceptions import Trace, add_note, render, safe_text, set_cause, without_ours


class Failure:
    """Why an item has no result, in a form that any process can hold. Never changed once it is made.

    ``error`` is the exception, or its pickle where it has crossed a process border; None: it could not travel,
    and ``trace`` holds its name and text. ``again``: the item may be run again, as ``retry_on`` of its task says; where that
    says nothing it may always. ``returns``: the exception is the result; None: as the task says that it comes out at.
    """

    __slots__ = ("again", "error", "index", "label", "pid", "returns", "task", "trace")

    def __init__(
        self,
        error: BaseException | bytes | None,
        trace: Trace | None = None,
        pid: int | None = None,
        task: int = -1,
        index: int = -1,
        label: str = "",
        again: bool = False,
        returns: bool | None = None,
    ) -> None:
        self.again = again
        self.returns = returns
        self.error = error
        self.trace = trace
        self.pid = pid
        self.task = task
        self.index = index
        self.label = label

    def at(self, task: int, index: int, label: str, returns: bool | None = None) -> Failure:
        """The same failure with its place, and whether it is a result there."""
        return Failure(self.error, self.trace, self.pid, task, index, label, self.again, returns)


class Overrun(NamedTuple):
    """More items failed than may.

    Attributes:
        failed: items that failed.
        known: items whose outcome was known, these included.
        allowed: how many may fail.
        first: the first failure.
    """

    failed: int
    known: int
    allowed: int
    first: Failure


def _below(trace: Trace) -> str:
    """The text of a remote traceback on lines of its own, below the name of what carries it."""
    return "\n" + render(trace)


def place(failure: Failure) -> str:
    """Where it happened, for a note: task, item and process."""
    where = f"in task {failure.task} ({failure.label}), item {failure.index}"
    if failure.task < 0:  # of no map
        where = f"in a call of {failure.label}"
    return where if failure.pid is None else f"{where}, worker process {failure.pid}"


def exception_of(failure: Failure) -> BaseException:
    """The exception to raise, or to return, for a failure: of the original type, with its place and its remote cause."""
    error = failure.error
    if isinstance(error, bytes):
        import pickle

        try:
            error = pickle.loads(error)
        except KeyboardInterrupt:
            raise
        except BaseException:  # whatever its own code raises
            error = None
        if not isinstance(error, BaseException):
            error = None
    where = place(failure)
    if error is None:
        trace = failure.trace
        what = "an exception" if trace is None else f"{trace.name}: {trace.text}"
        error = ItemError(f"{what} ({where}; this exception can't be rebuilt here, so its text stands for it)")
    elif not isinstance(error, Exception) or isinstance(error, (StopIteration, StopAsyncIteration)):
        error = ItemError(f"{type(error).__name__} raised {where}: {safe_text(error)}", error)
    elif not _is_placed(error, failure):
        add_note(error, where)
    if isinstance(error, NumapError) and failure.task >= 0 and error.task is None:
        error.task, error.index = failure.task, failure.index
    if failure.trace is not None and error.__cause__ is None:
        set_cause(error, RemoteTraceback(partial(_below, failure.trace)))
    return error


def _is_placed(error: BaseException, failure: Failure) -> bool:
    """Whether an exception says itself where it happened; see `numap.interop.Placed`."""
    if isinstance(error, (WorkerDied, TaskTimeout)):
        return failure.trace is None  # else the function raised it: it had a map of its own
    return hasattr(type(error), "__numap_placed__") and bool(error.__numap_placed__)  # type: ignore[attr-defined]  # looked for above


def unpickle_failure(error: BaseException) -> Failure:
    """The failure of an item whose bytes did not turn into an object again."""
    wrapped = SerializationError(f"can't be unpickled: {type(error).__name__}: {safe_text(error)}")
    wrapped.__cause__ = error
    return Failure(wrapped)


def overrun_error(overrun: Overrun) -> TooManyFailures:
    """The exception to raise where a run ends as too many items failed."""
    first = exception_of(overrun.first)
    lines = safe_text(first).splitlines() or [""]
    error = TooManyFailures(
        f"{overrun.failed} of {counted(overrun.known, 'item')} failed, and max_failures={overrun.allowed}; "
        f"the first: {type(first).__qualname__}: {lines[0]} ({place(overrun.first)}). "
        f"The map has ended: mend what makes them fail, or allow more",
        overrun.failed,
        overrun.allowed,
    )
    error.__cause__ = first
    return error


def source_error(error: BaseException) -> BaseException:
    """What the caller gets for an exception of an input: a SourceError, unless it is one that says it all itself.

    What is no Exception passes as it is.
    """
    if isinstance(error, (SourceError, StateError, TooManyFailures)) or not isinstance(error, Exception):
        return error
    wrapped = SourceError(f"the input iterable raised {type(error).__name__}: {safe_text(error)}")
    wrapped.__cause__ = without_ours(error)
    return wrapped


def serialization_error(what: str, value: object, error: BaseException) -> SerializationError:
    """The error for an object that can't be pickled; it shows the type, never the value."""
    if isinstance(error, SerializationError):
        return error
    wrapped = SerializationError(
        f"the {what} (a {type(value).__qualname__}) can't be pickled: {type(error).__name__}: {safe_text(error)}; "
        f"send plain data, and make locks, connections and generators inside the function or an initializer"
    )
    wrapped.__cause__ = without_ours(error)
    return wrapped
