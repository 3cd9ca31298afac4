"""The engine over an executor of the user's: its workers, its way to pickle, its limits.

An executor takes calls, and tells nothing of a call before its end. A call for each item would cost too much, so items go to it
in chunks. A chunk that takes long ends early and hands back what it has not begun: an idle worker can have that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from pickle import PicklingError
from time import perf_counter
from typing import Any

from .._base.capabilities import CAPABILITIES
from .._base.errors import SerializationError, WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.exceptions import safe_text
from .._items.failures import Failure, unpickle_failure
from .._items.segments import ATOMS, FAILED, RAW, Segment, encode_item, item_of, parts
from .._serialize.lookup import NameResolver, named
from .._serialize.pickler import CodePickler
from .._sync.event_queue import NEVER, EventQueue
from .._worker.run_item import failed, for_caller, run_item
from .protocol import Event, Job, Output, Program, SideOutput, Slot, StartFailed

#: Seconds after which a chunk of items ends early: what is left of it goes to an idle worker.
LIMIT = 0.010

#: With the process id it tells this process from all others: forks have another id, other interpreters other bytes.
_TOKEN = os.urandom(16)

#: Outcomes of the first items of a chunk, and the seconds that they took.
_Done = tuple[list[Segment], float]


class ExecutorEngine:
    """Gives chunks of items to the executor as one call each, two at most for each of its workers.

    Args:
        programs: the functions.
        options: of the map; ``worker_type`` is the executor, which is never shut down.
    """

    capabilities = CAPABILITIES["executor"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._executor: Executor = options.worker_type
        self._programs = programs
        self.slots = [Slot() for _ in range(options.workers)]
        self._queue: EventQueue[tuple[Slot, Job, Future[_Done]]] = EventQueue()
        self._futures: dict[Job, Future[_Done]] = {}
        #: Jobs that the executor did not carry as a whole, so their items go one by one.
        self._one_by_one: set[Job] = set()
        self._events: list[Event] = []
        self._stopped = False

    def start(self) -> None:
        """The executor starts its workers by itself."""

    def submit(self, slot: Slot, job: Job) -> None:
        """Gives a job to the executor."""
        slot.jobs.append(job)
        self._send(slot, job)

    def _send(self, slot: Slot, job: Job) -> None:
        until = job.done + 1 if job in self._one_by_one else job.count
        segments = [it if it[0] == RAW else (RAW, 1, [_Closed(it)]) for it in parts(job.segments, job.done, until)]
        try:
            func, args, kwargs, *_ = self._programs[job.program]
            future = self._executor.submit(run_chunk, (func, args, kwargs), segments, _here())
        except Exception as error:
            # Shut down, or broken.
            self._drop(slot, job)
            self._give_up(f"the executor takes no more work: {type(error).__name__}: {safe_text(error)}", error)
            return
        self._futures[job] = future
        # Not a method: the executor must not keep the engine of a dropped map.
        future.add_done_callback(partial(_tell, self._queue, slot, job))

    def _drop(self, slot: Slot, job: Job) -> None:
        slot.jobs.remove(job)
        self._futures.pop(job, None)
        self._one_by_one.discard(job)

    def _give_up(self, why: str, error: BaseException) -> None:
        if not self._stopped:
            wrapped = WorkerStartError(why)
            wrapped.__cause__ = error
            self._events.append(StartFailed(wrapped))
            self.stop()

    # ------------------------------------------------------------------ events

    def due(self) -> float:
        """See `Engine.due`."""
        return 0.0 if self._events else NEVER

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._queue.listen(until)

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        for slot, job, future in self._queue.take():
            if self._futures.get(job) is future:
                self._collect(slot, job, future)
        events, self._events = self._events, []
        return events

    def _collect(self, slot: Slot, job: Job, future: Future[_Done]) -> None:
        if future.cancelled():
            self._end(slot, job)
            return
        error = future.exception()
        if error is None:
            segments, seconds = future.result()
            self._tell_outcomes(job, segments, seconds)
        elif isinstance(error, BrokenExecutor):
            # Which of them broke it, only the executor could know.
            rest = job.count - job.done
            self._tell_outcomes(job, [(FAILED, 1, Failure(error)) for _ in range(rest)], 0.0)
        elif job.count - job.done > 1 and job not in self._one_by_one:
            # Nothing has run: what runs catches everything.
            self._one_by_one.add(job)
        else:
            self._tell_outcomes(job, [(FAILED, 1, self._refused(job, error))], 0.0)
        if job in self._one_by_one and job.done < job.count and not self._stopped:
            self._send(slot, job)
        else:
            self._end(slot, job)

    def _refused(self, job: Job, error: BaseException) -> Failure:
        """Why the executor did not carry an item alone."""
        if isinstance(error, (PicklingError, TypeError, AttributeError)):
            label = self._programs[job.program].label
            text = f"the executor can't pickle {label} with this item: {type(error).__name__}: {safe_text(error)}"
            wrapped = SerializationError(text)
            wrapped.__cause__ = error
            return Failure(wrapped)
        return Failure(error)

    def _tell_outcomes(self, job: Job, segments: list[Segment], seconds: float) -> None:
        count = sum(segment[1] for segment in segments)
        first = job.first + job.done
        job.done += count
        self._events.append(Output(job, first, count, segments, seconds))

    def _end(self, slot: Slot, job: Job) -> None:
        """What has no outcome has not begun."""
        self._drop(slot, job)
        self._events += job.give_back(job.done)

    # ------------------------------------------------------------------ control

    def wake(self) -> None:
        """Ends a `listen`."""
        self._queue.wake()

    def recall(self) -> None:
        """Cancels what the executor has not begun; it tells so itself."""
        for future in list(self._futures.values()):
            future.cancel()

    def stop(self) -> Sequence[SideOutput]:
        """Cancels what has not begun. What runs can't be ended."""
        self._stopped = True
        self.recall()
        self._futures.clear()
        for slot in self.slots:
            slot.open = False
            slot.jobs.clear()
        return ()


def _tell(queue: EventQueue[tuple[Slot, Job, Future[_Done]]], slot: Slot, job: Job, future: Future[_Done]) -> None:
    queue.put((slot, job, future))


def _here() -> tuple[int, bytes]:
    return os.getpid(), _TOKEN


def run_chunk(
    program: tuple[Any, tuple[Any, ...], dict[str, Any]], segments: list[Segment], home: tuple[int, bytes]
) -> _Done:
    """In a worker of the executor: the outcomes of the first items, at least one, and the seconds for them.

    Results that go to another process are pickled here, one by one, so that one that can't be costs only its own item.
    """
    call, away = bound(*program), home != _here()
    outcomes: list[Segment] = []
    began = perf_counter()
    for _, _, values in segments:
        for value in values:
            outcome = _outcome(call, value)
            outcomes.append(_encoded(outcome) if away else outcome)
            elapsed = perf_counter() - began
            if elapsed > LIMIT:
                return _joined(outcomes), elapsed
    return _joined(outcomes), perf_counter() - began


class _Closed:
    """An item that is a result of another task, in the form in which that came back.

    It refers to the caller's classes, so it is opened at the caller's, where the executor pickles it for another process, or where
    it is run.
    """

    __slots__ = ("segment",)

    def __init__(self, segment: Segment) -> None:
        self.segment = segment

    def __reduce__(self) -> Any:
        return _same, (item_of(self.segment),)


def _same(value: Any) -> Any:
    return value


def _outcome(call: Callable[[Any], Any], value: Any) -> Segment:
    if type(value) is _Closed:
        try:
            value = item_of(value.segment)
        except BaseException as error:
            return failed(error, False, unpickle_failure)
    return run_item(call, value)


def _encoded(outcome: Segment) -> Segment:
    kind, _, data = outcome
    if kind == RAW and type(data[0]) in ATOMS:
        return outcome
    if kind == RAW:
        outcome = encode_item(data[0], CodePickler(_CallersScope()).encode, "result")
    return for_caller(outcome, CodePickler(NameResolver()).encode) if outcome[0] == FAILED else outcome


class _CallersScope(NameResolver):
    """The names of the caller: this process may have got classes of its main module without having that module."""

    def by_name(self, obj: Any, module_name: object, qualname: object) -> bool:
        if module_name == "__main__" and isinstance(qualname, str) and "<locals>" not in qualname:
            return True
        return super().by_name(obj, module_name, qualname)

    def reference(self, module_name: str, qualname: str) -> Any:
        return (named, (module_name, qualname)) if module_name == "__main__" else NotImplemented


def _joined(outcomes: list[Segment]) -> list[Segment]:
    """Neighbouring results in one segment."""
    joined: list[Segment] = []
    for outcome in outcomes:
        if outcome[0] == RAW and joined and joined[-1][0] == RAW:
            joined[-1][2].extend(outcome[2])
            joined[-1] = (RAW, len(joined[-1][2]), joined[-1][2])
        else:
            joined.append(outcome)
    return joined
