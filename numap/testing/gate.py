"""Gates: a test meets a function in the middle of an item, and knows that it is there.

A test that sleeps until an item has surely begun is slow on a quiet machine and fails on a busy one. A socket of this machine
reaches every thread and process alike, and tells of the end of a process, too.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

#: Seconds after which a wait for a fact becomes a failure with a message. Nothing that works comes near it.
ARRIVAL_TIMEOUT = 30.0


class Visitor:
    """A function that has arrived at a gate and waits there.

    Attributes:
        pid: the process that it runs in.
        label: the text that it arrived with.
    """

    def __init__(self, sock: socket.socket, pid: int, label: str) -> None:
        self.pid = pid
        self.label = label
        self._sock = sock

    def release(self) -> None:
        """Lets it go on; without effect the second time."""
        self._sock.close()

    def gone(self, timeout: float = ARRIVAL_TIMEOUT) -> None:
        """Waits until it has ended without being released: its process was killed.

        Raises:
            TimeoutError: it is still there.
        """
        self._sock.settimeout(timeout)
        with suppress(ConnectionResetError):
            assert self._sock.recv(1) == b"", "a visitor says nothing after its arrival"
        self._sock.close()

    def __repr__(self) -> str:
        return f"<visitor {self.label!r} of process {self.pid}>"


class Gate:
    """A place in a function where a test meets it: in a thread, in a worker process, in any process of this machine.

    The function calls `arrive`; the test waits for that with `wait` and lets it go with `Visitor.release` or `open`.
    A gate may be an argument, a global or a default of the function. Use it as a context manager: at its end it is
    open, so a function that is still held there goes on, and one that comes later passes.

    >>> from numap import IMap
    >>> with Gate() as gate:
    ...     imap = IMap(gate.arrive, "ab", worker_type="thread", worker_num=2)
    ...     both = sorted([gate.wait().label, gate.wait().label])
    ...     gate.open()
    ...     print(both, list(imap))
    ['a', 'b'] ['a', 'b']
    """

    def __init__(self) -> None:
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._address: tuple[str, int] = self._listener.getsockname()
        self._visitors: list[Visitor] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_address": self._address, "_listener": None, "_visitors": []}

    def arrive(self, label: Any = "") -> Any:
        """The function's side: tells the test, and returns ``label`` when released; at once where the gate is open."""
        with suppress(ConnectionError), socket.create_connection(self._address) as sock:
            sock.sendall(f"{os.getpid()} {label}\n".encode())
            sock.recv(1)
        return label

    def wait(self, timeout: float = ARRIVAL_TIMEOUT) -> Visitor:
        """The test's side: the next one that arrives.

        Raises:
            TimeoutError: nothing came.
        """
        assert self._listener is not None, "the gate is open, or this is not the process that made it"
        self._listener.settimeout(timeout)
        try:
            sock, _ = self._listener.accept()
        except TimeoutError:
            raise TimeoutError(f"no function has arrived at the gate within {timeout} seconds") from None
        sock.settimeout(timeout)
        with sock.makefile("r", encoding="utf-8", newline="\n") as lines:
            pid, _, label = lines.readline().rstrip("\n").partition(" ")
        visitor = Visitor(sock, int(pid), label)
        self._visitors.append(visitor)
        return visitor

    def open(self) -> None:
        """Lets every function pass from now on, also those that have arrived."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for visitor in self._visitors:
            visitor.release()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open()
