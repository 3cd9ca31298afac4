"""One function over one input, as it was added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .checks import flag, function, sequence, shown, timeout_seconds, wrong_type


class TaskSpec(NamedTuple):
    """One function over one input, as it was added."""

    func: Callable[..., Any]
    iterable: Iterable[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def label(self) -> str:
        """The name of the function, for messages; see `numap.interop.Labelled`."""
        func = self.func
        if hasattr(type(func), "__numap_label__"):  # of an object: a proxy may have every attribute
            return str(func.__numap_label__)  # type: ignore[attr-defined]
        name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None)
        return name if isinstance(name, str) else type(func).__qualname__

    def retries(self, of_map: int) -> int:
        """How often an item of it is run again: as the map says, or the function itself; see `numap.interop.Retried`."""
        if not hasattr(type(self.func), "__numap_retries__"):
            return of_map
        own: int = self.func.__numap_retries__  # type: ignore[attr-defined]
        return own


def task_spec(
    func: Callable[..., Any],
    iterable: Iterable[Any],
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    timeout: float | None = None,
    block: bool = True,
    track: bool = False,
) -> TaskSpec:
    """A TaskSpec, once all that `add_task` was given has been checked."""
    if not callable(func) and callable(iterable):
        raise TypeError(
            f"func: must be callable, not {shown(func)}; the function comes first, then the items: "
            f"write ({getattr(iterable, '__name__', 'function')}, items, ...)"
        )
    function("func", func)
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
    flag("track", track)
    return TaskSpec(func, iterable, sequence("args", args), dict(kwargs or {}))
