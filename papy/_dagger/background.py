"""A thread that pulls what comes out of a run, can be held and go on. Knows nothing of pipers.

Results must be taken for a run to go on. In the background no caller takes them, so a thread does. It looks at one flag
after each item, which costs next to nothing; the state is behind a lock. A caller that waits
brings a queue of its own, so that an interrupt of one leaves nothing locked for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import RLock, current_thread
from time import monotonic, perf_counter
from typing import Any, Final

from papy._base.threads import ContextThread, launch

# So many seconds a pause waits for the item in hand, and a stop for all that was taken: when it returns, nothing moves
# any more, unless an item takes longer; then it is finished, and nothing after it is begun.
STOP_TIMEOUT: Final = 1.0
STOPPED_TIMEOUT: Final = 0.1  # where it has been waited for already, or was not to be


class BackgroundRunner:
    """Pulls and drops items while it is in the state ``"running"``.

    Args:
        items: What to pull; it may run the user's code.
        close: Called when the items are at their end, or raised something (then with True), before callers that wait are told.

    Attributes:
        state: ``"started"``, ``"running"``, ``"paused"``, ``"finished"``, ``"failed"`` or ``"stopped"``.
        error: What the items raised; also while what was left was pulled.
        told: The error has been raised to a caller, or logged.
        ended: When they were at their end, by `time.perf_counter`; None: not yet.
    """

    def __init__(self, items: Iterator[Any], close: Callable[[bool], None]) -> None:
        self.state = "started"
        self.error: BaseException | None = None
        self.told = False
        self.ended: float | None = None
        self._items = items
        self._close = close
        # Held for moments only, and by ``with``: an interrupt finds it released. Not a Condition, which is one in Python.
        self._lock = RLock()
        #: One for each caller that waits for a change; each change is put into all of them.
        self._waiting: list[SimpleQueue[None]] = []
        self._resting = True  # nothing is pulled at this moment
        self._hold = True  # nothing is to be pulled: what the thread looks at after each item
        self._rest_timeout = STOP_TIMEOUT
        self._finishes = False  # it has been stopped, but pulls what is left
        self._started = False
        self._thread = ContextThread(self._pull_all, "papy-plumber")

    def start(self) -> None:
        """Start the thread, once, which waits to be told to `run`. Before, its owner has to be able to `stop` it."""
        if not self._started:
            self._started = True
            launch(self._thread)

    def run(self) -> None:
        """Pull, from the beginning or where it was held."""
        with self._lock:
            self._hold = False
            self.state = "running"
        self._notify()

    def pause(self) -> str:
        """Hold, and return the state that this led to: the items may be at their end meanwhile."""
        with self._lock:
            paused = self.state == "running"
            if paused:
                self.state, self._hold = "paused", True
        if paused:
            self.wait_for_rest()
        return self.state

    def stop(self) -> None:
        """End the thread. An item that it is waiting for has to be ended by other means."""
        with self._lock:
            self._halt()
        self._notify()

    def finish(self, timeout: float | None) -> None:
        """Pull what is left, for so many seconds at most, whatever the state; then end the thread."""
        try:
            with self._lock:
                self._halt()
                pulls = current_thread() is not self._thread  # else it could not pull while we wait
                if pulls:
                    self._hold, self._finishes = False, True
            self._notify()
            if pulls:
                self.start()
                self._wait_for(lambda: self.ended is not None, timeout)
        finally:
            self._hold, self._finishes = True, False

    def _halt(self) -> None:
        if self.state not in ("finished", "failed"):
            self.state = "stopped"
        self._hold = True
        self._rest_timeout = STOPPED_TIMEOUT

    def wait(self, timeout: float | None) -> str | None:
        """Wait until it is at its end, and return the state; None if the time ran out."""
        return self.state if self._wait_for(lambda: self.state in ("finished", "failed", "stopped"), timeout) else None

    def wait_for_rest(self) -> None:
        """Pull nothing more, and wait a moment for the item in hand."""
        self._hold = True
        if current_thread() is not self._thread:  # a piper may ask for a pause
            self._wait_for(lambda: self._resting, self._rest_timeout)

    def _notify(self) -> None:
        """Something has changed."""
        for waiter in self._waiting.copy():
            waiter.put(None)

    def _wait_for(self, is_so: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until this is so, for so many seconds at most; whether it is."""
        deadline = None if timeout is None else monotonic() + timeout
        waiter: SimpleQueue[None] = SimpleQueue()
        try:
            # In this order: a change is made first, and told then.
            self._waiting.append(waiter)
            while not is_so():
                try:
                    waiter.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
                except Empty:
                    return is_so()
            return True
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _pull_all(self) -> None:
        state, error = "finished", None
        try:
            while self._go_on():
                for _ in self._items:
                    if self._hold:
                        break
                else:
                    break
        except BaseException as raised:  # `wait` hands it on
            # Without the frame of this call: it holds this object, which will hold the error.
            state, error = "failed", raised.with_traceback(raised.__traceback__ and raised.__traceback__.tb_next)
        try:
            self._close(error is not None)
        except BaseException as raised:  # by a handler of logs, for example
            state, error = "failed", error or raised
        with self._lock:
            self.ended = perf_counter()
            if self.state != "stopped":
                self.state = state
            if self.state != "stopped" or self._finishes:  # else it may have been raised by being stopped
                self.error = error
            self._resting = True
        self._notify()

    def _go_on(self) -> bool:
        """Rest as long as nothing is to be pulled; False: for ever."""
        self._resting = True
        self._notify()
        while True:
            self._wait_for(lambda: self.state in ("running", "stopped"))
            with self._lock:
                if self.state in ("running", "stopped"):  # it may have been held again
                    self._resting = False
                    return self.state == "running" or self._finishes
