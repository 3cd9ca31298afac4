"""What consumers and the manager of a map tell each other beside results.

Consumers run in threads of the user, where an interrupt may come between any two instructions. So each thing that they tell
is one step, and what an interrupt keeps from being told is told with the next thing.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from .._flow.ends import Ends
from .._flow.wakeup import Wakeup
from .._results.output_queue import OutputQueue
from .._results.waiters import Waiters
from .._sync.timed_queue import timed
from .log_forwarder import LogForwarder

if TYPE_CHECKING:
    from .._flow.inline import Inline
    from .._progress.follower import Follower

#: Seconds that an interrupted consumer waits for the workers to be told.
_PAUSE_TIMEOUT = 0.5


class Consumers:
    """See `Hooks`, which this is for all outputs of a run.

    Args:
        wake: lets the manager look at what was changed here.
        wakeup: knows whether the manager is idle.
        log_forwarder: has what workers logged, which comes before the end of a task.
        ends: know whether the run goes on.
        outputs: by end; filled in when they are made.
        inline: runs items in the threads of consumers; None: workers do.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        wakeup: Wakeup,
        log_forwarder: LogForwarder,
        ends: Ends,
        outputs: dict[int, OutputQueue],
        inline: Inline | None,
    ) -> None:
        self._wake = wake
        self._wakeup = wakeup
        self._log_forwarder = log_forwarder
        self._ends = ends
        self._outputs = outputs
        self._inline = inline
        #: Ends where something left or a consumer had to wait.
        self.changed_outputs: deque[int] = deque()
        #: Those that wait for something that came.
        self.awaited: list[Waiters] = []
        #: The run has ended.
        self.over = False
        #: A consumer was interrupted: nothing new begins until one asks for results again.
        self.paused = False
        #: Shows how far the run is; None: nothing does.
        self.follower: Follower | None = None
        #: What the consumer that asks for the next result is to be warned of.
        self.warning: str | None = None
        # Not an Event: a second interrupt within its wait could leave its lock locked, and us waiting for that.
        self._pause_seen: SimpleQueue[None] = timed(SimpleQueue())

    # ------------------------------------------------------------------ the manager's side

    def announce(self) -> None:
        """Wakes the consumers that wait for results that came."""
        for waiters in self.awaited:
            waiters.announce()
        self.awaited.clear()

    def pause_seen(self) -> None:
        """The workers have been told that nothing new begins, or there are none any more."""
        self._pause_seen.put(None)

    # ------------------------------------------------------------------ the consumers' side

    def on_release(self) -> None:
        """See `Hooks.on_release`."""
        # Not `notify`: an interrupt between the two things that it does would lose the wake-up.
        if self._wakeup.idle:
            self._wake()

    def on_interrupt(self) -> None:
        """See `Hooks.on_interrupt`."""
        if self._inline is not None or self.over:
            return
        self.paused = True
        self._wake()
        with contextlib.suppress(Empty):
            self._pause_seen.get(True, _PAUSE_TIMEOUT)

    def resume(self) -> None:
        """See `Hooks.resume`."""
        self.paused = False
        # The interrupt may have come before a consumer could tell what it had taken.
        self.changed_outputs.extend(self._outputs)
        self._wake()

    def on_end(self) -> None:
        """See `Hooks.on_end`."""
        if self._inline is not None and not self._ends.open:
            self._inline.finalize()
        self._log_forwarder.settle()
        if not self._ends.open:
            self.show_last()

    def show_last(self, wait: bool = True) -> None:
        """The run is over: its last figures are shown, ``wait``: before this returns."""
        if self.follower is not None and wait:
            self.follower.end()
        elif self.follower is not None:
            self.follower.let_end()

    def help(self, task: int, patient: bool) -> bool:
        """See `Hooks.help`."""
        return self._inline is not None and not self.paused and self._inline.help(task, patient)
