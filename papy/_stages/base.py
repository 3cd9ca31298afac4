"""What all stages have, and the stages that only carry entries from one map to the next."""

from __future__ import annotations

from typing import Any

from numap import IMap
from papy._stages.accounting import RunState
from papy._stages.bounds import BoundedQueue, Room
from papy._stages.spec import StepSpec
from papy._stages.upstream import FromMap, FromQueue, StageOutput, Upstream
from papy._stages.workers import ThreadStepWorkers


class Stage:
    """One step of a running pipeline.

    Args:
        spec: The step.
        state: Of the run.
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
    workers: ThreadStepWorkers | None = None

    def __init__(self, spec: StepSpec, state: RunState, room: Room) -> None:
        self.spec = spec
        self.state = state
        self.room = room

    def map(self, worker_type: str, ordered: bool, **options: Any) -> IMap[Any]:
        """A map with the workers of the step, for as many entries as may be in it."""
        spec = self.spec
        return self.room.map(
            worker_type=worker_type,
            worker_num=spec.workers,
            buffer=spec.buffer,
            ordered=ordered,
            name=spec.name,
            **options,
        )

    def prepare(self) -> None:
        """Calls the hooks that come before the workers; raises what they raise."""
        if self.workers is not None:
            self.workers.prepare()

    def is_worker(self) -> bool:
        """Whether the thread that asks is one of its workers."""
        return self.workers is not None and self.workers.is_here()

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
        if self.workers is not None:
            self.workers.close(patiently)


class QueueStage(Stage):
    """Moves entries into a queue in front of a step which adds to it: a map alone reads one stream."""

    own = False

    def __init__(self, spec: StepSpec, upstream: Upstream, state: RunState, room: Room) -> None:
        super().__init__(spec, state, room)
        self.queue = BoundedQueue(spec.settings.threshold, room.share, 1, joined=True)
        self._upstream = upstream
        self.imap = IMap(worker_type="thread", worker_num=1, name=f"queue of {spec.name}")
        self.imap.add_task(self._serve, range(1))
        self.output = FromQueue(self.queue, state)

    def interrupt(self) -> None:
        """See `Stage`."""
        self.queue.close()

    def _serve(self, _: int) -> None:
        """The life of its thread."""
        try:
            for entry in self._upstream:
                if not self.queue.put(entry):
                    break
        finally:
            self.queue.producer_done()


class RelayStage(Stage):
    """Reads the source for an iterator step, or an iterator step for the reader of results.

    A map reads the source in a thread that may block, and can be stopped, and waited for with a time limit; and from a map
    results can be had without losing one to an interrupt.
    """

    own = False

    def __init__(self, spec: StepSpec, upstream: Upstream, state: RunState, room: Room) -> None:
        super().__init__(spec, state, room)
        self.imap = room.map(worker_type="thread", worker_num=1, buffer=spec.settings.threshold, ordered=True)
        self.output: FromMap = FromMap(self.imap, self.imap.add_task(_same, iter(upstream)), state, spec.name)


def _same(entry: Any) -> Any:
    return entry
