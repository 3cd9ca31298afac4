"""Directories in which programs make their outputs, so that nobody sees one that is not complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["NAME", "sweep", "work_directory"]

# Below the directory of the outputs: a file can't be moved to its place in one step from another file system.
NAME = ".papy"


@contextmanager
def work_directory(directory: str) -> Iterator[str]:
    """A context with the path of a new directory below ``directory/.papy``, which is removed at the end.

    What killed processes of this machine have left there is removed, too.
    """
    root = os.path.join(directory, NAME)
    os.makedirs(directory, exist_ok=True)
    sweep(directory)
    own = None
    while own is None:
        with suppress(FileExistsError):
            os.mkdir(root)
        with suppress(FileNotFoundError):  # somebody else was the last one there, and has removed it meanwhile
            own = tempfile.mkdtemp(prefix=f"{_host()}-{os.getpid()}-", dir=root)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(root)


def sweep(directory: str) -> None:
    """Remove what processes of this machine that are no more have left in a directory."""
    root = os.path.join(directory, NAME)
    with suppress(OSError):
        for name in os.listdir(root):
            host, _, rest = name.rpartition("-")[0].rpartition("-")
            if host == _host() and rest.isdigit() and not _alive(int(rest)):
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)
        os.rmdir(root)


def _host() -> str:
    import platform

    return platform.node() or "localhost"


def _alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)
