"""What workers are given of the process that they work for: its environment, directory, paths and limits at the start.

A function is to act in a worker as it does in the caller. A worker that was forked from a clean process, or is a fresh
interpreter, knows nothing of what the program has changed since it began.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

from .._system.processes import adopt_limits, cpu_count, limits, umask
from . import settings as _settings
from . import time_zone as _zone
from .signal_handling import adopt_dispositions, dispositions

#: How the numeric libraries are told how many threads to use; OpenMP's word also counts for most others that have their own.
_OPENMP = "OMP_NUM_THREADS"
_THREADS = (
    _OPENMP,
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def environment(workers: int) -> dict[str, Any]:
    """What this process is like now, to be adopted by each of its ``workers``."""
    return {
        "environ": _with_fair_threads(dict(os.environ), workers),
        "cwd": _cwd(),
        "path": [absolute(entry) for entry in sys.path],
        "argv": list(sys.argv),
        "umask": umask(),
        "limits": limits(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None,
        "signals": dispositions(),
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "warnings": _filters(),
        "streams": [_manner(stream) for stream in (sys.stdout, sys.stderr)],
        "zone": _zone.zone(),
        "settings": _settings.settings(),
    }


#: What imports look at: a template serves maps that have the same.
_FOR_IMPORTS = ("environ", "zone", "path", "argv", "umask", "cwd", "warnings")
#: The settings that this process, a template or a fork of one, has adopted with that part before its imports; None: it is none.
#: What the imports made of all that since has to stay.
_imported_with: dict[str, Any] | None = None


def for_imports(found: dict[str, Any]) -> dict[str, Any]:
    """The part of what `environment` found that imports look at, with the settings of the interpreter itself.

    Those of libraries are left out: one more is known with each that the program loads, and to be another template for that is too
    dear.
    """
    settings = found["settings"]
    return {**{name: found[name] for name in _FOR_IMPORTS}, **{name: settings.get(name) for name in ("sys", "_locale")}}


def adopt_for_imports(found: dict[str, Any], settings: dict[str, Any]) -> None:
    """Becomes, in a template, as `for_imports` found; workers that are forked from it leave that as it is then.

    ``settings``: of the program. They may be others in later maps; workers adopt those that are.
    """
    global _imported_with
    _adopt_for_imports(found)
    _settings.adopt(settings)
    _imported_with = settings


def adopted_behind_imports() -> tuple[object, ...]:
    """What workers of a template adopt although it has imported: what imports change there does not stay."""
    return (
        _cwd(),
        [signal.getsignal(number) for number in signal.valid_signals()],
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getaffinity(0),
        limits(),
    )


def _adopt_for_imports(found: dict[str, Any]) -> None:
    zone_before = os.environ.get("TZ")
    _set_variables(found["environ"])
    _zone.adopt(found["zone"], zone_before)
    sys.path[:] = found["path"]
    sys.argv[:] = found["argv"]
    if found["umask"] is not None:
        os.umask(found["umask"])
    _enter(found["cwd"])
    warnings.filters[:] = found["warnings"]  # type: ignore[index]
    if hasattr(warnings, "_filters_mutated"):
        warnings._filters_mutated()


def _set_variables(environ: dict[str, str]) -> None:
    """Each call costs a microsecond, and in most workers few variables are others."""
    now = dict(os.environ)
    for name in now.keys() - environ.keys():
        del os.environ[name]
    for name, value in environ.items():
        if now.get(name) != value:
            os.environ[name] = value


def _enter(directory: str) -> None:
    with contextlib.suppress(OSError):  # it is gone; the caller can't use it either
        os.chdir(directory)


def adopt(found: dict[str, Any]) -> None:
    """In a worker: becomes as what `environment` found."""
    global _imported_with
    # What this worker forks has another state to adopt.
    before, _imported_with = _imported_with, None
    if before is None:
        _adopt_for_imports(found)
    else:
        _enter(found["cwd"])  # a template stays in none
    adopt_dispositions(found["signals"])
    if found["nice"] is not None and found["nice"] != os.getpriority(os.PRIO_PROCESS, 0):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, found["nice"])
    if found["affinity"] is not None and found["affinity"] != os.sched_getaffinity(0):
        with contextlib.suppress(OSError):  # a CPU that was taken away meanwhile: any will do
            os.sched_setaffinity(0, found["affinity"])
    for name, manner in zip(("stdout", "stderr"), found["streams"], strict=True):
        if manner is not None and _manner(getattr(sys, name)) not in (None, manner):
            _remake(name, *manner)
    others = before or {}
    _settings.adopt({name: state for name, state in found["settings"].items() if others.get(name) != state})
    _part_from_parent(before is not None)
    adopt_limits(found["limits"])


def _with_fair_threads(environ: dict[str, str], workers: int) -> dict[str, str]:
    """The variables with the CPUs shared among the workers' numeric libraries, where the program has not said otherwise.

    Each library would take all CPUs in each worker, and they would fight for them.
    """
    if _OPENMP in environ:
        return environ
    share = str(max(1, cpu_count() // workers))
    return {**dict.fromkeys(_THREADS, share), **environ}


def absolute(entry: str) -> str:
    """An entry of the path as this process reads it: where a relative one led when it was first used."""
    return entry and getattr(sys.path_importer_cache.get(entry), "path", entry)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.sep


def _manner(stream: object) -> tuple[str, str | None] | None:
    """How a standard stream turns texts into bytes; None: it is an object of the program's own."""
    return (stream.encoding, stream.errors) if isinstance(stream, TextIOWrapper) else None


def _remake(name: str, encoding: str, errors: str | None) -> None:
    """Has a standard stream turn texts into bytes in this manner.

    Not by ``reconfigure``, which asks for the place in the file: the stream was made when its descriptor was that of another
    file, and believes that this one has places, too.
    """
    before: TextIOWrapper = getattr(sys, name)
    before.flush()
    file = BufferedWriter(FileIO(before.fileno(), "w", closefd=False))
    made = TextIOWrapper(file, encoding, errors, line_buffering=before.line_buffering)
    setattr(sys, name, made)
    setattr(sys, f"__{name}__", made)


def _filters() -> list[Any]:
    """The warning filters that workers can have: a category of another module would have them import it."""
    return [entry for entry in warnings.filters if entry[2].__module__ == "builtins"]


def _part_from_parent(is_of_template: bool) -> None:
    """What libraries do where they know of a fork; the standard library's random numbers see to themselves.

    Else all workers have the same random state, and proxies of managers share one connection with those of the parent.

    Args:
        is_of_template: this worker is as one that has imported its libraries itself; the numbers of torch are the same in
            each such process.
    """
    for name in ("numpy.random", "torch.random")[: 1 if is_of_template else 2]:
        seed = getattr(sys.modules.get(name), "seed", None)
        if seed is not None:
            with contextlib.suppress(Exception):
                seed()
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        with contextlib.suppress(Exception):
            util._finalizer_registry.clear()
            util._run_after_forkers()
