"""The worker processes of a starter: how a fork becomes a worker.

Each is the leader of a process group of its own, ends with the starter, and ends with the caller, even where it is stuck in C code.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from .._system.processes import die_with_pipe, name_process, replace_output
from .._system.rights import give_up_others
from .._transport.messages import WorkerRefused, WorkerStarted
from . import loop as _worker


class ExitSignal:
    """Tells of the exits of children, as a descriptor that can be read then; one for a process."""

    def __init__(self) -> None:
        self.fd, wake = os.pipe()
        self._pipe = (self.fd, wake)
        for end in self._pipe:
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def drain(self) -> None:
        """To be called before the exits are looked at."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass

    def close(self) -> None:
        """Nothing is told any more; in a child, too."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in self._pipe:
            os.close(end)


class WorkerProcesses:
    """Those that run, by pid.

    Args:
        part: lets go, in a child, of all that is the starter's; it is told the pid of the starter.
        life: read end of the pipe that ends with the caller.
        keep: the capabilities that workers may have; see `give_up_others`.
        of_template: this process is a template.
    """

    def __init__(self, part: Callable[[int], None], life: int, keep: tuple[int, int, int], of_template: bool) -> None:
        self._part = part
        self._life = life
        self._keep = keep
        self._of_template = of_template
        #: The number of the map and the number of the worker in it.
        self._owners: dict[int, tuple[int, int]] = {}

    def pids(self, *owner: int) -> list[int]:
        """All, those of a map, or the one with a number in a map."""
        return [pid for pid, found in self._owners.items() if found[: len(owner)] == owner]

    def on_exit(self, pid: int) -> tuple[int, int] | None:
        """A child of the starter is gone; whose worker it was, if it was one."""
        return self._owners.pop(pid, None)

    def start(self, owner: tuple[int, int], method: str, fds: list[int]) -> WorkerStarted | WorkerRefused:
        """Forks a worker; says what came of it."""
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            return WorkerRefused(owner[1], str(error))
        if pid == 0:
            self._become_worker(parent, method, fds)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._owners[pid] = owner
        return WorkerStarted(owner[1], pid)

    def _become_worker(self, parent: int, method: str, fds: list[int]) -> NoReturn:
        """In the child: cuts every tie to the starter but the two that end it."""
        code = 1
        try:
            self._part(parent)
            sock, page, nudge, out, err, *memory = fds
            replace_output(out, err)
            if method == "spawn":
                _exec_worker(self._life, self._keep, [sock, page, nudge, *memory])
            die_with_pipe(self._life)
            if self._of_template:
                # What it has imported stays frozen: it is there for as long as this process, and its memory is shared.
                name_process(os.path.basename(sys.executable)[:15])
            else:
                gc.unfreeze()
            _worker.main(sock, page, nudge, *memory)
            code = 0
        finally:
            os._exit(code)


def _exec_worker(life: int, keep: tuple[int, int, int], fds: list[int]) -> NoReturn:
    import subprocess

    for fd in (life, *fds):
        os.set_inheritable(fd, True)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from numap._worker.worker_processes import spawned; "
        f"spawned({life}, {keep}, {fds})"
    )
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
