"""Worker processes that were told to end: who they are, how long they may still take, and what is said of them."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Container, Iterator
from time import monotonic

from ..._items.finalizers import RECYCLED_TIMEOUT, RUNS, end_timeout, overdue, raised
from ..._sync.event_queue import NEVER
from ..._system.processes import exit_text
from ..._transport.progress_page import FINALIZER
from ..protocol import SideOutput, notice
from .slot import SETTLE, ProcessSlot, aside
from .supervisor import WorkerHandle


class Leaver:
    """A worker that was told to end.

    Attributes:
        slot: whose items it may still be in; None: it has done all.
        since: when it was told.
        dismissed: it has been killed, and that was said.
    """

    __slots__ = ("dismissed", "handle", "since", "slot")

    def __init__(self, handle: WorkerHandle, slot: ProcessSlot | None) -> None:
        self.handle = handle
        self.slot = slot
        self.since = monotonic()
        self.dismissed = False

    @property
    def state(self) -> int:
        """Of its finalizer."""
        return self.handle.page.words[FINALIZER]


class Leavers:
    """All that were told to end and have not, in the order in which they were told.

    Args:
        label: names of the functions of the map.
        selector: tells of what workers say; here, of leavers.
    """

    def __init__(self, label: str, selector: selectors.BaseSelector) -> None:
        self._label = label
        self._selector = selector
        self._all: dict[WorkerHandle, Leaver] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Leaver]:
        return iter(list(self._all.values()))

    def tell(self, handle: WorkerHandle, slot: ProcessSlot | None = None) -> None:
        """Tells a worker to end when it is through with what it is at."""
        handle.channel.send(("stop",))
        leaver = self._all[handle] = Leaver(handle, slot)
        if not handle.channel.ended:
            # What it says is read on, and what it was sent before goes on, lest it be stuck in the middle of either.
            wanted = selectors.EVENT_READ | (0 if handle.channel.flush() else selectors.EVENT_WRITE)
            self._selector.modify(handle.channel, wanted, leaver)

    def hear(self, it: Leaver) -> list[SideOutput]:
        """There is something to read from one, or room to write; returns what it said."""
        if self._all.get(it.handle) is not it:
            return []  # its exit was reported at the same time
        channel = it.handle.channel
        if channel.flush():
            self._selector.modify(channel, selectors.EVENT_READ, it)
        said = self.hear_last(it)
        if channel.ended:
            ignore(self._selector, it.handle)
        return said

    def hear_last(self, it: Leaver) -> list[SideOutput]:
        """What a worker said beside its results, which nobody wants any more."""
        said: list[SideOutput] = []
        for message in it.handle.channel.receive(all_of_it=True):
            if message[0] == "aside":
                said.append(aside(it.handle, it.slot, *message[1:]))
            elif message[0] == "ended badly":
                said.append(self._notice(it, raised(self._name(it), message[2])))
        return said

    def get(self, handle: WorkerHandle) -> Leaver | None:
        """The one with this handle, if it is one of these."""
        return self._all.get(handle)

    def due(self) -> float:
        """When the oldest has taken so long that it has to give way to others."""
        return min((it.since + RECYCLED_TIMEOUT for it in self._all.values() if not it.dismissed), default=NEVER)

    def late(self, now: float) -> list[Leaver]:
        """Those that have to give way to others; they are not named again."""
        found = [it for it in self._all.values() if not it.dismissed and it.since + RECYCLED_TIMEOUT <= now]
        for it in found:
            it.dismissed = True
        return found

    def seconds_left(self, began: float, alive: Container[int]) -> float:
        """How much longer to wait at the end of a map that began at ``began``, for workers with these numbers."""
        states = [it.state for it in self._all.values() if it.handle.number in alive]
        if not states:
            return 0.0
        # Who owes nothing after this while has not begun its initializer, and will not.
        return began + max(SETTLE, *map(end_timeout, states)) - monotonic()

    def left(self, it: Leaver, exitcode: int | None) -> list[SideOutput]:
        """A worker has ended; what it said, and what is to be said of that."""
        said = self.hear_last(it)
        ignore(self._selector, it.handle)
        del self._all[it.handle]
        if it.state == RUNS and not it.dismissed:
            said.append(self._notice(it, f"{self._name(it)} died in its finalizer ({exit_text(exitcode)})"))
        return said

    def overdue(self, alive: Container[int]) -> list[SideOutput]:
        """What is to be said of those that are killed at the end of a map."""
        texts = [(it, overdue(it.state, self._name(it), "it is killed")) for it in self if it.handle.number in alive]
        return [self._notice(it, text) for it, text in texts if text is not None and not it.dismissed]

    def crowded_out(self, it: Leaver) -> list[SideOutput]:
        """What is to be said of one that has to give way to others."""
        if it.state != RUNS:
            return []
        return [
            self._notice(
                it, f"the finalizer of {self._name(it)} was not through after {RECYCLED_TIMEOUT:g} s; it is killed"
            )
        ]

    def _name(self, it: Leaver) -> str:
        return f"worker process {it.handle.pid} of {self._label}"

    @staticmethod
    def _notice(it: Leaver, text: str) -> SideOutput:
        return notice(text, it.handle.pid)


def ignore(selector: selectors.BaseSelector, handle: WorkerHandle) -> None:
    """Nothing more is expected from a worker's socket, or it is going to be closed."""
    with contextlib.suppress(KeyError, ValueError):
        selector.unregister(handle.channel)
