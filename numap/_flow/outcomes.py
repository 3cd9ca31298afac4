"""What becomes of items that a worker has told of, or has died with: a result, a failure, or another run.

It knows no worker and no thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._base.errors import TaskTimeout, WorkerDied
from .._items.failures import Failure
from .._items.segments import FAILED, is_lent, parts
from .._schedule.fusion import Fusion
from .._schedule.retries import Retries
from .._schedule.scheduler import Scheduler
from .._system.processes import exit_text
from ..engines.protocol import Died, Output, Program
from .router import Router


class Outcomes:
    """Gives the outcomes of items to where they go, and those that failed another try where they have one left.

    Args:
        programs: the functions of the tasks.
        task_timeout: the limit that an item may have been over, in seconds.
        schedule: is told of items that have left their worker.
        fusion: knows which tasks ran as one.
        router: takes the outcomes.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        task_timeout: float | None,
        schedule: Scheduler,
        fusion: Fusion,
        router: Router,
    ) -> None:
        self._labels = [program.label for program in programs]
        self._task_timeout = task_timeout
        self._schedule = schedule
        self._fusion = fusion
        self._router = router
        self._retries = Retries([program.retries for program in programs])

    def take(self, event: Output) -> None:
        """A worker has told of the next items of its job."""
        if self._retries.some:
            self._route_or_retry(event)
            return
        task = event.job.program
        self._schedule.leave(task, event.count)
        if event.stages:
            self._router.route_stages((task, *event.job.behind), event.first, event.segments, event.stages)
        else:
            self._router.route(task, event.first, event.segments)

    def _route_or_retry(self, event: Output) -> None:
        task, place = event.job.program, event.first
        for segment in event.segments:
            if segment[0] == FAILED and self._retries.again(task, place):
                start = place - event.job.first
                self._router.again(task, place, 1, parts(event.job.segments, start, start + 1))
            else:
                self._retries.forget(task, place, segment[1])
                self._schedule.leave(task, segment[1])
                self._router.route(task, place, [segment])
            place += segment[1]

    def blame(self, event: Died, task: int, index: int) -> None:
        """A worker has died in this item, which has failed unless it may run again."""
        # The starter's end takes its workers with it, whatever they ran, and says nothing of the item.
        lost = event.exitcode is None and not any(map(is_lent, event.segments))
        again = self._retries.again_after_loss if lost else self._retries.again
        if again(task, index):
            self._router.again(task, index, 1, event.segments)
        else:
            self._schedule.leave(task, 1)
            chain = (task, *self._fusion.follows[task])
            blamed = chain[event.stage]
            self._router.pass_through(chain[: event.stage], 1)
            what = f"task {blamed} ({self._labels[blamed]})"
            self._router.fail(blamed, index, _death(event, blamed, index, what, self._task_timeout))


def _death(event: Died, task: int, index: int, what: str, limit: float | None) -> Failure:
    """What became of the item that a dead worker was running."""
    goes_on = "a new worker has taken its place and the other items go on"
    if event.timed_out:
        text = f"item {index} of {what} ran longer than task_timeout={limit} s in worker process {event.pid}; {goes_on}"
        return Failure(TaskTimeout(f"{text}; {event.stack}" if event.stack else text), None, event.pid)
    text = (
        f"worker process {event.pid} died ({exit_text(event.exitcode)}) while it ran item {index} of {what}; {goes_on}"
    )
    if event.stack:
        text += f"\n{event.stack}"
    return Failure(WorkerDied(text, task, index, event.pid, event.exitcode), None, event.pid)
