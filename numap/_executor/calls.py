"""Single calls on the workers of an executor: which go together, which may still be cancelled, what became of them.

A message costs as much as a hundred short calls, so calls of one function that wait go together, as many as take about ten
milliseconds. What was sent has not begun for that, and the future says the truth of it: a worker's progress page tells what has
begun, and what has not is taken back before it counts as cancelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from .._base.errors import TaskTimeout, WorkerDied
from .._flow.outcomes import death_text
from .._items.failures import Failure
from .._items.segments import FAILED, Gatherer, is_lent
from .._schedule.batching import believed, next_batch
from .._schedule.retries import INNOCENT
from ..engines.protocol import Died, Event, Output, Returned, SideOutput, Slot
from .broken import broken
from .pool import Function, LentJob

if TYPE_CHECKING:
    from .completion import Completion
    from .futures import Call
    from .hub import Hub

#: Seconds below which a call may wait in a worker behind another one, as for processes of a map.
QUICK = 0.004


class CallCost:
    """What calls of one function take, as far as is known; the same rule as for the items of a map."""

    __slots__ = ("batch", "seconds")

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.batch = 1

    def observe(self, count: int, seconds: float) -> None:
        """So many calls took so long in all."""
        self.seconds = believed(self.seconds, seconds / count)
        self.batch = max(1, next_batch(self.batch, self.seconds))

    @property
    def quick(self) -> bool:
        """Whether they take next to nothing."""
        return self.seconds is not None and self.seconds < QUICK


class OpenCalls:
    """Counts the calls that have no outcome, by program.

    Args:
        forget: is told of a program for which there is none, and none will come.
    """

    def __init__(self, forget: Callable[[int], None]) -> None:
        self._forget = forget
        self._count: dict[int, int] = {}
        self._retired: set[int] = set()

    def __len__(self) -> int:
        return len(self._count)

    def add(self, program: int) -> None:
        """Another call."""
        self._count[program] = self._count.get(program, 0) + 1

    def done(self, program: int) -> None:
        """A call has its outcome."""
        left = self._count.pop(program) - 1
        if left:
            self._count[program] = left
        else:
            self._forget_unused(program)

    def retire(self, program: int) -> None:
        """No call will come any more."""
        self._retired.add(program)
        self._forget_unused(program)

    def _forget_unused(self, program: int) -> None:
        if program in self._retired and program not in self._count:
            self._retired.discard(program)
            self._forget(program)


class Calls:
    """The calls of one executor, as a tenant of its hub. All methods are called with the lock of the hub.

    Args:
        hub: lends the workers.
        completion: makes results of outcomes, in a thread of its own.
        retries: how often a call is run again that failed.
    """

    def __init__(self, hub: Hub, completion: Completion, retries: int) -> None:
        self._hub = hub
        self._completion = completion
        self._retries = retries
        self._pending: deque[Call] = deque()
        #: By place, what is in a worker. A place is new each time that a call is sent.
        self._sent: dict[int, Call] = {}
        self._places = 0
        self._costs: dict[int, CallCost] = {}
        self._open = OpenCalls(self._forget)
        self.waiting = self.placed = self.turn = 0

    @property
    def quick(self) -> bool:
        """See `Tenant.quick`."""
        cost = self._costs.get(self._pending[0].program) if self._pending else None
        return cost is not None and cost.quick

    def is_busy(self) -> bool:
        """Whether a call has no outcome."""
        return bool(self._open)

    # ------------------------------------------------------------------ in

    def add(self, call: Call) -> None:
        """A call has come."""
        self._open.add(call.program)
        if self._hub.ended:
            self._end(call, lambda: self._refuse(call))
            return
        self._pending.append(call)
        self.waiting += 1

    def retire(self, program: int) -> None:
        """No call will come any more for this program."""
        self._open.retire(program)

    def _forget(self, program: int) -> None:
        self._costs.pop(program, None)
        self._hub.forget([program])

    def cancel(self, call: Call, reply: SimpleQueue[bool], apart: bool) -> None:
        """A thread wants a call cancelled, and waits for the reply; ``apart``: that thread makes it a cancelled future itself."""
        if call.gone:
            reply.put(False)
        elif call.sent is None:
            self._cancel(call, reply, apart)
        elif self._hub.pool.has_begun(*call.sent):
            reply.put(False)
        else:
            call.wanted.append((reply, apart))
            self._hub.pool.recall_from(call.sent[0])

    def _cancel(self, call: Call, reply: SimpleQueue[bool] | None, apart: bool) -> None:
        # It stays in the queue: to find it there would take long where many are cancelled.
        self.waiting -= 1
        self._end(call, None)
        if apart and reply is not None:
            reply.put(True)
        else:
            self._completion.cancel(call, reply)

    def cancel_all(self) -> None:
        """Cancels what waits; what workers have not begun comes back, and is cancelled then."""
        for call in self._pending:
            if not call.gone:
                self._cancel(call, None, False)
        self._pending.clear()
        for call in self._sent.values():
            call.unwanted = True
        self._hub.recall(self)

    # ------------------------------------------------------------------ out

    def next_job(self, room: int) -> LentJob | None:
        """See `Tenant.next_job`."""
        pending = self._pending
        while pending and pending[0].gone:
            pending.popleft()
        if not pending:
            return None
        program = pending[0].program
        cost = self._costs.setdefault(program, CallCost())
        fair = -(-self.waiting // (2 * len(self._hub.pool.slots)))
        most = max(1, min(cost.batch, fair, room))
        found: list[Call] = []
        while pending and len(found) < most and pending[0].program == program:
            call = pending.popleft()
            if not call.gone:
                found.append(call)
        function = found[0].function
        if not self._hub.pool.knows(program):
            self._hub.pool.add(program, function)
        self.waiting -= len(found)
        return self._job(program, function, found)

    def _job(self, program: int, function: Function, calls: list[Call]) -> LentJob:
        first = self._places
        self._places += len(calls)
        self._sent.update(enumerate(calls, first))
        entries = [call.entry for call in calls]
        segments = Gatherer().segments(entries)
        job = LentJob(program, first, len(calls), segments)
        job.tenant, job.limit, job.local = self, function.limit, None
        return job

    def on_sent(self, slot: Slot, job: LentJob) -> None:
        """See `Tenant.on_sent`."""
        for place in range(job.count):
            self._sent[job.first + place].sent = slot, job, place

    # ------------------------------------------------------------------ what became of them

    def on_event(self, event: Event, job: LentJob | None) -> None:
        """See `Tenant.on_event`."""
        if isinstance(event, Output):
            self._on_output(event)
        elif isinstance(event, Returned):
            self._on_returned(event.first, event.count)
        elif isinstance(event, Died) and event.index is not None:
            self._on_death(event, self._sent.pop(event.index))
        elif isinstance(event, SideOutput):
            self._hub.log_forwarder.hear(event._replace(program=None, place=None))

    def on_over(self, job: LentJob) -> None:
        """See `Tenant.on_over`."""

    def _on_output(self, event: Output) -> None:
        self._costs.setdefault(event.job.program, CallCost()).observe(event.count, event.seconds)
        place = event.first
        for segment in event.segments:
            calls = [self._sent.pop(place + step) for step in range(segment[1])]
            place += segment[1]
            if segment[0] == FAILED and self._again(calls[0]):
                continue
            for call in calls:
                self._end(call, None)
            self._completion.tell(calls, segment)

    def _on_returned(self, first: int, count: int) -> None:
        back: list[Call] = []
        for place in range(first, first + count):
            call = self._sent.pop(place)
            call.sent = None
            self.waiting += 1
            if call.wanted:
                self._cancel(call, *call.wanted.pop())
            elif call.unwanted:
                self._cancel(call, None, False)
            else:
                back.append(call)
        self._pending.extendleft(reversed(back))

    def _again(self, call: Call) -> bool:
        if call.tries >= self._retries or call.unwanted:
            return False
        call.tries += 1
        self._put_back(call)
        return True

    def _put_back(self, call: Call) -> None:
        call.sent = None
        self._answer(call)
        self._pending.appendleft(call)
        self.waiting += 1

    def _on_death(self, event: Died, call: Call) -> None:
        # The starter's end takes its workers with it, whatever they ran, and says nothing of the call.
        if event.exitcode is None and call.lost < INNOCENT and not any(map(is_lent, event.segments)):
            call.lost += 1
            self._put_back(call)
        elif not self._again(call):
            self._end(call, None)
            self._completion.tell([call], (FAILED, 1, _death(event, call)))

    def on_failed(self, error: Exception) -> None:
        """See `Tenant.on_failed`: what waits and what was running has no outcome any more."""
        waiting = [call for call in self._pending if not call.gone]
        self._pending.clear()
        self.waiting = 0
        running = list(self._sent.values())
        self._sent.clear()
        for call in waiting:
            self._end(call, None)
            if self._hub.failure is None:
                self._completion.cancel(call, None)
            else:
                self._completion.tell([call], (FAILED, 1, Failure(broken(error), label=call.label)))
        for call in running:
            self._end(call, None)
            failure = _stopped(call.label) if self._hub.failure is None else Failure(broken(error), label=call.label)
            self._completion.tell([call], (FAILED, 1, failure))

    def _refuse(self, call: Call) -> None:
        self._completion.cancel(call, None)

    def _end(self, call: Call, then: Callable[[], None] | None) -> None:
        """A call has its outcome."""
        call.gone, call.sent = True, None
        self._answer(call)
        self._open.done(call.program)
        if then is not None:
            then()

    def _answer(self, call: Call) -> None:
        """Those that wanted it cancelled are told that it was too late."""
        while call.wanted:
            call.wanted.pop()[0].put(False)


def _death(event: Died, call: Call) -> Failure:
    text = death_text(event, f"a call of {call.label}", "calls", call.function.limit)
    died = WorkerDied(text, None, None, event.pid, event.exitcode)
    return Failure(TaskTimeout(text) if event.timed_out else died, None, event.pid, label=call.label)


def _stopped(label: str) -> Failure:
    return Failure(WorkerDied(f"the workers of the executor were ended while a call of {label} ran"))
