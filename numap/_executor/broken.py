"""The error of an executor that can have no workers.

A worker that dies is no reason to give an executor up, so `WorkerDied` is no BrokenExecutor: a program that catches that throws
its pool away, and gives all that it had to a new one. An initializer that fails, or a system that lets no process be started, is
the case which that name stands for.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from .._base.errors import WorkerStartError


class _Broken(WorkerStartError, BrokenExecutor):
    """Workers can't be started; the executor takes no calls any more."""


_Broken.__module__, _Broken.__name__, _Broken.__qualname__ = "numap", "WorkerStartError", "WorkerStartError"


def broken(error: BaseException) -> WorkerStartError:
    """The error to raise, and to give to a future, where workers failed with this one."""
    made = _Broken(str(error))
    made.__cause__ = error.__cause__ if isinstance(error, WorkerStartError) else error
    return made
