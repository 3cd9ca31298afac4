"""What becomes of items that a worker has told of, or has died with: a result, a failure, or another run.

It knows no worker and no thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._base.errors import TaskTimeout, WorkerDied
from .._items.failures import Failure
from .._items.segments import FAILED, is_lent, parts
from .._schedule.fusion import Fusion
from .._schedule.scheduler import Scheduler
from .._system.processes import exit_text
from ..engines.protocol import Died, Output, Program
from .reruns import Item, Reruns
from .router import Router


class Outcomes:
    """Gives the outcomes of items to where they go, and those that failed another try where they have one left.

    Args:
        programs: the functions of the tasks.
        schedule: is told of items that have left their worker.
        fusion: knows which tasks ran as one.
        router: takes the outcomes.
    """

    def __init__(self, programs: Sequence[Program], schedule: Scheduler, fusion: Fusion, router: Router) -> None:
        self._labels = [program.label for program in programs]
        self._settings = [program.settings for program in programs]
        self._schedule = schedule
        self._fusion = fusion
        self._router = router
        self.reruns = Reruns(programs, schedule, router)

    def take(self, event: Output) -> None:
        """A worker has told of the next items of its job."""
        if self.reruns.some:
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
            if segment[0] != FAILED or not self._again(event, task, place, segment[2]):
                self.reruns.forget(task, place, segment[1])
                self._schedule.leave(task, segment[1])
                self._router.route(task, place, [segment])
            place += segment[1]

    def _again(self, event: Output, task: int, place: int, failure: Failure) -> bool:
        start = place - event.job.first
        return self.reruns.again(Item(task, place, parts(event.job.segments, start, start + 1)), failure)

    def blame(self, event: Died, task: int, index: int) -> None:
        """A worker has died in this item, which has failed unless it may run again."""
        item = Item(task, index, event.segments)
        # The starter's end takes its workers with it, whatever they ran, and says nothing of the item.
        lost = event.exitcode is None and not any(map(is_lent, event.segments))
        if lost and self.reruns.again_after_loss(item):
            return
        chain = (task, *self._fusion.follows[task])
        blamed = chain[event.stage]
        what = f"task {blamed} ({self._labels[blamed]})"
        failure = _death(event, blamed, index, what, self._settings[task].task_timeout)

        def fail() -> None:
            self._schedule.leave(task, 1)
            self._router.pass_through(chain[: event.stage], 1)
            self._router.fail(blamed, index, failure)

        self.reruns.after_death(item, failure, event.timed_out, fail)


def _death(event: Died, task: int, index: int, what: str, limit: float | None) -> Failure:
    """What became of the item that a dead worker was running."""
    text = death_text(event, f"item {index} of {what}", "items", limit)
    died = WorkerDied(text, task, index, event.pid, event.exitcode)
    return Failure(TaskTimeout(text) if event.timed_out else died, None, event.pid)


def death_text(event: Died, what: str, others: str, limit: float | None) -> str:
    """How a worker died that was running this, and what becomes of the others."""
    goes_on = f"a new worker has taken its place and the other {others} go on"
    if event.timed_out:
        text = f"{what} ran longer than task_timeout={limit} s in worker process {event.pid}; {goes_on}"
        return f"{text}; {event.stack}" if event.stack else text
    text = f"worker process {event.pid} died ({exit_text(event.exitcode)}) while it ran {what}; {goes_on}"
    return f"{text}\n{event.stack}" if event.stack else text
