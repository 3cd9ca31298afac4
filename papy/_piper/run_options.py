"""What is said about the failures of a whole run, when a Dagger is made or when it is started."""

from __future__ import annotations

from dataclasses import dataclass, fields

from numap.interop import checks
from papy._base.checks import check_policy, refused_as
from papy._base.errors import DaggerError


@dataclass(frozen=True)
class RunOptions:
    """What is done with items that fail; None: not said. See `papy.Dagger`.

    Raises:
        DaggerError: One of these is not allowed.
    """

    on_error: str | None = None
    retries: int | None = None
    max_failures: int | None = None

    def __post_init__(self) -> None:
        with refused_as(DaggerError):
            check_policy(self.on_error, self.retries)
            if self.max_failures is not None:
                checks.whole("max_failures", self.max_failures, 0)

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != RunOptions()

    def over(self, other: RunOptions) -> RunOptions:
        """These, and what the other says where they say nothing."""
        names = [field.name for field in fields(self)]
        return RunOptions(*(getattr(other if getattr(self, name) is None else self, name) for name in names))
