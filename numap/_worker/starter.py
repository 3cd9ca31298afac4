"""The starter: a small clean process that forks workers, and the ancestor that none of their programs escapes.

It runs no user code and has one thread, so its forks are safe; it is a subreaper, so whatever workers leave behind
becomes its child; and it ends, with all its descendants, when its caller ends for whatever reason.

On the control socket the caller hands over one connection per map; what is said on that stands in `messages`. The end of
a connection is the end of all its workers.

Whatever the system refuses is told of the one worker that it was for: the workers of other maps depend on this process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from importlib import import_module
from typing import NoReturn

from .._system.processes import (
    become_subreaper,
    die_with_parent,
    die_with_pipe,
    kill_all,
    kill_group,
    kill_trees,
    process_tree,
)
from .._system.rights import give_up_others
from .._transport.messages import (
    Connected,
    FromStarter,
    StartWorker,
    ToStarter,
    WorkerExited,
    WorkerRefused,
    WorkerStarted,
    of_packet,
    to_packet,
)
from . import loop as _worker

_PACKET = 1 << 12
_FDS = 6


class Starter:
    """The starter process.

    Args:
        control: the socket on which connections arrive.
        life: read end of the pipe that ends with the caller.
        keep: the capabilities that workers may have; see `give_up_others`.
    """

    def __init__(self, control: socket.socket, life: int, keep: tuple[int, int, int]) -> None:
        self._control = control
        self._life = life
        self._keep = keep
        #: The maps that are served: by descriptor, the map's own number and the connection.
        self._connections: dict[int, tuple[int, socket.socket]] = {}
        self._served = 0
        #: By pid, the number of the map and the number of the worker in it.
        self._workers: dict[int, tuple[int, int]] = {}
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._wake_pipe = (self._wake, wake)

    def run(self) -> None:
        """Serves until the caller ends or closes the control socket; then nothing is left."""
        poll = select.poll()
        for fd in (self._control.fileno(), self._life, self._wake):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, event in poll.poll():
                if fd == self._wake:
                    self._reap()
                elif fd == self._life:
                    return
                elif fd == self._control.fileno():
                    connection = self._accept()
                    if connection is None:
                        return
                    if connection >= 0:
                        poll.register(connection, select.POLLIN)
                # What a map asked for before it ended is not worth a process any more.
                elif event & select.POLLHUP or not self._serve(fd):
                    poll.unregister(fd)
                    self._end_connection(fd)

    def _accept(self) -> int | None:
        """The descriptor of a new connection; None: there will be no other, -1: there is no room for it, and it ends."""
        data, fds, _, _ = socket.recv_fds(self._control, 1, 1)
        if not data:
            return None
        if not fds:
            return -1
        # A descriptor's number comes again, perhaps before the exits of workers of an ended connection have been seen.
        self._served += 1
        connection = socket.socket(fileno=fds[0])
        self._connections[fds[0]] = (self._served, connection)
        _tell(connection, Connected())
        return fds[0]

    # ------------------------------------------------------------------ one map's connection

    def _serve(self, descriptor: int) -> bool:
        """One packet; False at the end of the connection."""
        try:
            number, connection = self._connections[descriptor]
            data, fds, _, _ = socket.recv_fds(connection, _PACKET, _FDS)
        except OSError:
            return False
        if not data:
            return False
        message: ToStarter = of_packet(data)
        if isinstance(message, StartWorker):
            worker, method, logs, count = message
            if logs and method != "spawn" and "logging" not in sys.modules:
                _import_logging()
            refused = self._spawn(descriptor, worker, method, fds) if len(fds) == count else "Too many open files"
            for fd in fds:
                os.close(fd)
            if refused:
                _tell(connection, WorkerRefused(worker, refused))
        else:
            kill_trees([pid for pid, owner in self._workers.items() if owner == (number, message.number)])
        return True

    def _spawn(self, descriptor: int, number: int, method: str, fds: list[int]) -> str:
        """Forks a worker; returns what the system says against it, if anything."""
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            return str(error)
        if pid == 0:
            self._become_worker(parent, method, fds)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._workers[pid] = (self._connections[descriptor][0], number)
        _tell(self._connections[descriptor][1], WorkerStarted(number, pid))
        return ""

    def _become_worker(self, parent: int, method: str, fds: list[int]) -> NoReturn:
        """In the child: cuts every tie to the starter but the two that end it."""
        code = 1
        try:
            os.setpgid(0, 0)
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in self._wake_pipe:
                os.close(fd)
            self._control.close()
            for _, connection in self._connections.values():
                connection.close()
            sock, page, nudge, out, err, *memory = fds
            for source, target in ((out, 1), (err, 2)):
                os.dup2(source, target)
                os.close(source)
            if method == "spawn":
                _exec_worker(self._life, self._keep, [sock, page, nudge, *memory])
            die_with_pipe(self._life)
            gc.unfreeze()
            _worker.main(sock, page, nudge, *memory)
            code = 0
        finally:
            os._exit(code)

    # ------------------------------------------------------------------ ends

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            owner = self._workers.pop(pid, None)
            if owner is not None:
                kill_group(pid)
                for number, connection in self._connections.values():
                    if number == owner[0]:
                        _tell(connection, WorkerExited(owner[1], os.waitstatus_to_exitcode(status)))

    def _end_connection(self, descriptor: int) -> None:
        number, connection = self._connections.pop(descriptor)
        connection.close()
        # Where no other map is served, what is left of our descendants has escaped from a worker's group.
        kill_trees(
            [pid for pid, owner in self._workers.items() if owner[0] == number],
            None if self._connections else os.getpid(),
        )

    def end(self) -> None:
        """Kills every descendant; those that fork meanwhile, too."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for pid in self._workers:
            kill_group(pid)
        while True:
            kill_all(process_tree(os.getpid()) or list(self._workers))
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self._workers.pop(pid, None)


def _import_logging() -> None:
    """Once for all workers that are forked from now on, and from nowhere but the standard library: no user code runs here."""
    own, library = sys.path[:], os.path.dirname(os.__file__)
    sys.path[:] = [entry for entry in own if entry in (library, os.path.join(library, "lib-dynload"))]
    try:
        with contextlib.suppress(Exception):
            import_module("logging")
    finally:
        sys.path[:] = own


def _tell(connection: socket.socket, message: FromStarter) -> None:
    # A caller that is gone, or does not read, is noticed elsewhere.
    with contextlib.suppress(OSError):
        connection.send(to_packet(message))


def _exec_worker(life: int, keep: tuple[int, int, int], fds: list[int]) -> NoReturn:
    import subprocess

    for fd in (life, *fds):
        os.set_inheritable(fd, True)
    code = f"import sys; sys.path[:] = {sys.path!r}; from numap._worker.starter import spawned; spawned({life}, {keep}, {fds})"
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    os.execv(sys.executable, [sys.executable, *flags, "-c", code])


def spawned(life: int, keep: tuple[int, int, int], fds: list[int]) -> None:
    """Entry of a worker that is a fresh interpreter."""
    code = 1
    try:
        for fd in fds:
            os.set_inheritable(fd, False)
        die_with_pipe(life)
        give_up_others(keep)
        _worker.main(*fds)
        code = 0
    finally:
        os._exit(code)


def main(control: int, life: int, keep: tuple[int, int, int]) -> None:
    """Entry of the starter process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        # The thread of the program that was the first to need us may block some.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    give_up_others(keep)
    become_subreaper()
    for fd in (control, life):
        os.set_inheritable(fd, False)
    gc.collect()
    gc.freeze()
    starter = Starter(socket.socket(fileno=control), life, keep)
    try:
        starter.run()
    finally:
        starter.end()
        os._exit(0)
