"""The engine of worker processes: gives them jobs, takes their outcomes, and finds out which item a dead worker was in.

Each worker has a socket of its own. With a queue that all share, a worker that dies in the middle of a message would spoil it
for the others. A progress page, memory that the worker writes and the engine reads, tells which item has begun.
The ledger of its slot tells what the worker was given. From the two follows which item is to be blamed when a
worker dies, and which ones can be given to others; no message per item is needed.
"""

from __future__ import annotations

import selectors
import signal
import warnings
from collections.abc import Sequence
from functools import cache, partial
from operator import itemgetter
from time import monotonic

from ..._base.capabilities import CAPABILITIES
from ..._base.checks import limited
from ..._base.errors import SerializationError, WorkerStartError
from ..._base.options import Options
from ..._environment import process_state as _environment
from ..._environment.code_settings import code_settings
from ..._environment.reducers import reducers
from ..._items.exceptions import render, without_ours
from ..._items.failures import serialization_error
from ..._items.segments import Segment
from ..._items.side_output import logging_levels
from ..._modules.main_export import ForkExporter, MainExporter, main_identity
from ..._sync.event_queue import seconds_left
from ..._system.processes import exit_text
from ..._transport.messages import Imported, Outcomes, ProgramRefused, Ready, Setup, SetupFailed, SideMessage
from ..._transport.progress_page import INITIALIZING, STAGE, STARTED
from ..._transport.shared_objects import Code, Constants, ObjectWriter, size_of_code
from ..._worker.results import CUT_OFF
from ..protocol import (
    UNLIMITED,
    Died,
    Encode,
    Event,
    Job,
    Output,
    Program,
    ProgramFailed,
    SideOutput,
    Slot,
    StartFailed,
)
from .ending import EndingWorker
from .memory import Memory
from .slot import ProcessSlot, side_output
from .supervisor import WorkerHandle
from .templates import TemplateWish, has_templates
from .worker_pool import WorkerPool

#: Of the items of a segment. What an item passes on its way is a call of C where it can be.
_COUNT = itemgetter(1)
#: Workers that may die in a row while they start: what is wrong with them all kills every one.
MAX_FAILED_STARTS = 4
#: The same for workers that were killed (by an operator, or the kernel for want of memory) while no code of the user's ran.
MAX_KILLED_STARTS = 200
#: What a worker can't tell any more.
_CLOSED = (
    "it could not tell the outcome, as its descriptors were closed; a function should close only what it has opened"
)
#: Bytes that every worker gets at its start above which a warning is given.
LARGE_SETUP = 100 << 20


class ProcessEngine(WorkerPool):
    """Worker processes that are started by the clean starter.

    Args:
        programs: the functions, pickled here once for all workers.
        options: of the map.
        label: to show for them; None: their names.

    Raises:
        SerializationError: a function can't be pickled.
    """

    capabilities = CAPABILITIES["process"]
    slot_type: type[ProcessSlot] = ProcessSlot

    def __init__(self, programs: Sequence[Program], options: Options, label: str | None = None) -> None:
        method = options.start_method or "forkserver"
        memory = Memory(options.workers)
        constants = Constants(memory.shared)
        exporter = ForkExporter(constants) if method == "fork" else MainExporter(constants)
        self._finalizes = options.finalizer is not None
        exporter.exempt(options.initializer)
        label = ", ".join(p.label for p in programs) if label is None else label
        setup = _setup(exporter, programs, options, method)
        _warn_of_size(label, sum(map(size_of_code, [*setup.programs, *(it.code for it in exporter.log)])))
        slots = [self.slot_type([limited(it.settings.task_timeout) for it in programs]) for _ in range(options.workers)]
        # Of the functions alone: what items need is known when they come.
        environment = cache(partial(_environment.environment, options.workers))
        wish = TemplateWish(exporter.used, options.preload, environment) if has_templates(method) else None
        room = options.max_items_per_worker or UNLIMITED
        super().__init__(method, label, slots, memory, exporter, setup, environment, wish, room)
        #: What the last `listen` ended with.
        self._selected: list[tuple[selectors.SelectorKey, int]] = []
        #: Workers that died while they started, since the last that did start.
        self._failed_starts = 0

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Asks for all workers; they come to life on their own.

        Raises:
            WorkerStartError: no process can be started.
        """
        self._start_workers()

    def stop(self) -> Sequence[SideOutput]:
        """Ends every worker, with all that it started; where there is a finalizer, those that were initialised may end in order."""
        if not self._stopped:
            self._stopped = True
            self._end()
        return [event for event in self._events if isinstance(event, SideOutput)]

    def _end(self) -> None:
        if self._finalizes and hasattr(self, "_supervisor"):
            self._end_in_order()
        for worker in [
            *(EndingWorker(slot.handle, slot) for slot in self.slots if slot.handle is not None),
            *self._ending,
        ]:
            self._events += self._ending.receive_all(worker)
        handles = [slot.close() for slot in self.slots] + [worker.handle for worker in self._ending]
        self._selector.close()
        if hasattr(self, "_supervisor"):
            self._supervisor.prepare_next()
            self._supervisor.close()
        for handle in handles:
            if handle is not None:
                handle.close()
        for slot in self.slots:
            slot.jobs.clear()
        self._memory.retire()

    # ------------------------------------------------------------------ jobs

    def encoder(self) -> Encode:
        """What a thread that pulls an input makes entries of its items with."""
        return ObjectWriter(self._exporter.encode, self._memory.shared).entry

    def submit(self, slot: Slot, job: Job) -> None:
        """Sends a job."""
        assert isinstance(slot, ProcessSlot), "jobs go to slots of this engine"
        self._events += self._memory.warn_once(job.segments)
        slot.send(job, self._exporter.log)
        self._watch_writes(slot)

    def recall(self) -> None:
        """Asks every worker for what it has not begun."""
        for slot in self.slots:
            slot.recall()

    # ------------------------------------------------------------------ events

    def due(self) -> float:
        """See `Engine.due`."""
        if self._events or self._supervisor.early_reports:
            return 0.0
        due = min(self._supervisor.due, *map(ProcessSlot.next_look, self.slots))
        return min(due, self._ending.due()) if (self._awaiting_room or self._refused) and self._lacks_room() else due

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._selected = self._selector.select(seconds_left(until))

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        for key, mask in self._selected:
            if self._stopped:  # by what one of the others told: all are closed now
                break
            if key.data is None:
                self._selector.drain_wakes()
            elif key.data is self._supervisor:
                self._read_exits()
            elif isinstance(key.data, EndingWorker):
                self._events += self._ending.receive(key.data)
            elif key.fileobj is getattr(key.data.handle, "channel", None):
                if mask & selectors.EVENT_WRITE:
                    self._watch_writes(key.data)
                if mask & selectors.EVENT_READ:
                    self._receive(key.data)
        if not self._stopped and (self._supervisor.early_reports or self._supervisor.due <= monotonic()):
            self._read_exits()
        if not self._stopped:
            self._look_at_pages()
            if (self._awaiting_room or self._refused) and self._lacks_room():
                self._make_room()
        events, self._events = self._events, []
        return events

    def _receive(self, slot: ProcessSlot, all_of_it: bool = False) -> None:
        handle = slot.handle
        if handle is None:
            return
        for message in handle.receive(all_of_it):
            if isinstance(message, Outcomes):
                self._output(slot, *message)
            elif isinstance(message, SideMessage):
                self._events.append(side_output(handle, slot, message))
            elif isinstance(message, Imported):
                if self._wish is not None:
                    self._wish.learn(message)
            elif isinstance(message, Ready):
                # The starter tells it, too, perhaps later.
                handle.pid = message.pid
                slot.ready = slot.open = True
                self._failed_starts = 0
                self._retry_refused()
                if self._stopped:
                    return
            elif isinstance(message, SetupFailed):
                self._give_up(f"can't {message.stage} worker process {message.pid}:\n{render(message.trace)}")
                return
            elif isinstance(message, ProgramRefused):
                self._events.append(_program_failed(message))
        if handle.channel.ended:
            # Its exit is reported by the starter; a descriptor says nothing for certain.
            self._selector.remove(handle)
            slot.open = False

    def _output(
        self, slot: ProcessSlot, seq: int, segments: list[Segment], last: bool, seconds: float, stages: list[int]
    ) -> None:
        count = sum(map(_COUNT, segments))
        # Before the job lets go of its items: a result may lie in the memory of one.
        segments = self._memory.incoming(segments)
        job, first, returned = slot.ledger.record(seq, count, last)
        if job is None:
            return
        slot.outcomes_told(last)
        self._events += self._memory.warn_once(segments, slot.handle)
        if count:
            self._events.append(Output(job, first, count, segments, seconds, stages))
        self._events += returned
        slot.take_room_back(returned)
        if slot.recalled_at is None:
            slot.open = slot.room > 0
        if slot.room <= 0 and not slot.jobs:
            self._retire(slot)

    # ------------------------------------------------------------------ slow items

    def _look_at_pages(self) -> None:
        now = monotonic()
        for slot in self.slots:
            if slot.next_look() <= now:
                returned, over_limit = slot.look(now)
                self._events += returned
                if over_limit and slot.handle is not None:
                    self._supervisor.kill(slot.handle)

    # ------------------------------------------------------------------ deaths

    def _on_worker_exit(self, slot: ProcessSlot, handle: WorkerHandle, exitcode: int | None) -> None:
        """The one procedure for every death: last words, blame, the rest given back, a successor."""
        self._receive(slot, all_of_it=True)
        if self._stopped or slot.handle is not handle:
            return
        words, stack = handle.page.words, handle.page.crash()
        started, stage, initializing = words[STARTED], words[STAGE], bool(words[INITIALIZING])
        self._remove_worker(slot)
        if slot.ready:
            if exitcode == CUT_OFF:
                stack = _CLOSED
                # Any of those that it has not told of may have done it: they run again in workers that tell of each at once.
                self._setup = self._setup._replace(careful=True)
                started = slot.ledger.only_untold(started)
            job, running, returned = slot.ledger.worker_died(started)
            self._events += returned
            died = Died(None, None, [], handle.pid, exitcode, False, stack, stage)
            self._events.append(died if job is None else _death_event(slot, died, job, running, started))
        else:
            self._failed_starts += 1
            # Without an exit code: the starter was killed, and its workers with it.
            by_others = exitcode in (None, -signal.SIGKILL) and not initializing
            if self._failed_starts > (MAX_KILLED_STARTS if by_others else MAX_FAILED_STARTS):
                self._leave_empty(slot, f"{self._failed_starts} ended before they were ready ({exit_text(exitcode)})")
                return
        self._replace_worker(slot)

    def _give_up(self, why: str) -> None:
        # What the workers still said comes first: after this event no other is read.
        self.stop()
        self._events.append(StartFailed(WorkerStartError(why)))


def _death_event(slot: ProcessSlot, died: Died, job: Job, running: int, started: int) -> Event:
    """What a death means for the item that was running, the one at place ``running`` of ``job``."""
    (item,) = job.returned(running, running + 1)
    if 0 <= slot.expired != started:
        # The worker was over the limit with an item, but ended it before the signal came; this one has done nothing.
        return item
    stage = died.stage if job.behind else 0
    if slot.unpickling:
        died.stack = (
            "it was still being unpickled; what that imports is better imported by an initializer, which has no limit"
        )
    timed_out = slot.expired == started
    return Died(job.program, item.first, item.segments, died.pid, died.exitcode, timed_out, died.stack, stage)


def _program_failed(told: ProgramRefused) -> ProgramFailed:
    why = f"can't load a function of the map in worker process {told.pid}:\n{render(told.trace)}"
    return ProgramFailed(told.number, WorkerStartError(why))


def _setup(exporter: MainExporter, programs: Sequence[Program], options: Options, method: str) -> Setup:
    """What each worker is told first."""
    hooks = (options.initializer, options.initargs, options.finalizer)
    return Setup(
        programs=[encode_program(exporter, p.label, (p.func, p.args, p.kwargs or None)) for p in programs],
        initializer=encode_program(exporter, "the initializer or the finalizer", hooks),
        clocked=any(p.settings.task_timeout is not None for p in programs),
        copies=any(p.retries for p in programs),
        careful=False,
        main=None if method == "fork" else main_identity(),
        environment={},
        logging=logging_levels(),
        tells_imports=has_templates(method),
        needed=len(exporter.log),  # after the programs have been pickled, above
        reducers=() if method == "fork" else reducers(exporter),
        code_settings=() if method == "fork" else code_settings(exporter),
    )


def _warn_of_size(label: str, size: int) -> None:
    if size > LARGE_SETUP:
        warnings.warn(
            f"{label}: {size >> 20} MB of code, constant arguments and globals go to each worker, once; data of that "
            f"size is better read in an initializer",
            RuntimeWarning,
            stacklevel=2,
        )


def encode_program(exporter: MainExporter, label: str, obj: object) -> Code:
    """What every worker gets of the code of the program; ``label`` names it where it can't be sent."""
    try:
        return exporter.constants.encode(obj, exporter.encode_code)
    except Exception as error:
        wrapped = serialization_error("function", obj, error)
        raise SerializationError(f"{label} can't be sent to worker processes: {wrapped}") from without_ours(error)
