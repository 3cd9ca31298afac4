"""Whether an item that failed runs again: decisions only.

A worker may die of its item or of something else. An item that lost its worker for an unknown reason is not blamed at once,
but not run for ever, either.
"""

from __future__ import annotations

from collections.abc import Sequence

#: How often an item may lose its worker for an unknown reason before that counts as its own death.
INNOCENT = 3


class Retries:
    """Counts the tries of items that failed.

    Args:
        retries: how often an item of each task is run again.

    Attributes:
        some: some task's items are.

    >>> tries = Retries([1])
    >>> tries.again(0, 7), tries.again(0, 7)
    (True, False)
    """

    def __init__(self, retries: Sequence[int]) -> None:
        self.some = any(retries)
        self._retries = retries
        self._tries: dict[tuple[int, int], int] = {}
        self._lost: dict[tuple[int, int], int] = {}

    def again(self, task: int, index: int) -> bool:
        """An item failed; returns whether it runs again."""
        tries = self._tries.pop((task, index), 0)
        if tries >= self._retries[task]:
            return False
        self._tries[task, index] = tries + 1
        return True

    def are_left(self, task: int, index: int) -> bool:
        """Whether an item that fails now would run again."""
        return self.tries(task, index) < self._retries[task]

    def tries(self, task: int, index: int) -> int:
        """How often an item has failed that runs again."""
        return self._tries.get((task, index), 0)

    def again_after_loss(self, task: int, index: int) -> bool:
        """An item lost its worker for an unknown reason: the starter was killed and took all workers with it.

        The item may be the reason, but hardly each of those that were running.
        """
        lost = self._lost.pop((task, index), 0)
        if lost >= INNOCENT:
            return self.again(task, index)
        self._lost[task, index] = lost + 1
        return True

    def forget(self, task: int, first: int, count: int) -> None:
        """Items gave a result."""
        for counts in (self._tries, self._lost):
            for key in [key for key in counts if key[0] == task and first <= key[1] < first + count]:
                del counts[key]
