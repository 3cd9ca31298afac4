"""Makes results of outcomes and gives them to futures, in a thread of its own.

To open a result runs code of its class, and a future calls what was added to it. Both may take as long as they like, or fail, and
the hub must not wait for it: other calls, and maps, would. A callback that waits for another future of the executor would wait for
its own thread; so that one goes on meanwhile.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from concurrent.futures import InvalidStateError
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._items.failures import Failure, exception_of, unpickle_failure
from .._items.segments import FAILED, PACKED, PICKLES, RAW, RECORDS, Segment, item_of, part
from .._sync.threads import ContextThread
from .._sync.timed_queue import timed

if TYPE_CHECKING:
    from .futures import Call

    #: Calls with their outcomes; or, without those, calls that are cancelled, and what waits to hear that.
    _Told = tuple[list[Call], Segment | None, SimpleQueue[bool] | None]


class Completion:
    """The thread that completes the futures of one executor."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Told | None] = timed(SimpleQueue())
        #: Opened, and not given to their futures.
        self._due: deque[tuple[Call, Any]] = deque()
        self._over = False
        self.thread = ContextThread("numap-futures", self._run)

    def start(self) -> None:
        """Starts the thread."""
        self.thread.start()

    def is_here(self) -> bool:
        """Whether this is its thread."""
        return threading.current_thread() is self.thread

    def tell(self, calls: list[Call], segment: Segment) -> None:
        """Calls have these outcomes."""
        self._queue.put((calls, segment, None))

    def cancel(self, call: Call, reply: SimpleQueue[bool] | None) -> None:
        """A call is cancelled; ``reply``: what waits to hear that."""
        self._queue.put(([call], None, reply))

    def end(self) -> None:
        """Nothing more will come."""
        self._queue.put(None)

    def _run(self) -> None:
        while True:
            told = None if self._due else self._queue.get()
            if told is None and not self._due:
                break
            self._step(told)
            del told
        self._over = True
        with suppress(Empty):  # what came behind the end
            while True:
                late = self._queue.get(False)
                if late is not None and late[2] is not None:
                    late[2].put(True)

    def _step(self, told: _Told | None) -> None:
        """Completes one future, or makes results of outcomes that were told."""
        if self._due:
            _give(*self._due.popleft())
        elif told is not None:
            calls, segment, reply = told
            if segment is not None:
                self._due.extend(zip(calls, _values(segment), strict=True))
                return
            for call in calls:
                call.settle_cancelled()
            if reply is not None:
                reply.put(True)

    def help(self, call: Call, timeout: float | None) -> None:
        """The caller is about to wait for a call. In this thread, it goes on meanwhile, until the call is done or time is up."""
        deadline = None if timeout is None else monotonic() + timeout
        while self.is_here() and not call.done():
            told = None
            if not self._due:
                try:
                    told = self._queue.get(True, None if deadline is None else max(0.0, deadline - monotonic()))
                except Empty:
                    return
                if told is None:
                    self._queue.put(None)  # the end is for the loop of the thread
                    return
            self._step(told)

    def settle_all(self) -> None:
        """Waits until all that was told before has been dealt with."""
        done: SimpleQueue[bool] = SimpleQueue()
        if not self.is_here():
            self._queue.put(([], None, done))
            # In this order: the thread says first that it ends, then looks for the last time.
            if not self._over:
                done.get()

    def settle(self) -> None:
        """Waits for the end of the thread."""
        if not self.is_here():
            self.thread.join()


def _give(call: Call, value: Any) -> None:
    """A call has this result, or is this Failure."""
    label = call.label
    call.let_go()
    with suppress(InvalidStateError):  # the program has set it itself
        if type(value) is Failure:
            call.set_exception(exception_of(value.at(-1, -1, label)))
        else:
            call.set_result(value)


def _values(segment: Segment) -> list[Any]:
    """The results of a segment, with a Failure where there is none."""
    kind, count, data = segment
    if kind == FAILED:
        return [data]
    with suppress(BaseException):  # of one of them; which one it is, is found out below
        if kind == RAW:
            return list(data)
        if kind == PACKED:
            return list(pickle.loads(data))
        if kind == RECORDS:
            return list(data.values())
        if kind == PICKLES:
            return list(map(pickle.loads, data))
    return [_value(part(segment, place, place + 1)) for place in range(count)]


def _value(segment: Segment) -> Any:
    try:
        return item_of(segment)
    except BaseException as error:
        return unpickle_failure(error)
