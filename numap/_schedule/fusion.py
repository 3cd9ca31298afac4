"""Chained tasks that a worker runs as one: decisions only.

To hand a result of some nanoseconds from one task to the next by way of the caller costs as much as to make it. Where
only the clock could tell, a worker goes on with its own results.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .batching import BatchSizer


class Fusion:
    """Which tasks a worker may run behind each other, without asking.

    Args:
        inputs: for each task the tasks that it reads.
        sizer: knows what items cost.
        apart: tasks whose results are wanted as they are made.

    >>> sizer = BatchSizer(3, 2, alone=0.004)
    >>> fusion = Fusion([[], [0], [1]], sizer, apart=())
    >>> fusion.behind(0)
    ()
    >>> for task in range(3):
    ...     sizer.observe(task, 1, 1e-6, 8)
    >>> fusion.behind(0), fusion.behind(1), fusion.behind(2)
    ((1, 2), (2,), ())
    """

    def __init__(self, inputs: Sequence[Sequence[int]], sizer: BatchSizer, apart: Collection[int]) -> None:
        self._sizer = sizer
        follower = {members[0]: task for task, members in enumerate(inputs) if len(members) == 1}
        #: The tasks that may ever run behind a task.
        self.follows: list[tuple[int, ...]] = [()] * len(inputs)
        # A task comes behind those that it reads, so its own followers are known first.
        for task in reversed(range(len(inputs))):
            if task in follower and task not in apart:
                self.follows[task] = (follower[task], *self.follows[follower[task]])

    def behind(self, task: int) -> tuple[int, ...]:
        """The tasks to run behind this one: as many as are known to cost next to nothing together."""
        behind = self.follows[task]
        return behind[: max(0, self._sizer.light((task, *behind)) - 1)] if behind else ()
