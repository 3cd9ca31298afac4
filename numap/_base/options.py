"""What a map was told, in a frozen record that checks itself."""

from __future__ import annotations

import operator
import sys
from _thread import TIMEOUT_MAX
from collections.abc import Callable, Iterable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from .._system.processes import cpu_count
from .capabilities import CAPABILITIES

ON_ERROR = ("raise", "return", "skip")


class TaskSpec(NamedTuple):
    """One function over one input, as it was added."""

    func: Callable[..., Any]
    iterable: Iterable[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def label(self) -> str:
        """The name of the function, for messages."""
        func = self.func
        name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None)
        return name if isinstance(name, str) else type(func).__qualname__


    def retries(self, of_map: int) -> int:
        """How often an item of it is run again: as the map says, unless the class of the function has ``__numap_retries__``."""
        if not hasattr(type(self.func), "__numap_retries__"):  # of an object: a proxy may have every attribute
            return of_map
        own: int = self.func.__numap_retries__  # type: ignore[attr-defined]
        return own


#: More workers than any machine has room for: threads or processes, each has a stack and two pipes. Whoever asks for more has
#: mistaken the argument, and would wait for the memory to be full.
MOST_WORKERS = 10_000

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
    max_items_per_worker: int | None = None
    task_timeout: float | None = None
    retries: int = 0
    on_error: str = "raise"
    max_failures: int | None = None
    buffer_bytes: int | None = None
    #: Maps that share an automatic ``buffer_bytes``; no argument of a map, see `IMap.__numap_share__`.
    sharing: int = 1


class Options(_Fields):
    """The options of a map; it can only be made with values that are allowed."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Options:
        """Checks everything.

        Raises:
            TypeError, ValueError: a value is not allowed; the message names it.
        """
        self = super().__new__(cls, *args, **kwargs)
        self._check()
        given = {name: getattr(self, name) for name in (*_NUMBERS, "max_failures")}
        plain: dict[str, Any] = {name: operator.index(value) for name, value in given.items() if value is not None}
        return self._replace(**{**plain, "worker_num": self._default_workers()})

    def _check(self) -> None:
        self._check_engine()
        one_of("on_error", self.on_error, ON_ERROR)
        for name in _NUMBERS:
            positive(name, getattr(self, name))
        if self.worker_num is not None and operator.index(self.worker_num) > MOST_WORKERS:
            raise ValueError(f"worker_num: {self.worker_num!r} given; must be at most {MOST_WORKERS:,}, or None for the default")
        if self.stride is not None and self.buffer is not None and self.buffer < self.stride:
            raise ValueError(f"buffer: {self.buffer} is smaller than stride={self.stride}; give at least the stride, or None")
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
            words = tuple(name for name in CAPABILITIES if name != "executor")
            one_of("worker_type", self.worker_type, words, ", or a concurrent.futures.Executor")
        can = CAPABILITIES[self.kind]
        if self.start_method is not None:
            allowed = can.start_methods
            if not allowed:
                raise ValueError(
                    f"start_method: {self.start_method!r} given, but only processes are started, and worker_type is "
                    f"{self.type_name!r}; allowed: None, or worker_type='process'"
                )
            one_of("start_method", self.start_method, allowed)
            if self.start_method == "fork" and sys.platform == "win32":
                raise ValueError("start_method: 'fork' given, but this platform can't fork; allowed: 'forkserver', 'spawn', None")
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
        for name in ("initializer", "finalizer", "max_items_per_worker"):
            if self.kind == "executor" and getattr(self, name) is not None:
                raise ValueError(f"{name}: the workers belong to the executor that was given as worker_type; allowed: None")

    def _check_limits(self) -> None:
        seconds("task_timeout", self.task_timeout)
        if self.task_timeout is not None:
            if not CAPABILITIES[self.kind].kills:
                raise ValueError(
                    f"task_timeout: needs workers that can be killed, and worker_type is {self.type_name!r}; "
                    f"allowed: None, or worker_type='process'"
                )
            if not self.task_timeout > 0:
                raise ValueError(f"task_timeout: {self.task_timeout!r} given; must be more than 0 seconds, or None for no limit")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries: must be a whole number of at least 0, not {shown(self.retries)}")
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries} given; must be at least 0")
        whole = self.max_failures
        if whole is None:
            return
        if isinstance(whole, bool) or not hasattr(type(whole), "__index__"):
            raise TypeError(f"max_failures: must be a whole number of at least 0, or None for no limit, not {shown(whole)}")
        if operator.index(whole) < 0:
            raise ValueError(f"max_failures: {whole!r} given; must be at least 0, or None for no limit")

    @property
    def kind(self) -> str:
        """The row of `CAPABILITIES` for the type of worker."""
        return "executor" if _is_executor(self.worker_type) else str(self.worker_type)

    @property
    def type_name(self) -> str:
        """The type of worker, for messages."""
        return type(self.worker_type).__name__ if self.kind == "executor" else self.kind

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
    """Whether it is a `concurrent.futures.Executor`; then somebody has imported that module, and it need not be us."""
    futures = sys.modules.get("concurrent.futures._base")
    return futures is not None and isinstance(value, futures.Executor)


def one_of(name: str, value: object, allowed: tuple[str, ...], also: str = "") -> None:
    """ValueError unless ``value`` is one of the allowed words; ``also``: what else the message says is allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: {value!r} is unknown; {nearest(value, allowed)}allowed: {', '.join(map(repr, allowed))}{also}")


def nearest(word: object, words: Iterable[str]) -> str:
    """The question whether one of the words was meant, for a message, with a blank behind; empty if none is near."""
    import difflib

    found = difflib.get_close_matches(word, list(words), 1) if isinstance(word, str) else []
    return f"did you mean {found[0]!r}? " if found else ""


def shown(value: object) -> str:
    """A wrong value and its type, for messages: the value only where that is short, and can be shown."""
    kind = type(value).__name__
    try:
        text = repr(value)
    except Exception:  # whatever a method of the user's raises
        return kind
    return kind if len(text) > 50 else text if value is None else f"{text} ({kind})"


def positive(name: str, value: object, or_none: bool = True) -> None:
    """TypeError or ValueError unless ``value`` is a whole number of at least 1, or None where that is allowed."""
    if value is None and or_none:
        return
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name}: must be a whole number of at least 1{' or None' * or_none}, not {shown(value)}")
    if operator.index(value) < 1:  # type: ignore[arg-type]
        raise ValueError(f"{name}: {value!r} given; must be at least 1{', or None for the default' * or_none}")


def flag(name: str, value: object) -> None:
    """TypeError unless ``value`` is True or False."""
    if value is not True and value is not False:
        raise TypeError(f"{name}: must be True or False, not {shown(value)}")


def text(name: str, value: object) -> None:
    """TypeError unless ``value`` is a str or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: must be a str or None, not {shown(value)}")


def seconds(name: str, value: object) -> None:
    """TypeError unless ``value`` is None or a number of seconds."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{name}: must be a number of seconds or None, not {shown(value)}")


def timeout_seconds(name: str, value: float | None) -> None:
    """TypeError or ValueError unless ``value`` is None or a number of seconds of at least 0."""
    seconds(name, value)
    if value is not None and not value >= 0:
        raise ValueError(f"{name}: {value!r} given; must be at least 0 seconds, or None to wait without limit")


def limited(seconds: float | None) -> float | None:
    """Seconds as locks, queues and clocks can wait for them: None, no limit, for more than these can count (decades)."""
    return None if seconds is None or seconds >= TIMEOUT_MAX else seconds


def sequence(name: str, value: object) -> tuple[Any, ...]:
    """The arguments in ``value``, None for none; TypeError unless it is a sequence of them, or anything else that has an order."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, set, frozenset, Mapping)) or not hasattr(type(value), "__iter__"):
        raise TypeError(f"{name}: must be a sequence of arguments, not {shown(value)}")
    return tuple(value)  # type: ignore[arg-type]


#: What the code of an ``async def`` is marked with, as `inspect` has it: that module takes longer to import than a worker
#: to start.
_ASYNC = 0x80 | 0x200


def function(name: str, func: object, needed: str = "callable") -> None:
    """TypeError unless ``func`` can be called in a worker: callable, and no coroutine function."""
    if not callable(func):
        raise TypeError(f"{name}: must be {needed}, not {shown(func)}")
    func = _unwrapped(func)
    for f in (func, getattr(type(func), "__call__", func)):  # noqa: B004
        code = getattr(getattr(f, "__func__", f), "__code__", None)
        if isinstance(code, CodeType) and code.co_flags & _ASYNC:
            raise TypeError(f"{name}: {getattr(f, '__qualname__', f)!s} is a coroutine function; give an ordinary function")


def _unwrapped(func: Any) -> Any:
    """The function inside partials and bound methods."""
    import functools

    while isinstance(func, functools.partial):
        func = func.func
    return func


def task_spec(
    func: Callable[..., Any], iterable: Iterable[Any], args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None,
    timeout: float | None = None, block: bool = True, track: bool = False,
) -> TaskSpec:
    """A TaskSpec, once all that `add_task` was given has been checked."""
    function("func", func)
    if isinstance(iterable, type) or not (hasattr(type(iterable), "__iter__") or hasattr(type(iterable), "__getitem__")):
        raise TypeError(f"iterable: must be iterable, not {shown(iterable)}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs: must be a mapping of extra arguments or None, not {shown(kwargs)}")
    for key in kwargs or ():
        if not isinstance(key, str):
            raise TypeError(f"kwargs: the names of arguments must be str, not {shown(key)}")
    timeout_seconds("timeout", timeout)
    flag("block", block)
    flag("track", track)
    return TaskSpec(func, iterable, sequence("args", args), dict(kwargs or {}))


def _has_greenlets() -> bool:
    """Whether gevent has replaced threads, its own `fork` included."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
