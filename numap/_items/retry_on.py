"""Which exceptions an item is run again for: asked where they were raised, and told with the failure.

A class that was raised in a worker may be unknown to the thread that decides, and a function of the user's must not run there. So
the function of a task is called by an object that asks ``retry_on``, and marks the exception.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .exceptions import add_note, safe_text

#: In the attributes of an exception, between the call that it left and the place where a failure is made of it.
_MARK = "__numap_again__"


def is_meant(retry_on: Any, error: BaseException) -> bool:
    """Whether an item that raised this is to be run again. What the user's function raises itself means no, and is noted."""
    try:
        if callable(retry_on) and not isinstance(retry_on, type):
            return bool(retry_on(error))
        return isinstance(error, retry_on)
    except BaseException as problem:
        add_note(
            error, f"retry_on raised {type(problem).__name__}: {safe_text(problem)}; so the item was not run again"
        )
        return False


def mark(retry_on: Any, error: BaseException) -> None:
    """Notes in an exception whether its item is to be run again."""
    if is_meant(retry_on, error):
        with suppress(Exception):  # whatever attributes of the user's class do
            error.__dict__[_MARK] = True


def take_mark(error: BaseException) -> bool:
    """Whether an exception was marked; it is not any more."""
    try:
        return bool(error.__dict__.pop(_MARK, False))
    except Exception:
        return False


class Asking:
    """A function whose exceptions are marked.

    >>> try:
    ...     Asking(int, ValueError)("x")
    ... except ValueError as error:
    ...     print(take_mark(error), take_mark(error))
    True False
    """

    __slots__ = ("_func", "_retry_on")

    def __init__(self, func: Callable[..., Any], retry_on: Any) -> None:
        self._func = func
        self._retry_on = retry_on

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the function."""
        try:
            return self._func(*args, **kwargs)
        except BaseException as error:
            mark(self._retry_on, error)
            raise

    def __reduce__(self) -> Any:
        return type(self), (self._func, self._retry_on)


class AskingCoroutine(Asking):
    """The same for a coroutine function."""

    __slots__ = ()

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the function, and what is awaited of it."""
        try:
            return await self._func(*args, **kwargs)
        except BaseException as error:
            mark(self._retry_on, error)
            raise
