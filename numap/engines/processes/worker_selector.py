"""What a process engine listens to: the sockets of its workers, the connections to what starts them, and calls of `wake`.

One thread serves all of them, so it must know which of them have something to read or room to write, and sleep while none
has. Room to write is only watched where something waits for it: a socket nearly always has some.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from typing import Any

from .supervisor import WorkerHandle

#: Seconds that one wait lasts at most: epoll counts milliseconds in 32 bits. It is waited again, as nothing was due.
LONGEST_WAIT = 1e6


class WorkerSelector:
    """The sockets, each with what it stands for; None stands for `wake`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._connections: list[socket.socket] = []

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What there is to do; blocks up to so many seconds, None: until there is something."""
        return self._selector.select(timeout if timeout is None else min(timeout, LONGEST_WAIT))

    def wake(self) -> None:
        """Ends a `select`, now or the next one. From any thread."""
        with contextlib.suppress(OSError):
            self._wake_w.send(b"\0")

    def drain_wakes(self) -> None:
        """Takes note of all calls of `wake` up to now."""
        with contextlib.suppress(BlockingIOError):
            while len(self._wake_r.recv(4096)) == 4096:
                pass

    def add(self, handle: WorkerHandle, data: Any) -> None:
        """Listens to a worker."""
        self._selector.register(handle.channel, selectors.EVENT_READ, data)

    def watch(self, handle: WorkerHandle, data: Any, writes: bool) -> None:
        """Listens to a worker on behalf of ``data``. ``writes``: something waits for room in its socket."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if writes else 0)
        self._selector.modify(handle.channel, wanted, data)

    def remove(self, handle: WorkerHandle) -> None:
        """Nothing more is expected from a worker's socket, or it is going to be closed."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(handle.channel)

    def update_connections(self, wanted: list[socket.socket], data: Any) -> None:
        """Listens to these connections, and to no others."""
        if wanted == self._connections:
            return
        for connection in self._connections:
            if connection not in wanted:
                self._selector.unregister(connection)
        for connection in wanted:
            if connection not in self._connections:
                self._selector.register(connection, selectors.EVENT_READ, data)
        self._connections = wanted

    def close(self) -> None:
        """Listens to nothing any more."""
        self._selector.close()
        self._wake_r.close()
        self._wake_w.close()
