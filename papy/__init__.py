"""Pipelines over parallel maps: functions in pipers, pipers in a Dagger, each piper on a `numap.IMap` or none.

>>> from papy import Dagger, Piper
>>> words = Piper(str.split, unpack=True)
>>> count = Piper(len, unpack=True)
>>> list(Dagger(pipes=[(words, count)]).results([["one", "one two", "one two three"]]))
[1, 2, 3]
"""

from __future__ import annotations

from papy._counter import Counter, entry_counter
from papy._dagger import Dagger
from papy._debugger import Debugger, PipelineRuntimeDebugger
from papy._errors import DaggerError, PiperError, WorkerError
from papy._pipeline import Pipeline
from papy._piper import Piper
from papy._reporters import CallbackReporter, DebugReporter, LoggingReporter, Resources, TableReporter
from papy._run import RunStatistics
from papy._worker import Worker
from papy.coroutines import (
    PipelineStep,
    chunk,
    combine_pipeline,
    consume,
    flatten,
    identity_step,
    is_iterable,
    recursive_flatten,
)
from papy.steps import (
    AbstractIterStep,
    AbstractStep,
    Entries,
    SiblingInfo,
    SkipEntry,
    TimedChunk,
    funcstep,
    is_step,
    iterstep,
)

__all__ = [
    "AbstractIterStep",
    "AbstractStep",
    "CallbackReporter",
    "Counter",
    "Dagger",
    "DaggerError",
    "DebugReporter",
    "Debugger",
    "Entries",
    "LoggingReporter",
    "Pipeline",
    "PipelineRuntimeDebugger",
    "PipelineStep",
    "Piper",
    "PiperError",
    "Resources",
    "RunStatistics",
    "SiblingInfo",
    "SkipEntry",
    "TableReporter",
    "TimedChunk",
    "Worker",
    "WorkerError",
    "chunk",
    "combine_pipeline",
    "consume",
    "entry_counter",
    "flatten",
    "funcstep",
    "identity_step",
    "is_iterable",
    "is_step",
    "iterstep",
    "recursive_flatten",
]

# Where users find them is where they say they live, in errors and documents as in pickles.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
