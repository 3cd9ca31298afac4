"""How many bytes entries have that pass one by one, and how many a queue of a pipeline has room for."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from numap import IMap, sizeof
from numap.interop import share_bytes

# Bytes of all that is in a pipeline, if nothing else was said; the automatic bound of one map.
_AUTOMATIC: Final = 64 << 20
# Of so many small entries one is measured.
_EACH: Final = 8
# Bytes from which on each one is: to make so much takes longer.
_LARGE: Final = 16 << 10


class Room(NamedTuple):
    """The bytes of all that is in a pipeline, and how many queues share them: maps, and what lies between maps.

    Attributes:
        given: So many; None: automatic, and each worker has room for an entry, however large that is.
        queues: How many share them.
    """

    given: int | None
    queues: int

    @property
    def share(self) -> int:
        """Bytes in one queue."""
        return max(1, (_AUTOMATIC if self.given is None else self.given) // self.queues)

    def map(self, **options: Any) -> IMap[Any]:
        """A map with these options and its share of the room."""
        imap: IMap[Any] = IMap(buffer_bytes=None if self.given is None else self.share, **options)
        share_bytes(imap, self.queues)
        return imap


class SizeSampler:
    """Measures entries that pass, some of them for all, as to measure each would take longer than to pass it on.

    Attributes:
        size: Bytes of the last one that was measured.
    """

    def __init__(self) -> None:
        self.size = 0
        self._passed = 0

    def measure(self, entry: Any) -> int:
        """About how many bytes an entry has; several threads may ask."""
        if self.size > _LARGE or self._passed % _EACH == 0:
            self.size = sizeof(entry)
        self._passed += 1
        return self.size
