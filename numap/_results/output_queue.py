"""Where results leave: the hand-over from the manager to consumers, on any thread, through any interrupt.

The quick way out (see `Reader`) is one step of an iterator of C and the return of what it gave. CPython looks for
signals and gives the interpreter lock away only after calls and at backward jumps (3.10 at every jump that an ``if`` takes, and
where an exception is caught). So between the two nothing can come: no Ctrl-C loses a result and no two threads get the same
one. All else is done under a lock that consumers share among themselves, never with the manager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from .._base.checks import limited
from .._items.failures import Failure, exception_of
from .parcels import Hooks, ParcelQueue, drained


class OutputQueue(ParcelQueue):
    """The results of one task as its consumers take them: values, and errors where these are not results, too.

    Args:
        task: index of the task.
        label: name of its function.
        on_error: what becomes of failures.
        skip: a result that was not ready in time is given up.
        hooks: the manager.
    """

    def __init__(self, task: int, label: str, on_error: str, skip: bool, hooks: Hooks) -> None:
        super().__init__(task, label, skip, hooks)
        #: A reader gets the exception of a failed item as its result.
        self.returns = on_error == "return"

    def open(self, timeout: float | None = None, block: bool = True) -> None:
        """Sees to it that there is something in ``values``, or raises.

        A consumer that takes it then may find that another thread was quicker, and has to call again. To take is to begin a
        loop over ``values`` in the function that returns the value, and to return it with no call in between or after.

        Raises:
            StopIteration: there is no result any more.
            NextTimeout: there is none in time.
            StateError: the map was stopped.
            Exception: the item failed.
        """
        timeout = limited(timeout)
        deadline = None if timeout is None else monotonic() + timeout
        try:
            self._advance(deadline, block)
            failure = self.failure
            if failure is not None:
                error = iter((exception_of(failure),))
                if self._is_result(failure):
                    self._give(failure, error)
                    return
        except KeyboardInterrupt:
            self._hooks.on_interrupt()
            raise
        # To make the exception took calls, and another thread may have been at the same failure meanwhile. From here on an
        # interrupt would lose it, so there is no `try`: CPython 3.10 looks for signals where an exception is caught.
        if failure is None:
            self._end()
        elif self.failure is failure:
            self.failure = failure = None
            # Not by a local name: the traceback has this frame, and the exception would hold itself.
            raise [*error][0]  # noqa: RUF015  # nothing is called any more

    def take(self, timeout: float | None = None, block: bool = True) -> Any:
        """The next result; raises what `open` raises."""
        while True:
            for value in self.values:
                return value
            self.open(timeout, block)

    def open_outcome(self, apart: bool = False) -> bool:
        """Sees to it that there is something in ``values`` or in ``failure``; returns True for a skipped place instead.

        For streams of ours, which take it as `open` says. ``apart``: a failure is none of the values, whatever ``on_error`` is.
        Raises what ends the task.
        """
        try:
            if self._advance(None, True, skipped=True):
                return True
            failure = self.failure
            if failure is not None and not apart and self._is_result(failure):
                self._give(failure, iter((exception_of(failure),)))
        except KeyboardInterrupt:
            self._hooks.on_interrupt()
            raise
        self._end()
        return False

    def _is_result(self, failure: Failure) -> bool:
        """Whether a reader gets the exception of this failure as a result: as its task says, or this one."""
        return self.returns if failure.returns is None else failure.returns

    def _end(self) -> None:
        """Raises what ends the task, once, if that is what is open."""
        ending = self._ending
        if ending is not None:
            raised = iter((ending,))
            if self._ending is ending:
                self._ending = ending = None
                raise [*raised][0]  # noqa: RUF015  # as in `open`

    def _give(self, failure: Failure, error: Iterator[BaseException]) -> None:
        """The exception of the failure is the result, unless another thread was quicker."""
        values, left = drained([*error])
        if self.failure is failure:
            self.failure, self.values, self._left, self._count = None, values, left, 1

    def notify(self, callback: Callable[[], None]) -> None:
        """Has ``callback`` called, perhaps in another thread, as soon as it is worth while to `take`."""
        self.waiters.add(callback)
        # As in `_wait`: what came before we could be told of it.
        if self._parcels or self._closed is not None or self._hooks.help(self.task, False):
            self.waiters.announce()
