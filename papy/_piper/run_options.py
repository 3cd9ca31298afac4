"""What is said about the failures of a whole run, when a Dagger is made or when it is started."""

from __future__ import annotations

from dataclasses import dataclass, fields

from papy._base.checks import check_policy, check_whole
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
        check_policy(self.on_error, self.retries, DaggerError)
        if self.max_failures is not None:
            check_whole("max_failures", self.max_failures, 0, DaggerError)

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != RunOptions()

    def over(self, other: RunOptions) -> RunOptions:
        """These, and what the other says where they say nothing."""
        names = [field.name for field in fields(self)]
        return RunOptions(*(getattr(other if getattr(self, name) is None else self, name) for name in names))
