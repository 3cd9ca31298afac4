"""Public objects say that they live in the package: where users find them, in errors and documents as in pickles."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["public"]

T = TypeVar("T")


def public(thing: T) -> T:
    """Mark a class or function as one of the package."""
    thing.__module__ = "papy"
    return thing
