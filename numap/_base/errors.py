"""The errors, split by what is at fault: the user's function, a worker, an input, the caller::

    NumapError
     |- ItemError            the user's function raised something that is not an Exception
     |- WorkerDied           the process that ran the item is gone        (also: killed from outside)
     |- TaskTimeout          the item ran longer than task_timeout
     |- SerializationError   an item, a result or a function can't cross to or from a worker
     |- WorkerStartError     workers can't be started: the map ends
     |- TooManyFailures      more items failed than max_failures allows: the map ends
     |- SourceError          an input iterable raised
     |- StateError           a call that the state of the map forbids     (also a RuntimeError)
     '- NextTimeout          nothing was ready in time                    (also a TimeoutError)

An ordinary exception of the user's function is raised as it is, never wrapped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .public import public

__all__ = [
    "ItemError",
    "NextTimeout",
    "NumapError",
    "RemoteTraceback",
    "SerializationError",
    "SourceError",
    "StateError",
    "TaskTimeout",
    "TooManyFailures",
    "WorkerDied",
    "WorkerStartError",
]


@public
class NumapError(Exception):
    """Base class of every error that numap words itself.

    Attributes:
        task: index of the task that the error belongs to, if it belongs to one.
        index: index of the item in its task, if it belongs to one.
    """

    task: int | None = None
    index: int | None = None


@public
class ItemError(NumapError):
    """A function raised what must not fly through the caller: SystemExit, KeyboardInterrupt, StopIteration...

    Attributes:
        original: the exception that the function raised.
    """

    def __init__(self, message: str, original: BaseException | None = None) -> None:
        super().__init__(message)
        self.original = original

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.original)


@public
class WorkerDied(NumapError):
    """The worker process that was running an item is gone; the item failed, the map goes on.

    Attributes:
        task: index of the task.
        index: index of the item in its task.
        pid: process id of the dead worker.
        exitcode: its exit status, ``-9`` for SIGKILL, or None where it can't be known.
    """

    def __init__(
        self,
        message: str,
        task: int | None = None,
        index: int | None = None,
        pid: int | None = None,
        exitcode: int | None = None,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.index = index
        self.pid = pid
        self.exitcode = exitcode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.task, self.index, self.pid, self.exitcode)


@public
class TaskTimeout(NumapError):
    """An item ran longer than ``task_timeout``; its worker was killed and replaced, the map goes on."""


@public
class SerializationError(NumapError):
    """An item, a result or a function can't be pickled or unpickled."""


@public
class WorkerStartError(NumapError):
    """Workers can't be started, for instance as the initializer raises; the map has ended."""


@public
class TooManyFailures(NumapError):
    """More items failed than ``max_failures`` allows; what ran has ended. Its ``__cause__`` is the first failure.

    Attributes:
        failed: items that had failed, after their retries, when the end came.
        max_failures: how many were allowed.
    """

    def __init__(self, message: str, failed: int = 0, max_failures: int = 0) -> None:
        super().__init__(message)
        self.failed = failed
        self.max_failures = max_failures

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.failed, self.max_failures)


@public
class SourceError(NumapError):
    """An input iterable raised an exception (its ``__cause__``), or joined inputs have unequal lengths."""


@public
class StateError(NumapError, RuntimeError):
    """A call that the present state forbids; it changed nothing.

    Attributes:
        branch_limit: where a branch of a `tee` is too far ahead of another one, how far it may be; else None.
    """

    branch_limit: int | None = None


@public
class NextTimeout(NumapError, TimeoutError):
    """No result was ready in time. Catch it as ``TimeoutError`` or ``multiprocessing.TimeoutError``, too."""


def next_timeout(message: str) -> NextTimeout:
    """A NextTimeout that an ``except multiprocessing.TimeoutError`` catches, too.

    multiprocessing's error has no relation to the built-in one. A program that names it in an except clause has
    imported it. So the common subclass is only made then, and ``import numap`` stays light.
    """
    context = sys.modules.get("multiprocessing.context")
    if context is None:
        return NextTimeout(message)
    return _with_base(context.TimeoutError)(message)


_WITH_BASE: dict[type, type[NextTimeout]] = {}


def _with_base(base: type[Exception]) -> type[NextTimeout]:
    if base not in _WITH_BASE:
        _WITH_BASE[base] = type(
            "NextTimeout", (NextTimeout, base), {"__module__": "numap", "__doc__": NextTimeout.__doc__}
        )
    return _WITH_BASE[base]


@public
class RemoteTraceback(Exception):
    """Carries the text of a worker's traceback as the ``__cause__`` of the exception that left it.

    Args:
        text: the text, or what makes it, which can be pickled. It is called when the text is looked at: it reads sources, which
            another process may not have, and may import what formats them. The consumer whose ``next`` raises the exception may
            never look, or be interrupted meanwhile.
    """

    def __init__(self, text: str | Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    @property
    def text(self) -> str:
        """The traceback, as Python prints one."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return _remote_traceback, (self._text,)


def _remote_traceback(text: str | Callable[[], str]) -> RemoteTraceback:
    """By its name pickle would look for the class in the package, where it is no public name."""
    return RemoteTraceback(text)
