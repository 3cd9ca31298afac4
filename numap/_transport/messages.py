"""The messages between the caller, its workers and the starter: one record for each, and nothing else crosses a process.

A record has names, which make a message readable where it is sent and where it is taken apart. On its way it is a plain
tuple that begins with a number. A record would be pickled with the name of its class, which takes ten microseconds more for
each frame. `to_wire` and `of_wire` turn the one into the other.

A worker hears `Setup` first, then any number of `Definitions` and `RunJob`, and `Stop` at last. One that stays for several maps
hears `AddProgram` and `ForgetPrograms`, too. It answers `Ready` or `SetupFailed`, then tells `Outcomes`; `ProgramRefused`,
`SideMessage` and `Imported` may come at any moment, and `FinalizerFailed` at its end.
These go through a `Channel`. What goes between caller and starter is one packet each; see `to_packet`.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from .._items.exceptions import Trace
from .._items.segments import Segment
from .allocator import Layout
from .shared_objects import Code

if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:

    class Record(tuple):
        """A tuple with names, made of its fields in their order.

        What a NamedTuple can do beyond that takes a tenth of a millisecond for each class, when it is imported, and the start
        of a worker waits for that.
        """

        __slots__ = ()

        def __init_subclass__(cls) -> None:
            for place, name in enumerate(cls.__annotations__):
                setattr(cls, name, property(itemgetter(place)))

        def __new__(cls, *fields):
            return _new(cls, fields)

        def __repr__(self):
            return f"{type(self).__name__}{tuple(self)}"


_new = tuple.__new__


# ---------------------------------------------------------------------- from the caller to a worker


class Definition(NamedTuple):
    """The object that a module has under a name; a part of `Setup` and `Definitions`.

    Attributes:
        module: name of a module that a worker can't import, and has a stand-in for.
        name: what is set there.
        code: the object.
        own: the worker imports the module, and has an object of this name; it gets the caller's state.
    """

    module: str
    name: str
    code: Code
    own: bool = False


#: What the program has told `copyreg` of a class, a part of `Setup`: the module of the class (None: it can't be imported, and is
#: in the third), its name there, and module and name of what reduces its objects, or that itself, or class and reducer.
Reducer = tuple[str | None, str, tuple[str, str] | Code]


class Setup(NamedTuple):
    """All that a worker has to know before its first item.

    Attributes:
        programs: the functions with their constant arguments, by number.
        initializer: initializer, its arguments and finalizer.
        clocked: there is a time limit, so the moment at which an item begins is noted in the progress page.
        copies: an item may run again, so it gets copies of the buffers in it.
        careful: each outcome leaves before the next item begins.
        main: what the caller's ``__main__`` says of itself; None: the worker has that module.
        environment: of the caller, for `process_state.adopt`.
        logging: levels of the caller's loggers; None: it has none.
        needed: as many of the definitions are those of the functions, without which no item can run.
        tells_imports: what the worker imports is of use to later ones.
        reducers: what the program has told `copyreg`.
        code_settings: settings of libraries that are functions, by module.
        definitions: objects of modules that the worker can't import.
        memory: the division of the shared memory, the worker's column and its region; None: it has no part in it.
    """

    programs: list[Code]
    initializer: Code
    clocked: bool
    copies: bool
    careful: bool
    main: dict[str, Any] | None
    environment: dict[str, Any]
    logging: dict[str, Any] | None
    needed: int
    tells_imports: bool
    reducers: Sequence[Reducer] = ()
    code_settings: Sequence[tuple[str, Code]] = ()
    definitions: Sequence[Definition] = ()
    memory: tuple[Layout, int | None, int] | None = None


class Definitions(Record):
    """What the items of the next jobs need, and no item before them did."""

    definitions: list[Definition]


class RunJob(Record):
    """Items to run.

    Attributes:
        seq: number of the first item in the life of this worker.
        epoch: the caller's count of recalls. With a later one in the progress page none of the items begins any more.
        programs: numbers of the programs that each item goes through.
        segments: the items.
    """

    seq: int
    epoch: int
    programs: tuple[int, ...]
    segments: list[Segment]


class AddProgram(Record):
    """A function of a map that came later than the worker, before the first job for it.

    Attributes:
        number: of the program.
        code: the function with its constant arguments.
        clocked: see `Setup`, for this program.
        copies: likewise.
    """

    number: int
    code: Code
    clocked: bool
    copies: bool


class ForgetPrograms(Record):
    """No job will come any more for these programs."""

    numbers: list[int]


class Stop(Record):
    """The worker is to run its finalizer and end."""


# ---------------------------------------------------------------------- from a worker to its caller


class Ready(Record):
    """The initializer is through: jobs may come."""

    pid: int


class SetupFailed(Record):
    """There can be no such worker; ``stage`` says what failed, as "load a function of the map in"."""

    pid: int
    stage: str
    trace: Trace


class Outcomes(Record):
    """Outcomes of the next items of a job.

    Attributes:
        seq: number of the first item of the job.
        segments: the outcomes.
        last: no other items of this job will begin.
        seconds: for which they ran in all.
        stages: for each segment, how many programs behind the first one its items went through; empty: the job has one.
    """

    seq: int
    segments: list[Segment]
    last: bool
    seconds: float
    stages: list[int]


class SideMessage(Record):
    """A log record or a warning, in the form of `side_output`.

    Attributes:
        kind: of ``content``.
        started: items that the worker had begun since it was born.
        stage: the program, of several that run as one, in which the last of these was.
        content: what is told.
    """

    kind: str
    started: int
    stage: int
    content: bytes


class Imported(Record):
    """Modules of libraries that the worker has imported since it told of the last ones.

    Attributes:
        names: in their order; with the file of those that are in no package.
        variables: of the environment, that are not any more as the caller had them; None: removed.
        at_setup: to load the code of the map has imported them, not an item or the initializer.
    """

    names: dict[str, str | None]
    variables: dict[str, str | None]
    at_setup: bool


class ProgramRefused(Record):
    """The worker can't load a program that came later; each item of it fails."""

    pid: int
    number: int
    trace: Trace


class FinalizerFailed(Record):
    """The finalizer raised."""

    pid: int
    trace: Trace


# ---------------------------------------------------------------------- between the caller and the starter


class StartWorker(Record):
    """To the starter, with descriptors: a worker is wanted.

    Attributes:
        number: by which the caller knows it.
        method: "forkserver" or "spawn".
        logs: it will use `logging`.
        descriptors: how many come with this packet.
    """

    number: int
    method: str
    logs: bool
    descriptors: int


class KillWorker(Record):
    """To the starter: kill a worker and all that it started."""

    number: int


class Connected(Record):
    """From the starter, first: it serves this connection."""


class WorkerStarted(Record):
    """From the starter: there is a process for a worker."""

    number: int
    pid: int


class WorkerExited(Record):
    """From the starter: a worker is gone; its exit code as `os.waitstatus_to_exitcode` tells it."""

    number: int
    exitcode: int


class WorkerRefused(Record):
    """From the starter: the system let no process be started for a worker."""

    number: int
    reason: str


ToWorker = Setup | Definitions | AddProgram | ForgetPrograms | RunJob | Stop
FromWorker = Ready | SetupFailed | ProgramRefused | Outcomes | SideMessage | Imported | FinalizerFailed
ToStarter = StartWorker | KillWorker
FromStarter = Connected | WorkerStarted | WorkerExited | WorkerRefused

# ---------------------------------------------------------------------- on the way

_RECORDS: tuple[Any, ...] = (
    *(Setup, Definitions, RunJob, Stop),
    *(Ready, SetupFailed, Outcomes, SideMessage, Imported, FinalizerFailed),
    *(StartWorker, KillWorker),
    *(Connected, WorkerStarted, WorkerExited, WorkerRefused),
    *(AddProgram, ForgetPrograms, ProgramRefused),
)
_NUMBERS = {record: number for number, record in enumerate(_RECORDS)}


def to_wire(message: ToWorker | FromWorker | ToStarter | FromStarter) -> tuple[Any, ...]:
    """The plain tuple that goes into a frame.

    >>> to_wire(Ready(17))
    (4, 17)
    """
    return (_NUMBERS[type(message)], *message)


def of_wire(frame: tuple[Any, ...]) -> Any:
    """The record that a frame was made of.

    >>> of_wire((4, 17))
    Ready(17,)
    """
    return _new(_RECORDS[frame[0]], frame[1:])


def to_packet(message: ToStarter | FromStarter) -> bytes:
    """A message as one packet."""
    return pickle.dumps(to_wire(message))


def of_packet(data: bytes) -> Any:
    """The message of one packet.

    >>> of_packet(to_packet(KillWorker(3)))
    KillWorker(3,)
    """
    return of_wire(pickle.loads(data))
