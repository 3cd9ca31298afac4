"""A template: a fork of the starter that imports the libraries which workers need, so that its own forks have them already.

A library takes a worker a tenth of a second to import, or seconds, and each worker of each map would import it anew. The starter
can't do that for them, as a map that needs nothing must get workers that have nothing. So a process between the two does it.

It is used only if, behind the imports, it is as safe to fork as the starter is: it has one thread, no child, and no descriptor
and no memory that several processes must not share. And only if the imports did in it what they did in a worker. Else it ends,
and workers import for themselves.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from .._environment.process_state import adopt_for_imports, adopted_behind_imports
from .._modules.origins import file_of
from .._system.processes import name_process, replace_output

#: Devices that may be open in any number of processes.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: Bytes at the beginning of a request that hold its number.
_HEAD = 8

#: By file, what tells whether it has changed.
Files = dict[str, tuple[int, int, int]]


class TemplateRequest(NamedTuple):
    """What a template is to be.

    Attributes:
        names: modules to import, in this order; with the file of each where workers told it.
        preload: modules that the program asked for, so that a failure is to be told.
        variables: what the imports made of the environment in workers; None: the variable was removed.
        environment: what imports look at; see `process_state.adopt_for_imports`.
        settings: the program's; a template is right for maps with others, too.
    """

    names: dict[str, str | None]
    preload: tuple[str, ...]
    variables: dict[str, str | None]
    environment: dict[str, Any]
    settings: dict[str, Any]


def write_request(fd: int, number: int, request: TemplateRequest) -> None:
    """Fills a memory file with a request. The same number means the same request."""
    os.pwrite(fd, number.to_bytes(_HEAD, "little") + pickle.dumps(tuple(request)), 0)


def number_of(fd: int) -> int:
    """The number of the request in a memory file."""
    return int.from_bytes(os.pread(fd, _HEAD, 0), "little")


def read_files(fd: int) -> Files:
    """What a template that is ready has written: the files of its modules."""
    found: Files = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    return found


def changed(files: Files) -> bool:
    """Whether one of the files is not what it was."""
    return any(_state(path) != state for path, state in files.items())


def read_request(fd: int) -> TemplateRequest:
    """The request in a memory file."""
    return TemplateRequest(*pickle.loads(os.pread(fd, os.fstat(fd).st_size, _HEAD)))


def prepare(request: TemplateRequest, request_fd: int, out: int, err: int) -> bool:
    """In the template: imports; False: it is not fit to be forked.

    What the imports print goes to the caller's streams, once. The file of the request gets what `read_files` reads.
    """
    replace_output(out, err)
    name_process("numap-template")
    adopt_for_imports(request.environment, request.settings)
    born, before, adopted = set(sys.modules), (_descriptors(), _shared_memory()), adopted_behind_imports()
    gc.unfreeze()
    with _own_random_states("random" in request.names):
        for name in request.names:
            _import(name, name in request.preload)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if not (_is_as_in_workers(request) and adopted_behind_imports() == adopted and _is_safe_to_fork(*before)):
        return False
    # No pipe of the caller's may stay open for as long as the template lives, nor its directory be in use.
    replace_output(*(os.open(os.devnull, os.O_WRONLY) for _ in range(2)))
    os.chdir(os.sep)
    importlib.invalidate_caches()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    _write_files(request_fd, [name for name in sys.modules if name not in born])
    return True


def _import(name: str, asked: bool) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        # A worker told the name, and imports it if it still needs it; but the program's own wish is not to fail in silence.
        if asked:
            sys.stderr.write(
                f"numap: preload: the module {name!r} could not be imported before the workers: "
                f"{type(error).__name__}: {error}\n"
            )


@contextmanager
def _own_random_states(may_be: bool) -> Iterator[None]:
    """Generators that modules make meanwhile, without a seed of their own, are seeded anew in each fork, once."""
    if not may_be:
        yield
        return
    import random

    unseeded: dict[int, random.Random] = {}
    seed = random.Random.seed

    def note(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed(self, a, version)
        if a is None:
            unseeded[id(self)] = self
        else:
            unseeded.pop(id(self), None)

    def part() -> None:
        while unseeded:
            unseeded.popitem()[1].seed()

    random.Random.seed = note  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.Random.seed = seed  # type: ignore[method-assign]
    os.register_at_fork(after_in_child=part)


def _is_as_in_workers(request: TemplateRequest) -> bool:
    """Whether the modules came from the same files, and did the same to the environment, as where workers imported them.

    Else code of the program's had a hand in it: it has changed a variable or the path before it had a library imported.
    """
    if any(os.environ.get(name) != value for name, value in request.variables.items()):
        return False
    told = ((name, origin) for name, origin in request.names.items() if origin is not None)
    return all(name not in sys.modules or file_of(name) == origin for name, origin in told)


def _is_safe_to_fork(descriptors: set[int], shared: int) -> bool:
    """Whether it is so now, with these descriptors and that much shared memory before the imports.

    Where /proc can't tell, an error ends the process: then it is not fit, either.
    """
    # Once for a try: where this process is the last that the system has room for, it must not take the room of a worker. And
    # OpenBLAS ends its threads at each fork, and starts them again where they are needed.
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    try:
        os.waitpid(-1, os.WNOHANG)
        return False  # there is a child
    except ChildProcessError:
        pass
    return (
        len(os.listdir("/proc/self/task")) == 1
        and _shared_memory() == shared
        and all(_may_be_shared(fd) for fd in _descriptors() - descriptors)
    )


def _shared_memory() -> int:
    """How many ranges of memory there are that a fork would write into together with its parent."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as ranges:
        return sum(line.split(None, 2)[1] in ("rw-s", "rwxs", "-w-s") for line in ranges)


def _descriptors() -> set[int]:
    # The one by which the directory was read is in the list, and closed by now.
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _may_be_shared(fd: int) -> bool:
    """Whether processes that have this descriptor in common can't meet by it: a file that is read, or a device for all."""
    import fcntl

    found = os.fstat(fd)
    if stat.S_ISCHR(found.st_mode):
        return any(os.path.exists(path) and os.stat(path).st_rdev == found.st_rdev for path in _DEVICES)
    reads = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return reads and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))


# ---------------------------------------------------------------------- files


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _write_files(fd: int, names: list[str]) -> None:
    paths = {path for path in map(file_of, names) if path is not None}
    data = pickle.dumps({path: state for path in paths if (state := _state(path)) is not None})
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
