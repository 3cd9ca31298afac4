"""Worker processes that stay: the engine of a map's processes, whose workers come on demand, and get functions while they live."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, cast

from .._base.errors import WorkerStartError
from .._base.options import Options
from .._modules.main_export import MainExporter
from .._transport.channel import beside
from .._transport.messages import AddProgram, ForgetPrograms
from .._transport.progress_page import STARTED
from .._transport.shared_objects import ObjectWriter
from ..engines.processes.engine import ProcessEngine, encode_program
from ..engines.processes.slot import ProcessSlot
from ..engines.processes.supervisor import WorkerHandle
from ..engines.processes.worker_pool import _make_supervisor, _reason
from ..engines.protocol import Encode, Job, SideOutput, Slot
from .definitions import KnownDefinitions, no_memory
from .pool import Function, LentJob


class LentSlot(ProcessSlot):
    """A slot of workers that stay."""

    __slots__ = ("programs",)

    def reset(self, room: int) -> None:
        """See `ProcessSlot.reset`."""
        super().reset(room)
        #: Those that the worker knows.
        self.programs: set[int] = set()

    def limit_of(self, job: Job) -> float | None:
        """Each map has its own."""
        return job.limit if isinstance(job, LentJob) else None


class ProcessPool(ProcessEngine):
    """The worker processes of an executor.

    Args:
        options: of the executor, like those of a map.
        label: the executor's name.
    """

    slot_type = LentSlot
    slots: list[LentSlot]  # type: ignore[assignment]  # as it makes them itself

    def __init__(self, options: Options, label: str) -> None:
        super().__init__([], options, label)
        self._options = options
        self._known = KnownDefinitions()
        self._known.take(self._exporter, 0)
        self._known.trim()
        #: So many of the definitions of an exporter are among those that are known.
        self._taken: weakref.WeakKeyDictionary[MainExporter, int] = weakref.WeakKeyDictionary()
        self._functions: dict[int, Function] = {}

    # ------------------------------------------------------------------ workers

    def start(self) -> None:
        """Connects to what starts workers; none is started yet.

        Raises:
            WorkerStartError: no process can be started.
        """
        try:
            self._supervisor = _make_supervisor(self._method, self._wish)
            self._update_connections()
        except (OSError, MemoryError) as error:
            raise WorkerStartError(f"no worker process can be started: {_reason(error)}") from error
        self._setup = self._setup._replace(environment=self._environment())

    def grow(self) -> None:
        """See `Pool.grow`."""
        for slot in self.slots:
            if self._is_free(slot):
                self._replace_worker(slot)
                return

    def _is_free(self, slot: ProcessSlot) -> bool:
        return slot.handle is None and slot not in self._refused and slot not in self._awaiting_room

    def lacking(self) -> bool:
        """See `Pool.lacking`."""
        return not self._stopped and any(map(self._is_free, self.slots))

    def coming(self) -> int:
        """See `Pool.coming`."""
        return sum(1 for slot in self.slots if slot.handle is not None and not slot.ready)

    def _set_up_worker(self, slot: ProcessSlot, handle: WorkerHandle) -> None:
        slot.known = len(self._known.log)
        programs = [(beside(blob), buffers) for blob, buffers in self._setup.programs]
        memory = self._memory.assign(handle, self.slots.index(cast(LentSlot, slot)))
        self._selector.add(handle, slot)
        handle.send(self._setup._replace(definitions=self._known.all(), programs=programs, memory=memory))
        self._watch_writes(slot)

    def kill(self) -> Sequence[SideOutput]:
        """See `Pool.kill`."""
        self._finalizes = False
        return self.stop()

    # ------------------------------------------------------------------ functions

    def function(self, label: str, call: Any, settings: Any) -> Function:
        """See `Pool.function`."""
        exporter, limit, copies = settings
        return Function(encode_program(exporter, label, call), exporter, limit, copies, label)

    def exporter(self) -> MainExporter:
        """What has the definitions for one map, as they are now."""
        made = MainExporter(no_memory())
        made.exempt(self._options.initializer)
        return made

    def encoder_of(self, exporter: MainExporter) -> Encode:
        """See `Pool.encoder_of`."""
        return ObjectWriter(exporter.encode, self._memory.shared).entry

    def add(self, number: int, function: Function) -> None:
        """See `Pool.add`."""
        self._functions[number] = function

    def knows(self, number: int) -> bool:
        """See `Pool.knows`."""
        return number in self._functions

    def forget(self, numbers: Sequence[int]) -> None:
        """See `Pool.forget`."""
        for number in numbers:
            self._functions.pop(number, None)
        for slot in self.slots:
            known = slot.programs.intersection(numbers)
            if known and slot.handle is not None:
                slot.programs -= known
                slot.handle.send(ForgetPrograms(sorted(known)))
                self._watch_writes(slot)

    # ------------------------------------------------------------------ jobs

    def submit(self, slot: Slot, job: Job) -> None:
        """Sends a job, and before it the functions that the worker does not know."""
        assert isinstance(slot, LentSlot) and slot.handle is not None, "jobs go to open slots of this engine"
        exporter = self._functions[job.program].exporter
        self._taken[exporter] = self._known.take(exporter, self._taken.get(exporter, 0))
        self._events += self._memory.warn_once(job.segments)
        log = self._known.log
        slot.tell(log)
        for number in (job.program, *job.behind):
            if number not in slot.programs:
                code, _, limit, copies, _ = self._functions[number]
                slot.handle.send(AddProgram(number, (beside(code[0]), code[1]), limit is not None, copies))
                slot.programs.add(number)
        slot.send(job, log)
        self._watch_writes(slot)
        if len(log) > 1000 and all(other.known == len(log) for other in self.slots if other.handle is not None):
            self._known.trim()
            for other in self.slots:
                other.known = 0

    def recall_from(self, slot: Slot) -> None:
        """See `Pool.recall_from`."""
        assert isinstance(slot, LentSlot), "one of ours"
        slot.recall()

    def has_begun(self, slot: Slot, job: Job, place: int) -> bool:
        """See `Pool.has_begun`."""
        assert isinstance(slot, LentSlot), "one of ours"
        handle = slot.handle
        try:
            return handle is not None and job in slot.jobs and handle.page.words[STARTED] > job.seq + place
        except (ValueError, RuntimeError):  # the worker is just going, or the jobs change
            return False
