"""Exceptions that travel: what of an exception survives the way to another process, and how it is shown where it arrives.

Two things get lost on that way. Pickle calls the constructor of an exception with its ``args``, and many classes want other
arguments; so an exception has several forms, and the first one that survives is sent. And frames can't be pickled, and
keep alive whatever their functions had in hand; so a traceback is taken down as places. Their lines of source are
looked up where it is shown: the code of an interactive session is nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from traceback import FrameSummary
    from types import TracebackType

#: What comes out where an object is pickled and made again; raises whatever that raises.
Copied = Callable[[object], object]

#: Frames that are shown from each end of a traceback: enough to see where a recursion starts and what it does.
_SHOWN = 30
#: Exceptions of a chain that are shown.
_CHAINED = 20


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


_OWN = (os.path.dirname(os.path.dirname(__file__)) + os.sep,)


def trace_of(error: BaseException, depth: int = _CHAINED) -> Trace:
    """The printable part of an exception and of those it came from, without touching any source file.

    Frames of this package are left out, and those of modules that say ``__tracebackhide__``, as pytest knows it: they say
    nothing about the user's code.
    """
    frames = places_of(error.__traceback__, _OWN, _SHOWN)
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


def places_of(tb: TracebackType | None, own: tuple[str, ...], shown: int) -> list[Place]:
    """Where the frames of a traceback were.

    Args:
        tb: the traceback.
        own: folders whose frames are left out.
        shown: frames that are kept from each end.
    """
    places = list(_walk(tb, own))
    left_out = len(places) - 2 * shown
    if left_out > 0:
        places[shown:-shown] = [Place("...", 0, f"{left_out} more frames")]
    return places


def _walk(tb: TracebackType | None, own: tuple[str, ...]) -> Iterator[Place]:
    while tb is not None:
        code = tb.tb_frame.f_code
        if not code.co_filename.startswith(own) and not _is_hidden(tb):
            known: tuple[int | None, ...] = ()
            if sys.version_info >= (3, 11):
                known = next(islice(code.co_positions(), tb.tb_lasti // 2, None), known)[1:]
            yield Place(code.co_filename, tb.tb_lineno, code.co_name, *known)
        tb = tb.tb_next


def _is_hidden(tb: TracebackType) -> bool:
    return tb.tb_frame.f_globals.get("__tracebackhide__") is True


def without_ours(error: BaseException, own: tuple[str, ...] = _OWN) -> BaseException:
    """An exception of the user's code without the frames of ours, of the folders ``own``, that its traceback begins with."""
    tb = error.__traceback__
    while tb is not None and (tb.tb_frame.f_code.co_filename.startswith(own) or _is_hidden(tb)):
        tb = tb.tb_next
    return error.with_traceback(tb)


def lines_of(places: Iterable[Place]) -> list[str]:
    """Places as the lines of a traceback, with the source as far as this process knows it."""
    from traceback import StackSummary

    return StackSummary.from_list([_summary(place) for place in places]).format()


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
        parts.append(render(trace.cause) + f"\n{AS_CAUSE}")
    elif trace.context is not None:
        parts.append(render(trace.context) + f"\n{AS_CONTEXT}")
    parts.append("Traceback (most recent call last):\n")
    parts += lines_of(trace.frames)
    parts.append(f"{trace.name}: {trace.text}" if trace.text else trace.name)
    return "".join(parts)


#: Between an exception and the one that it led to, as Python has them.
AS_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
AS_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

#: As the class of the exception may refuse to have attributes set.
set_cause = vars(BaseException)["__cause__"].__set__
_set_args = vars(BaseException)["args"].__set__


def add_note(error: BaseException, note: str) -> None:
    """``error.add_note`` that also works before Python 3.11, where the note can be read but is not shown.

    Not where a note says this already, and perhaps more behind it.
    """
    try:
        notes = error.__dict__.setdefault("__notes__", [])
        if note not in notes and not any(str(other).startswith((f"{note} ", f"{note},")) for other in notes):
            notes.append(note)
    except (AttributeError, TypeError):  # an exception without attributes, or with notes of its own kind
        return


def forms_of(error: BaseException, complete: bool = False) -> Iterator[object]:
    """What can be pickled for an exception, the best first: some are not made again as they should be, or not at all.

    Args:
        error: the exception.
        complete: only forms with all attributes; else the last one has none.
    """
    yield error
    yield _Rebuilt(error, error.__dict__)
    if not complete:
        yield _Rebuilt(error, {})


def surviving_form(error: BaseException, copied: Copied) -> object | None:
    """What is pickled for an exception so that one of the same class, with its attributes, comes out; None: it can't be."""
    for form in forms_of(error, complete=True):
        try:
            if type(copied(form)) is type(error):
                return form
        except Exception:  # whatever the exception's own methods raise
            continue
    return None


class _Rebuilt:
    """Pickles an exception by its class and arguments without calling its ``__init__`` again."""

    def __init__(self, error: BaseException, state: dict[str, Any]) -> None:
        self._error = error
        self._state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self._error), self._error.args, self._state)


def rebuilt(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """An exception made of its parts, without its constructor, which may want other arguments than ``args``."""
    error = kind.__new__(kind, *args)
    _set_args(error, args)
    error.__dict__.update(state)
    return error
