"""The steps of a running pipeline: each one is an IMap over the entries that leave the one before it.

A map has all that a step needs: workers, an order, retries, bounds, an end that waits for none of them. What a map can't do
stands between two of them: an iterator step has its own stage, and a step that adds to its own input has a queue before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numap import WorkerDied
from papy._stages.accounting import RunState
from papy._stages.base import QueueStage, RelayStage, Stage
from papy._stages.bounds import BoundedQueue, Room
from papy._stages.entries import ErrorFile
from papy._stages.iterator_stage import IteratorStage
from papy._stages.spec import StepSpec
from papy._stages.upstream import FromMap, NumberedEntries, Upstream
from papy._stages.workers import ProcessStepWorker, ThreadStepWorkers, make_steps, total_times
from papy.steps import Step


class FunctionStage(Stage):
    """A function step with threads."""

    workers: ThreadStepWorkers

    def __init__(
        self, spec: StepSpec, upstream: Upstream, state: RunState, room: Room, ordered: bool, queue: BoundedQueue | None
    ) -> None:
        super().__init__(spec, state, room)
        self.workers = ThreadStepWorkers(spec, state, upstream, state.measured, queue)
        self.imap = self.map("thread", ordered, initializer=self.workers.enter, finalizer=self.workers.finalizer)
        task = self.imap.add_task(self.workers.function(), iter(upstream))
        self.output = FromMap(self.imap, task, state, spec.name, spec.settings.on_error)

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times(self.workers.members)


class ProcessStage(Stage):
    """A function step with processes."""

    def __init__(self, spec: StepSpec, upstream: Upstream, state: RunState, room: Room, ordered: bool) -> None:
        super().__init__(spec, state, room)
        self._first: Step = make_steps(spec, 1)[0]
        # Without a hook for it the end of the processes need not be waited for.
        closes = spec.has("thread_shutdown")
        # A function has no hooks.
        hooks = spec.has("__init__", "initialize", "thread_initialize", "thread_shutdown")
        self._error_file = ErrorFile() if hooks else None
        settings = spec.settings
        if not settings.simple_retries:
            state.backoff.share()
        errors = None if self._error_file is None else self._error_file.path
        worker = ProcessStepWorker(spec, errors, state.backoff.path, state.measured, state.keeps_sources)
        retries = settings.max_retries if issubclass(WorkerDied, settings.retry_on) else 0
        finalizer = worker.leave if closes else None
        hooks_of_map = {"initializer": worker.enter, "finalizer": finalizer}
        self.imap = self.map("process", ordered, retries=retries, **hooks_of_map, **settings.map_options)
        numbered = NumberedEntries(upstream, spec.buffer + 1, state.keeps_sources)
        task = self.imap.add_task(worker, iter(numbered))
        policy = settings.on_error
        self.output = FromMap(self.imap, task, state, spec.name, policy, retries + 1, self._error_file, numbered)

    def prepare(self) -> None:
        """See `Stage`."""
        self._first.step_initialize()

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times([self.output.throughput])

    def conclude(self, patiently: bool) -> None:
        """See `Stage`."""
        for hook, error in self._error_file.open() if self._error_file is not None else ():
            where = f"raised by {hook} of step {self.spec.name!r}"
            if hook == "thread_shutdown":
                self.state.fail_at_end(error, where)
            else:
                self.state.fail(error, where, entries=0)
        try:
            self._first.step_shutdown()
        except BaseException as error:
            self.state.fail_at_end(error, f"raised by step_shutdown of step {self.spec.name!r}")


def stages(
    specs: Sequence[StepSpec],
    source: Upstream,
    state: RunState,
    ordered: bool,
    buffer_bytes: int | None,
    readable: bool,
) -> list[Stage]:
    """Make what runs the steps; nothing is started.

    Args:
        specs: The steps.
        source: The entries for the first one.
        state: Of the run.
        ordered: The results of each step come in the order of its entries.
        buffer_bytes: Bytes of all entries in them at most; None: automatic.
        readable: From the last one results can be had one by one.
    """
    passing = specs[0].iterates or specs[0].queued, readable and specs[-1].iterates
    room = Room(buffer_bytes, len(specs) + sum(spec.queued for spec in specs) + sum(passing))
    made: list[Stage] = []
    upstream: Any = source
    if passing[0]:
        made.append(RelayStage(specs[0], upstream, state, room))
        upstream = made[-1].output
    for spec in specs:
        queue = None
        if spec.queued:
            before = QueueStage(spec, upstream, state, room)
            made.append(before)
            queue, upstream = before.queue, before.output
        if spec.iterates:
            made.append(IteratorStage(spec, upstream, state, room))
        elif spec.settings.worker_type == "process":
            made.append(ProcessStage(spec, upstream, state, room, ordered))
        else:
            made.append(FunctionStage(spec, upstream, state, room, ordered, queue))
        upstream = made[-1].output
    if passing[1]:
        made.append(RelayStage(specs[-1], upstream, state, room))
    return made
