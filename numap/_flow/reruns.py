"""Which items run again, and when: what decides on that, with the clock, and the items that wait for it.

An item that waits is in no worker, and holds up none: it is an entry with a moment here, for which the manager wakes. It counts as
taken from the input all the time, so what is behind it in an ordered map waits within the bound, as for a slow item.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from .._base.errors import TaskTimeout, WorkerDied
from .._items.failures import Failure
from .._items.retry_on import is_meant
from .._items.segments import Segment
from .._schedule.delays import NEVER, Delays
from .._schedule.retries import Retries
from .._schedule.scheduler import Scheduler
from .._sync.threads import ContextThread
from ..engines.protocol import Program
from .router import Router


class Item(NamedTuple):
    """An item that is in no worker."""

    task: int
    place: int
    segments: list[Segment]


class Reruns:
    """Runs items again that failed. All methods but `ask` are called by the thread that has the manager's role.

    Args:
        programs: the functions of the tasks, with what is said about them.
        schedule: is told of items that have left their worker.
        router: has the queues that items go back to.

    Attributes:
        some: items of some task may run again.
        waits: some of these may have to wait for it, or for an answer.
        wake: wakes the manager; set by it.
    """

    def __init__(self, programs: Sequence[Program], schedule: Scheduler, router: Router) -> None:
        self.some = any(program.retries for program in programs)
        self._settings = [program.settings for program in programs]
        self.waits = any(p.retries and (p.settings.backoff or callable(p.settings.retry_on)) for p in programs)
        self.wake: Callable[[], None] = lambda: None
        self._schedule = schedule
        self._router = router
        self._retries = Retries([program.retries for program in programs])
        self._delays: Delays[Item] = Delays()
        #: What threads that have asked the user's function have heard.
        self._answers: deque[Callable[[], None]] = deque()

    def again(self, item: Item, failure: Failure) -> bool:
        """An item has failed in its function; returns whether it runs again."""
        if self._settings[item.task].retry_on is not None and not failure.again:
            return False
        return self._again(item)

    def _again(self, item: Item) -> bool:
        task, place = item.task, item.place
        if not self._retries.again(task, place):
            return False
        pause = self._settings[task].pause(self._retries.tries(task, place))
        if pause:
            self._schedule.again(task, 1)
            self._delays.add(monotonic() + pause, item)
        else:
            self._router.again(task, place, 1, item.segments)
        return True

    def after_death(self, item: Item, failure: Failure, timed_out: bool, fail: Callable[[], None]) -> None:
        """The worker of an item has died in it: the item runs again, or ``fail`` is called.

        Args:
            item: the item.
            failure: of the item; its error is what would be raised.
            timed_out: it was killed, as the item ran too long.
            fail: tells that the item has failed.
        """
        retry_on = self._settings[item.task].retry_on
        kind = TaskTimeout if timed_out else WorkerDied
        if retry_on is not None and not isinstance(retry_on, (type, tuple)):
            if self._retries.are_left(item.task, item.place):
                self._ask(item, retry_on, failure, fail)
                return
        elif (retry_on is None or issubclass(kind, retry_on)) and self._again(item):
            return
        self._retries.forget(item.task, item.place, 1)
        fail()

    def again_after_loss(self, item: Item) -> bool:
        """See `Retries.again_after_loss`."""
        if not self._retries.again_after_loss(item.task, item.place):
            return False
        self._router.again(item.task, item.place, 1, item.segments)
        return True

    def forget(self, task: int, first: int, count: int) -> None:
        """Items gave a result, or have failed for good."""
        self._retries.forget(task, first, count)

    # ------------------------------------------------------------------ the user's function, in a thread of its own

    def _ask(self, item: Item, asked: Any, failure: Failure, fail: Callable[[], None]) -> None:
        """Asks the user's function, which may take as long as it takes."""

        def hear(yes: bool) -> None:
            if not (yes and self._again(item)):
                self._retries.forget(item.task, item.place, 1)
                fail()

        def ask() -> None:
            assert isinstance(failure.error, BaseException), "it was made here"
            yes = is_meant(asked, failure.error)
            self._answers.append(lambda: hear(yes))
            self.wake()

        try:
            ContextThread("numap-retry", ask).start()
        except RuntimeError:  # no room for a thread: as if it had said no
            hear(False)

    # ------------------------------------------------------------------ the clock

    def due(self) -> float:
        """When to `release`."""
        return 0.0 if self._answers else self._delays.due

    def release(self) -> None:
        """Gives the items back whose moment has come."""
        while self._answers:
            self._answers.popleft()()
        if self._delays.due != NEVER:
            for task, place, segments in self._delays.take(monotonic()):
                self._router.rejoin(task, place, 1, segments)
