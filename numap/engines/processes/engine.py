"""The engine of worker processes: a private socket and a progress page each, and the books of what each one holds."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import warnings
from collections.abc import Sequence
from time import monotonic
from typing import Any

from ..._base.capabilities import CAPABILITIES
from ..._base.checks import limited
from ..._base.errors import SerializationError, WorkerStartError
from ..._base.options import Options
from ..._environment.process_state import environment
from ..._items.failures import render, serialization_error, without_ours
from ..._items.segments import Segment, encode_item
from ..._items.side_output import logging_levels
from ..._modules.main_export import ForkExporter, MainExporter, main_identity
from ..._sync.event_queue import seconds_left
from ..._system.processes import exit_text
from ..._transport.progress_page import INITIALIZING, STAGE, STARTED
from ..._transport.shared_objects import Code, Constants, ObjectWriter, size_of_code
from ..._worker.results import CUT_OFF
from ..protocol import UNLIMITED, Died, Event, Job, Output, Program, Returned, SideOutput, Slot, StartFailed
from .ledger import item
from .memory import Memory
from .retirement import Leaver, ignore
from .slot import ProcessSlot, aside
from .supervisor import WorkerHandle
from .workforce import Staff, drain

#: Workers that may die in a row while they start: what is wrong with them all kills every one.
STILLBORN = 4
#: The same for workers that somebody killed (an operator, the kernel for want of memory) while no code of the user's ran.
STILLBORN_KILLED = 200
#: What a worker can't tell any more.
_CLOSED = (
    "it could not tell the outcome, as its descriptors were closed; a function should close only what it has opened"
)
#: Bytes that every worker gets at its start above which a warning is given.
LARGE = 100 << 20
#: Seconds that one wait lasts at most: epoll counts milliseconds in 32 bits. It is waited again, as nothing was due.
LONGEST_WAIT = 1e6


class ProcessEngine(Staff):
    """Worker processes that are started by the clean starter.

    Args:
        programs: the functions, pickled here once for all workers.
        options: of the map.

    Raises:
        SerializationError: a function can't be pickled.
    """

    capabilities = CAPABILITIES["process"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        method = options.start_method or "forkserver"
        memory = Memory(options.workers)
        constants = Constants(memory.arena)
        mirror = ForkExporter(constants) if method == "fork" else MainExporter(constants)
        self._finalizes = options.finalizer is not None
        self._pack = ObjectWriter(mirror.encode, memory.arena)
        mirror.exempt(options.initializer)
        label = ", ".join(p.label for p in programs)
        setup = _setup(mirror, programs, options, method)
        _warn_of_size(label, sum(map(size_of_code, [*setup["programs"], *(it.code for it in mirror.log)])))
        slots = [ProcessSlot(limited(options.task_timeout)) for _ in range(options.workers)]
        super().__init__(method, label, slots, memory, mirror, setup, options.max_items_per_worker or UNLIMITED)
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        #: What the last `listen` ended with.
        self._heard: list[tuple[selectors.SelectorKey, int]] = []
        #: Workers that died while they started, since the last that did start.
        self._failed_starts = 0

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Asks for all workers; they come to life on their own.

        Raises:
            WorkerStartError: no process can be started.
        """
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._hire()

    def stop(self) -> Sequence[SideOutput]:
        """Ends every worker, with all that it started; where there is a finalizer, those that were initialised may end in order."""
        if not self._stopped:
            self._stopped = True
            self._end()
        return [event for event in self._events if isinstance(event, SideOutput)]

    def _end(self) -> None:
        if self._finalizes and hasattr(self, "_crew"):
            self._take_leave(self._wake_r)
        for leaver in [*(Leaver(slot.handle, slot) for slot in self.slots if slot.handle is not None), *self._leavers]:
            self._events += self._leavers.hear_last(leaver)
        handles = [slot.close() for slot in self.slots] + [leaver.handle for leaver in self._leavers]
        self._selector.close()
        if hasattr(self, "_crew"):
            self._crew.close()
        for handle in handles:
            if handle is not None:
                handle.close()
        for slot in self.slots:
            slot.jobs.clear()
        self._memory.retire()
        self._wake_r.close()
        self._wake_w.close()

    def wake(self) -> None:
        """Ends a `listen`."""
        with contextlib.suppress(OSError):
            self._wake_w.send(b"\0")

    # ------------------------------------------------------------------ jobs

    def encode(self, value: object) -> Segment:
        """The segment of an item, for the threads that pull the inputs."""
        return encode_item(value, self._pack, "item")

    def submit(self, slot: Slot, job: Job) -> None:
        """Sends a job."""
        assert isinstance(slot, ProcessSlot), "jobs go to slots of this engine"
        self._events += self._memory.complaint(job.segments)
        slot.send(job, self._mirror.log)
        self._watch_writes(slot)

    def recall(self) -> None:
        """Asks every worker for what it has not begun."""
        for slot in self.slots:
            slot.recall()

    # ------------------------------------------------------------------ events

    def due(self) -> float:
        """See `Engine.due`."""
        if self._events or self._crew.heard:
            return 0.0
        due = min(self._crew.due(), *(slot.next_look() for slot in self.slots))
        return min(due, self._leavers.due()) if self._is_short() else due

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        timeout = seconds_left(until)
        self._heard = self._selector.select(timeout if timeout is None else min(timeout, LONGEST_WAIT))

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        for key, mask in self._heard:
            if self._stopped:  # by what one of the others told: all are closed now
                break
            if key.data is None:
                drain(self._wake_r)
            elif key.data is self._crew:
                self._hear_exits()
            elif isinstance(key.data, Leaver):
                self._events += self._leavers.hear(key.data)
            elif key.fileobj is getattr(key.data.handle, "channel", None):
                if mask & selectors.EVENT_WRITE:
                    self._watch_writes(key.data)
                if mask & selectors.EVENT_READ:
                    self._hear(key.data)
        if not self._stopped and (self._crew.heard or self._crew.due() <= monotonic()):
            self._hear_exits()
        if not self._stopped:
            self._look_at_pages()
            if self._is_short():
                self._make_room()
        events, self._events = self._events, []
        return events

    def _hear(self, slot: ProcessSlot, all_of_it: bool = False) -> None:
        handle = slot.handle
        if handle is None:
            return
        for message in handle.channel.receive(all_of_it):
            kind = message[0]
            if kind == "out":
                self._output(slot, *message[1:])
            elif kind == "aside":
                self._events.append(aside(handle, slot, *message[1:]))
            elif kind == "ready":
                # The starter tells it, too, perhaps later.
                handle.pid = message[1]
                slot.ready = slot.open = True
                self._failed_starts = 0
                self._try_again()
                if self._stopped:
                    return
            else:
                _, pid, stage, trace = message
                self._give_up(f"can't {stage} worker process {pid}:\n{render(trace)}")
                return
        if handle.channel.ended:
            # Its exit is reported by the starter; a descriptor says nothing for certain.
            ignore(self._selector, handle)
            slot.open = False

    def _output(
        self, slot: ProcessSlot, seq: int, segments: list[Segment], last: bool, seconds: float, stages: list[int]
    ) -> None:
        count = sum(segment[1] for segment in segments)
        # Before the job lets go of its items: a result may lie in the memory of one.
        segments = self._memory.incoming(segments)
        job, first, returned = slot.books.account(seq, count, last)
        if job is None:
            return
        slot.told(last)
        self._events += self._memory.complaint(segments, slot.handle)
        if count:
            self._events.append(Output(job, first, count, segments, seconds, stages))
        self._events += returned
        slot.unsend(returned)
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
                    self._crew.kill(slot.handle)

    # ------------------------------------------------------------------ deaths

    def _on_worker_exit(self, slot: ProcessSlot, handle: WorkerHandle, exitcode: int | None) -> None:
        """The one procedure for every death: last words, blame, the rest given back, a successor."""
        self._hear(slot, all_of_it=True)
        if self._stopped or slot.handle is not handle:
            return
        words, stack = handle.page.words, handle.page.crash()
        started, stage, initializing = words[STARTED], words[STAGE], bool(words[INITIALIZING])
        self._drop(slot)
        if slot.ready:
            if exitcode == CUT_OFF:
                stack = _CLOSED
                # Any of those that it has not told of may have done it: they run again in workers that tell of each at once.
                self._setup["careful"] = True
                started = slot.books.only_untold(started)
            job, running, returned = slot.books.close(started)
            self._events += returned
            died = Died(None, None, [], handle.pid, exitcode, False, stack, stage)
            self._events.append(died if job is None else _death_event(slot, died, job, running, started))
        else:
            self._failed_starts += 1
            # Without an exit code: the starter was killed, and its workers with it.
            by_others = exitcode in (None, -signal.SIGKILL) and not initializing
            if self._failed_starts > (STILLBORN_KILLED if by_others else STILLBORN):
                self._go_without(slot, f"{self._failed_starts} ended before they were ready ({exit_text(exitcode)})")
                return
        self._refill(slot)

    def _give_up(self, why: str) -> None:
        # What the workers still said comes first: after this event nobody listens.
        self.stop()
        self._events.append(StartFailed(WorkerStartError(why)))


def _death_event(slot: ProcessSlot, died: Died, job: Job, running: int, started: int) -> Event:
    """What a death means for the item that was running, the one at place ``running`` of ``job``."""
    index, segments = job.first + running, item(job, running)
    if 0 <= slot.expired != started:
        # The worker was over the limit with an item, but ended it before the signal came; this one has done nothing.
        return Returned(job.program, index, 1, segments)
    stage = died.stage if job.behind else 0
    if slot.unpickling:
        died.stack = (
            "it was still being unpickled; what that imports is better imported by an initializer, which has no limit"
        )
    return Died(job.program, index, segments, died.pid, died.exitcode, slot.expired == started, died.stack, stage)


def _setup(mirror: MainExporter, programs: Sequence[Program], options: Options, method: str) -> dict[str, Any]:
    """What each worker is told first."""
    hooks = (options.initializer, options.initargs, options.finalizer)
    setup: dict[str, Any] = {
        "programs": [_encode(mirror, p.label, (p.func, p.args, p.kwargs or None)) for p in programs],
        "initializer": _encode(mirror, "the initializer or the finalizer", hooks),
        "clocked": options.task_timeout is not None,
        "copies": any(p.retries for p in programs),
        "careful": False,
        "main": None if method == "fork" else main_identity(),
        "environment": environment(options.workers),
        "logging": logging_levels(),
    }
    setup["needed"] = len(mirror.log)
    return setup


def _warn_of_size(label: str, size: int) -> None:
    if size > LARGE:
        warnings.warn(
            f"{label}: {size >> 20} MB of code, constant arguments and globals go to each worker, once; data of that "
            f"size is better read in an initializer",
            RuntimeWarning,
            stacklevel=2,
        )


def _encode(mirror: MainExporter, label: str, obj: object) -> Code:
    try:
        return mirror.constants.encode(obj, mirror.encode_code)
    except Exception as error:
        wrapped = serialization_error("function", obj, error)
        raise SerializationError(f"{label} can't be sent to worker processes: {wrapped}") from without_ours(error)
