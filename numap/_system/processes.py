"""The calls that only some systems have, each with what stands in for it elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Collection

from .cgroups import cpu_quota

LINUX = sys.platform.startswith("linux")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_F_SETSIG = 10
#: The receiver of the signals of a descriptor, and that it is a thread.
_F_SETOWN_EX, _F_OWNER_TID = 15, 0
#: Some milliseconds at least.
_LOOKS = 1000


def _prctl(option: int, value: int) -> bool:
    if not LINUX:
        return False
    import ctypes

    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process instead of init's."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """Ask for SIGKILL when the thread that started this process ends; only right where that parent has one thread."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_process(name: str) -> None:
    """What this process is called in lists of processes; at most 15 characters."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)


def replace_output(out: int, err: int) -> None:
    """Makes these descriptors standard output and standard error, and closes them under their own numbers."""
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)


def die_with_pipe(fd: int) -> None:
    """Ask for SIGKILL at the moment the last write end of the pipe ``fd`` is closed, whatever this process does then.

    The signal comes from the kernel, so a process stuck in C code dies, too, and if this process leads a process group,
    so do the programs in it. The pipe is opened anew through
    /proc, as a shared open description signals only the last process that armed it. Where that is not to be had,
    a thread waits for the end of the pipe instead.
    """
    if LINUX and os.path.exists(f"/proc/self/fd/{fd}"):
        import fcntl

        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        pid = os.getpid()
        fcntl.fcntl(own, fcntl.F_SETOWN, -pid if os.getpgrp() == pid else pid)  # negative: the group
        fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
        try:
            ended = os.read(own, 1) == b""
        except BlockingIOError:
            ended = False
        if ended:
            os._exit(1)
        os.close(fd)
        return

    def watch() -> None:
        os.read(fd, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="numap-life").start()


def signal_this_thread(fd: int, number: int) -> None:
    """Ask for a signal to this thread, and to no other, whenever something can be read from a pipe.

    No call of another thread ends early by it; yet CPython runs its handler in the main thread, as soon as that looks for
    signals. Elsewhere than on Linux this does nothing.
    """
    if LINUX:
        import fcntl
        import struct
        from _thread import get_native_id

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _F_SETOWN_EX, struct.pack("ii", _F_OWNER_TID, get_native_id()))
            fcntl.fcntl(fd, _F_SETSIG, number)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)


def see_off(thread: int) -> None:
    """Gives way to a thread of this process that has done its last step, until the system does not count it any more.

    No event tells of that. It takes some microseconds, and how often is looked is bounded: it is for a place that is to be free
    as soon as can be, and for a warning of CPython's.
    """
    place = f"/proc/self/task/{thread}"
    for _ in range(_LOOKS if LINUX else 0):
        if not os.path.exists(place):
            return
        os.sched_yield()


def fill_standard_streams() -> None:
    """Where the caller has closed a standard stream, puts the null device in its place.

    Else the next descriptor that is opened takes its number, and workers would write there what they print.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is this one: those below are taken.
            os.open(os.devnull, os.O_RDWR)


def cpu_count() -> int:
    """The CPUs this process may use: affinity and container quota included, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    quota = cpu_quota()
    return max(1, cpus if quota is None else min(cpus, quota))


def start_thread(thread: threading.Thread) -> None:
    """Starts a thread.

    Raises:
        OSError: the system has no room for it.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise BlockingIOError(errno.EAGAIN, str(error)) from error


def process_limit() -> tuple[int, int]:
    """The soft and the hard limit of processes and threads of this user; 0, 0: there is none here."""
    try:
        import resource
    except ImportError:
        return 0, 0
    return resource.getrlimit(resource.RLIMIT_NPROC)


def hard_limits() -> tuple[float, ...]:
    """The limits of resources that this process can't pass, in the order of `limits`."""
    return tuple(float("inf") if hard < 0 else hard for _, hard in limits().values())


def limits() -> dict[int, tuple[int, int]]:
    """The limits of resources of this process, soft and hard, by what the system calls them."""
    try:
        import resource
    except ImportError:
        return {}
    kinds = {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
    return {kind: resource.getrlimit(kind) for kind in sorted(kinds)}


def adopt_limits(wanted: dict[int, tuple[int, int]]) -> None:
    """Sets the limits of this process, as far as that is allowed."""
    own = limits()
    for kind, (soft, hard) in wanted.items():
        if own.get(kind, (soft, hard)) != (soft, hard):
            import resource

            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(kind, (soft, hard))


def process_status() -> bytes:
    """What /proc says of this process; empty where there is no /proc.

    Raises:
        OSError: there is no descriptor left to read it.
    """
    try:
        fd = os.open("/proc/self/status", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return b""
    try:
        return os.read(fd, 1 << 14)
    finally:
        os.close(fd)


def umask() -> int | None:
    """The umask, read without changing it for a moment under the feet of other threads; None: not to be had."""
    found = process_status().partition(b"\nUmask:")[2].split(None, 1)
    return int(found[0], 8) if found else None


def process_tree(*roots: int, spared: Collection[int] = ()) -> list[int]:
    """The descendants of these processes that /proc shows now, parents first; empty where it shows none, or counts as others do.

    ``spared``: processes to leave out, with their descendants.
    """
    children: dict[int, list[int]] = {}
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []  # we are in a namespace of processes of our own, and /proc is that of another
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(pid)
    tree: list[int] = []
    queue = [*roots]
    while queue:
        found = [child for child in children.get(queue.pop(), ()) if child not in spared]
        tree += found
        queue += found
    return tree


def is_at_work(pids: list[int]) -> bool:
    """Whether one of these processes runs, or waits for a disk or a CPU; True where that can't be told."""
    if not os.path.exists("/proc/self/stat"):
        return True
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[:1] in ([b"R"], [b"D"]):
                return True
    return False


def exit_text(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is None:
        return "exit status unknown"
    if exitcode < 0:
        try:
            return f"killed by {signal.Signals(-exitcode).name}"
        except ValueError:
            return f"killed by signal {-exitcode}"
    return f"exit code {exitcode}"


def kill_trees(pids: list[int], root: int | None = None, spared: Collection[int] = ()) -> None:
    """Kills workers, then their groups and all their descendants, so that none of these is seen to end before them.

    With ``root`` it goes on with all descendants of that process, but for those ``spared`` and what descends from these.
    """
    if not pids and root is None:
        return
    tree = process_tree(*pids) if root is None else process_tree(root, spared=spared)
    kill_all(pids)
    for pid in pids:
        kill_group(pid)
    kill_all(tree)


def kill_group(pid: int) -> None:
    """Kills the process group that a worker leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_all(pids: list[int]) -> None:
    """Kills processes; those that are gone already are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
