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
    from papy._base.dead_letters import DeadLetters
    from papy._base.errors import DaggerError, PiperError, PlumberError, Skip, SkipEntry, WorkerError
    from papy._dagger.dagger import Dagger
    from papy._dagger.plumber import Plumber
    from papy._dagger.run_statistics import RunStatistics
    from papy._evaluate.worker import Worker
    from papy._monitor.counter import Counter, entry_counter
    from papy._monitor.debugger import Debugger, PipelineRuntimeDebugger
    from papy._monitor.reporters import CallbackReporter, DebugReporter, LoggingReporter, Resources, TableReporter
    from papy._pipeline.pipeline import Pipeline
    from papy._piper.piper import Piper
    from papy._stages.dead_letters import DeadLetter
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
    from papy.steps import AbstractIterStep, AbstractStep, Entries, SiblingInfo, TimedChunk, funcstep, is_step, iterstep

#: Workers need a part of this package; see `numap.interop`.
__numap_library__ = True

__all__ = [
    "AbstractIterStep",
    "AbstractStep",
    "CallbackReporter",
    "Counter",
    "Dagger",
    "DaggerError",
    "DeadLetter",
    "DeadLetters",
    "DebugReporter",
    "Debugger",
    "Entries",
    "LoggingReporter",
    "Pipeline",
    "PipelineRuntimeDebugger",
    "PipelineStep",
    "Piper",
    "PiperError",
    "Plumber",
    "PlumberError",
    "Resources",
    "RunStatistics",
    "SiblingInfo",
    "Skip",
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

# Where the public names are. They are imported when they are asked for: a worker process, which evaluates the functions
# of pipers, needs one of these modules, and would otherwise wait for all.
_NAMES = {
    "papy._base.dead_letters": "DeadLetters",
    "papy._base.errors": "DaggerError PiperError PlumberError Skip SkipEntry WorkerError",
    "papy._dagger.dagger": "Dagger",
    "papy._dagger.run_statistics": "RunStatistics",
    "papy._piper.piper": "Piper",
    "papy._dagger.plumber": "Plumber",
    "papy._evaluate.worker": "Worker",
    "papy._monitor.counter": "Counter entry_counter",
    "papy._monitor.debugger": "Debugger PipelineRuntimeDebugger",
    "papy._monitor.reporters": "CallbackReporter DebugReporter LoggingReporter Resources TableReporter",
    "papy._pipeline.pipeline": "Pipeline",
    "papy._stages.dead_letters": "DeadLetter",
    "papy.coroutines": "chunk combine_pipeline consume flatten identity_step is_iterable PipelineStep recursive_flatten",
    "papy.steps": "AbstractIterStep AbstractStep Entries funcstep is_step iterstep SiblingInfo TimedChunk",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'papy' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
