"""What a map was told, in a frozen record that checks itself.

All is checked when the map is made, in one place, so that no later part has to doubt a value.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from .._system.processes import cpu_count
from .capabilities import CAPABILITIES
from .checks import function
from .option_table import OPTIONS, check_option, check_pauses, check_worker, is_executor

_NUMBERS = ("worker_num", "stride", "buffer", "max_items_per_worker", "buffer_bytes", "retries", "max_failures")


#: Exceptions after which an item is run again: classes, or a function that says so; None: all.
RetryOn = type[Exception] | tuple[type[Exception], ...] | Callable[[BaseException], bool] | None


class _Fields(NamedTuple):
    worker_type: Any = "process"
    worker_num: int | None = None
    worker_remote: object = None
    stride: int | None = None
    buffer: int | None = None
    ordered: bool = True
    skip: bool = False
    name: str | None = None
    start_method: str | None = None
    initializer: Callable[..., Any] | None = None
    initargs: tuple[Any, ...] = ()
    finalizer: Callable[..., Any] | None = None
    preload: tuple[str, ...] = ()
    max_items_per_worker: int | None = None
    task_timeout: float | None = None
    retries: int = 0
    on_error: str = "raise"
    max_failures: int | None = None
    buffer_bytes: int | None = None
    backoff: float = 0.0
    max_backoff: float = 60.0
    retry_on: RetryOn = None
    rate: float | None = None
    track: bool = False
    progress: Any = None
    #: The function that the map was made with is a coroutine function.
    asynchronous: bool = False
    #: Maps that share an automatic ``buffer_bytes``; no argument of a map, see `numap.interop.share_bytes`.
    sharing: int = 1


class Options(_Fields):
    """The options of a map; it can only be made with values that are allowed."""

    __slots__ = ()

    def __new__(cls, **given: Any) -> Options:
        """Checks everything; what is not given has its default.

        Raises:
            TypeError, ValueError: a value is not allowed; the message names it.
        """
        self = super().__new__(cls, **given)
        self._check()
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        plain: dict[str, Any] = {name: operator.index(value) for name, value in numbers.items() if value is not None}
        if self.task_timeout is None and self.kind.startswith("executor:"):
            plain["task_timeout"] = self.worker_type.task_timeout
        return self._replace(**{**plain, "worker_num": self._default_workers()})

    def _check(self) -> None:
        for name in OPTIONS:
            check_option(name, getattr(self, name))
        for name in OPTIONS:
            if name != "worker_type" and not (name == "task_timeout" and self.asynchronous):
                check_worker(name, getattr(self, name), self.kind, self.type_name, also=_also(name, self.kind))
        for name in ("initializer", "finalizer"):
            if getattr(self, name) is not None:
                function(name, getattr(self, name), coroutines=self.kind == "thread")
        if self.start_method == "fork":
            _check_fork()
        if self.preload and self.start_method not in (None, "forkserver"):
            raise ValueError(
                f"preload: needs {OPTIONS['preload'].needs}, and start_method is {self.start_method!r}; "
                f"allowed: (), or start_method=None"
            )
        if self.stride is not None and self.buffer is not None and self.buffer < self.stride:
            raise ValueError(
                f"buffer: {self.buffer} is smaller than stride={self.stride}; give at least the stride, or None"
            )
        check_pauses(self.backoff, self.max_backoff)
        if self.initargs and self.initializer is None:
            raise ValueError("initargs: given without an initializer")

    @property
    def kind(self) -> str:
        """The row of `CAPABILITIES` for the type of worker."""
        if not is_executor(self.worker_type):
            return str(self.worker_type)
        if not hasattr(type(self.worker_type), "__numap_workers__"):
            return "executor"
        return f"executor:{self.worker_type.__numap_workers__}"

    @property
    def type_name(self) -> str:
        """The type of worker, for messages."""
        return type(self.worker_type).__name__ if self.kind.startswith("executor") else self.kind

    @property
    def workers(self) -> int:
        """The number of workers."""
        assert self.worker_num is not None, "set when the options were made"
        return self.worker_num

    def _default_workers(self) -> int:
        can = CAPABILITIES[self.kind]
        if can.most_workers == 1:
            return 1
        if self.worker_num is not None:
            return operator.index(self.worker_num)
        own = getattr(self.worker_type, "_max_workers", None)
        if isinstance(own, int):
            return own
        cpus = cpu_count() + can.extra_workers
        return cpus if can.most_workers is None else min(can.most_workers, cpus)


def _also(name: str, kind: str) -> str:
    return ", or a coroutine function, whose task can have one" if (name, kind) == ("task_timeout", "thread") else ""


def _check_fork() -> None:
    """ValueError where a program can't fork."""
    if sys.platform == "win32":
        raise ValueError(
            "start_method: 'fork' given, but this platform can't fork; allowed: 'forkserver', 'spawn', None"
        )
    if _has_greenlets():
        raise ValueError(
            "start_method: 'fork' given, but gevent is in the place of threads here, and a fork would go on with all "
            "greenlets of this program; allowed: 'forkserver', 'spawn', None"
        )


def _has_greenlets() -> bool:
    """Whether gevent has replaced threads, its own `fork` included."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
