"""Checks of arguments: what is refused, and in which words."""

from __future__ import annotations

import operator
from _thread import TIMEOUT_MAX
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any


def one_of(name: str, value: object, allowed: tuple[str, ...], also: str = "") -> None:
    """ValueError unless ``value`` is one of the allowed words; ``also``: what else the message says is allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"{name}: {value!r} is unknown; {nearest(value, allowed)}allowed: {', '.join(map(repr, allowed))}{also}"
        )


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
            raise TypeError(
                f"{name}: {getattr(f, '__qualname__', f)!s} is a coroutine function; give an ordinary function"
            )


def _unwrapped(func: Any) -> Any:
    """The function inside partials and bound methods."""
    import functools

    while isinstance(func, functools.partial):
        func = func.func
    return func
