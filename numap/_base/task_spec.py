"""One function over one input, as it was added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .checks import flag, function, is_coroutine_function, sequence, shown, timeout_seconds, wrong_type
from .option_table import check_option, check_pauses, check_worker, pause
from .options import Options, RetryOn


class TaskSettings(NamedTuple):
    """What a map does with the items of one task; see `option_table`."""

    retries: int = 0
    backoff: float = 0.0
    max_backoff: float = 60.0
    retry_on: RetryOn = None
    on_error: str = "raise"
    rate: float | None = None
    task_timeout: float | None = None

    def pause(self, failures: int) -> float:
        """Seconds from the failure of an item to its next run, when it has failed so often."""
        return pause(self.backoff, self.max_backoff, failures)


def task_settings(options: Options, given: TaskSettings, func: Callable[..., Any]) -> TaskSettings:
    """The settings of a task: its own, and those of its map where it has none.

    Args:
        options: of the map.
        given: what the task was given; None: nothing.
        func: its function, which has passed its own check.

    Raises:
        TypeError, ValueError: a value is not allowed, or the workers can't do it.
    """
    own = {name: value for name, value in given._asdict().items() if value is not None}
    for name, value in own.items():
        check_option(name, value)
    coroutine = is_coroutine_function(func)
    if coroutine and options.max_items_per_worker is not None:
        raise ValueError(
            "max_items_per_worker: coroutine functions share one event loop, which is not replaced; allowed: None"
        )
    if not coroutine:
        check_worker("task_timeout", own.get("task_timeout", options.task_timeout), options.kind, options.type_name)
    made = TaskSettings(*(own.get(name, getattr(options, name)) for name in TaskSettings._fields))
    check_pauses(made.backoff, made.max_backoff)
    return made


class TaskSpec(NamedTuple):
    """One function over one input, as it was added."""

    func: Callable[..., Any]
    iterable: Iterable[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    settings: TaskSettings = TaskSettings()

    @property
    def label(self) -> str:
        """The name of the function, for messages; see `numap.interop.Labelled`."""
        func = self.func
        if hasattr(type(func), "__numap_label__"):  # of an object: a proxy may have every attribute
            return str(func.__numap_label__)  # type: ignore[attr-defined]
        name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None)
        return name if isinstance(name, str) else type(func).__qualname__

    @property
    def retries(self) -> int:
        """How often an item of it is run again: as the map says, or the function itself; see `numap.interop.Retried`."""
        if not hasattr(type(self.func), "__numap_retries__"):
            return self.settings.retries
        own: int = self.func.__numap_retries__  # type: ignore[attr-defined]
        return own


def task_spec(
    func: Callable[..., Any],
    iterable: Iterable[Any],
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    timeout: float | None,
    block: bool,
    track: bool | None,
    options: Options,
    given: Iterable[Any],
) -> TaskSpec:
    """A TaskSpec, once all that `add_task` was given has been checked; ``given``: the fields of `TaskSettings`, see there."""
    if not callable(func) and callable(iterable):
        raise TypeError(
            f"func: must be callable, not {shown(func)}; the function comes first, then the items: "
            f"write ({getattr(iterable, '__name__', 'function')}, items, ...)"
        )
    function("func", func, coroutines=options.kind == "thread")
    settings = task_settings(options, TaskSettings(*given), func)
    if isinstance(iterable, type) or not (
        hasattr(type(iterable), "__iter__") or hasattr(type(iterable), "__getitem__")
    ):
        raise wrong_type("iterable", "iterable", iterable)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise wrong_type("kwargs", "a mapping of extra arguments or None", kwargs)
    for key in kwargs or ():
        if not isinstance(key, str):
            raise TypeError(f"kwargs: the names of arguments must be str, not {shown(key)}")
    timeout_seconds("timeout", timeout)
    flag("block", block)
    if track is not None:
        flag("track", track)
    return TaskSpec(func, iterable, sequence("args", args), dict(kwargs or {}), settings)
