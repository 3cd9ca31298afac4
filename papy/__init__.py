"""Pipelines over parallel maps: functions in pipers, pipers in a Dagger, each piper on a `numap.IMap` or none.

>>> from papy import Dagger, Piper
>>> words = Piper(str.split, unpack=True)
>>> count = Piper(len, unpack=True)
>>> list(Dagger(pipes=[(words, count)]).results([["one", "one two", "one two three"]]))
[1, 2, 3]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papy._dagger import Dagger
    from papy._errors import DaggerError, PiperError, PlumberError, WorkerError
    from papy._piper import Piper
    from papy._plumber import Plumber
    from papy._run import RunStatistics
    from papy._worker import Worker

__all__ = [
    "Dagger",
    "DaggerError",
    "Piper",
    "PiperError",
    "Plumber",
    "PlumberError",
    "RunStatistics",
    "Worker",
    "WorkerError",
]

# Where the public names are. They are imported when they are asked for: a worker process, which evaluates the functions
# of pipers, needs one of these modules, and would otherwise wait for all.
_HOMES = {
    "Dagger": "papy._dagger",
    "DaggerError": "papy._errors",
    "Piper": "papy._piper",
    "PiperError": "papy._errors",
    "Plumber": "papy._plumber",
    "PlumberError": "papy._errors",
    "RunStatistics": "papy._run",
    "Worker": "papy._worker",
    "WorkerError": "papy._errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'papy' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
