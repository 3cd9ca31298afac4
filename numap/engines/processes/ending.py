"""Worker processes that were told to end: how long they may still take, and what is said of them.

A worker that has a finalizer must not be killed before that is through, and nothing may wait for ever for a finalizer that
hangs. So a worker leaves its slot as soon as it is told to end, and its successor may start. What it still says is read on,
lest it be stuck in the middle of saying it. It is killed when its time is over: at the end of a map, or when so many are
ending that there is no room for successors.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from time import monotonic

from ..._items.finalizers import RECYCLED_TIMEOUT, RUNS, end_timeout, overdue, raised
from ..._sync.event_queue import NEVER
from ..._system.processes import exit_text
from ..._transport.messages import FinalizerFailed, SideMessage, Stop
from ..._transport.progress_page import FINALIZER
from ..protocol import SideOutput, notice
from .slot import SETTLE, ProcessSlot, side_output
from .supervisor import WorkerHandle
from .worker_selector import WorkerSelector


class EndingWorker:
    """A worker that was told to end.

    Attributes:
        slot: whose items it may still be in; None: it has done all.
        since: when it was told.
        killed: it has been killed, and that was said.
    """

    __slots__ = ("handle", "killed", "since", "slot")

    def __init__(self, handle: WorkerHandle, slot: ProcessSlot | None) -> None:
        self.handle = handle
        self.slot = slot
        self.since = monotonic()
        self.killed = False

    @property
    def state(self) -> int:
        """Of its finalizer."""
        return self.handle.page.words[FINALIZER]


class EndingWorkers:
    """All that were told to end and have not, in the order in which they were told.

    Args:
        label: names of the functions of the map.
        selector: tells of what workers say.
    """

    def __init__(self, label: str, selector: WorkerSelector) -> None:
        self._label = label
        self._selector = selector
        self._all: dict[WorkerHandle, EndingWorker] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[EndingWorker]:
        return iter(list(self._all.values()))

    def end(self, handle: WorkerHandle, slot: ProcessSlot | None = None) -> None:
        """Tells a worker to end when it is through with what it is at."""
        handle.send(Stop())
        worker = self._all[handle] = EndingWorker(handle, slot)
        if not handle.channel.ended:
            # What it says is read on, and what it was sent before goes on, lest it be stuck in the middle of either.
            self._selector.watch(handle, worker, not handle.channel.flush())

    def receive(self, it: EndingWorker) -> list[SideOutput]:
        """There is something to read from one, or room to write; returns what it said."""
        if self._all.get(it.handle) is not it:
            return []  # its exit was reported at the same time
        channel = it.handle.channel
        if channel.flush():
            self._selector.watch(it.handle, it, False)
        said = self.receive_all(it)
        if channel.ended:
            self._selector.remove(it.handle)
        return said

    def receive_all(self, it: EndingWorker) -> list[SideOutput]:
        """What a worker said beside its results, which are not wanted any more."""
        said: list[SideOutput] = []
        for message in it.handle.receive(all_of_it=True):
            if isinstance(message, SideMessage):
                said.append(side_output(it.handle, it.slot, message))
            elif isinstance(message, FinalizerFailed):
                said.append(self._notice(it, raised(self._name(it), message.trace)))
        return said

    def get(self, handle: WorkerHandle) -> EndingWorker | None:
        """The one with this handle, if it is one of these."""
        return self._all.get(handle)

    def due(self) -> float:
        """When the oldest has taken so long that it has to give way to others."""
        return min((it.since + RECYCLED_TIMEOUT for it in self._all.values() if not it.killed), default=NEVER)

    def late(self, now: float) -> list[EndingWorker]:
        """Those that have to give way to others; they are not named again."""
        found = [it for it in self._all.values() if not it.killed and it.since + RECYCLED_TIMEOUT <= now]
        for it in found:
            it.killed = True
        return found

    def seconds_left(self, began: float, alive: Container[int]) -> float:
        """How much longer to wait at the end of a map that began at ``began``, for workers with these numbers."""
        states = [it.state for it in self._all.values() if it.handle.number in alive]
        if not states:
            return 0.0
        # A worker that owes nothing after this while has not begun its initializer, and will not.
        return began + max(SETTLE, *map(end_timeout, states)) - monotonic()

    def exited(self, it: EndingWorker, exitcode: int | None) -> list[SideOutput]:
        """A worker has ended; what it said, and what is to be said of that."""
        said = self.receive_all(it)
        self._selector.remove(it.handle)
        del self._all[it.handle]
        if it.state == RUNS and not it.killed:
            said.append(self._notice(it, f"{self._name(it)} died in its finalizer ({exit_text(exitcode)})"))
        return said

    def overdue(self, alive: Container[int]) -> list[SideOutput]:
        """What is to be said of those that are killed at the end of a map."""
        texts = [(it, overdue(it.state, self._name(it), "it is killed")) for it in self if it.handle.number in alive]
        return [self._notice(it, text) for it, text in texts if text is not None and not it.killed]

    def killed_early(self, it: EndingWorker) -> list[SideOutput]:
        """What is to be said of one that has to give way to others."""
        if it.state != RUNS:
            return []
        return [
            self._notice(
                it, f"the finalizer of {self._name(it)} was not through after {RECYCLED_TIMEOUT:g} s; it is killed"
            )
        ]

    def _name(self, it: EndingWorker) -> str:
        return f"worker process {it.handle.pid} of {self._label}"

    @staticmethod
    def _notice(it: EndingWorker, text: str) -> SideOutput:
        return notice(text, it.handle.pid)
