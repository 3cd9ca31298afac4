"""What changes the number of items on a piper: words of ``Piper(...)``, which of them go together, and what each has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from numap.interop import checks
from papy._base.checks import check_flag, check_seconds
from papy._streams.batches import BatchLimits

#: What can't go together, and why.
_APART: Final = {
    ("flatten", "produce"): "each says in its own way how many items a call gives",
    ("flatten", "repeat"): "each says in its own way how many items a call gives",
    ("flatten", "spawn"): "a round has a fixed number of items",
    ("flatten", "consume"): "a round has a fixed number of items; batch=n collects any number",
    ("flatten", "route"): "a piper that routes gives its item on as it is",
    ("flatten", "track"): "values are given away as they come",
    ("route", "produce"): "a piper that routes gives its item on as it is",
    ("route", "repeat"): "a piper that routes gives its item on as it is",
    ("route", "spawn"): "a round has a fixed number of items",
    ("route", "consume"): "a piper that routes gives single items on",
    ("route", "batch"): "a piper that routes gives single items on",
    ("route", "track"): "there are no results to keep",
    ("batch", "produce"): "a round has a fixed number of items; flatten=True gives any number",
    ("batch", "repeat"): "a round has a fixed number of items",
    ("batch", "spawn"): "a round has a fixed number of items",
    ("batch", "consume"): "both collect items: batch=n takes the last ones although they are fewer",
    ("merge", "consume"): "a round has a fixed number of items; batch=n collects any number",
    ("merge", "spawn"): "a round has a fixed number of items",
}


@dataclass(frozen=True)
class NumberOptions:
    """What is said about the number of items; see `papy.Piper`.

    Raises:
        TypeError, ValueError: One of these is not allowed.
    """

    flatten: bool = False
    batch: int | None = None
    batch_seconds: float | None = None
    batch_bytes: int | None = None
    batch_key: Callable[[Any], Any] | None = None
    route: bool = False
    merge: bool = False

    def __post_init__(self) -> None:
        for what in ("flatten", "route", "merge"):
            check_flag(what, getattr(self, what))
        if self.batch is not None:
            checks.whole("batch", self.batch, 1)
        check_seconds("batch_seconds", self.batch_seconds)
        if self.batch_bytes is not None:
            checks.whole("batch_bytes", self.batch_bytes, 1)
        if self.batch_key is not None and not callable(self.batch_key):
            raise checks.wrong_type("batch_key", "a function of one item, or None", self.batch_key)

    @property
    def batched(self) -> bool:
        """Whether one call gets several items."""
        return any(getattr(self, it.name) is not None for it in fields(self) if it.name.startswith("batch"))

    @property
    def limits(self) -> BatchLimits:
        """When a batch is complete."""
        return BatchLimits(self.batch, self.batch_seconds, self.batch_bytes, self.batch_key)

    def check_with(self, **others: Any) -> None:
        """ValueError if something else that was said about the piper doesn't go together with it."""
        said = {"flatten": self.flatten, "batch": self.batched, "route": self.route, "merge": self.merge}
        said |= {name: value if isinstance(value, bool) else value > 1 for name, value in others.items()}
        for (one, other), reason in _APART.items():
            if said[one] and said[other]:
                raise ValueError(f"{one}: not possible together with {other}: {reason}")
