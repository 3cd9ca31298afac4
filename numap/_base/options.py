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
from .checks import flag, function, module_names, one_of, seconds, text, whole, wrong_value

ON_ERROR = ("raise", "return", "skip")


#: More workers than any machine has room for: threads or processes, each has a stack and two pipes. A caller who asks for more
#: has mistaken the argument, and would wait for the memory to be full.
MOST_WORKERS = 10_000

#: Options that an executor of the user's, and one of ours, has for all maps on it.
_OF_EXECUTORS = ("initializer", "finalizer", "max_items_per_worker")
_OF_OURS = ("worker_num", "start_method", *_OF_EXECUTORS, "preload")

_NUMBERS = ("worker_num", "stride", "buffer", "max_items_per_worker", "buffer_bytes")


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
        numbers = {name: getattr(self, name) for name in (*_NUMBERS, "max_failures")}
        plain: dict[str, Any] = {name: operator.index(value) for name, value in numbers.items() if value is not None}
        if self.task_timeout is None and self.kind.startswith("executor:"):
            plain["task_timeout"] = self.worker_type.task_timeout
        return self._replace(**{**plain, "worker_num": self._default_workers()})

    def _check(self) -> None:
        self._check_engine()
        one_of("on_error", self.on_error, ON_ERROR)
        for name in _NUMBERS:
            whole(name, getattr(self, name), 1, "the default", index=True)
        if self.worker_num is not None and operator.index(self.worker_num) > MOST_WORKERS:
            raise wrong_value("worker_num", f"at most {MOST_WORKERS:,}, or None for the default", self.worker_num)
        if self.stride is not None and self.buffer is not None and self.buffer < self.stride:
            raise ValueError(
                f"buffer: {self.buffer} is smaller than stride={self.stride}; give at least the stride, or None"
            )
        for name in ("initializer", "finalizer"):
            func = getattr(self, name)
            if func is not None:
                function(name, func, "callable or None")
        self._check_limits()
        if self.initargs and self.initializer is None:
            raise ValueError("initargs: given without an initializer")
        flag("ordered", self.ordered)
        flag("skip", self.skip)
        text("name", self.name)

    def _check_engine(self) -> None:
        if not _is_executor(self.worker_type):
            words = tuple(name for name in CAPABILITIES if not name.startswith("executor"))
            one_of("worker_type", self.worker_type, words, ", or a concurrent.futures.Executor")
        can = CAPABILITIES[self.kind]
        self._check_executor()
        if self.start_method is not None:
            allowed = can.start_methods
            if not allowed:
                raise ValueError(
                    f"start_method: {self.start_method!r} given, but only processes are started, and worker_type is "
                    f"{self.type_name!r}; allowed: None, or worker_type='process'"
                )
            one_of("start_method", self.start_method, allowed)
            if self.start_method == "fork" and sys.platform == "win32":
                raise ValueError(
                    "start_method: 'fork' given, but this platform can't fork; allowed: 'forkserver', 'spawn', None"
                )
            if self.start_method == "fork" and _has_greenlets():
                raise ValueError(
                    "start_method: 'fork' given, but gevent is in the place of threads here, and a fork would go on with all "
                    "greenlets of this program; allowed: 'forkserver', 'spawn', None"
                )
        if self.worker_remote is not None:
            raise ValueError(
                f"worker_remote: {self.worker_remote!r} given, but workers of type {self.type_name!r} are local; "
                f"allowed: None"
            )
        module_names("preload", self.preload)
        if self.preload and (self.kind != "process" or self.start_method not in (None, "forkserver")):
            raise ValueError(
                f"preload: needs worker processes that are forked from a clean one, and worker_type is {self.type_name!r}, "
                f"start_method {self.start_method!r}; allowed: (), or worker_type='process' with start_method=None"
            )

    def _check_executor(self) -> None:
        """What is a matter of its workers was said when the executor was made."""
        if not self.kind.startswith("executor"):
            return
        for name in _OF_EXECUTORS if self.kind == "executor" else _OF_OURS:
            if getattr(self, name) not in (None, ()):
                raise ValueError(
                    f"{name}: the workers belong to the executor that was given as worker_type; allowed: None"
                )

    def _check_limits(self) -> None:
        seconds("task_timeout", self.task_timeout)
        if self.task_timeout is not None:
            if not CAPABILITIES[self.kind].kills:
                raise ValueError(
                    f"task_timeout: needs workers that can be killed, and worker_type is {self.type_name!r}; "
                    f"allowed: None, or worker_type='process'"
                )
            if not self.task_timeout > 0:
                raise wrong_value("task_timeout", "more than 0 seconds, or None for no limit", self.task_timeout)
        whole("retries", self.retries, 0)
        whole("max_failures", self.max_failures, 0, "no limit", index=True)

    @property
    def kind(self) -> str:
        """The row of `CAPABILITIES` for the type of worker."""
        if not _is_executor(self.worker_type):
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


def _is_executor(value: object) -> bool:
    """Whether it is a `concurrent.futures.Executor`; then the program has imported that module, and we need not."""
    futures = sys.modules.get("concurrent.futures._base")
    return futures is not None and isinstance(value, futures.Executor)


def _has_greenlets() -> bool:
    """Whether gevent has replaced threads, its own `fork` included."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
