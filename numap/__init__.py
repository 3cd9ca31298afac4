"""numap: a lazy parallel map over processes and threads."""

from __future__ import annotations

import sys

from . import _errors
from ._errors import (
    ItemError,
    NextTimeout,
    NumapError,
    SerializationError,
    SourceError,
    StateError,
    TaskTimeout,
    WorkerDied,
    WorkerStartError,
)
from ._imap import IMap, NuMap, TaskIterator
from ._imports import imports
from ._statistics import Statistics, TaskStatistics
from ._streams import join, tee

__all__ = [
    "IMap",
    "ItemError",
    "NextTimeout",
    "NuMap",
    "NumapError",
    "SerializationError",
    "SourceError",
    "StateError",
    "Statistics",
    "TaskIterator",
    "TaskStatistics",
    "TaskTimeout",
    "WorkerDied",
    "WorkerStartError",
    "imports",
    "join",
    "shutdown",
    "tee",
]


def shutdown() -> None:
    """Stops every map of this process and the small starter process that waits for the next one.

    Never needed for a clean exit; the next map starts a new one.
    """
    # A signal handler may call this in the middle of the import of the module; then there is no map.
    end = getattr(sys.modules.get("numap._manager"), "shutdown", None)
    if end is not None:
        end()


for _name in __all__:
    globals()[_name].__module__ = "numap"
_errors.RemoteTraceback.__module__ = "numap"
del _name
