"""An iterator step at work.

A map can't run one as it runs functions: how many results come of how many entries is for the step's generator to decide, so no
result belongs to an item. So each of its threads is one long item of a map, which gives it its life, its name and its end,
and entries and results pass that map by.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from time import perf_counter, thread_time
from typing import Any

from numap import IMap, NextTimeout, StateError
from papy._stages.accounting import RunState
from papy._stages.base import Stage
from papy._stages.bounds import BoundedQueue, Room
from papy._stages.dead_letters import Taken
from papy._stages.entries import Entry, Meta, Returned
from papy._stages.spec import StepSpec
from papy._stages.upstream import FromQueue, Shared, StageOutput
from papy._stages.workers import ThreadStepWorkers, tell, total_times
from papy.steps import AbstractIterStep, Entries


class IteratorStage(Stage):
    """An iterator step: each thread is one long item of its map, and puts what its generator yields into a `BoundedQueue`."""

    workers: ThreadStepWorkers

    def __init__(self, spec: StepSpec, upstream: StageOutput, state: RunState, room: Room) -> None:
        super().__init__(spec, state, room)
        self.workers = ThreadStepWorkers(spec, state, upstream, measured=False)  # it has its own way to measure
        self.shared = Shared(upstream)
        self.queue = BoundedQueue(spec.settings.threshold, room.share, spec.workers)
        self._numbers = count()
        self._owns: list[EntryIterator] = []
        # It reads nothing, so nothing of it has to be read: an item for each thread is within any bound.
        self.imap = IMap(
            worker_type="thread",
            worker_num=spec.workers,
            buffer=spec.workers,
            ordered=False,
            name=spec.name,
            initializer=self.workers.enter,
            finalizer=self.workers.finalizer,
        )
        self.imap.add_task(self._serve, range(spec.workers))
        self.output = FromQueue(self.queue, state)

    def interrupt(self) -> None:
        """See `Stage`."""
        self.queue.close()

    def times(self) -> tuple[float, float]:
        """See `Stage`."""
        return total_times(self._owns)

    def emit(self, result: Any, taken: Taken | None) -> bool:
        """Hands a result over, once there is room; False: it is not wanted any more."""
        number = next(self._numbers)
        return self.queue.put((number if taken is None else taken.made(number), result))

    def _serve(self, _: int) -> None:
        """The life of one thread."""
        own = EntryIterator(self.workers.step, self)
        self._owns.append(own)
        try:
            own.work()
        except BaseException as error:
            if self.state.reason is None or not isinstance(error, StateError):
                self.state.fail(error, f"raised by step {self.spec.name!r}", own.fail())
        finally:
            self.queue.producer_done()


class EntryIterator(Entries):
    """What the function of an iterator step iterates over, in one thread. Meta entries pass it by, to the next step."""

    def __init__(self, step: AbstractIterStep, stage: IteratorStage) -> None:
        self._step = step
        self._stage = stage
        self._skips = stage.state.skip_count()
        self._took = False
        self._tracker = stage.spec.settings.tracker
        self._tracked = False
        self._watches = stage.spec.has("in_queue_empty")
        #: Seconds that were not spent waiting for entries, or for room for results, if that is measured.
        self.seconds = 0.0
        #: CPU time meanwhile.
        self.cpu = 0.0
        self._measured = stage.state.measured
        #: Entries that it took since it made one, and where these come from, if that is wanted.
        self._since = 0
        self._taken = Taken(stage.room.share) if stage.state.keeps_sources else None

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
        self._skips.more += self._took  # that entry has not become others, or fewer
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
                self._skips.more -= 1
                self._since += 1
                self._took = True
                if self._taken is not None:
                    self._taken.add(entry[0])
                self._track(True)
                return entry[1]
            if type(entry) is Meta:
                for result in self._step._before_meta():
                    self._emit(result)
            self._stage.queue.put(entry)

    def _emit(self, result: Any) -> bool:
        wanted = self._stage.emit(result, self._taken)
        self._skips.more += wanted
        self._skips.merged += max(0, self._since - 1)
        self._since = 0
        return wanted

    def _take(self, timeout: float | None) -> Entry | Meta | Returned:
        shared = self._stage.shared
        try:
            if self._watches:
                try:
                    return shared.take(0)
                except NextTimeout:
                    self._stage.workers.call("in_queue_empty")
            return shared.take(timeout)
        except StopIteration:
            if self._stage.state.reason is not None:
                # Not as at the end: the generator would finish what it can't know to be complete.
                raise StateError("the pipeline has ended before its input") from None
            raise
