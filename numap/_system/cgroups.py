"""What control groups leave to this process, as they limit containers and services. Linux; elsewhere nothing is limited.

The machine may have 64 CPUs and the container two: as many workers as CPUs would only take turns, each with its own memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_ROOT = "/sys/fs/cgroup"
_OWN = "/proc/self/cgroup"


def cpu_quota(root: str = _ROOT, own: str = _OWN) -> int | None:
    """CPUs whose time the process may use, rounded up, at least 1; None: no quota."""
    quotas = []
    for folder, unified in _folders("cpu", root, own):
        if unified:
            limit, period = _word(folder, "cpu.max", 0), _word(folder, "cpu.max", 1)
        else:
            limit, period = _word(folder, "cpu.cfs_quota_us"), _word(folder, "cpu.cfs_period_us")
        if limit is not None and period:
            quotas.append(max(1, -(-limit // period)))
    return min(quotas, default=None)


def free_memory(root: str = _ROOT, own: str = _OWN) -> int | None:
    """Bytes that the limits of memory leave; None: there is none."""
    rests = []
    for folder, unified in _folders("memory", root, own):
        names = ("memory.max", "memory.current") if unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, used = _word(folder, names[0]), _word(folder, names[1])
        if limit is not None and used is not None:
            rests.append(max(0, limit - used))
    return min(rests, default=None)


def _folders(controller: str, root: str, own: str) -> Iterator[tuple[str, bool]]:
    """Where the limits of the process may be: its own group, and every group around it; whether its files are those of version 2.

    In a container the own path may be that of the host, and not be there: what can be seen is the root.
    """
    try:
        lines = [os.fsdecode(line).split(":", 2) for line in _read(own).splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if not controllers or controller in controllers.split(","):
            top = os.path.join(root, controllers) if controllers else root
            while path.strip("/"):
                yield top + path, not controllers
                path = os.path.dirname(path)
            yield top, not controllers


def _word(folder: str, name: str, place: int = 0) -> int | None:
    """A number of a file; None: it isn't there, or says that there is no limit."""
    try:
        word = _read(os.path.join(folder, name)).split()[place]
        return None if word in (b"max", b"-1") else int(word)
    except (OSError, ValueError, IndexError):
        return None


def _read(path: str) -> bytes:
    """A small file; a file object would take as long again as the system, and each map reads a dozen."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 14)
    finally:
        os.close(fd)
