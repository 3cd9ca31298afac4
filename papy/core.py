"""The names of PaPy's core under the module name they always had; new programs import them from `papy`."""

from __future__ import annotations

from papy._base.errors import DaggerError, PiperError, PlumberError, WorkerError
from papy._dagger.dagger import Dagger
from papy._dagger.plumber import Plumber
from papy._evaluate.worker import Worker
from papy._piper.piper import Piper

__all__ = ["Dagger", "DaggerError", "Piper", "PiperError", "Plumber", "PlumberError", "Worker", "WorkerError"]
