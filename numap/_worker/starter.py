"""The starter: a small clean process that forks workers, and the ancestor that none of their programs escapes.

It runs no user code and has one thread, so its forks are safe; it is a subreaper, so whatever workers leave behind
becomes its child; and it ends, with all its descendants, when its caller ends for whatever reason.

On the control socket the caller hands over one connection per map; what is said on that stands in `messages`. The end of
a connection is the end of all its workers. A map whose workers need libraries asks for a template with its connection; a template
is a starter, too, but for the modules that it has, and gets the connection handed on. See `template` and `templates`.

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
from time import monotonic
from typing import NoReturn

from .._system.processes import become_subreaper, die_with_parent, kill_all, kill_group, kill_trees, process_tree
from .._system.rights import give_up_others
from .._transport.messages import (
    Connected,
    FromStarter,
    StartWorker,
    ToStarter,
    WorkerExited,
    WorkerRefused,
    of_packet,
    to_packet,
)
from .imports import note_birth
from .template import TemplateRequest, number_of, prepare, read_request
from .templates import Template, Templates
from .worker_processes import ExitSignal, WorkerProcesses

_PACKET = 1 << 12
_FDS = 6
#: Small modules of the standard library, of the system's calls, that every worker would import else.
_EACH_WORKER_NEEDS = ("_locale", "_tracemalloc", "fcntl", "resource")
#: What comes with a connection whose workers shall be forked from a template: its request, and where its imports print to.
_WITH_TEMPLATE = 3


class Starter:
    """The starter process, or a template.

    Args:
        control: the socket on which connections arrive.
        life: read end of the pipe that ends with the caller.
        keep: the capabilities that workers may have; see `give_up_others`.
        template: whether it is one: then it goes on without a control socket, until its last connection ends.
    """

    def __init__(self, control: socket.socket, life: int, keep: tuple[int, int, int], template: bool = False) -> None:
        self._control: socket.socket | None = control
        self._life = life
        self._keep = keep
        self._is_template = template
        self._templates = Templates()
        #: The maps that are served: by descriptor, the map's own number and the connection.
        self._connections: dict[int, tuple[int, socket.socket]] = {}
        self._served = 0
        self._workers = WorkerProcesses(self._part, life, keep, template)
        self._exits = ExitSignal()

    def run(self) -> None:
        """Serves until the caller ends or closes the control socket; then nothing is left."""
        note_birth()
        while self._control is not None or (self._is_template and self._connections):
            for fd, event in self._wait():
                if fd in self._connections:
                    # What a map asked for before it ended is not worth a process any more.
                    if event & select.POLLHUP or not self._serve(fd):
                        self._end_connection(fd)
                elif fd == self._exits.fd:
                    self._reap()
                elif fd == self._life:
                    return
                elif self._control is not None and fd == self._control.fileno():
                    self._accept(self._control)
                else:
                    self._hear_template(fd)
            self._templates.check()

    def _wait(self) -> list[tuple[int, int]]:
        """What has happened; the control socket comes last, as with what it brings a number of the others may come again."""
        poll = select.poll()
        sources = [self._exits.fd, self._life, *self._connections, *(it.socket.fileno() for it in self._templates)]
        last = -1 if self._control is None else self._control.fileno()
        for fd in sources if self._control is None else [*sources, last]:
            poll.register(fd, select.POLLIN)
        look_at = self._templates.look_at()
        found = poll.poll(None if look_at == float("inf") else 1000 * max(0.0, look_at - monotonic()))
        return sorted(found, key=lambda it: it[0] == last)

    # ------------------------------------------------------------------ connections and templates

    def _accept(self, control: socket.socket) -> None:
        """A new connection; one for which there is no room ends."""
        data, fds, _, _ = socket.recv_fds(control, 1, 1 + _WITH_TEMPLATE)
        if not data:
            control.close()
            self._control = None
            return
        if len(fds) != 1 + _WITH_TEMPLATE or not self._hand_on(*fds):
            for fd in fds[1:]:
                os.close(fd)
            if fds:
                self._take(fds[0])

    def _hand_on(self, connection: int, *asked: int) -> bool:
        """Gives a connection to the template that it asks for; False: there can't be one."""
        try:
            template = self._templates.get(number_of(asked[0])) or self._make_template(connection, *asked)
        except OSError:
            return False
        if template is None:
            return False
        for fd in asked:
            os.close(fd)
        sock = socket.socket(fileno=connection)
        _tell(sock, Connected())  # the time that imports take has a limit of its own
        template.give(sock.detach())
        return True

    def _take(self, fd: int) -> None:
        """Serves a connection from here."""
        # A descriptor's number comes again, perhaps before the exits of workers of an ended connection have been seen.
        self._served += 1
        connection = socket.socket(fileno=fd)
        self._connections[fd] = (self._served, connection)
        _tell(connection, Connected())

    def _make_template(self, connection: int, fd: int, out: int, err: int) -> Template | None:
        request = read_request(fd)
        if not self._templates.can_be(request):
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                ours.close()
                os.close(connection)
                self._become_template(parent, theirs, request, fd, out, err)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return self._templates.add(Template(number_of(fd), pid, ours, os.dup(fd), request))

    def _become_template(
        self, parent: int, control: socket.socket, request: TemplateRequest, fd: int, out: int, err: int
    ) -> NoReturn:
        """In the child: imports, and is a starter from then on."""
        try:
            self._part(parent)
            if prepare(request, fd, out, err):
                os.close(fd)
                become_subreaper()
                starter = Starter(control, self._life, self._keep, template=True)
                try:
                    control.send(b"r")
                    starter.run()
                finally:
                    starter.end()
        finally:
            os._exit(0)

    def _hear_template(self, fd: int) -> None:
        template = self._templates.of_socket(fd)
        if template is None:
            return
        try:
            ready = bool(template.socket.recv(1))
        except OSError:
            ready = False
        if ready:
            template.on_ready()
        else:
            for connection in self._templates.on_end(template):
                self._take(connection)

    def _part(self, parent: int) -> None:
        """In a child: lets go of all that is the starter's, and keeps what ends it."""
        os.setpgid(0, 0)
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        self._exits.close()
        if self._control is not None:
            self._control.close()
        for _, connection in self._connections.values():
            connection.close()
        self._templates.let_go()

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
                note_birth()
            if len(fds) == count:
                _tell(connection, self._workers.start((number, worker), method, fds))
            else:
                _tell(connection, WorkerRefused(worker, "Too many open files"))
            for fd in fds:
                os.close(fd)
        else:
            kill_trees(self._workers.pids(number, message.number))
        return True

    # ------------------------------------------------------------------ ends

    def _reap(self) -> None:
        self._exits.drain()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            owner = self._workers.on_exit(pid)
            if self._templates.on_exit(pid) or owner is not None:
                kill_group(pid)
            if owner is not None:
                for number, connection in self._connections.values():
                    if number == owner[0]:
                        _tell(connection, WorkerExited(owner[1], os.waitstatus_to_exitcode(status)))

    def _end_connection(self, descriptor: int) -> None:
        number, connection = self._connections.pop(descriptor)
        connection.close()
        # Where no other map is served, what is left of our descendants has escaped from a worker's group.
        kill_trees(
            self._workers.pids(number), None if self._connections else os.getpid(), spared=self._templates.pids()
        )

    def end(self) -> None:
        """Kills every descendant; those that fork meanwhile, too."""
        self._exits.close()
        for pid in self._workers.pids():
            kill_group(pid)
        while True:
            kill_all(process_tree(os.getpid()) or self._workers.pids())
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self._workers.on_exit(pid)


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
    for name in _EACH_WORKER_NEEDS:
        with contextlib.suppress(ImportError):
            import_module(name)
    gc.collect()
    gc.freeze()
    starter = Starter(socket.socket(fileno=control), life, keep)
    try:
        starter.run()
    finally:
        starter.end()
        os._exit(0)
