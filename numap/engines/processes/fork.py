"""Workers that are forks of the caller itself: opt-in, for code that must inherit what the caller holds.

They have what a fork can have: no subreaper above them, so a program that leaves its worker's process group and outlives
it is out of reach; and the caller's threads do not exist in them, whatever locks these held.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import NoReturn

from ..._system.processes import die_with_pipe, kill_group, kill_trees, see_off, start_thread
from ..._system.rights import rights
from ..._worker import loop as _worker
from .supervisor import Exit, WorkerHandle, new_worker, rights_error, successor_rights

_life: tuple[int, int] | None = None
_life_users = 0
_life_lock = threading.Lock()


def _open_life() -> int:
    """The read end of a pipe whose only write end is this process's; it stays until `_close_life` as many times."""
    global _life, _life_users
    with _life_lock:
        if _life is None:
            _life = os.pipe()
            os.fchmod(_life[0], 0o444)  # a worker opens it anew, perhaps as another user
        _life_users += 1
        return _life[0]


def _close_life() -> None:
    global _life, _life_users
    with _life_lock:
        _life_users -= 1
        if _life_users == 0 and _life is not None:
            os.close(_life[0])
            os.close(_life[1])
            _life = None


def _after_fork() -> None:
    """A child must not hold the write end: it would keep its siblings alive after the caller."""
    global _life, _life_users, _life_lock
    _life_lock = threading.Lock()
    _life_users = 0
    if _life is not None:
        os.close(_life[1])
        _life = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ForkSupervisor:
    """The workers of one map as forks of this process; the same face as `WorkerSupervisor`."""

    def __init__(self) -> None:
        self._numbers = 0
        #: See `WorkerSupervisor`: there is nothing to wait for.
        self.due = float("inf")
        self.workers: dict[int, WorkerHandle] = {}
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self.connections = [self._wake_r]
        #: See `WorkerSupervisor`: each arrival is news here.
        self.early_reports: Sequence[object] = ()
        self._exits: deque[tuple[int, int | None]] = deque()
        #: All, and those that have no worker.
        self._watchers: list[_Watcher] = []
        self._idle: deque[_Watcher] = deque()
        self._life = _open_life()
        self._rights = rights()

    def check(self) -> None:
        """See `WorkerSupervisor.check`."""

    def renew(self) -> None:
        """See `WorkerSupervisor.renew`: a fork has the rights that the program has now."""
        now = rights()
        if successor_rights(now, self._rights) != now:
            raise rights_error()

    def spawn(self, memory: int | None) -> WorkerHandle:
        """Forks a worker; see `WorkerSupervisor.spawn`."""
        self._numbers += 1
        handle, theirs = new_worker(self._numbers)
        try:
            pid = self._fork_watched(handle, theirs, memory)
        except BaseException:
            handle.close()
            raise
        finally:
            theirs.close()
            handle.handed_on()
        handle.pid = pid
        self.workers[handle.number] = handle
        return handle

    def _fork_watched(self, handle: WorkerHandle, theirs: socket.socket, memory: int | None) -> int:
        # The watcher comes first: a system that has no room for a thread must not keep the process.
        idle = self._idle.popleft() if self._idle else None
        watcher = idle or _Watcher(self._exits, self._wake_w, self._idle)
        try:
            pid = self._fork(handle, theirs, memory)
        except BaseException:
            # As it was: the next try has the room that was here for this one.
            if idle is None:
                watcher.end()
            else:
                self._idle.append(idle)
            raise
        if idle is None:
            self._watchers.append(watcher)
        watcher.watch(pid, handle.number)
        return pid

    def _fork(self, handle: WorkerHandle, theirs: socket.socket, memory: int | None) -> int:
        others = list(self.workers.values())
        with warnings.catch_warnings():
            # 3.12 and later warn of forks of a process with threads; the manual says it to users of "fork".
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            handle.channel.close()
            fds = [theirs.detach(), handle.page.fd, handle.nudge.fd]
            _become_worker(others, self._life, fds if memory is None else [*fds, os.dup(memory)])
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid

    def kill(self, handle: WorkerHandle) -> None:
        """Kills a worker, its process group and its descendants."""
        if handle.pid is not None:
            kill_trees([handle.pid])

    def reports(self) -> list[Exit]:
        """Workers that have exited since the last call."""
        with contextlib.suppress(BlockingIOError):
            while self._wake_r.recv(4096):
                pass
        found = []
        while self._exits:
            number, code = self._exits.popleft()
            handle = self.workers.pop(number, None)
            if handle is not None:
                if handle.pid is not None:
                    kill_group(handle.pid)
                found.append(Exit(handle, code))
        return found

    def prepare_next(self) -> None:
        """See `WorkerSupervisor.prepare_next`: what the next map forks is the program."""

    def close(self) -> None:
        """Kills all workers."""
        kill_trees([handle.pid for handle in self.workers.values() if handle.pid is not None])
        for handle in self.workers.values():
            handle.close()
        self.workers.clear()
        for watcher in self._watchers:
            watcher.dismiss()
        self._wake_r.close()
        self._wake_w.close()
        _close_life()


class _Watcher:
    """Waits for the exits of workers, one after the other, in a thread.

    There is one for each worker: a process can be waited for without polling only by a thread that does nothing else, or by a
    pidfd, which not every system has.

    Args:
        exits: gets the number of each worker, and its exit code.
        wake: is written to then.
        idle: gets this watcher, when it has no worker any more.

    Raises:
        OSError: the system has no room for a thread.
    """

    def __init__(self, exits: deque[tuple[int, int | None]], wake: socket.socket, idle: deque[_Watcher]) -> None:
        self._exits = exits
        self._wake = wake
        self._idle = idle
        #: The pid and the number of a worker; None: there will be no other.
        self._orders: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="numap-fork")
        start_thread(self._thread)

    def watch(self, pid: int, number: int) -> None:
        """Has it wait for this worker."""
        self._orders.put((pid, number))

    def dismiss(self) -> None:
        """It ends after its worker."""
        self._orders.put(None)

    def end(self) -> None:
        """Ends it now: it has no worker. The system does not count its thread any more."""
        self.dismiss()
        self._thread.join()
        see_off(self._thread.native_id or 0)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            pid, number = order
            try:
                code: int | None = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:
                # Something in this process waits for any child and was first.
                code = None
            # In this order: at the news of an exit there is room for the next worker and its thread.
            self._idle.append(self)
            self._exits.append((number, code))
            with contextlib.suppress(OSError):
                self._wake.send(b"\0")


def _become_worker(others: list[WorkerHandle], life: int, fds: list[int]) -> NoReturn:
    """In the child: lets go of what belongs to the other workers and serves."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_pipe(life)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for other in others:
            other.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        # The caller's object may have read ahead, or be no file at all.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  (it lives as long as the process)
        _worker.main(*fds)
        code = 0
    finally:
        os._exit(code)
