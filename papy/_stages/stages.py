"""The steps of a running pipeline: each one is an IMap over the entries that leave the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from time import perf_counter, thread_time
from typing import Any

from numap import IMap, NextTimeout, StateError, WorkerDied
from papy._stages.accounting import RunState
from papy._stages.bounded_queue import BoundedQueue
from papy._stages.byte_bounds import Room
from papy._stages.entries import Entry, Meta
from papy._stages.error_file import ErrorFile
from papy._stages.spec import StepSpec
from papy._stages.upstream import FromHandover, FromMap, Numbered, Shared, StageOutput, Upstream
from papy._stages.workers import ProcessStepWorker, ThreadStepWorkers, make_steps, tell, total_times
from papy.steps import AbstractIterStep, AbstractStep, Entries, Step

__all__ = ["FunctionStage", "IteratorStage", "RelayStage", "ProcessStage", "Stage", "stages"]


class Stage:
    """One step of a running pipeline.

    Args:
        spec: The step.
        books: Of the run.
        room: Bytes of its entries.

    Attributes:
        imap: What runs it.
        output: What the next step reads.
        own: Whether it stands for its step; others only carry entries.
    """

    own = True
    imap: IMap[Any]
    output: StageOutput
    #: Its threads, if they call hooks.
    crew: ThreadStepWorkers | None = None

    def __init__(self, spec: StepSpec, books: RunState, room: Room) -> None:
        self.spec = spec
        self.books = books
        self.room = room

    def prepare(self) -> None:
        """Calls the hooks that come before the workers; raises what they raise."""
        if self.crew is not None:
            self.crew.prepare()

    def is_worker(self) -> bool:
        """Whether the thread that asks is one of its workers."""
        return self.crew is not None and self.crew.is_here()

    def times(self) -> tuple[float, float]:
        """Seconds that all entries took so far, by the clock and of CPU time, if that is measured."""
        return 0.0, 0.0

    def interrupt(self) -> None:
        """Lets threads go on that wait for others of the run."""

    def conclude(self, patiently: bool) -> None:
        """Does what is to be done when the workers have been stopped.

        Args:
            patiently: Wait until they have done what they do at their end. After an error one may be busy for ever.
        """
        if self.crew is not None:
            self.crew.close(patiently)


class FunctionStage(Stage):
    """A function step with threads."""

    crew: ThreadStepWorkers

    def __init__(
        self, spec: StepSpec, upstream: Upstream, books: RunState, room: Room, ordered: bool, queue: BoundedQueue | None
    ) -> None:
        super().__init__(spec, books, room)
        self.crew = ThreadStepWorkers(spec, books, upstream, books.weighed, queue)
        self.imap = room.map(
            worker_type="thread",
            worker_num=spec.workers,
            buffer=spec.buffer,
            ordered=ordered,
            name=spec.name,
            initializer=self.crew.enter,
            finalizer=self.crew.finalizer,
        )
        self.output = FromMap(self.imap, self.imap.add_task(self.crew.function(), iter(upstream)), books, spec.name)

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times(self.crew.hands)


class ProcessStage(Stage):
    """A function step with processes."""

    def __init__(self, spec: StepSpec, upstream: Upstream, books: RunState, room: Room, ordered: bool) -> None:
        super().__init__(spec, books, room)
        self._first: Step = make_steps(spec, 1)[0]
        # Without a hook for it nobody has to wait for the end of the processes.
        closes = spec.step.thread_shutdown is not Step.thread_shutdown
        # A function has no hooks.
        self._letterbox = ErrorFile() if _has_hooks(spec.step) else None
        settings = spec.settings
        if not settings.simple_retries:
            books.patience.share()
        letters = None if self._letterbox is None else self._letterbox.path
        hand = ProcessStepWorker(spec, letters, books.patience.path, books.weighed)
        retries = settings.max_retries if issubclass(WorkerDied, settings.retry_on) else 0
        self.imap = room.map(
            worker_type="process",
            worker_num=spec.workers,
            buffer=spec.buffer,
            ordered=ordered,
            name=spec.name,
            initializer=hand.enter,
            finalizer=hand.leave if closes else None,
            retries=retries,
        )
        numbered = Numbered(upstream, spec.buffer + 1)
        task = self.imap.add_task(hand, iter(numbered))
        self.output = FromMap(self.imap, task, books, spec.name, self._letterbox, numbered)

    def prepare(self) -> None:
        """See `Stage`."""
        self._first.step_initialize()

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times([self.output.weight])

    def conclude(self, patiently: bool) -> None:
        """See `Stage`."""
        for hook, found in self._letterbox.open() if self._letterbox is not None else ():
            error = found if isinstance(found, BaseException) else RuntimeError(found)
            where = f"raised by {hook} of step {self.spec.name!r}"
            if hook == "thread_shutdown":
                self.books.fail_at_end(error, where)
            else:
                self.books.fail(error, where, entries=0)
        try:
            self._first.step_shutdown()
        except BaseException as error:
            self.books.fail_at_end(error, f"raised by step_shutdown of step {self.spec.name!r}")


def _has_hooks(step: type[Step]) -> bool:
    """Whether it does something at the start or the end of a worker process."""
    return any(
        getattr(step, hook) is not getattr(AbstractStep, hook)
        for hook in ("__init__", "initialize", "thread_initialize", "thread_shutdown")
    )


class IteratorStage(Stage):
    """An iterator step: each thread is one long item of its map, and puts what its generator yields into a `BoundedQueue`."""

    crew: ThreadStepWorkers

    def __init__(self, spec: StepSpec, upstream: StageOutput, books: RunState, room: Room) -> None:
        super().__init__(spec, books, room)
        self.crew = ThreadStepWorkers(spec, books, upstream, measured=False)  # it has its own way to measure
        self.shared = Shared(upstream)
        self.handover = BoundedQueue(spec.settings.threshold, room.share, spec.workers)
        self._numbers = count()
        self._owns: list[EntryIterator] = []
        # It reads nothing, so nothing of it has to be read: an item for each thread is within any bound.
        self.imap = IMap(
            worker_type="thread",
            worker_num=spec.workers,
            buffer=spec.workers,
            ordered=False,
            name=spec.name,
            initializer=self.crew.enter,
            finalizer=self.crew.finalizer,
        )
        self.imap.add_task(self._serve, range(spec.workers))
        self.output = FromHandover(self.handover, books)

    def interrupt(self) -> None:
        """See `Stage`."""
        self.handover.close()

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times(self._owns)

    def emit(self, result: Any) -> bool:
        """Hands a result over, once there is room; False: nobody wants it any more."""
        return self.handover.put((next(self._numbers), result))

    def _serve(self, _: int) -> None:
        """The life of one thread."""
        own = EntryIterator(self.crew.step, self)
        self._owns.append(own)
        try:
            own.work()
        except BaseException as error:
            if self.books.reason is None or not isinstance(error, StateError):
                self.books.fail(error, f"raised by step {self.spec.name!r}", own.fail())
        finally:
            self.handover.done()


class EntryIterator(Entries):
    """What the function of an iterator step iterates over, in one thread. Meta entries pass it by, to the next step."""

    def __init__(self, step: AbstractIterStep, stage: IteratorStage) -> None:
        self._step = step
        self._stage = stage
        self._tally = stage.books.tally()
        self._took = False
        self._tracker = stage.spec.settings.tracker
        self._tracked = False
        self._watches = type(step).in_queue_empty is not Step.in_queue_empty
        #: Seconds that were not spent waiting for entries, or for room for results, if that is measured.
        self.seconds = 0.0
        #: CPU time meanwhile.
        self.cpu = 0.0
        self._measured = stage.books.weighed

    def _begin(self) -> None:
        """The step goes on: its time runs."""
        if self._measured:
            self.seconds -= perf_counter()
            self.cpu -= thread_time()

    def _pause(self) -> None:
        """The step waits."""
        if self._measured:
            self.seconds += perf_counter()
            self.cpu += thread_time()

    def work(self) -> None:
        """Hands over all results of the step."""
        self._begin()
        results: Iterable[Any] | None = self._step.process(self)
        for result in results if results is not None else ():
            self._pause()
            wanted = self._emit(result)
            self._begin()
            if not wanted:
                break
        self._pause()
        self._track(False)

    def _track(self, busy: bool) -> None:
        """Tells the tracker that the step has an entry, or has done what it does with that."""
        if self._tracker is not None and busy is not self._tracked:
            tell(self._tracker, "before_process" if busy else "after_process", self._step)
            self._tracked = busy

    def fail(self) -> int:
        """The generator has raised; returns how many entries failed by that: the one that it took last, if any."""
        self._tally.more += self._took  # that entry has not become others, or fewer
        return int(self._took)

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """See `Entries`."""
        self._track(False)
        while True:
            self._pause()
            try:
                entry = self._take(timeout)
            finally:
                self._begin()
            if type(entry) is tuple:
                self._tally.more -= 1
                self._took = True
                self._track(True)
                return entry[1]
            for result in self._step._before_meta():
                self._emit(result)
            self._stage.handover.put(entry)

    def _emit(self, result: Any) -> bool:
        wanted = self._stage.emit(result)
        self._tally.more += wanted
        return wanted

    def _take(self, timeout: float | None) -> Entry | Meta:
        shared = self._stage.shared
        try:
            if self._watches:
                try:
                    return shared.take(0)
                except NextTimeout:
                    self._stage.crew.call("in_queue_empty")
            return shared.take(timeout)
        except StopIteration:
            if self._stage.books.reason is not None:
                # Not as at the end: the generator would finish what it can't know to be complete.
                raise StateError("the pipeline has ended before its input") from None
            raise


def stages(
    specs: Sequence[StepSpec],
    source: Upstream,
    books: RunState,
    ordered: bool,
    buffer_bytes: int | None,
    readable: bool,
) -> list[Stage]:
    """Make what runs the steps; nothing is started.

    Args:
        specs: The steps.
        source: The entries for the first one.
        books: Of the run.
        ordered: The results of each step come in the order of its entries.
        buffer_bytes: Bytes of all entries in them at most; None: automatic.
        readable: From the last one results can be had one by one.
    """
    queued = [spec.settings.worker_type == "thread" and spec.reenqueues and not spec.iterates for spec in specs]
    passing = specs[0].iterates or queued[0], readable and specs[-1].iterates
    room = Room(buffer_bytes, len(specs) + sum(queued) + sum(passing))
    made: list[Stage] = []
    upstream: Any = source
    if passing[0]:
        made.append(RelayStage(specs[0], upstream, books, room))
        upstream = made[-1].output
    for spec, own_queue in zip(specs, queued, strict=True):
        queue = None
        if own_queue:
            before = QueueStage(spec, upstream, books, room)
            made.append(before)
            queue, upstream = before.handover, before.output
        if spec.iterates:
            made.append(IteratorStage(spec, upstream, books, room))
        elif spec.settings.worker_type == "process":
            made.append(ProcessStage(spec, upstream, books, room, ordered))
        else:
            made.append(FunctionStage(spec, upstream, books, room, ordered, queue))
        upstream = made[-1].output
    if passing[1]:
        made.append(RelayStage(specs[-1], upstream, books, room))
    return made


class QueueStage(Stage):
    """Moves entries into a queue in front of a step which adds to it: a map alone reads one stream."""

    own = False

    def __init__(self, spec: StepSpec, upstream: Upstream, books: RunState, room: Room) -> None:
        super().__init__(spec, books, room)
        self.handover = BoundedQueue(spec.settings.threshold, room.share, 1, settling=True)
        self._upstream = upstream
        self.imap = IMap(worker_type="thread", worker_num=1, name=f"queue of {spec.name}")
        self.imap.add_task(self._serve, range(1))
        self.output = FromHandover(self.handover, books)

    def interrupt(self) -> None:
        """See `Stage`."""
        self.handover.close()

    def _serve(self, _: int) -> None:
        """The life of its thread."""
        try:
            for entry in self._upstream:
                if not self.handover.put(entry):
                    break
        finally:
            self.handover.done()


class RelayStage(Stage):
    """Reads the source for an iterator step, or an iterator step for who reads results.

    A map reads the source in a thread that may block, and can be stopped, and waited for with a time limit; and from a map
    results can be had without losing one to an interrupt.
    """

    own = False

    def __init__(self, spec: StepSpec, upstream: Upstream, books: RunState, room: Room) -> None:
        super().__init__(spec, books, room)
        self.imap = room.map(worker_type="thread", worker_num=1, buffer=spec.settings.threshold, ordered=True)
        self.output: FromMap = FromMap(self.imap, self.imap.add_task(_same, iter(upstream)), books, spec.name)


def _same(entry: Any) -> Any:
    return entry
