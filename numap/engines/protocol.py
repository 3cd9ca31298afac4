"""The seam between a map and what runs its functions.

An engine is given programs (numbered functions of one item) and jobs (neighbouring items for one program), and gives
back events. It never sees tasks, order or bounds; the map never sees threads, processes or sockets.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .._base.capabilities import Capabilities
from .._base.task_spec import TaskSettings
from .._items.segments import Segment, parts


class Program(NamedTuple):
    """A function with its constant arguments, the name to show for it, how often an item of it is run again, and the rest of what
    its task is told."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    label: str
    retries: int = 0
    settings: TaskSettings = TaskSettings()


class Job:
    """Neighbouring items for one program.

    Attributes:
        program: number of the program.
        first: place of the first item.
        count: items that belong to the job; less after some were given back.
        segments: the items, kept until all have their outcome.
        done: items whose outcome is known; always the first ones.
        seq: number of the first item in the life of its slot.
        behind: programs that the worker gives the results to, each those of the one before it, if they are atoms.
    """

    __slots__ = ("behind", "count", "done", "first", "program", "segments", "seq")

    def __init__(
        self, program: int, first: int, count: int, segments: list[Segment], behind: tuple[int, ...] = ()
    ) -> None:
        self.program = program
        self.behind = behind
        self.first = first
        self.count = count
        self.segments = segments
        self.done = 0
        self.seq = 0

    def returned(self, start: int, stop: int) -> list[Returned]:
        """The items ``start`` to ``stop`` as what must be given out again: one event, or none where there is no item."""
        if start >= stop:
            return []
        return [Returned(self.program, self.first + start, stop - start, parts(self.segments, start, stop))]

    def give_back(self, start: int) -> list[Returned]:
        """Cuts the job before its item ``start`` and returns the rest of it."""
        rest = self.returned(start, self.count)
        self.count = min(start, self.count)
        return rest


UNLIMITED = 1 << 62


class Slot:
    """Room for one worker, whichever process or thread fills it now.

    Attributes:
        jobs: what it holds, in order.
        open: it can be given jobs.
        stuck: it has been in one item for a while, so nothing should be put behind that.
        room: items that it may still be given.
    """

    __slots__ = ("jobs", "open", "room", "stuck")

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.open = True
        self.stuck = False
        self.room = UNLIMITED


class Output:
    """Outcomes of the next items of a job; the engine has advanced ``job.done`` by ``count``.

    ``first`` is the place of the first of them, ``seconds`` the time that they ran in all. ``stages``: for each segment,
    how many programs behind the job's own the items have gone through; empty: none.
    """

    __slots__ = ("count", "first", "job", "seconds", "segments", "stages")

    def __init__(
        self, job: Job, first: int, count: int, segments: list[Segment], seconds: float, stages: Sequence[int] = ()
    ) -> None:
        self.job = job
        self.stages = stages
        self.first = first
        self.count = count
        self.segments = segments
        self.seconds = seconds


class Returned:
    """Items that have not begun and must be given out again."""

    __slots__ = ("count", "first", "program", "segments")

    def __init__(self, program: int, first: int, count: int, segments: list[Segment]) -> None:
        self.program = program
        self.first = first
        self.count = count
        self.segments = segments


class Died:
    """A worker is gone and has been replaced.

    ``program`` and ``index`` tell the item that it was running, or None, and ``segments`` holds that item; what had not
    begun comes as Returned. ``timed_out``: the engine killed it as that item ran too long. ``stack``: where it was
    when it crashed, if it could tell. ``stage``: the program, of those behind that of the job, which the item was in, and 0
    for the job's own.
    """

    __slots__ = ("exitcode", "index", "pid", "program", "segments", "stack", "stage", "timed_out")

    def __init__(
        self,
        program: int | None,
        index: int | None,
        segments: list[Segment],
        pid: int | None,
        exitcode: int | None,
        timed_out: bool = False,
        stack: str = "",
        stage: int = 0,
    ) -> None:
        self.stage = stage
        self.program = program
        self.index = index
        self.segments = segments
        self.pid = pid
        self.exitcode = exitcode
        self.timed_out = timed_out
        self.stack = stack


class SideOutput(NamedTuple):
    """What the code in worker ``pid`` said beside its results, in the form of `side_output`.

    ``program`` and ``place`` tell the item that it was in; None: it was in none.
    """

    program: int | None
    place: int | None
    pid: int | None
    kind: str
    content: bytes


def notice(text: str, pid: int | None = None) -> SideOutput:
    """What the engine itself has to say to the user, in the form of what workers say."""
    return SideOutput(None, None, pid, "notice", pickle.dumps(text))


class StartFailed(NamedTuple):
    """Workers can't be started; the engine has given up. ``error`` says why."""

    error: Exception


class ProgramFailed(NamedTuple):
    """A program that came later than its worker can't be loaded there; ``error`` says why."""

    program: int
    error: Exception


class EngineWarning(NamedTuple):
    """Something that users should know; said once in the life of an engine."""

    text: str


#: Makes of an item that goes to another process what `Gatherer` takes; the second argument is "item". For one thread.
Encode = Callable[[object, str], Any]
Event = Output | Returned | Died | StartFailed | ProgramFailed | EngineWarning | SideOutput


class Engine(Protocol):
    """What runs items. All methods but `wake` and `listen` are called by one thread at a time."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def slots(self) -> Sequence[Slot]:
        """Its workers; their number does not change."""
        ...

    def start(self) -> None:
        """Brings the workers to life."""

    def submit(self, slot: Slot, job: Job) -> None:
        """Gives a job to an open slot."""

    def due(self) -> float:
        """When there is something to do though nothing happens, on the monotonic clock; 0: now, or `NEVER`."""
        ...

    def listen(self, until: float) -> None:
        """Blocks until something happens, `wake` is called or that moment of the monotonic clock has come.

        By one thread, always the same. Others may call `submit` meanwhile.
        """

    def events(self) -> list[Event]:
        """What happened up to the end of the last `listen`."""
        ...

    def wake(self) -> None:
        """Ends a `listen`, now or the next one. From any thread, also from finalizers."""

    def recall(self) -> None:
        """Asks for all items back that have not begun; they come as Returned."""

    def stop(self) -> Sequence[SideOutput]:
        """Ends all workers and returns what they still said. The engine is of no use afterwards.

        Where there is a finalizer, a worker that was initialised has some time to end in order; see `finalizers`.
        """
        ...


@runtime_checkable
class InlineEngine(Engine, Protocol):
    """An engine whose items run in the threads that ask for results."""

    #: To be called when there is an item to run.
    offer: Callable[[], None]

    def run_one(self) -> bool:
        """Runs an item in this thread; False: there is none, or another thread is at it."""
        ...

    def finalize(self) -> None:
        """Runs the finalizer in this thread, if it has not run."""


__all__ = [
    "SideOutput",
    "Capabilities",
    "EngineWarning",
    "Died",
    "Engine",
    "Event",
    "InlineEngine",
    "Job",
    "Output",
    "Program",
    "Returned",
    "Slot",
    "StartFailed",
]
