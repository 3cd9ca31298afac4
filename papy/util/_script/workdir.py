"""Directories in which programs make their outputs, so that none is seen that is not complete; and which runs use them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Below the directory of the outputs: a file can't be moved to its place in one step from another file system.
NAME = ".papy"

# The directory comes and goes with those that use it; so often in a row it hardly goes just when it has been made.
_ATTEMPTS = 100


class RunFolder:
    """The directory of outputs as its runs know it: each has a mark there, an empty directory, as long as it goes on."""

    def __init__(self, directory: str) -> None:
        self._root = os.path.join(os.path.abspath(directory), NAME)

    def enter(self, run: str) -> None:
        """Make the mark of a run; if that can't be, its items will tell why."""
        with suppress(OSError):
            os.makedirs(os.path.join(self._root, f"{this_host()}-{run}"), exist_ok=True)

    def leave(self, run: str) -> None:
        """Remove the mark of a run, unless another process has made it."""
        if run.partition("-")[0] == str(os.getpid()):
            with suppress(OSError):
                os.rmdir(os.path.join(self._root, f"{this_host()}-{run}"))
                os.rmdir(self._root)


def runs(directory: str) -> set[str]:
    """The runs that are going on in a directory of outputs, by their tokens."""
    sweep(directory)
    with suppress(OSError):
        return {"-".join(name.rsplit("-", 2)[1:]) for name in os.listdir(os.path.join(directory, NAME))}
    return set()


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
        with suppress(FileNotFoundError):  # another process was the last one there, and has removed it meanwhile
            own = tempfile.mkdtemp(prefix=f"{this_host()}-{os.getpid()}-", dir=root)
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
            if host == this_host() and rest.isdigit() and not is_alive(int(rest)):
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)
        os.rmdir(root)


def this_host() -> str:
    """The name of this machine."""
    import platform

    return platform.node() or "localhost"


def is_alive(pid: int, since: float | None = None) -> bool:
    """Whether there is a process on this machine with this number, that was there at a time, if one is given."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # A second, as the clocks of the two times are not the same.
        return process.status() != psutil.STATUS_ZOMBIE and (since is None or process.create_time() < since + 1)
    return False
