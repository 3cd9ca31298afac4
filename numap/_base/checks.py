"""Checks of arguments, and the words in which one is refused: the argument, what it must be, and what it is.

A wrong argument is said at the call, where the mistake is, not in a worker a minute later. All checks speak with one grammar:
``name: must be this, not that (type)`` for a wrong type, ``name: that given; must be this`` for a value that is not allowed.
"""

from __future__ import annotations

import operator
import sys
from _thread import TIMEOUT_MAX
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any


def wrong_type(name: str, needed: str, value: object) -> TypeError:
    """The error for an argument of a wrong type."""
    return TypeError(f"{name}: must be {needed}, not {shown(value)}")


def wrong_value(name: str, needed: str, value: object) -> ValueError:
    """The error for an argument with a value that is not allowed."""
    return ValueError(f"{name}: {value!r} given; must be {needed}")


def one_of(name: str, value: object, allowed: tuple[str, ...], also: str = "") -> None:
    """ValueError unless ``value`` is one of the allowed words; ``also``: what else the message says is allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"{name}: {value!r} is unknown; {nearest(value, allowed)}allowed: {', '.join(map(repr, allowed))}{also}"
        )


def nearest(word: object, words: Iterable[str]) -> str:
    """The question whether one of the words was meant, for a message, with a blank behind; empty if none is near."""
    found = closest(word, words)
    return "" if found is None else f"did you mean {found!r}? "


def closest(word: object, words: Iterable[str]) -> str | None:
    """The word that was meant, perhaps; None: none is near."""
    import difflib  # only an error needs it

    found = difflib.get_close_matches(word, list(words), 1) if isinstance(word, str) else []
    return found[0] if found else None


def shown(value: object) -> str:
    """A wrong value and its type, for messages: the value only where that is short, and can be shown."""
    kind = type(value).__name__
    try:
        text = repr(value)
    except Exception:  # whatever a method of the user's raises
        return kind
    return kind if len(text) > 50 else text if value is None else f"{text} ({kind})"


def counted(number: int, one: str, several: str = "") -> str:
    """So many of something, for messages: ``1 item``, ``2 items``; ``several``: the plural that is not made by an "s"."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def progress_bar(name: str, value: object) -> None:
    """TypeError unless it is something that progress can be shown by."""
    if value is not None and not isinstance(value, (bool, str)) and not callable(getattr(value, "update", None)):
        raise wrong_type(name, "True, False, a title, or an object with update(), as of tqdm or rich", value)


def whole(name: str, value: Any, least: int, none: str | None = None, index: bool = False) -> None:
    """TypeError or ValueError unless ``value`` is a whole number.

    Args:
        name: of the argument.
        value: what was given.
        least: the least number that is allowed.
        none: what None stands for, where that is allowed.
        index: whether what is no int, but can be made one without loss, is a whole number, too.
    """
    if value is None and none is not None:
        return
    also = "" if none is None else f", or None for {none}"
    if isinstance(value, bool) or not (isinstance(value, int) or (index and hasattr(type(value), "__index__"))):
        raise wrong_type(name, f"a whole number of at least {least}{also}", value)
    if operator.index(value) < least:
        raise wrong_value(name, f"at least {least}{also}", value)


def flag(name: str, value: object) -> None:
    """TypeError unless ``value`` is True or False."""
    if value is not True and value is not False:
        raise wrong_type(name, "True or False", value)


def text(name: str, value: object) -> None:
    """TypeError unless ``value`` is a str or None."""
    if value is not None and not isinstance(value, str):
        raise wrong_type(name, "a str or None", value)


def seconds(name: str, value: object, or_none: bool = True) -> None:
    """TypeError unless ``value`` is a number of seconds, or None where that is allowed."""
    if not (value is None and or_none) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise wrong_type(name, f"a number of seconds{' or None' * or_none}", value)


def timeout_seconds(name: str, value: float | None) -> None:
    """TypeError or ValueError unless ``value`` is None or a number of seconds of at least 0."""
    seconds(name, value)
    if value is not None and not value >= 0:
        raise wrong_value(name, "at least 0 seconds, or None to wait without limit", value)


def limited(seconds: float | None, most: float = TIMEOUT_MAX) -> float | None:
    """Seconds as what waits can count them: None, no limit, for more.

    Args:
        seconds: what a check has let pass.
        most: the most seconds that can be counted. Locks, queues and clocks get as far as decades.
    """
    return None if seconds is None or seconds >= most else seconds


def sequence(name: str, value: object, of: str = "arguments") -> tuple[Any, ...]:
    """What ``value`` holds, None for nothing; TypeError unless it is a sequence, or anything else that has an order.

    ``of``: what it is a sequence of, for the message.
    """
    if value is None:
        return ()
    if isinstance(value, (str, bytes, set, frozenset, Mapping)) or not hasattr(type(value), "__iter__"):
        raise wrong_type(name, f"a sequence of {of}", value)
    return tuple(value)  # type: ignore[arg-type]


def module_names(name: str, value: tuple[object, ...]) -> None:
    """TypeError or ValueError unless ``value`` has names of modules that can be found; none of them is imported for it."""
    for it in value:
        if not isinstance(it, str):
            raise wrong_type(name, "names of modules", it)
        top = it.partition(".")[0]
        if it == "__main__" or not all(part.isidentifier() for part in it.split(".")):
            raise wrong_value(name, "names of modules, as an import statement has them, without the main module", it)
        if top not in sys.modules and _is_missing(top):
            near = nearest(top, [*sys.modules, *sys.stdlib_module_names])
            raise ValueError(f"{name}: there is no module {top!r}; {near}workers find modules where this program does")


def _is_missing(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is None


#: What the code of an ``async def`` is marked with, as `inspect` has it: that module takes longer to import than a worker
#: to start. The second one has a ``yield``.
_COROUTINE, _ASYNC_GENERATOR = 0x80, 0x200


def function(name: str, func: object, needed: str = "callable", coroutines: bool = False) -> None:
    """TypeError unless ``func`` can be called in a worker: callable, and a coroutine function only where these are allowed."""
    if not callable(func):
        raise wrong_type(name, needed, func)
    found = _async_code(func)
    if found is None:
        return
    what, flags = found
    if flags & _ASYNC_GENERATOR:
        raise TypeError(
            f"{name}: {what} is an asynchronous generator function; give an ordinary function, or a coroutine function"
        )
    if not coroutines:
        raise TypeError(
            f"{name}: {what} is a coroutine function; give an ordinary function, or run it with worker_type='thread'"
        )


def is_coroutine_function(func: object) -> bool:
    """Whether a call of it gives a coroutine, as far as can be seen: an ``async def``, a partial or an object with one."""
    found = _async_code(func)
    return found is not None and not found[1] & _ASYNC_GENERATOR


def _async_code(func: Any) -> tuple[str, int] | None:
    """The name and the flags of the code of an ``async def``; None: it is none."""
    func = _unwrapped(func)
    for f in (func, getattr(type(func), "__call__", func)):  # noqa: B004
        code = getattr(getattr(f, "__func__", f), "__code__", None)
        if isinstance(code, CodeType) and code.co_flags & (_COROUTINE | _ASYNC_GENERATOR):
            return str(getattr(f, "__qualname__", f)), code.co_flags
    return None


def exceptions(name: str, value: Any) -> None:
    """TypeError unless ``value`` is None, can stand behind ``except``, or is a function that an exception is given to."""
    if value is None or (callable(value) and not isinstance(value, type)):
        return
    for kind in value if isinstance(value, tuple) else (value,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise wrong_type(
                name, "a class of exceptions, a tuple of such classes, a function of an exception, or None", value
            )


def _unwrapped(func: Any) -> Any:
    """The function inside partials and bound methods."""
    import functools

    while isinstance(func, functools.partial):
        func = func.func
    return func
