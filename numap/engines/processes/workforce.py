"""The workers of a process engine: how they come, are heard of, end in order and are replaced."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from ..._base.errors import WorkerStartError
from ..._modules.main_export import MainExporter
from ..._transport.channel import beside
from ..._transport.messages import Setup
from ..protocol import Event, SideOutput
from .memory import Memory
from .retirement import Leaver, Leavers, ignore
from .slot import ProcessSlot
from .supervisor import Exit, WorkerHandle, WorkerSupervisor

if TYPE_CHECKING:
    from .fork import ForkSupervisor


class Staff:
    """What is common to worker processes, whatever they are given to do.

    Args:
        method: how they come to be.
        label: names of the functions of the map.
        slots: their places.
        memory: what they share.
        mirror: what they have to know of the program.
        setup: what each is told first.
        room: items that each may be given.
    """

    def __init__(
        self,
        method: str,
        label: str,
        slots: list[ProcessSlot],
        memory: Memory,
        mirror: MainExporter,
        setup: Setup,
        room: int,
    ) -> None:
        self._method = method
        self.slots = slots
        self._memory = memory
        self._mirror = mirror
        self._setup = setup
        self._room = room
        self._events: list[Event] = []
        self._selector = selectors.DefaultSelector()
        #: Connections of the crew that are listened to.
        self._connections: list[socket.socket] = []
        self._stopped = False
        self._leavers = Leavers(label, self._selector)
        #: Slots whose next worker has to wait until one of those has ended.
        self._vacant: deque[ProcessSlot] = deque()
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

    def _hire(self) -> None:
        """Asks for all workers; they come to life on their own.

        Raises:
            WorkerStartError: no process can be started.
        """
        try:
            self._crew = _crew(self._method)
            self._listen_to_crew()
            self._fill(self.slots[0])
        except (OSError, MemoryError) as error:
            raise WorkerStartError(f"no worker process can be started: {_why(error)}") from error
        for slot in self.slots[1:]:
            try:
                self._fill(slot)
            except (OSError, MemoryError) as error:
                self._go_without(slot, _why(error))

    def _fill(self, slot: ProcessSlot) -> None:
        slot.fresh(self._room)
        handle = slot.handle = self._crew.spawn(self._memory.fd)
        definitions = list(self._mirror.log)
        slot.known = len(definitions)
        setup = self._setup._replace(
            definitions=definitions,
            programs=[(beside(blob), buffers) for blob, buffers in self._setup.programs],
            memory=self._memory.assign(handle, self.slots.index(slot)),
        )
        self._selector.register(handle.channel, selectors.EVENT_READ, slot)
        handle.send(setup)
        self._watch_writes(slot)

    def _refill(self, slot: ProcessSlot) -> None:
        try:
            self._crew.renew()
            self._listen_to_crew()
            self._fill(slot)
        except WorkerStartError as error:
            self._give_up(str(error))
        except (OSError, MemoryError) as error:
            self._go_without(slot, _why(error))

    def _go_without(self, slot: ProcessSlot, why: str) -> None:
        """There is no room for this worker now: the map goes on with those that it has."""
        self._drop(slot)
        self._refused.append(slot)
        if not self._leavers and self._is_empty():
            self._give_up(f"no worker process can be started: {why}")

    def _try_again(self) -> None:
        """For a worker that was refused: each time that another has come or gone, so never without end."""
        if self._refused and not self._stopped:
            self._refill(self._refused.pop())

    def _is_empty(self) -> bool:
        return all(slot.handle is None for slot in self.slots)

    def _drop(self, slot: ProcessSlot) -> None:
        handle, slot.handle = slot.handle, None
        slot.open = False
        if handle is not None:
            ignore(self._selector, handle)
            handle.close()
            self._memory.release(handle, self.slots.index(slot))

    # ------------------------------------------------------------------ sockets

    def _listen_to_crew(self) -> None:
        wanted = self._crew.connections
        if wanted == self._connections:
            return
        for connection in self._connections:
            if connection not in wanted:
                self._selector.unregister(connection)
        for connection in wanted:
            if connection not in self._connections:
                self._selector.register(connection, selectors.EVENT_READ, self._crew)
        self._connections = wanted

    def _watch_writes(self, slot: ProcessSlot) -> None:
        """Hears of room in the socket as long as something waits for it."""
        if slot.handle is None or slot.handle.channel.ended:
            return
        write_blocked = not slot.handle.channel.flush()
        if write_blocked != slot.write_blocked:
            slot.write_blocked = write_blocked
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if write_blocked else 0)
            self._selector.modify(slot.handle.channel, wanted, slot)

    # ------------------------------------------------------------------ going

    def _take_leave(self, wake: socket.socket) -> None:
        """Tells all workers to end when they are through with their item, and waits for them, not for ever."""
        began = monotonic()
        for slot in self.slots:
            handle = slot.close()
            if handle is not None:
                self._leavers.tell(handle, slot)
        while True:
            if self._crew.heard:
                self._hear_exits()
            left = self._leavers.seconds_left(began, self._crew.workers)
            if left <= 0:
                break
            for key, _ in self._selector.select(left):
                if key.data is None:
                    drain(wake)
                elif key.data is self._crew:
                    self._hear_exits()
                elif isinstance(key.data, Leaver):
                    self._events += self._leavers.hear(key.data)
        self._events += self._leavers.overdue(self._crew.workers)

    def _retire(self, slot: ProcessSlot) -> None:
        """Replaces a worker that has had its number of items."""
        handle = slot.handle
        if handle is not None and not handle.channel.ended:
            self._leavers.tell(handle)
            slot.fresh(self._room)
            slot.handle = None
            self._vacant.append(slot)
            self._fill_vacant()

    def _fill_vacant(self) -> None:
        """Starts successors, as long as finalizers don't take so long that there would be more and more processes."""
        while self._vacant and len(self._leavers) <= 2 * len(self.slots) and not self._stopped:
            self._refill(self._vacant.popleft())

    def _is_short(self) -> bool:
        """Whether successors wait for those that were told to end."""
        return bool(self._vacant) or (bool(self._refused) and self._is_empty())

    def _make_room(self) -> None:
        for leaver in self._leavers.late(monotonic()):
            self._crew.kill(leaver.handle)
            self._events += self._leavers.crowded_out(leaver)

    # ------------------------------------------------------------------ exits

    def _hear_exits(self) -> None:
        try:
            exits = self._crew.reports()
            if self._crew.due() <= monotonic():
                self._crew.check()
        except WorkerStartError as error:
            self._give_up(str(error))
            return
        except OSError as error:
            self._give_up(f"the process that starts workers is gone, and no other can be started: {error}")
            return
        self._listen_to_crew()
        ending = self._stopped
        for found in exits:
            self._on_exit(found)
            if self._stopped and not ending:
                return

    def _on_exit(self, found: Exit) -> None:
        handle = found.handle
        slot = next((slot for slot in self.slots if slot.handle is handle), None)
        if slot is not None and found.refused is not None:
            self._go_without(slot, found.refused)
        elif slot is not None:
            self._on_worker_exit(slot, handle, found.exitcode)
        elif (leaver := self._leavers.get(handle)) is not None:
            self._events += self._leavers.left(leaver, found.exitcode)
            handle.close()
            self._memory.release(handle, None)
            self._fill_vacant()
            self._try_again()


def _why(error: Exception) -> str:
    return str(error) or "no memory"  # a MemoryError may have no text


def drain(sock: socket.socket) -> None:
    """Reads all that has come."""
    with contextlib.suppress(BlockingIOError):
        while len(sock.recv(4096)) == 4096:
            pass


def _crew(method: str) -> WorkerSupervisor | ForkSupervisor:
    if method == "fork":
        from .fork import ForkSupervisor

        return ForkSupervisor()
    return WorkerSupervisor(method)
