"""The workers of a step: one `StepWorker` for each, in a thread of the pipeline or in a process.

A map knows functions and items only. A step has more: an object for each worker, with hooks; retries with pauses; a count of what
became of entries. That is added here, around the function that the map calls.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from time import perf_counter, thread_time
from traceback import format_exception
from typing import Any

from numap import StateError
from papy._base.tracebacks import without_ours
from papy._stages.accounting import FAILED, RunState, noted, presentable
from papy._stages.backoff import RemoteBackoff
from papy._stages.bounds import BoundedQueue
from papy._stages.dead_letters import Sourced, sourced
from papy._stages.entries import REENQUEUED, Entry, Failed, Lost, Meta, Returned, Skipped, append_error, place_of
from papy._stages.spec import StepOptions, StepSpec
from papy._stages.upstream import Upstream
from papy.steps import AbstractStep, SiblingInfo, SkipEntry, Step

# The map that runs steps in processes shows no frames of this module in a traceback, as pytest would.
__tracebackhide__ = True


class StepWorker:
    """One object of a function step, and what is done with an entry.

    Args:
        step: The object.
        settings: How often an entry is tried, and what tracker is told of it.
        wait: Waits so many seconds before an entry is tried again, and says whether that is still of use.
    """

    def __init__(self, step: AbstractStep, settings: StepOptions, wait: Callable[[float], bool]) -> None:
        self.step = step
        self._process = step.process if settings.tracker is None else self._tracked
        self._settings = settings
        self._retries = settings.max_retries
        self._retry_on = settings.retry_on
        self._wait = wait
        self.entries = 0
        #: How often the entry has been tried that it is at.
        self.attempts = 1
        #: Seconds in ``process``, by the clock and of CPU time; measured only by `timed`.
        self.seconds = self.cpu = 0.0

    def __call__(self, entry: Entry | Meta) -> Entry | Meta | type[Skipped]:
        """What goes on to the next step; raises what the step raised at last."""
        try:
            if type(entry) is Meta:
                return Meta(self.step.process_meta(entry.payload))
            number, value = entry[0], entry[1]  # type: ignore[index]  # mypy does not narrow by the exact type
            for failures in range(1, self._retries + 1):
                self.attempts = failures
                try:
                    return number, self._process(value)
                except SkipEntry:
                    return Skipped
                except self._retry_on:  # the last attempt tells
                    pass
                if not self._pause(failures):
                    return Skipped
            self.attempts = self._retries + 1
            return number, self._process(value)
        except SkipEntry:
            return Skipped

    def _pause(self, failures: int) -> bool:
        begin = perf_counter()
        useful = self._wait(self._settings.pause(failures))
        self.seconds -= perf_counter() - begin  # it was not in ``process``
        return useful

    def timed(self, entry: Entry | Meta) -> Entry | Meta | type[Skipped]:
        """The same, with the time it took."""
        begin, cpu = perf_counter(), thread_time()
        try:
            return self(entry)
        finally:
            self.seconds += perf_counter() - begin
            self.cpu += thread_time() - cpu

    def _tracked(self, value: Any) -> Any:
        tell(self._settings.tracker, "before_process", self.step)
        result = self.step.process(value)
        tell(self._settings.tracker, "after_process", self.step)
        return result


def tell(tracker: Any, hook: str, step: Step) -> None:
    """Calls a method of a tracker; an error in it goes to the log."""
    try:
        getattr(tracker, hook)(step)
    except Exception:
        import logging

        logging.getLogger("papy").exception("the tracker of step %r failed in %s", step.name, hook)


def total_times(workers: Collection[Any]) -> tuple[float, float]:
    """The seconds of several, by the clock and of CPU time; each has its own as ``seconds`` and ``cpu``."""
    return sum(it.seconds for it in workers), sum(it.cpu for it in workers)


def make_steps(spec: StepSpec, number: int) -> list[Step]:
    """The objects of a step, which know their siblings; without having called a hook."""
    with noted(f"raised by __init__ of step {spec.name!r}"):
        steps = [spec.step() for _ in range(number)]
    storage: dict[str, Any] = {}
    for index, step in enumerate(steps):
        step.name = spec.name
        step.options = dict(spec.options)
        step.sibling = SiblingInfo(index, storage, steps)
    return steps


class ThreadStepWorkers:
    """The workers of a step whose workers are threads; what they call, at the start, for each entry and at the end.

    Args:
        spec: The step.
        state: Of the run.
        upstream: Where its entries come from.
        measured: Whether the time that entries take is measured.
        queue: Where they wait, if the step may add to them.
    """

    def __init__(
        self, spec: StepSpec, state: RunState, upstream: Upstream, measured: bool, queue: BoundedQueue | None = None
    ) -> None:
        self.spec = spec
        self.steps = make_steps(spec, spec.workers)
        self._state = state
        self._upstream = upstream
        self._queue = queue
        self._measured = measured
        #: Whether the step wants to know when the queue is empty: finding out costs time for each entry.
        self._watches = spec.has("in_queue_empty")
        self._policy = spec.settings.on_error
        #: What the step puts in its own queue comes from the entry that it is at.
        self._keeps = state.keeps_sources and queue is not None
        self._here = threading.local()
        self._free = deque(self.steps)
        self._lock = threading.Lock()
        #: Workers that have begun, and of these the ones that have ended. A thread that is too late for the run never begins.
        self._begun = self._left = 0
        self._closed = False
        self.members: list[StepWorker] = []
        #: Set when the last worker has done all that it had to do at its end.
        self._ended = threading.Event()

    @property
    def __numap_label__(self) -> str:
        return self.spec.name

    @property
    def finalizer(self) -> Callable[[], None] | None:
        """What each worker calls at its end; None: the step has no hook for that, so it has not to be waited for."""
        return self.leave if self.spec.has("thread_shutdown", "step_shutdown") else None

    @property
    def step(self) -> Any:
        """The object of this thread."""
        return self._here.step

    @property
    def entries(self) -> int:
        """Entries that its workers have dealt with."""
        return sum(worker.entries for worker in self.members)

    def is_here(self) -> bool:
        """Whether the thread that asks is one of the workers."""
        return hasattr(self._here, "inside")

    def prepare(self) -> None:
        """Calls the hooks that come before the threads; raises what they raise."""
        for step in self.steps:
            if self._queue is not None:
                step._reenqueue = self._reenqueue
            if step.sibling.index == 0:
                step.step_initialize()
            step.initialize(**self.spec.options)

    def enter(self) -> None:
        """A worker begins; one that is too late for that is told so by an error, which goes no further than its map."""
        with self._lock:
            if self._closed:
                raise StateError("the pipeline has ended")
            self._begun += 1
        self._here.inside = True
        step = self._here.step = self._free.popleft()
        try:
            step.thread_initialize()
        except BaseException as error:
            self._state.fail(error, f"raised by thread_initialize of step {self.spec.name!r}", entries=0)
            self._gone(step)
            raise
        if isinstance(step, AbstractStep):
            self._here.process = step.process
            worker = self._here.worker = StepWorker(step, self.spec.settings, self._wait)
            self.members.append(worker)

    def function(self) -> Callable[[Any], Any]:
        """What the map of a function step calls for each entry."""
        settings = self.spec.settings
        special = settings.max_retries or settings.tracker is not None or self._measured or self._watches or self._queue
        return self if special else self._plainly

    def _plainly(self, entry: Entry | Meta | Returned) -> Entry | Meta | Returned | type[Skipped | Lost]:
        """The same as a call, for steps without anything special; it takes half of the time."""
        if type(entry) is not tuple or self._state.reason == FAILED:
            return self(entry)
        try:
            return entry[0], self._here.process(entry[1])
        except SkipEntry:
            return Skipped
        except BaseException as error:
            return self._state.fail_entry(error, entry, self.spec.name, self._policy)

    def __call__(self, entry: Entry | Meta | Returned) -> Entry | Meta | Returned | type[Skipped | Lost]:
        """One entry, of a function step."""
        if isinstance(entry, Returned):
            return self._passed(entry)
        if self._state.reason == FAILED:
            return Skipped  # it would be for nothing
        worker: StepWorker = self._here.worker
        if self._keeps and type(entry) is tuple:
            self._here.number = entry[0]
        try:
            return worker.timed(entry) if self._measured else worker(entry)
        except BaseException as error:
            return self._state.fail_entry(error, entry, self.spec.name, self._policy, worker.attempts)
        finally:
            worker.entries += 1
            if self._watches and self.entries == self._upstream.passed:
                self.call("in_queue_empty")
            if self._queue is not None:  # at last: the hook may add entries, too
                self._queue.task_done()

    def _passed(self, entry: Returned) -> Returned:
        if self._queue is not None:
            self._queue.task_done()
        return entry

    def _wait(self, seconds: float) -> bool:
        """Waits before an entry is tried again; False: the run has ended before."""
        if seconds:
            self._state.backoff.wait(seconds)
        return self._state.reason is None

    def _reenqueue(self, value: Any) -> None:
        if self._queue is None:
            return
        with self._state.lock:
            self._state.added += 1
        number = getattr(self._here, "number", REENQUEUED)
        self._queue.add((sourced(REENQUEUED, number.origins) if isinstance(number, Sourced) else REENQUEUED, value))

    def leave(self) -> None:
        """A worker ends."""
        self._call_at_end(self._here.step, "thread_shutdown")
        self._gone(self._here.step)

    def _gone(self, step: Step) -> None:
        with self._lock:
            self._left += 1
            last = self._left == (self._begun if self._closed else len(self.steps))
        if last:
            self._end(step)

    def close(self, patiently: bool) -> None:
        """The map has been stopped: no worker begins any more.

        Args:
            patiently: Wait until they have done what they do at their end.
        """
        if self.finalizer is None:
            return
        with self._lock:
            self._closed = True
            # The last of all has seen to it already.
            last = self._left == self._begun < len(self.steps)
        if last:
            self._end(self.steps[0])
        if patiently:
            self._ended.wait()

    def _end(self, step: Step) -> None:
        self._call_at_end(step, "step_shutdown")
        self._ended.set()

    def _call_at_end(self, step: Step, hook: str) -> None:
        try:
            getattr(step, hook)()
        except BaseException as error:
            self._state.fail_at_end(error, f"raised by {hook} of step {self.spec.name!r}")

    def call(self, hook: str) -> None:
        """Calls a hook of the object of this thread; an error ends the run."""
        try:
            getattr(self._here.step, hook)()
        except BaseException as error:
            self._state.fail(error, f"raised by {hook} of step {self.spec.name!r}", entries=0)


#: In a worker process: its `StepWorker` for each step. In any other process it is empty.
_workers: dict[int, StepWorker] = {}
_numbers = count()


class ProcessStepWorker:
    """What the worker processes of a step are sent: makes a `StepWorker` there, and lets it work.

    Errors are left to the map, which knows of attempts that ended with the process, too; unless it could not do the retries
    in the way that is wanted.

    Args:
        spec: The step.
        error_file: Where errors at the start and the end go.
        backoff: The path of the `Backoff`.
        measured: Results come with the seconds that they took, by the clock and of CPU time, as third and fourth member.
        keeps: The caller keeps entries by the numbers with which they come here, and names those that fail.
    """

    def __init__(
        self, spec: StepSpec, error_file: str | None, backoff: str | None, measured: bool, keeps: bool
    ) -> None:
        self._measured = measured
        self._keeps = keeps
        #: Of what a map raises it can't be told which entry it was.
        self._by_map = spec.settings.simple_retries and not keeps
        self._spec = spec
        self._error_file = error_file
        self._backoff = backoff
        self._number = next(_numbers)

    @property
    def __numap_label__(self) -> str:
        return self._spec.name

    def enter(self) -> None:
        """The process begins."""
        spec = self._spec
        hook = "__init__"
        try:
            step = make_steps(spec, 1)[0]
            hook = "initialize"
            step.initialize(**spec.options)
            hook = "thread_initialize"
            step.thread_initialize()
        except BaseException as error:
            self._post(hook, error)
            raise
        assert isinstance(step, AbstractStep), "others run in threads"
        settings = replace(spec.settings, max_retries=0) if self._by_map else spec.settings
        _workers[self._number] = StepWorker(step, settings, RemoteBackoff(self._backoff).wait)

    def __call__(self, entry: Entry | Meta | Returned) -> Entry | Meta | Returned | Failed | Skipped | type[Skipped]:
        """One entry."""
        if isinstance(entry, Returned):
            return entry
        worker = _workers[self._number]
        try:
            result = self._timed(worker, entry) if self._measured else worker(entry)
            return Skipped(entry[0]) if result is Skipped and self._keeps and type(entry) is tuple else result
        except BaseException as error:
            shown = error if self._keeps else presentable(error, place_of(entry, self._spec.name))
            if not self._by_map:
                number = entry[0] if self._keeps and type(entry) is tuple else None
                return Failed(shown, "".join(format_exception(without_ours(error))), number, worker.attempts)
            if shown is error:
                raise
            raise shown from error

    @staticmethod
    def _timed(worker: StepWorker, entry: Entry | Meta) -> Any:
        worker.seconds = worker.cpu = 0.0
        result = worker.timed(entry)
        return (*result, worker.seconds, worker.cpu) if type(result) is tuple else result

    def leave(self) -> None:
        """The process ends in an orderly way."""
        try:
            _workers.pop(self._number).step.thread_shutdown()
        except BaseException as error:
            self._post("thread_shutdown", error)

    def _post(self, hook: str, error: BaseException) -> None:
        if self._error_file is not None:
            append_error(self._error_file, hook, error)
