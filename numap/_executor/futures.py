"""The future of one call on the workers of an executor, and how a thread of the user asks the hub for something."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engines.protocol import Slot
    from .pool import Function, LentJob


class Call(Future[Any]):
    """A call and its future.

    Args:
        function: as workers get it.
        program: its number.
        label: to show for it.
        entry: the arguments, in the form in which they wait.

    Attributes:
        sent: where it is, in which slot and job and at which place there; None: in no worker.
        gone: it has its outcome, or is cancelled.
        wanted: those that want it cancelled, and wait for a reply; see `Calls.cancel`.
        unwanted: it is to be cancelled if it comes back.
        tries: how often it was run again.
        lost: how often it lost its worker for no reason of its own.
    """

    def __init__(self, function: Function, program: int, label: str, entry: Any) -> None:
        super().__init__()
        self.function = function
        self.program = program
        self.label = label
        self.entry = entry
        self.sent: tuple[Slot, LentJob, int] | None = None
        self.gone = self.unwanted = False
        self.wanted: list[tuple[SimpleQueue[bool], bool]] = []
        self.tries = self.lost = 0
        self._ask: Callable[[Call], bool] | None = None
        self._begun: Callable[[Slot, LentJob, int], bool] | None = None
        self._help: Callable[[Call, float | None], None] | None = None

    def belongs_to(
        self,
        ask: Callable[[Call], bool],
        begun: Callable[[Slot, LentJob, int], bool],
        help_: Callable[[Call, float | None], None],
    ) -> None:
        """From now on the hub knows of it."""
        self._ask, self._begun, self._help = ask, begun, help_

    def result(self, timeout: float | None = None) -> Any:
        """See `Future.result`; a callback may wait for it, too."""
        self._get_help(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `Future.exception`; likewise."""
        self._get_help(timeout)
        return super().exception(timeout)

    def _get_help(self, timeout: float | None) -> None:
        helps = self._help
        if helps is not None and not self.done():
            helps(self, timeout)

    def cancel(self) -> bool:
        """Cancels the call if it has not begun in a worker; returns whether it is cancelled."""
        if self.done() or self._ask is None:
            return super().cancel()
        return self._ask(self) or self.cancelled()

    def running(self) -> bool:
        """Whether the call has begun in a worker, and has no result yet."""
        sent, begun = self.sent, self._begun
        return not self.done() and sent is not None and begun is not None and begun(*sent)

    def settle_cancelled(self) -> None:
        """It is cancelled, and whatever waits for it is told."""
        if super().cancel():
            self.set_running_or_notify_cancel()
        self.let_go()

    def let_go(self) -> None:
        """It needs nothing of the executor any more."""
        self.entry = None
        self._ask = self._begun = self._help = None


class Asking:
    """Lets threads of the user cancel calls: the hub decides.

    Args:
        tell: see `Hub.tell`.
        decide: see `Calls.cancel`.
        is_apart: whether this is the thread that completes futures: callbacks there may cancel, too.
        is_hub: whether this is the hub's thread, or has its lock.
    """

    def __init__(
        self,
        tell: Callable[[Callable[[], None]], None],
        decide: Callable[[Call, SimpleQueue[bool], bool], None],
        is_apart: Callable[[], bool],
        is_hub: Callable[[], bool],
    ) -> None:
        self._tell = tell
        self._decide = decide
        self._is_apart = is_apart
        self._is_hub = is_hub
        self._pid = os.getpid()

    def __call__(self, call: Call) -> bool:
        """Cancels a call, and returns whether that was in time."""
        # A finalizer may run in the hub, which would wait for itself; and in a fork there is no hub.
        if os.getpid() != self._pid or self._is_hub():
            return False
        apart = self._is_apart()
        reply: SimpleQueue[bool] = SimpleQueue()
        self._tell(lambda: self._decide(call, reply, apart))
        verdict = reply.get()
        if verdict and apart:
            call.settle_cancelled()
        return verdict
