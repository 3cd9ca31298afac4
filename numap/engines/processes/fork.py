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

from ..._system.processes import die_with_pipe, kill_group, kill_trees, start_thread
from ..._system.rights import rights
from ..._worker import loop as _worker
from .supervisor import Exit, WorkerHandle, new_worker, rights_error, successor_rights

#: The pid and the number of a worker; None: there will be no other.
_Watched = tuple[int, int] | None

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
        #: By which each waiting thread is told its next worker, and those of the threads that have none.
        self._watchers: list[SimpleQueue[_Watched]] = []
        self._idle: deque[SimpleQueue[_Watched]] = deque()
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
            # It comes first: a system that has no room for a thread must not keep the process.
            watcher = self._idle.popleft() if self._idle else self._watcher()
            pid = self._fork(handle, theirs, memory)
            watcher.put((pid, handle.number))
        except BaseException:
            handle.close()
            raise
        finally:
            theirs.close()
            handle.handed_on()
        handle.pid = pid
        self.workers[handle.number] = handle
        return handle

    def _watcher(self) -> SimpleQueue[_Watched]:
        """A thread for each worker: a process can be waited for without polling only by a thread that does nothing else, or by
        a pidfd, which not every system has."""
        watcher: SimpleQueue[_Watched] = SimpleQueue()
        args = (watcher, self._exits, self._wake_w, self._idle)
        start_thread(threading.Thread(target=_watch, args=args, daemon=True, name="numap-fork"))
        self._watchers.append(watcher)
        return watcher

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
            watcher.put(None)
        self._wake_r.close()
        self._wake_w.close()
        _close_life()


def _watch(
    orders: SimpleQueue[_Watched],
    exits: deque[tuple[int, int | None]],
    wake: socket.socket,
    idle: deque[SimpleQueue[_Watched]],
) -> None:
    """The life of a thread that waits for the exits of workers, one after the other."""
    while (order := orders.get()) is not None:
        pid, number = order
        try:
            code: int | None = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            # Something in this process waits for any child and was first.
            code = None
        # In this order: at the news of an exit there is room for the next worker and its thread.
        idle.append(orders)
        exits.append((number, code))
        with contextlib.suppress(OSError):
            wake.send(b"\0")


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
