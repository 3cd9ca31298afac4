"""numap: a lazy parallel map over processes and threads."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._base.public import public

if TYPE_CHECKING:
    from ._base.errors import (
        ItemError,
        NextTimeout,
        NumapError,
        SerializationError,
        SourceError,
        StateError,
        TaskTimeout,
        TooManyFailures,
        WorkerDied,
        WorkerStartError,
    )
    from ._base.statistics import Statistics, TaskStatistics
    from ._environment.python import set_executable
    from ._executors import Executor
    from ._imap import IMap, NuMap
    from ._imports import imports
    from ._items.sizes import sizeof
    from ._results.join import join
    from ._results.tee import tee
    from ._task import TaskIterator

__all__ = [
    "Executor",
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
    "TooManyFailures",
    "WorkerDied",
    "WorkerStartError",
    "imports",
    "join",
    "set_executable",
    "shutdown",
    "sizeof",
    "tee",
]


# Where the public names are. They are imported when they are asked for: a worker process needs few of these modules.
_HOMES = {
    "Executor": "numap._executors",
    "IMap": "numap._imap",
    "ItemError": "numap._base.errors",
    "NextTimeout": "numap._base.errors",
    "NuMap": "numap._imap",
    "NumapError": "numap._base.errors",
    "SerializationError": "numap._base.errors",
    "SourceError": "numap._base.errors",
    "StateError": "numap._base.errors",
    "Statistics": "numap._base.statistics",
    "TaskIterator": "numap._task",
    "TaskStatistics": "numap._base.statistics",
    "TaskTimeout": "numap._base.errors",
    "TooManyFailures": "numap._base.errors",
    "WorkerDied": "numap._base.errors",
    "WorkerStartError": "numap._base.errors",
    "imports": "numap._imports",
    "join": "numap._results.join",
    "set_executable": "numap._environment.python",
    "sizeof": "numap._items.sizes",
    "tee": "numap._results.tee",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'numap' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@public
def shutdown() -> None:
    """Stops every map of this process and the small starter process that waits for the next one.

    Never needed for a clean exit; the next map starts a new one.
    """
    # A signal handler may call this in the middle of the import of the module; then there is no map.
    end = getattr(sys.modules.get("numap._runtime.shutdown"), "shutdown", None)
    if end is not None:
        end()
