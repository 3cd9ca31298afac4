"""The templates of one starter, and the connections that wait for one which still imports.

To wait for a template costs a map nothing, as its workers would import the same. But it must never cost more than time. So a
connection stays with the starter until its template says that it is ready. A template that is not fit, dies or takes too long is
given up, and the connections get workers from the starter itself. The caller hears nothing of all that.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from time import monotonic

from .._system.processes import is_at_work, kill_trees, process_tree
from .template import Files, TemplateRequest, changed, read_files

#: Templates that a starter keeps; those that were used last.
MOST = 4
#: Seconds between two looks at a template that imports, and in all. One that is idle at so many looks in a row waits for what
#: does not come.
_LOOK_EVERY = 1.0
_MOST_IDLE = 3
_IMPORT_TIMEOUT = 60.0
#: Seconds after its last use that a template stays: it has the memory of what it has imported.
_KEPT = 300.0


class Template:
    """One, as its starter sees it.

    Attributes:
        number: of what was asked for.
        pid: its process.
        request: what was asked for.
        socket: takes connections, and tells that it is ready; it ends with the process.
        waiting: connections for which it is not ready yet.
    """

    def __init__(self, number: int, pid: int, sock: socket.socket, fd: int, request: TemplateRequest) -> None:
        self.number = number
        self.pid = pid
        self.socket = sock
        self.request = request
        self.waiting: list[int] = []
        self._fd = fd
        self._idle = 0
        self._files: Files | None = None
        self._began = monotonic()
        self.look_at = self._began + _LOOK_EVERY

    def on_ready(self) -> None:
        """It has told that it is ready: gives it what has waited."""
        self._files = read_files(self._fd)
        self.look_at = monotonic() + _KEPT
        waiting, self.waiting = self.waiting, []
        for connection in waiting:
            self.give(connection)

    @property
    def is_ready(self) -> bool:
        """It has told so."""
        return self._files is not None

    def is_stale(self, now: float) -> bool:
        """Whether what it has imported has changed since, or was not needed for long."""
        return self._files is not None and (now >= self.look_at or changed(self._files))

    def give(self, connection: int) -> None:
        """Hands on a connection, now or as soon as it is ready. The connection of one that dies meanwhile ends."""
        if self._files is None:
            self.waiting.append(connection)
            return
        self.look_at = monotonic() + _KEPT
        with contextlib.suppress(OSError):
            socket.send_fds(self.socket, [b"+"], [connection])
        os.close(connection)

    def is_late(self, now: float) -> bool:
        """Whether it has to be given up, if it is time to look."""
        if now < self.look_at or self.is_ready:
            return False
        self.look_at = now + _LOOK_EVERY
        self._idle = 0 if is_at_work([self.pid, *process_tree(self.pid)]) else self._idle + 1
        return self._idle >= _MOST_IDLE or now > self._began + _IMPORT_TIMEOUT

    def kill(self) -> None:
        """Kills it, and all that the imports may have started."""
        kill_trees([self.pid])

    def close(self) -> None:
        """Takes no connection any more: it ends with the last one that it has."""
        self.socket.close()
        os.close(self._fd)
        for connection in self.waiting:
            os.close(connection)


class Templates:
    """Those of one starter, by number, in the order of their last use."""

    def __init__(self) -> None:
        self._found: dict[int, Template] = {}
        #: What was asked for and could not be.
        self._unfit: list[TemplateRequest] = []
        #: Those that take no connection any more, and may still serve some.
        self._leaving: set[int] = set()

    def __iter__(self) -> Iterator[Template]:
        return iter(list(self._found.values()))

    def pids(self) -> set[int]:
        """The processes of all that are left."""
        return {it.pid for it in self._found.values()} | self._leaving

    def can_be(self, request: TemplateRequest) -> bool:
        """Whether it is worth a try: not if one with the same modules, or fewer, was not fit."""
        return not any(
            it.names.keys() <= request.names.keys() and it.environment == request.environment for it in self._unfit
        )

    def get(self, number: int) -> Template | None:
        """The template of that number, if there is one that is still right."""
        found = self._found.pop(number, None)
        if found is not None and found.is_stale(monotonic()):
            self._leave(found)
            return None
        if found is not None:
            self._found[number] = found
        return found

    def add(self, template: Template) -> Template:
        """Another one; that which was not used for the longest time makes room for it."""
        self._found[template.number] = template
        idle = [it for it in self._found.values() if not it.waiting and it is not template]
        for it in idle[: max(0, len(self._found) - MOST)]:
            del self._found[it.number]
            self._leave(it)
        return template

    def _leave(self, template: Template) -> None:
        self._leaving.add(template.pid)
        template.close()

    def of_socket(self, fd: int) -> Template | None:
        """The template that speaks by this descriptor."""
        return next((it for it in self._found.values() if it.socket.fileno() == fd), None)

    def on_end(self, template: Template) -> list[int]:
        """A template has ended; returns the connections that nothing serves now."""
        del self._found[template.number]
        waiting, template.waiting = template.waiting, []
        if not template.is_ready:
            self._unfit.append(template.request)
            del self._unfit[:-MOST]
        self._leave(template)
        return waiting

    def on_exit(self, pid: int) -> bool:
        """Whether a process that is gone was one of them."""
        known = pid in self.pids()
        self._leaving.discard(pid)
        return known

    def look_at(self) -> float:
        """When to `check`."""
        return min((it.look_at for it in self._found.values()), default=float("inf"))

    def check(self) -> None:
        """Kills those that take too long, whose end is heard of as any other, and lets those go that are not needed."""
        now = monotonic()
        for it in self:
            if it.is_late(now):
                it.kill()
            elif it.is_ready and now >= it.look_at:
                del self._found[it.number]
                self._leave(it)

    def let_go(self) -> None:
        """In a child of the starter."""
        for it in self._found.values():
            it.close()
