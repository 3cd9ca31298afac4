"""The caller's side of worker processes: start, hear of deaths, kill. It knows no job, no item and no task.

Workers are children of the starter, not of the caller. So the caller needs no handler for SIGCHLD, and a program that waits for
its own children never meets ours. The starter reports each exit. Should the starter itself be killed, all of its workers are gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

from ..._base.errors import WorkerStartError
from ..._items.side_output import standard_logging
from ..._sync.event_queue import NEVER
from ..._system.rights import Rights, rights
from ..._system.thread_signals import Nudge
from ..._transport.channel import Channel
from ..._transport.messages import (
    FromStarter,
    FromWorker,
    KillWorker,
    StartWorker,
    ToStarter,
    ToWorker,
    WorkerExited,
    WorkerRefused,
    WorkerStarted,
    of_packet,
    of_wire,
    to_packet,
    to_wire,
)
from ..._transport.progress_page import ProgressPage
from .starter_client import Link, connect, standard_stream
from .templates import NumberedRequest, TemplateWish


class WorkerHandle:
    """One worker process as its caller sees it."""

    def __init__(self, number: int, channel: Channel, page: ProgressPage, nudge: Nudge) -> None:
        self.number = number
        self.channel = channel
        self.page = page
        self.nudge = nudge
        self.pid: int | None = None
        #: The connection to the starter by which it came.
        self.link: Link | None = None
        #: Its column in the shared memory; None: it has no part in that.
        self.column: int | None = None

    def send(self, message: ToWorker) -> None:
        """Sends a message, or keeps what the socket does not take yet."""
        self.channel.send(to_wire(message))

    def receive(self, all_of_it: bool = False) -> Iterator[FromWorker]:
        """The messages that have become complete; see `Channel.receive`."""
        return map(of_wire, self.channel.receive(all_of_it))

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
        page = ProgressPage()
        made.callback(page.close)
        nudge = Nudge()
        made.callback(nudge.close)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        made.pop_all()
    ours.setblocking(False)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        ours.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    return WorkerHandle(number, Channel(ours), page, nudge), theirs


class Exit(NamedTuple):
    """A worker is gone, or never was.

    Attributes:
        handle: the worker.
        exitcode: as `os.waitstatus_to_exitcode` tells it; None: not to be had, as the starter is gone, too.
        refused: why the system let no process be started for it; None: it did.
    """

    handle: WorkerHandle
    exitcode: int | None
    refused: str | None = None


class WorkerSupervisor:
    """The workers of one map, by way of the starter.

    Args:
        method: "forkserver" (forks of the starter, or of a template) or "spawn" (fresh interpreters).
        wish: the template; None: there is none.

    After the loss of a starter there is a connection to a new one, and all workers before it are dead. When the program has
    become another one, the successors of workers come by another connection, too.
    """

    def __init__(self, method: str, wish: TemplateWish | None) -> None:
        self._method = method
        self._wish = wish
        self._numbers = 0
        self.workers: dict[int, WorkerHandle] = {}
        #: Reports that were read while a request was to be sent, so that their arrival is no news any more.
        self.early_reports: deque[tuple[Link, bytes]] = deque()
        #: When to `check`, if nothing is heard before. Each event asks, and an answer lasts: so it is kept.
        self.due = NEVER
        #: The last one is for new workers.
        self._links: list[Link] = []
        self._connect(self._request())
        self._rights = self._links[0].client.inherited.rights

    @property
    def connections(self) -> list[socket.socket]:
        """To be listened to. Others after `renew` or `reports`, perhaps."""
        return [link.socket for link in self._links]

    def _connect(self, request: NumberedRequest | None) -> Link:
        link = connect(request)
        self._links.append(link)
        self._note_due()
        return link

    def _note_due(self) -> None:
        self.due = min(map(Link.due, self._links), default=NEVER)

    def check(self) -> None:
        """To be called when that is due.

        Raises:
            WorkerStartError: the starter does not answer, and will not.
        """
        for link in self._links:
            link.check()
        self._note_due()

    def renew(self) -> None:
        """Before a successor is asked for: makes sure that it will have no rights but what the map had at its start, and has now.

        It comes from a template if it is known by now what that needs.

        Raises:
            WorkerStartError: that can't be.
            OSError: no process can be started.
        """
        wanted = successor_rights(rights(), self._rights)
        request = self._request()
        number = 0 if request is None else request.number
        found = [it for it in self._links if it.client.inherited.rights == wanted and it.template == number]
        if not found:
            found = [self._connect(request)]
            if found[0].client.inherited.rights != wanted:
                raise rights_error()
        self._links.remove(found[-1])
        self._links.append(found[-1])

    def _request(self) -> NumberedRequest | None:
        return None if self._wish is None else self._wish.request()

    def spawn(self, memory: int | None) -> WorkerHandle:
        """A new worker; it is not yet known whether it starts. ``memory``: descriptor of the shared memory, if any."""
        self._numbers += 1
        handle, theirs = new_worker(self._numbers)
        handle.link = self._links[-1]
        self.workers[handle.number] = handle
        fds = [theirs.fileno(), handle.page.fd, handle.nudge.fd]
        try:
            fds += [standard_stream(1)]
            fds += [standard_stream(2)]
            if memory is not None:
                fds += [os.dup(memory)]
            # A starter that is gone will be noticed as the end of the connection, and the worker be reported dead.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                request = StartWorker(handle.number, self._method, standard_logging() is not None, len(fds))
                self._send(handle.link, request, fds)
        except BaseException:
            del self.workers[handle.number]
            handle.close()
            raise
        finally:
            theirs.close()
            handle.handed_on()
            for fd in fds[3:]:
                os.close(fd)
        return handle

    def kill(self, handle: WorkerHandle) -> None:
        """Kills a worker and all that it started; its exit is reported by `reports`."""
        if handle.link is not None:
            with contextlib.suppress(OSError):
                self._send(handle.link, KillWorker(handle.number), [])

    def _send(self, link: Link, request: ToStarter, fds: list[int]) -> None:
        data = to_packet(request)
        while True:
            try:
                socket.send_fds(link.socket, [data], fds)
                return
            except BlockingIOError:
                self._wait_for_room(link)

    def _wait_for_room(self, link: Link) -> None:
        """Until the starter takes requests again. It may be waiting for us to read what it reports."""
        poll = select.poll()
        poll.register(link.socket, select.POLLIN | select.POLLOUT)
        until = link.due()
        if not poll.poll(None if until == float("inf") else 1000 * max(0, until - monotonic())):
            link.check()
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := link.socket.recv(1 << 12):
                self.early_reports.append((link, data))

    def reports(self) -> list[Exit]:
        """Workers that have exited since the last call, or could not be started.

        Raises:
            OSError, WorkerStartError: the starter is gone, and there is no other.
        """
        exits: list[Exit] = []
        while self.early_reports:
            self._on_report(*self.early_reports.popleft(), exits)
        for link in self._links[:]:
            while True:
                try:
                    data = link.socket.recv(1 << 12)
                except BlockingIOError:
                    break
                except ConnectionResetError:
                    data = b""
                if not data:
                    self._lost(link, exits)
                    break
                self._on_report(link, data, exits)
        return exits

    def _on_report(self, link: Link, data: bytes, exits: list[Exit]) -> None:
        if not link.client.answers:
            link.client.answers = True
            self._note_due()
        message: FromStarter = of_packet(data)
        if isinstance(message, WorkerStarted):
            if message.number in self.workers:
                self.workers[message.number].pid = message.pid
        elif isinstance(message, WorkerExited):
            if message.number in self.workers:
                exits.append(Exit(self.workers.pop(message.number), message.exitcode))
        elif isinstance(message, WorkerRefused) and message.number in self.workers:
            exits.append(Exit(self.workers.pop(message.number), None, message.reason))

    def _lost(self, link: Link, exits: list[Exit]) -> None:
        """A starter is gone, and all workers that came of it."""
        for handle in [handle for handle in self.workers.values() if handle.link is link]:
            exits.append(Exit(handle, None))
            del self.workers[handle.number]
        self._links.remove(link)
        link.close()
        if link.client.was_no_starter():
            raise link.client.failure()
        if not self._links:
            self._connect(self._request())

    def prepare_next(self) -> None:
        """At the end of a map: has the template come up that the next map like it will ask for."""
        request = self._request()
        if request is not None and self._links and request.number != self._links[-1].template:
            with contextlib.suppress(OSError, WorkerStartError):
                connect(request).close()

    def close(self) -> None:
        """Kills all workers and what they started; returns at once."""
        for link in self._links:
            link.close()
        for handle in self.workers.values():
            handle.close()
        self.workers.clear()


def successor_rights(now: Rights, start: Rights) -> Rights:
    """Those of the rights now and at the start of a map that a worker may have which takes the place of another one.

    Raises:
        WorkerStartError: neither are the lesser.
    """
    if now.at_most(start):
        return now
    if start.at_most(now):
        return start
    raise rights_error()


def rights_error() -> WorkerStartError:
    """What to say where neither the rights at the start nor those of now are the lesser."""
    return WorkerStartError(
        "a worker process can't be replaced: the program has become another user, or has other rights, than when the map "
        "was started, so a new one would have rights that the map or the program has not; start a map after the change"
    )
