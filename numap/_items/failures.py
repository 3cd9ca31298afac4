"""What flows: runs of items, results and failures, in the form that crosses threads and processes.

A *segment* is a plain tuple ``(kind, count, data)`` that stands for ``count`` neighbouring items. Results of one
task are segments again and may be the input of the next, so a chain never opens what only passes through.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from traceback import FrameSummary
    from types import TracebackType


class Place(NamedTuple):
    """Where a frame was: file, line and function, and from where to where in the source, where Python knows that."""

    filename: str
    lineno: int
    name: str
    end_lineno: int | None = None
    colno: int | None = None
    end_colno: int | None = None


class Trace(NamedTuple):
    """One exception of a remote chain: enough to print its traceback where the sources are."""

    name: str
    text: str
    frames: tuple[Place, ...]
    cause: Trace | None
    context: Trace | None


class Failure:
    """Why an item has no result, in a form that any process can hold. Never changed once it is made.

    ``error`` is the exception, or its pickle where it has crossed a process border; None: it could not travel,
    and ``trace`` holds its name and text.
    """

    __slots__ = ("error", "index", "label", "pid", "task", "trace")

    def __init__(
        self,
        error: BaseException | bytes | None,
        trace: Trace | None = None,
        pid: int | None = None,
        task: int = -1,
        index: int = -1,
        label: str = "",
    ) -> None:
        self.error = error
        self.trace = trace
        self.pid = pid
        self.task = task
        self.index = index
        self.label = label

    def at(self, task: int, index: int, label: str) -> Failure:
        """The same failure with its place."""
        return Failure(self.error, self.trace, self.pid, task, index, label)


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


_OWN = os.path.dirname(os.path.dirname(__file__)) + os.sep


def trace_of(error: BaseException, depth: int = 20) -> Trace:
    """The printable part of an exception and of those it came from, without touching any source file.

    Frames of this package are left out, and those of modules that say ``__tracebackhide__``, as pytest knows it: they say
    nothing about the user's code.
    """
    frames: list[Place] = []
    tb = error.__traceback__
    while tb is not None:
        if not _is_own(tb):
            frames.append(_place_of(tb))
        tb = tb.tb_next
    if len(frames) > 60:
        frames[30:-30] = [Place("...", 0, f"{len(frames) - 60} more frames")]
    cause, context = error.__cause__, error.__context__
    if depth == 0 or cause is error or context is error:
        cause = context = None
    return Trace(
        type(error).__qualname__,
        safe_text(error),
        tuple(frames),
        trace_of(cause, depth - 1) if cause is not None else None,
        trace_of(context, depth - 1)
        if context is not None and cause is None and not error.__suppress_context__
        else None,
    )


def _is_own(tb: TracebackType) -> bool:
    frame = tb.tb_frame
    return frame.f_code.co_filename.startswith(_OWN) or frame.f_globals.get("__tracebackhide__") is True


def without_ours(error: BaseException) -> BaseException:
    """An exception of the user's code without the frames of ours that its traceback begins with."""
    tb = error.__traceback__
    while tb is not None and _is_own(tb):
        tb = tb.tb_next
    return error.with_traceback(tb)


def _place_of(tb: TracebackType) -> Place:
    code = tb.tb_frame.f_code
    if sys.version_info < (3, 11):
        return Place(code.co_filename, tb.tb_lineno, code.co_name)
    from itertools import islice

    _, end, start, stop = next(islice(code.co_positions(), tb.tb_lasti // 2, None), (None, None, None, None))
    return Place(code.co_filename, tb.tb_lineno, code.co_name, end, start, stop)


def _summary(place: tuple[Any, ...]) -> FrameSummary:
    from traceback import FrameSummary

    known = {} if sys.version_info < (3, 11) else dict(zip(Place._fields[3:], place[3:], strict=False))
    return FrameSummary(*place[:3], lookup_line=False, **known)


def safe_text(error: BaseException) -> str:
    """``str(error)``, also where its own ``__str__`` raises."""
    try:
        return str(error)
    except Exception as broken:
        return f"<its __str__ raised {type(broken).__name__}>"


def render(trace: Trace) -> str:
    """The text of a remote traceback, with source lines as far as this process knows the sources."""
    parts = []
    if trace.cause is not None:
        parts.append(
            render(trace.cause) + "\n\nThe above exception was the direct cause of the following exception:\n\n"
        )
    elif trace.context is not None:
        parts.append(
            render(trace.context) + "\n\nDuring handling of the above exception, another exception occurred:\n\n"
        )
    from traceback import StackSummary

    parts.append("Traceback (most recent call last):\n")
    parts += StackSummary.from_list([_summary(place) for place in trace.frames]).format()
    parts.append(f"{trace.name}: {trace.text}" if trace.text else trace.name)
    return "".join(parts)


def _below(trace: Trace) -> str:
    """The text of a remote traceback on lines of its own, below the name of what carries it."""
    return "\n" + render(trace)


def place(failure: Failure) -> str:
    """Where it happened, for a note: task, item and process."""
    where = f"in task {failure.task} ({failure.label}), item {failure.index}"
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
    elif not isinstance(error, (WorkerDied, TaskTimeout)) or failure.trace is not None:
        # Those say it in their message, unless the function raised them: it had a map of its own.
        add_note(error, where)
    if isinstance(error, NumapError) and failure.task >= 0 and error.task is None:
        error.task, error.index = failure.task, failure.index
    if failure.trace is not None and error.__cause__ is None:
        _set_cause(error, RemoteTraceback(partial(_below, failure.trace)))
    return error


#: As the class of the exception may refuse to have attributes set.
_set_cause = vars(BaseException)["__cause__"].__set__


def add_note(error: BaseException, note: str) -> None:
    """``error.add_note`` that also works before Python 3.11, and never twice with the same text."""
    try:
        notes = error.__dict__.setdefault("__notes__", [])
        if note not in notes:
            notes.append(note)
    except (AttributeError, TypeError):
        return


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
        f"{overrun.failed} of {overrun.known} item{'s' * (overrun.known != 1)} failed, and max_failures={overrun.allowed}; "
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
