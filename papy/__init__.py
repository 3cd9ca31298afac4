"""Pipelines over parallel maps: functions in pipers, pipers in a Dagger, each piper on a `numap.IMap` or none.

>>> from papy import Dagger, Piper
>>> words = Piper(str.split, unpack=True)
>>> count = Piper(len, unpack=True)
>>> list(Dagger(pipes=[(words, count)]).results([["one", "one two", "one two three"]]))
[1, 2, 3]
"""

from __future__ import annotations

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

# Where users find them is where they say they live, in errors and documents as in pickles.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
