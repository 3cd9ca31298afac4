"""Items offered in named pipes and sockets: a thread waits for the reader of one, but not for ever.

A pipe and a socket keep nothing, so an item lives as long as the thread that offers it. Neither side can rely on the other: a
reader may never come, and the process that offers an item may be killed. So both have a deadline, a reader watches that
process, and what came is compared with the size that was announced.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import threading
from _thread import TIMEOUT_MAX
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from secrets import token_hex
from time import monotonic
from typing import Any, NamedTuple

from papy._base.checks import LONGEST_POLL, limited


class Place(NamedTuple):
    """Where a pipe or socket is to be, and how its name begins and ends."""

    directory: str
    prefix: str
    suffix: str

    def name(self) -> str:
        """A path that is new: by its 64 random bits it is no other's, and making something there fails if it is."""
        return os.path.join(self.directory, f"{self.prefix}{token_hex(8)}{self.suffix}")


# The paths that this process made, and still offers something under. Changes are single operations.
_offered: set[str] = set()


def _remove_all() -> None:
    """At exit: the threads that would remove them end with the process, and need no time for that."""
    for name in list(_offered):
        with suppress(OSError):
            os.unlink(name)


atexit.register(_remove_all)
if hasattr(os, "register_at_fork"):  # a forked child offers nothing
    os.register_at_fork(after_in_child=_offered.clear)


class Deadline:
    """A moment in the future."""

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + min(seconds, TIMEOUT_MAX)

    def left(self) -> float:
        """Seconds until then, or so many of them as one wait can count; TimeoutError when it has passed."""
        left = self._at - monotonic()
        if left <= 0:
            raise TimeoutError("the other side did not come in time")
        return min(left, LONGEST_POLL)


# named pipes ---------------------------------------------------------------


def offer_fifo(data: bytes, place: Place, timeout: float, buffer: int) -> str:
    """Make a named pipe, offer the data in it, and return its path."""
    if not hasattr(os, "mkfifo"):
        raise ValueError("type: there are no named pipes on this system; use 'file'")
    name = place.name()
    os.mkfifo(name, 0o600)
    _offered.add(name)
    _in_thread(_serve_fifo, name, data, timeout, buffer)
    return name


def _serve_fifo(name: str, data: bytes, timeout: float, buffer: int) -> None:
    # Opening a pipe for writing waits for a reader, and can't be told for how long. So, when the time is over, the
    # timer becomes a reader: of this very pipe, also if its name is removed meanwhile.
    deadline = Deadline(timeout)
    # What ends it early the reader hears of by the size, or as there is no pipe any more.
    with suppress(FileNotFoundError, BrokenPipeError, TimeoutError), ExitStack() as stack:
        again = name
        if hasattr(os, "O_PATH"):
            itself = os.open(name, os.O_PATH)
            stack.callback(os.close, itself)
            again = f"/proc/self/fd/{itself}"
        stack.callback(_remove, name)
        timer = threading.Timer(min(timeout, TIMEOUT_MAX), _look_in, (again,))
        timer.daemon = True
        timer.start()
        stack.callback(timer.join)  # or it might open what gets the descriptor's number next
        stack.callback(timer.cancel)
        fd = os.open(name, os.O_WRONLY)
        stack.callback(os.close, fd)
        timer.cancel()
        os.set_blocking(fd, False)
        _write_all(fd, data, deadline, buffer)


def _look_in(name: str) -> None:
    with suppress(OSError):
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))


def _write_all(fd: int, data: bytes, deadline: Deadline, buffer: int) -> None:
    rest = memoryview(data)
    while rest:
        if not select.select((), (fd,), (), deadline.left())[1]:
            continue
        with suppress(BlockingIOError):
            rest = rest[os.write(fd, rest[:buffer]) :]


def take_fifo(name: str, size: int, pid: int, timeout: float, buffer: int) -> bytes:
    """Read the item that a process offers in a named pipe; see `load_item`."""
    deadline = Deadline(timeout)
    with ExitStack() as stack:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        stack.callback(os.close, fd)
        try:
            alive = _pidfd(pid)
            if alive is not None:
                stack.callback(os.close, alive)
            data = _read_all(fd, alive, size, deadline, buffer)
        except ProcessLookupError as error:
            _remove(name)
            raise ConnectionError(f"the process {pid} that offered the item in {name} has ended") from error
        _remove(name)  # its process might end before it does that itself
        return data


def _read_all(fd: int, alive: int | None, size: int, deadline: Deadline, buffer: int) -> bytes:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if alive is not None:
        poll.register(alive, select.POLLIN)
    data = bytearray()
    while True:
        found = dict(poll.poll(deadline.left() * 1000))
        if fd in found:
            part = os.read(fd, buffer)
            data += part
            if part and (not size or len(data) < size):
                continue
            return _whole(data, size)
        if found:
            raise ProcessLookupError
        # Nothing, so the time is over: the next look at the deadline says so.


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when a process ends; None where there are none: then its time limit counts.

    Raises:
        ProcessLookupError: There is no such process.
    """
    if pid == os.getpid() or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None  # an old kernel, or one that forbids it


# sockets -------------------------------------------------------------------


def offer_socket(data: bytes, place: Place, timeout: float, buffer: int) -> str:
    """Make a Unix socket, offer the data on it, and return its path."""
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("type: there are no Unix sockets on this system; use 'file'")
    name = place.name()
    server = _listen(name)
    _offered.add(name)
    server.settimeout(limited(timeout, LONGEST_POLL))
    _in_thread(_serve_socket, name, server, data, timeout, buffer)
    return name


def _listen(name: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(name)
        os.chmod(name, 0o600)  # before others can connect
        server.listen(1)
    except BaseException:
        server.close()
        raise
    return server


def _serve_socket(name: str, server: socket.socket, data: bytes, timeout: float, buffer: int) -> None:
    try:
        with closing(server):
            connection, _ = server.accept()
        with closing(connection):
            connection.settimeout(limited(timeout, LONGEST_POLL))
            for start in range(0, len(data), buffer):
                connection.sendall(data[start : start + buffer])
    except OSError:
        pass  # the reader hears of it by the size, or as there is no socket any more
    finally:
        _remove(name)


def take_socket(name: str, size: int, pid: int, timeout: float, buffer: int) -> bytes:
    """Read the item that a process offers on a Unix socket; see `load_item`."""
    data = bytearray()
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(limited(timeout, LONGEST_POLL))
        try:
            client.connect(name)
        except ConnectionRefusedError as error:
            raise ConnectionError(f"the process {pid} that offered the item on {name} has ended") from error
        finally:
            _remove(name)
        while part := client.recv(buffer):
            data += part
    return _whole(data, size)


def _whole(data: bytearray, size: int) -> bytes:
    if len(data) != size:
        raise ConnectionError(
            f"{len(data)} of the {size} bytes of the item came; the process that offered it has ended"
        )
    return bytes(data)


def _remove(name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name)
    _offered.discard(name)


def _in_thread(function: Callable[..., None], *args: Any) -> None:
    # Daemon: an item that is not taken must not keep the program alive.
    threading.Thread(target=function, args=args, daemon=True, name="papy-item").start()
