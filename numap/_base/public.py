"""Public objects say that they live in the package: where users find them, in errors and documents as in pickles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["public", "public_in"]

T = TypeVar("T")


def public_in(package: str) -> Callable[[T], T]:
    """A decorator for the public classes and functions of a package."""

    def mark(thing: T) -> T:
        thing.__module__ = package
        return thing

    return mark


#: Marks a class or function as one of this package.
public = public_in("numap")
