"""The end of a process that an item has forked and that has come back from the item's function, where it has nothing to do.

It is a copy of the worker, with the worker's pipe to the caller. If it went on, it would tell an outcome of the same item, or
take the next one. So it ends where the function ends.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import NoReturn

_FOLDER = os.path.dirname(os.path.dirname(__file__)) + os.sep


def end_fork(error: BaseException | None = None) -> NoReturn:
    """Ends this process as a program ends: with the exit code of a SystemExit, or with the traceback of another ``error``.

    Only the process that was given an item tells its outcome.
    """
    code: object = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code or 0
            if not isinstance(code, int):
                sys.stderr.write(f"{code}\n")
        elif error is not None and (trace := _of_the_function(error)) is not None:
            code = 1
            _show(error.with_traceback(trace))
        flush_streams()
    finally:
        os._exit(code & 0xFF if isinstance(code, int) else 1)


def _show(error: BaseException) -> None:
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error, error.__traceback__)
        return
    from traceback import format_exception

    # In one write, as children of other items may write theirs at the same moment.
    sys.stderr.write("".join(format_exception(error)))


def _of_the_function(error: BaseException) -> TracebackType | None:
    """The traceback from the function on; None: we have raised it, behind the function, as nothing can be told here."""
    trace, found = error.__traceback__, None
    while trace is not None:
        own = trace.tb_frame.f_code.co_filename.startswith(_FOLDER)
        found = None if own else found or trace
        trace = trace.tb_next
    return found


def flush_streams() -> None:
    """Writes what waits in the standard streams, as far as they are such."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except Exception:
            # Deleted, None, closed, or an object of the user's.
            continue
