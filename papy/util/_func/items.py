"""Items that go from one piper to another beside the pipeline: what travels is a small handle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from typing import Any, NamedTuple

from numap.interop import checks
from papy._base.checks import check_path, check_seconds
from papy._base.external_programs import Watchdog

_TYPES = ("file", "fifo", "shm", "socket")
_MEMORY = "/dev/shm"  # where systems that have one keep their file system in memory


class ItemHandle(NamedTuple):
    """Where an item is.

    Attributes:
        type: "file", "shm", "fifo" or "socket".
        name: The path.
        pid: The process that stored it.
        size: In bytes.
    """

    type: str
    name: str
    pid: int
    size: int


def dump_item(
    inbox: Sequence[Any],
    type: str = "file",  # noqa: A002  (the name it has in PaPy)
    prefix: str | None = None,
    suffix: str = "",
    dir: str | os.PathLike[str] | None = None,  # noqa: A002
    timeout: float = 320.0,
    buffer: int = 1 << 16,
) -> ItemHandle:
    """Store the first item of the inbox, and return a handle by which `load_item` gets it in another process.

    This is for data that shall not pass through your program. `numap.IMap` itself already sends large results in
    shared memory, so measure before you use it.

    * ``"file"``: a file. It stays until it is loaded.
    * ``"shm"``: the same in shared memory (a file in ``/dev/shm``, where there is such a thing).
    * ``"fifo"``: a named pipe, which any program can read as a file.
    * ``"socket"``: a Unix socket.

    Named pipes and sockets keep nothing: the process that calls this offers the item in a thread, until it is taken,
    the time is over, or the process ends. The workers of an IMap end with its last item. So use these two between
    pipers that share an IMap, or in threads; use a file otherwise. An item that is not there any more is an
    error of `load_item`, and not a wait without end.

    Files of items that are never loaded, as the run was ended, are left behind. So are the names of pipes and sockets of which the
    process was killed, or was a worker process; else they go at its end. To prevent that use `item_directory`.

    Args:
        inbox: The item: bytes, or any object with the buffer protocol.
        type: See above.
        prefix: Of the file's name; None: ``tmp_papy_`` and the type.
        suffix: Of the file's name.
        dir: The directory; None: the default for temporary files, or for shared memory.
        timeout: Seconds for which an item is offered in a pipe or socket.
        buffer: Bytes that are written to a pipe or socket at once.

    Raises:
        TypeError: If the item is not bytes.
        ValueError: If there is no such type, or not on this system.
        OSError: If it can't be stored, as there is no room for example. Nothing is left then.

    >>> handle = dump_item([b"some data"])
    >>> handle.type, handle.size
    ('file', 9)
    >>> load_item([handle])
    b'some data'
    """
    checks.one_of("type", type, _TYPES)
    try:
        data = memoryview(inbox[0]).cast("B")
    except TypeError as error:
        wrong = checks.wrong_type("the item", "bytes", inbox[0])
        raise TypeError(f"{wrong}; pickle_dumps and json_dumps make some") from error
    checks.text("prefix", prefix)
    checks.text("suffix", suffix)
    check_path("dir", dir, or_none=True)
    check_seconds("timeout", timeout, or_none=False)
    checks.whole("buffer", buffer, 1)
    prefix = f"tmp_papy_{type}" if prefix is None else prefix
    if type in ("file", "shm"):
        name = _write(data, prefix, suffix, _directory(type) if dir is None else dir)
    else:
        from papy.util._func import offers as _offers

        offer = _offers.offer_fifo if type == "fifo" else _offers.offer_socket
        place = os.fspath(tempfile.gettempdir() if dir is None else dir)
        # A reader can't come before the handle is returned, so it may not change any more either.
        name = offer(bytes(data), _offers.Place(place, prefix, suffix), timeout, buffer)
    return ItemHandle(type, name, os.getpid(), data.nbytes)


def load_item(
    inbox: Sequence[Any],
    type: str = "string",  # noqa: A002
    remove: bool = True,
    buffer: int = 1 << 16,
    *,
    timeout: float = 320.0,
) -> Any:
    """Get an item by its handle, the first item of the inbox.

    What arrives are the bytes that were stored. Opening them as a pickle is another thing: see `pickle_loads`.

    Args:
        inbox: A handle that `dump_item` gave.
        type: ``"string"``: as bytes. ``"mmap"``: as a read-only `mmap.mmap` of the file, without copying it; the
            memory is given back when it is closed or dropped.
        remove: Remove the file. An item that may be needed again, by a second reader or by ``retries``, has to stay.
        buffer: Bytes that are read from a pipe or socket at once.
        timeout: Seconds after which the other side of a pipe or socket counts as gone.

    Raises:
        TypeError: If it is no such handle.
        ValueError: If there is no such type, or ``remove=False`` or ``"mmap"`` is asked for a pipe or a socket, or
            ``"mmap"`` for an empty item.
        FileNotFoundError, ConnectionError, TimeoutError: If the item is not there any more: loaded before, removed, or
            ended together with the process that offered it.
    """
    check_seconds("timeout", timeout, or_none=False)
    handle = inbox[0]
    checks.one_of("type", type, ("string", "mmap"))
    if not isinstance(handle, ItemHandle):
        raise checks.wrong_type("the item", "a handle of dump_item", handle)
    if handle.type in ("file", "shm"):
        data = _map(handle) if type == "mmap" else _read(handle)
        if remove:
            os.unlink(handle.name)
        return data
    if type == "mmap" or not remove:
        raise ValueError(f"type='mmap' and remove=False: not for an item in a {handle.type}, which is read once")
    from papy.util._func import offers as _offers

    take = _offers.take_fifo if handle.type == "fifo" else _offers.take_socket
    return take(handle.name, handle.size, handle.pid, timeout, buffer)


@contextmanager
def item_directory(type: str = "file") -> Iterator[str]:  # noqa: A002
    """A context with a new directory for items, which is removed at its end together with all that is still in it.

    It is also removed when the program ends in any other way, SIGKILL included (by a small shell that waits for
    this; on systems without one the orderly end is needed).

    Args:
        type: "shm": in shared memory; otherwise in the directory for temporary files.

    >>> with item_directory("shm") as directory:
    ...     handle = dump_item([b"never loaded"], "shm", dir=directory)
    >>> from pathlib import Path
    >>> Path(directory).exists()
    False
    """
    with tempfile.TemporaryDirectory(prefix="tmp_papy_", dir=_directory(type), ignore_cleanup_errors=True) as directory:
        guard = Watchdog("rm", "-rf", directory)
        try:
            yield directory
        finally:
            guard.release()


def _directory(type: str) -> str:  # noqa: A002
    """Where items of a type are, unless the user says where."""
    in_memory = type == "shm" and os.access(_MEMORY, os.W_OK)
    return _MEMORY if in_memory else tempfile.gettempdir()


def _write(data: memoryview, prefix: str, suffix: str, directory: str | os.PathLike[str]) -> str:
    fd, name = tempfile.mkstemp(suffix, prefix, directory)
    try:
        with open(fd, "wb") as file:
            file.write(data)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    return name


def _read(handle: ItemHandle) -> bytes:
    with open(handle.name, "rb") as file:
        return file.read()


def _map(handle: ItemHandle) -> mmap:
    with open(handle.name, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ValueError("type='mmap': an empty item can't be mapped; use 'string'")
        return mmap(file.fileno(), 0, access=ACCESS_READ)
