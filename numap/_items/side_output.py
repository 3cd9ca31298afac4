"""What the code in a worker says beside its results, log records and warnings, in the form that crosses to the caller.

A program sets up logging for itself. What a worker wrote on its own would miss the handlers, the levels and the files of
the program, so the caller says it.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, TextIO

#: Takes the kind of an aside, "log" or "warning", and its pickle.
Tell = Callable[[str, bytes], None]

_PLAIN = frozenset((int, float, bool, str, bytes, type(None)))


def standard_logging() -> ModuleType | None:
    """The module ``logging`` of the standard library, if the program has imported it; a program may have another one."""
    found = sys.modules.get("logging")
    origin = getattr(found, "__file__", None) or ""
    return found if origin.startswith(os.path.dirname(os.__file__)) and hasattr(found, "captureWarnings") else None


def logging_levels() -> dict[str, Any] | None:
    """What the caller's loggers let through, for `log_capture.listen`; None: the caller does not log."""
    logging = standard_logging()
    if logging is None:
        return None
    loggers = {name: it for name, it in list(logging.root.manager.loggerDict.items()) if isinstance(it, logging.Logger)}
    return {
        "root": logging.root.level,
        "levels": {name: it.level for name, it in loggers.items() if it.level},
        "disabled": [name for name, it in loggers.items() if it.disabled],
        "threshold": logging.root.manager.disable,
        "captures warnings": getattr(logging, "_warnings_showwarning", None) is not None,
    }


def forward_warnings(tell: Tell) -> None:
    """From now on warnings of this worker are shown by its caller."""
    shown = warnings.showwarning
    own = os.getpid()

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        # A process that an item forked has no part in the worker's channel.
        if file is not None or os.getpid() != own:
            shown(message, category, filename, lineno, file, line)
        else:
            tell(
                "warning",
                portable((message, category, filename, lineno), (str(message), _builtin(category), filename, lineno)),
            )

    warnings.showwarning = showwarning


def _builtin(category: type[Warning]) -> type[Warning]:
    return next(kind for kind in category.__mro__ if kind.__module__ == "builtins")


def portable(content: object, plain: object) -> bytes:
    """The pickle of ``content``, or of ``plain`` where that does not survive the journey."""
    try:
        raw = pickle.dumps(content, 5)
        pickle.loads(raw)
    except Exception:
        raw = pickle.dumps(plain, 5)
    return raw


def flattened(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record with a text for each value that is no plain one."""
    return {name: value if type(value) in _PLAIN else _text(value) for name, value in fields.items()}


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
