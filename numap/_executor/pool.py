"""What the hub of an executor needs of its workers, whatever they are, beyond what every engine can do.

A map's engine knows all its functions when it starts, and belongs to one manager. Workers that stay get functions while they live,
and are given back from one map to the next. Each kind of them adds that to the engine that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..engines.protocol import Encode, Engine, Job, SideOutput, Slot


class Function(NamedTuple):
    """A program as workers get it.

    Attributes:
        code: what goes to them.
        exporter: has the definitions that it and its items need; None: they are in this process.
        limit: seconds that an item may run; None: no limit.
        copies: an item may run again.
        label: to show for it.
    """

    code: Any
    exporter: Any
    limit: float | None
    copies: bool
    label: str


class LentJob(Job):
    """A job in a worker that is lent.

    Attributes:
        tenant: whose it is.
        limit: seconds that an item of it may run.
        local: the job as its tenant knows it, with its slot there.
    """

    __slots__ = ("limit", "local", "tenant")

    tenant: Any
    limit: float | None
    local: Any


class Pool(Engine, Protocol):
    """Workers that stay."""

    def grow(self) -> None:
        """Has another worker come, if there is room for one."""

    def coming(self) -> int:
        """Workers that were asked for and are not ready."""
        ...

    def lacking(self) -> bool:
        """Whether there may be more workers than there are."""
        ...

    def add(self, number: int, function: Function) -> None:
        """A job for this program may come."""

    def knows(self, number: int) -> bool:
        """Whether the program was added, and not forgotten."""
        ...

    def forget(self, numbers: Sequence[int]) -> None:
        """No job will come for these programs any more."""

    def has_begun(self, slot: Slot, job: Job, place: int) -> bool:
        """Whether the item at that place of a job has begun. From any thread."""
        ...

    def recall_from(self, slot: Slot) -> None:
        """Asks for what a worker has not begun; it comes as Returned."""

    def kill(self) -> Sequence[SideOutput]:
        """`stop`, without a finalizer."""
        ...

    def function(self, label: str, call: Any, settings: Any) -> Function:
        """A function with its constant arguments as workers get it."""
        ...

    def exporter(self) -> Any:
        """What finds the definitions for the functions of one map, as they are now; None: they are in this process."""
        ...

    def encoder_of(self, exporter: Any) -> Encode | None:
        """What makes an entry of an item, for one thread; None: items stay as they are."""
        ...


__all__ = ["Function", "LentJob", "Pool"]
