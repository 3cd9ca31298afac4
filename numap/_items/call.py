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
