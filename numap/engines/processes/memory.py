"""The shared memory of a process engine: which worker has which part of it, and what becomes of that.

Each worker writes in the region of its slot and marks what it uses in a column of its own. A successor may start while
the one before it is ending, so regions go with slots, and columns with workers.
"""

from __future__ import annotations

from ..._items.segments import PICKLED, Segment
from ..._system.memory import is_address_space_limited, memory_budget
from ..._transport.allocator import Layout, layout
from ..._transport.shared_memory import CALLER, SHARE, SharedMemoryFile
from ..._transport.shared_objects import incoming
from ..protocol import EngineWarning
from .supervisor import WorkerHandle

#: A pickle of this size holds something that could have been shared: pickles are a little larger than what is in them.
_LARGE = 2 * SHARE


class Memory:
    """Shares the memory of a map out to its workers.

    Args:
        workers: number of slots; the worker in slot n writes in region n + 1.

    Attributes:
        shared: None where there can't be any shared memory.
    """

    def __init__(self, workers: int) -> None:
        self.shared = _make(workers)
        self._columns = list(range(CALLER + 1, self.shared.layout.columns)) if self.shared is not None else []
        self._warned = False

    @property
    def fd(self) -> int | None:
        """The descriptor for a worker; None: there is no such memory."""
        return None if self.shared is None else self.shared.fd

    def assign(self, handle: WorkerHandle, slot: int) -> tuple[Layout, int | None, int] | None:
        """A new worker's part: the layout, its column, if one is left, and its region."""
        if self.shared is None:
            return None
        handle.column = self._columns.pop() if self._columns else None
        return self.shared.layout, handle.column, slot + 1

    def release(self, handle: WorkerHandle, slot: int | None) -> None:
        """A worker is gone. ``slot``: where it was; None: its successor is there already."""
        if self.shared is not None and handle.column is not None:
            self.shared.forget(handle.column, None if slot is None else slot + 1)
            self._columns.append(handle.column)

    def incoming(self, segments: list[Segment]) -> list[Segment]:
        """What a worker has sent, with its records and shared objects."""
        return [incoming(segment, self.shared) for segment in segments]

    def warn_once(self, segments: list[Segment], handle: WorkerHandle | None = None) -> list[EngineWarning]:
        """Once: these could have been shared and were not, for want of room. ``handle``: of the worker that sent them."""
        if self._warned or not [1 for kind, _, data in segments if kind == PICKLED and len(data) >= _LARGE]:
            return []
        if handle is not None and handle.column is None and self.shared is not None:
            return []
        self._warned = True
        size = sum(length for _, length in self.shared.layout.regions) >> 20 if self.shared is not None else 0
        return [
            EngineWarning(
                f"large items or results find no room in the shared memory of this map ({size} MB) and go the slower way, "
                f"through pipes (said once); keep fewer results, or copies of them"
            )
        ]

    def retire(self) -> None:
        """The run is over; results that the caller keeps stay."""
        if self.shared is not None:
            self.shared.retire()


def _make(workers: int) -> SharedMemoryFile | None:
    divided = layout(workers, memory_budget())
    if divided is None:
        return None
    try:
        shared = SharedMemoryFile(divided, CALLER, 0)
        if is_address_space_limited():
            # What workers write must be readable here, too.
            shared.open()
    except (OSError, ValueError):
        return None
    return shared
