"""The workers of a process engine: how they come, are heard of, end in order and are replaced.

A system may refuse a process at any time, and a worker may die before it is ready. The map goes on with the workers that it
has, and asks again each time that another one has come or gone. It gives up when it has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..._base.errors import WorkerStartError
from ..._modules.main_export import MainExporter
from ..._transport.channel import beside
from ..._transport.messages import Setup
from ..protocol import Event, SideOutput
from .ending import EndingWorker, EndingWorkers
from .memory import Memory
from .slot import ProcessSlot
from .supervisor import Exit, WorkerHandle, WorkerSupervisor
from .templates import TemplateWish
from .worker_selector import WorkerSelector

if TYPE_CHECKING:
    from .fork import ForkSupervisor


class WorkerPool:
    """Worker processes and their slots, whatever they are given to do. An engine derives from it.

    Args:
        method: how they come to be.
        label: names of the functions of the map.
        slots: their places.
        memory: what they share.
        exporter: what they have to know of the program.
        setup: what each is told first, but for the environment.
        environment: tells that.
        wish: the template that they are to be forked from; None: there is none.
        room: items that each may be given.
    """

    def __init__(
        self,
        method: str,
        label: str,
        slots: list[ProcessSlot],
        memory: Memory,
        exporter: MainExporter,
        setup: Setup,
        environment: Callable[[], dict[str, Any]],
        wish: TemplateWish | None,
        room: int,
    ) -> None:
        self._method = method
        self.slots = slots
        self._memory = memory
        self._exporter = exporter
        self._setup = setup
        self._environment = environment
        self._wish = wish
        self._room = room
        self._events: list[Event] = []
        self._selector = WorkerSelector()
        self._stopped = False
        self._ending = EndingWorkers(label, self._selector)
        #: Slots whose next worker has to wait until one of those that are ending is gone.
        self._awaiting_room: deque[ProcessSlot] = deque()
        #: Slots whose worker could not be had, as the system had no room for it.
        self._refused: list[ProcessSlot] = []

    # ------------------------------------------------------------------ what an engine adds

    def stop(self) -> Sequence[SideOutput]:
        """See `Engine.stop`."""
        raise NotImplementedError

    def _on_worker_exit(self, slot: ProcessSlot, handle: WorkerHandle, exitcode: int | None) -> None:
        """A worker has died in its place."""
        raise NotImplementedError

    def _give_up(self, why: str) -> None:
        """There can be no workers."""
        raise NotImplementedError

    # ------------------------------------------------------------------ coming

    def _start_workers(self) -> None:
        """Asks for all workers; they come to life on their own.

        Raises:
            WorkerStartError: no process can be started.
        """
        try:
            self._supervisor = _make_supervisor(self._method, self._wish)
            self._update_connections()
            self._ask_for_worker(self.slots[0])
        except (OSError, MemoryError) as error:
            raise WorkerStartError(f"no worker process can be started: {_reason(error)}") from error
        for slot in self.slots[1:]:
            try:
                self._ask_for_worker(slot)
            except (OSError, MemoryError) as error:
                self._leave_empty(slot, _reason(error))
        # While they come up. What is looked at here takes as long as a fork.
        self._setup = self._setup._replace(environment=self._environment())
        for slot in self.slots:
            if slot.handle is not None:
                self._set_up_worker(slot, slot.handle)

    def _ask_for_worker(self, slot: ProcessSlot) -> WorkerHandle:
        slot.reset(self._room)
        slot.handle = self._supervisor.spawn(self._memory.fd)
        return slot.handle

    def _set_up_worker(self, slot: ProcessSlot, handle: WorkerHandle) -> None:
        definitions = list(self._exporter.log)
        slot.known = len(definitions)
        programs = [(beside(blob), buffers) for blob, buffers in self._setup.programs]
        memory = self._memory.assign(handle, self.slots.index(slot))
        self._selector.add(handle, slot)
        handle.send(self._setup._replace(definitions=definitions, programs=programs, memory=memory))
        self._watch_writes(slot)

    def _replace_worker(self, slot: ProcessSlot) -> None:
        try:
            self._supervisor.renew()
            self._update_connections()
            self._set_up_worker(slot, self._ask_for_worker(slot))
        except WorkerStartError as error:
            self._give_up(str(error))
        except (OSError, MemoryError) as error:
            self._leave_empty(slot, _reason(error))

    def _leave_empty(self, slot: ProcessSlot, why: str) -> None:
        """There is no room for this worker now: the map goes on with those that it has."""
        self._remove_worker(slot)
        self._refused.append(slot)
        if not self._ending and self._is_empty():
            self._give_up(f"no worker process can be started: {why}")

    def _retry_refused(self) -> None:
        """For a worker that was refused: each time that another has come or gone, so never without end."""
        if self._refused and not self._stopped:
            self._replace_worker(self._refused.pop())

    def _is_empty(self) -> bool:
        return all(slot.handle is None for slot in self.slots)

    def _remove_worker(self, slot: ProcessSlot) -> None:
        handle, slot.handle = slot.handle, None
        slot.open = False
        if handle is not None:
            self._selector.remove(handle)
            handle.close()
            self._memory.release(handle, self.slots.index(slot))

    # ------------------------------------------------------------------ sockets

    def _update_connections(self) -> None:
        self._selector.update_connections(self._supervisor.connections, self._supervisor)

    def wake(self) -> None:
        """Ends a `listen`."""
        self._selector.wake()

    def _watch_writes(self, slot: ProcessSlot) -> None:
        """Hears of room in the socket as long as something waits for it."""
        if slot.handle is None or slot.handle.channel.ended:
            return
        write_blocked = not slot.handle.channel.flush()
        if write_blocked != slot.write_blocked:
            slot.write_blocked = write_blocked
            self._selector.watch(slot.handle, slot, write_blocked)

    # ------------------------------------------------------------------ going

    def _end_in_order(self) -> None:
        """Tells all workers to end when they are through with their item, and waits for them, not for ever."""
        began = monotonic()
        for slot in self.slots:
            handle = slot.close()
            if handle is not None:
                self._ending.end(handle, slot)
        while True:
            if self._supervisor.early_reports:
                self._read_exits()
            seconds = self._ending.seconds_left(began, self._supervisor.workers)
            if seconds <= 0:
                break
            for key, _ in self._selector.select(seconds):
                if key.data is None:
                    self._selector.drain_wakes()
                elif key.data is self._supervisor:
                    self._read_exits()
                elif isinstance(key.data, EndingWorker):
                    self._events += self._ending.receive(key.data)
        self._events += self._ending.overdue(self._supervisor.workers)

    def _retire(self, slot: ProcessSlot) -> None:
        """Replaces a worker that has had its number of items."""
        handle = slot.handle
        if handle is not None and not handle.channel.ended:
            self._ending.end(handle)
            slot.reset(self._room)
            slot.handle = None
            self._awaiting_room.append(slot)
            self._start_successors()

    def _start_successors(self) -> None:
        """Starts successors, as long as finalizers don't take so long that there would be more and more processes."""
        while self._awaiting_room and len(self._ending) <= 2 * len(self.slots) and not self._stopped:
            self._replace_worker(self._awaiting_room.popleft())

    def _lacks_room(self) -> bool:
        """Whether successors wait for those that were told to end."""
        return bool(self._awaiting_room) or (bool(self._refused) and self._is_empty())

    def _make_room(self) -> None:
        for worker in self._ending.late(monotonic()):
            self._supervisor.kill(worker.handle)
            self._events += self._ending.killed_early(worker)

    # ------------------------------------------------------------------ exits

    def _read_exits(self) -> None:
        try:
            exits = self._supervisor.reports()
            if self._supervisor.due <= monotonic():
                self._supervisor.check()
        except WorkerStartError as error:
            self._give_up(str(error))
            return
        except OSError as error:
            self._give_up(f"the process that starts workers is gone, and no other can be started: {error}")
            return
        self._update_connections()
        ending = self._stopped
        for found in exits:
            self._on_exit(found)
            if self._stopped and not ending:
                return

    def _on_exit(self, found: Exit) -> None:
        handle = found.handle
        slot = next((slot for slot in self.slots if slot.handle is handle), None)
        if slot is not None and found.refused is not None:
            self._leave_empty(slot, found.refused)
        elif slot is not None:
            self._on_worker_exit(slot, handle, found.exitcode)
        elif (worker := self._ending.get(handle)) is not None:
            self._events += self._ending.exited(worker, found.exitcode)
            handle.close()
            self._memory.release(handle, None)
            self._start_successors()
            self._retry_refused()


def _reason(error: Exception) -> str:
    return str(error) or "no memory"  # a MemoryError may have no text


def _make_supervisor(method: str, wish: TemplateWish | None) -> WorkerSupervisor | ForkSupervisor:
    if method == "fork":
        from .fork import ForkSupervisor

        return ForkSupervisor()
    return WorkerSupervisor(method, wish)
