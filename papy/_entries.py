"""What travels between the steps of a pipeline besides entries; an entry itself is a tuple ``(number, value)``."""

from __future__ import annotations

from typing import Any

__all__ = ["Entry", "Meta", "Skipped"]

Entry = tuple[int, Any]


class Meta:
    """A control entry, as `Pipeline.put_meta` makes it."""

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:
        self.payload = payload


class Skipped:
    """Stands, as the class itself, where an entry was dropped: a class is the same one in every process."""
