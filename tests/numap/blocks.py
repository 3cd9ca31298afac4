"""Large items that are counted, for tests of bounds in bytes."""

from __future__ import annotations

import weakref
from typing import ClassVar

MB = 1 << 20


class Block(bytearray):
    """Two megabytes, and a count of those that are alive."""

    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    @classmethod
    def make(cls, _: object = None) -> Block:
        block = cls(2 * MB)
        weakref.finalize(block, cls.gone)
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return block

    @classmethod
    def gone(cls) -> None:
        cls.alive -= 1

    @classmethod
    def forget(cls) -> None:
        """Begins to count anew."""
        cls.alive = cls.most = 0
