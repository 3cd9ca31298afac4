"""Tracebacks of what a function raised, as they are shown to the user: without our own frames, and without any live frame.

A failed item may be kept for as long as the run takes, and its error with it. Frames would keep alive whatever the function had
in hand, and can't go to another process. So they are taken off, and their places are kept.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Final, NamedTuple

from numap.interop import AS_CAUSE, AS_CONTEXT, Place, RemoteTraceback, lines_of, places_of
from numap.interop import without_ours as _without

# So many frames are kept from each end of a traceback: enough to see where a recursion starts and what it does.
SHOWN: Final = 20

# What is in these says nothing about the user's code.
_OWN: Final = tuple(
    os.path.dirname(str(path)) + os.sep for path in (sys.modules["papy"].__file__, sys.modules["numap"].__file__)
)


class _Link(NamedTuple):
    """One exception of a chain: where it was raised, what it says, and how the exception before it led to it."""

    frames: list[Place]
    text: str
    leads_on: str


def without_frames(exception: BaseException) -> RemoteTraceback:
    """Take the traceback off an exception: its frames would keep alive whatever the function had in hand."""
    import traceback

    links: list[_Link] = []
    error, leads_on, seen = exception, "", set[int]()
    while id(error) not in seen:
        seen.add(id(error))
        places = places_of(error.__traceback__, _OWN, SHOWN)
        links.append(_Link(places, "".join(traceback.format_exception_only(type(error), error)), leads_on))
        error.__traceback__ = None
        if error.__cause__ is not None:
            error, leads_on = error.__cause__, AS_CAUSE
        elif error.__context__ is not None and not error.__suppress_context__:
            error, leads_on = error.__context__, AS_CONTEXT
    return RemoteTraceback(partial(_text_of, links[::-1]))


def _text_of(links: list[_Link]) -> str:
    """A chain as Python shows it, on lines of its own."""
    parts = ["\n"]
    for link in links:
        parts += [
            "Traceback (most recent call last):\n" * bool(link.frames),
            *lines_of(link.frames),
            link.text,
            link.leads_on,
        ]
    return "".join(parts)


def without_ours(error: BaseException) -> BaseException:
    """An exception of the user's code without the frames of papy and numap that its traceback begins with."""
    return _without(error, _OWN)


def line_of(error: BaseException | None) -> str:
    """An exception in one line, as the last one of a traceback has it; safe where its ``str`` raises."""
    try:
        text = str(error)
    except Exception:  # what an exception of the user's says is not always thought through
        text = "(its str() failed)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
