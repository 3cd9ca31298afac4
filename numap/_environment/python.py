"""The Python that worker processes are started with: which file it is, and whether it may be started. It starts nothing."""

from __future__ import annotations

import os
import re
import sys

from .._base.errors import WorkerStartError
from .._base.public import public

#: What to write instead, behind every refusal.
ADVICE = "numap.set_executable(path) says which Python to use; start_method='fork' and worker_type='thread' or 'serial' need none"
#: Names of interpreters. All else may be the program itself, or a server that has a Python inside: whatever arguments it
#: is started with, it may start from the beginning, and map again.
_NAMES = re.compile(
    r"([a-z]*(python|pypy|hython)|graalpy|mayapy)w?[\d.]*[dmtu]*(_d)?(-[a-z]*[\d.]*)?(\.exe)?", re.IGNORECASE
)

#: A variable that what was started as a Python has in its environment, until it is one: a program that finds it there has been
#: started in the place of a Python, and would start itself again.
STARTED_BY = "NUMAP_STARTED_BY"

_chosen: str | None = None


@public
def set_executable(path: str | os.PathLike[str] | None) -> None:
    """Says which Python worker processes are started with, from the next map on; it is started as it is, whatever its name.

    Needed in frozen applications and in programs that have a Python inside, where ``sys.executable`` is the program itself
    or nothing; elsewhere ``sys.executable`` is used, which is right also in virtual environments. It has to be the same version
    of the same Python as the one that runs the program, as code travels between them, and gets the program's ``sys.path``.

    Args:
        path: of an interpreter, or of what starts one with the same arguments; None: ``sys.executable`` again.

    Raises:
        TypeError: ``path`` is no path.
        ValueError: there is no such file, or it can't be executed.

    >>> set_executable(sys.executable)
    >>> set_executable(None)
    """
    global _chosen
    if path is None:
        _chosen = None
        return
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"path: must be the path of a Python interpreter or None, not {type(path).__name__}")
    found = os.path.abspath(path)
    if not os.path.isfile(found):
        raise ValueError(
            f"path: there is no file {found!r}; give the path of a Python interpreter, or None for sys.executable"
        )
    if not os.access(found, os.X_OK):
        raise ValueError(
            f"path: {found!r} can't be executed; give the path of a Python interpreter, or None for sys.executable"
        )
    _chosen = found


def executable() -> str:
    """The file to start.

    Raises:
        WorkerStartError: there is none, or it may be the program itself.
    """
    if STARTED_BY in os.environ:
        raise WorkerStartError(
            f"no worker process can be started: process {os.environ[STARTED_BY]} has started this program, and was to start "
            f"a Python; {ADVICE}"
        )
    if _chosen is not None:
        return _chosen
    found = sys.executable
    if getattr(sys, "frozen", False) or getattr(sys, "oxidized", False):
        raise WorkerStartError(
            f"no worker process can be started: this is a frozen application (sys.frozen), and sys.executable, "
            f"{found!r}, would start it a second time; {ADVICE}"
        )
    if not found or not isinstance(found, str):
        raise WorkerStartError(f"no worker process can be started: sys.executable is {found!r}; {ADVICE}")
    if not (_is_named_as_one(found) or _is_named_as_one(os.path.realpath(found))):
        raise WorkerStartError(
            f"no worker process can be started: sys.executable is {found!r}, which has not the name of a Python, "
            f"and would perhaps start this program a second time; {ADVICE}"
        )
    return found


def _is_named_as_one(path: str) -> bool:
    return _NAMES.fullmatch(os.path.basename(path)) is not None


#: What a Python must have in common with this one, so that code can travel between them; an expression for ``python -c``,
#: where nothing of ours is imported yet.
LIKENESS = "(sys.implementation.cache_tag, getattr(sys, 'abiflags', ''), sys.maxsize)"


def check_of_likeness() -> str:
    """The first statements of what such a Python is told to run: it ends, with a reason, if it is another one."""
    own = sys.implementation.cache_tag, getattr(sys, "abiflags", ""), sys.maxsize
    return (
        f"import sys; own = {LIKENESS}; own == {own!r} or sys.exit("
        f"f'it is {{own[0]}}{{own[1]}} and this program runs in {own[0]}{own[1]}')"
    )
