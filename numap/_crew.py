"""The caller's side of worker processes: start, hear of deaths, kill. It knows no job, no item and no task."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import Any

from ._asides import standard_logging
from ._channel import Channel
from ._nudge import Nudge
from ._page import Page

_BOOT = "import sys; sys.path[:] = {path!r}; from numap._starter import main; main({control}, {life})"
#: What the system says where it lacks something; that is not the starter's fault.
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Seconds that the end of the starter is waited for: it kills at once, so this is for a machine that swaps.
_GOODBYE = 2.0


class StarterClient:
    """The starter process of this process, and the pipe that lives as long as we do."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            life, self._life = os.pipe()
        except OSError:
            ours.close()
            theirs.close()
            raise
        path = [entry or os.getcwd() for entry in sys.path]
        code = _BOOT.format(path=path, control=theirs.fileno(), life=life)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", code], pass_fds=(theirs.fileno(), life), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=os.sep,
            )  # fmt: skip
        except OSError:
            ours.close()
            os.close(self._life)
            raise
        finally:
            theirs.close()
            os.close(life)
        self._control = ours

    def alive(self) -> bool:
        """Whether the starter runs."""
        return self._process.poll() is None

    def connect(self) -> socket.socket:
        """A new connection for one map."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.setblocking(True)  # with socket.setdefaulttimeout it would not, over there either
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        return ours

    def close(self) -> None:
        """Ends the starter and with it every worker."""
        self._control.close()
        try:
            self._process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._life)

    def forget(self) -> None:
        """In a forked child: closes what belongs to the parent, and touches nothing else of it."""
        self._control.close()
        os.close(self._life)
        self._process.returncode = 0


_client: StarterClient | None = None
#: Reentrant, as a signal handler of the user's may end the starter in the middle of `connect`.
_client_lock = threading.RLock()


def prepare() -> None:
    """Has the starter come up, if there is none, while the caller does something else.

    Raises:
        OSError: no process can be started.
    """
    with _client_lock:
        _running()


def connect() -> socket.socket:
    """A connection to the starter, which is started if there is none.

    Raises:
        OSError: no process can be started.
    """
    with _client_lock:
        try:
            return _running().connect()
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            # It died, or was ended, between the look and the call.
            shutdown_starter()
            return _running().connect()


def _running() -> StarterClient:
    global _client
    if _client is not None and not _client.alive():
        shutdown_starter()
    if _client is None:
        _client = StarterClient()
    return _client


def shutdown_starter() -> None:
    """Ends the starter, if there is one."""
    global _client
    with _client_lock:
        client, _client = _client, None
        if client is not None:
            client.close()


def _after_fork() -> None:
    global _client, _client_lock
    _client_lock = threading.RLock()
    client, _client = _client, None
    if client is not None:
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class WorkerHandle:
    """One worker process as its caller sees it."""

    def __init__(self, number: int, channel: Channel, page: Page, nudge: Nudge) -> None:
        self.number = number
        self.channel = channel
        self.page = page
        self.nudge = nudge
        self.pid: int | None = None
        #: Its column in the shared memory; None: it has no part in that.
        self.column: int | None = None

    def close(self) -> None:
        """Gives back the socket, the page and the nudge."""
        self.channel.close()
        self.page.close()
        self.nudge.close()

    def handed_on(self) -> None:
        """The worker has the descriptors now."""
        self.page.close_fd()
        self.nudge.handed_on()


def new_worker(number: int) -> tuple[WorkerHandle, socket.socket]:
    """The caller's end of a worker that is to be, and the socket to give to it, with the descriptors of page and nudge."""
    with contextlib.ExitStack() as made:
        page = Page()
        made.callback(page.close)
        nudge = Nudge()
        made.callback(nudge.close)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        made.pop_all()
    ours.setblocking(False)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        ours.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    return WorkerHandle(number, Channel(ours), page, nudge), theirs


class Crew:
    """The workers of one map, by way of the starter.

    Args:
        method: "forkserver" (forks of the starter) or "spawn" (fresh interpreters).

    After the loss of the starter the connection is a new one, and all workers before it are dead.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._numbers = 0
        self.workers: dict[int, WorkerHandle] = {}
        #: Reports that were read while a request was to be sent, so that their arrival is no news any more.
        self.heard: deque[bytes] = deque()
        self._connect()

    def _connect(self) -> None:
        self.connection = connect()
        self.connection.setblocking(False)

    def spawn(self, memory: int | None) -> WorkerHandle:
        """A new worker; it is not yet known whether it starts. ``memory``: descriptor of the shared memory, if any."""
        self._numbers += 1
        handle, theirs = new_worker(self._numbers)
        self.workers[handle.number] = handle
        fds = [theirs.fileno(), handle.page.fd, handle.nudge.fd]
        try:
            fds += [_standard(1)]
            fds += [_standard(2)]
            # A starter that is gone will be noticed as the end of the connection, and the worker be reported dead.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                message = ("spawn", handle.number, self._method, standard_logging() is not None)
                self._send(message, fds if memory is None else [*fds, memory])
        finally:
            theirs.close()
            handle.handed_on()
            for fd in fds[3:]:
                os.close(fd)
        return handle

    def kill(self, handle: WorkerHandle) -> None:
        """Kills a worker and all that it started; its exit is reported by `reports`."""
        with contextlib.suppress(OSError):
            self._send(("kill", handle.number), [])

    def _send(self, request: tuple[Any, ...], fds: list[int]) -> None:
        data = pickle.dumps(request)
        while True:
            try:
                socket.send_fds(self.connection, [data], fds)
                return
            except BlockingIOError:
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Until the starter takes requests again. It may be waiting for us to read what it reports."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLOUT)
        poll.poll()
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self.connection.recv(1 << 12):
                self.heard.append(data)

    def reports(self) -> list[tuple[WorkerHandle, int | None]]:
        """Workers that have exited since the last call, with their exit codes."""
        exits: list[tuple[WorkerHandle, int | None]] = []
        while True:
            try:
                data = self.heard.popleft() if self.heard else self.connection.recv(1 << 12)
            except BlockingIOError:
                return exits
            except ConnectionResetError:
                data = b""
            if not data:
                exits.extend((handle, None) for handle in self.workers.values())
                self.workers.clear()
                self.connection.close()
                self._connect()
                return exits
            message: tuple[Any, ...] = pickle.loads(data)
            if message[0] == "born":
                if message[1] in self.workers:
                    self.workers[message[1]].pid = message[2]
            else:
                handle = self.workers.pop(message[1], None)
                if handle is not None:
                    exits.append((handle, message[2]))

    def close(self) -> None:
        """Kills all workers and what they started; returns at once."""
        self.connection.close()
        for handle in self.workers.values():
            handle.close()
        self.workers.clear()


def _standard(fd: int) -> int:
    """A duplicate of a standard stream, or of the null device where it is closed."""
    try:
        return os.dup(fd)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
