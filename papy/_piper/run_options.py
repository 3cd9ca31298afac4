"""What is said about a whole run, when a Dagger is made or when it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from numap.interop import checks
from papy._base.checks import check_policy, refused_as
from papy._base.errors import DaggerError


@dataclass(frozen=True)
class RunOptions:
    """What is done with items that fail, and what all functions share; None: not said. See `papy.Dagger`.

    Raises:
        DaggerError: One of these is not allowed.
    """

    on_error: str | None = None
    retries: int | None = None
    max_failures: int | None = None
    constants: Mapping[str, Any] | None = None
    progress: Any = None

    def __post_init__(self) -> None:
        with refused_as(DaggerError):
            check_policy(self.on_error, self.retries)
            if self.max_failures is not None:
                checks.whole("max_failures", self.max_failures, 0)
            checks.progress_bar("progress", self.progress)
            names = self.constants
            if names is not None and not (isinstance(names, Mapping) and all(isinstance(it, str) for it in names)):
                raise checks.wrong_type("constants", "a dictionary with names of parameters as keys, or None", names)

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != RunOptions()

    def over(self, other: RunOptions) -> RunOptions:
        """These, and what the other says where they say nothing."""
        names = [field.name for field in fields(self)]
        return RunOptions(*(getattr(other if getattr(self, name) is None else self, name) for name in names))
