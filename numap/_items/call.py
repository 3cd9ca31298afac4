"""A function with constant arguments as a function of the item alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def bound(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Any], Any]:
    """``func`` of an item, followed by ``args`` and ``kwargs``.

    >>> bound(pow, (2,), {"mod": 10})(7)
    9
    """
    if not args and not kwargs:
        return func
    return lambda item: func(item, *args, **kwargs)


class Spread:
    """A function of one item that is positional and keyword arguments.

    >>> Spread(pow)(((7, 2), {"mod": 10}))
    9
    """

    __slots__ = ("func",)

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, item: tuple[tuple[Any, ...], dict[str, Any] | None]) -> Any:
        args, kwargs = item
        return self.func(*args, **kwargs) if kwargs else self.func(*args)


class Each:
    """A function of several inputs as one of tuples; ``label``: its name, to show.

    >>> Each(pow, "pow")((7, 2))
    49
    """

    def __init__(self, func: Callable[..., Any], label: str) -> None:
        self.func = func
        self.__qualname__ = label

    def __call__(self, item: tuple[Any, ...]) -> Any:
        return self.func(*item)


def run(item: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None]) -> Any:
    """Calls the function that comes with its arguments.

    >>> run((pow, (7, 2), None))
    49
    """
    func, args, kwargs = item
    return func(*args, **kwargs) if kwargs else func(*args)
