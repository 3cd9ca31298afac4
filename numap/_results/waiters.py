"""How consumers wait for results of one task, and how the manager wakes them.

To wake a thread costs more than to hand over a result. So the manager looks whether one waits before it wakes any. A
consumer says that it waits before it looks for the last time, so one of the two finds what the other has done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from .._sync.demand import Demand, current
from .._sync.timed_queue import timed


class Waiters:
    """The consumers that wait for results of one task.

    Args:
        tell: tells the manager that one waits.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        #: Times that a consumer had to wait.
        self.count = 0
        #: One waits in its thread.
        self.waiting = False
        #: Called, once each, when something comes; see `add`.
        self.callbacks: deque[Callable[[], None]] = deque()
        self._wakeups: SimpleQueue[None] = timed(SimpleQueue())
        #: What the one that waits reads for, if it is a thread of ours.
        self._demand: Demand | None = None
        #: At which of its waits a consumer waited in vain for what that thread is to bring.
        self._in_vain = 0

    # ------------------------------------------------------------------ the manager's side

    def announce(self) -> None:
        """Wakes those that wait: there is something to take, or an item to run."""
        if self.waiting:
            self.waiting = False
            self._wakeups.put(None)
        while self.callbacks:
            try:
                callback = self.callbacks.popleft()
            except IndexError:  # consumers come here, too, and one was quicker
                return
            callback()

    def is_needed(self) -> bool:
        """Whether a consumer waits for what has not come: a thread of ours is asked why it reads, and tells that later."""
        demand = self._demand
        if not self.waiting or demand is None or self._in_vain == self.count:
            return self.waiting or bool(self.callbacks)
        if demand.asked is None:
            demand.ask(partial(self._wait_in_vain, self.count))
        return False

    def _wait_in_vain(self, wait: int) -> None:
        self._in_vain = wait
        self._tell()

    def close(self) -> None:
        """Nothing more will come: all are woken, also one that is about to wait."""
        self.waiting = True
        self.announce()

    def after_fork(self) -> None:
        """In a child of the user's: the lock may belong to the parent."""
        self._wakeups = timed(SimpleQueue())

    # ------------------------------------------------------------------ the consumers' side

    def add(self, callback: Callable[[], None]) -> None:
        """Has ``callback`` called, perhaps in another thread, when something comes."""
        self.callbacks.append(callback)
        self.count += 1
        self._tell()

    def begin(self) -> None:
        """The caller is about to `wait`: what comes from here on wakes it, what has come it has to look for."""
        self._demand = demand = current()
        if demand is not None:
            demand.withdraw()  # what was asked before, when something came at once
        self.count += 1
        # Before the note: the manager may look at once.
        self.waiting = True
        self._tell()

    def wait(self, timeout: float | None) -> None:
        """Returns when something has come.

        Raises:
            Empty: nothing came in time.
        """
        demand = self._demand
        self._wakeups.get(True, timeout)
        if demand is not None:
            demand.withdraw()
