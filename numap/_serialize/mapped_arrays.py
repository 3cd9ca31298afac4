"""Arrays over mapped files (``numpy.memmap``) go by the name of their file: the other process maps it, too, and nothing is copied.

The other process must get this very file, or an error. So the name counts only as long as it leads to the file that is mapped,
which is found out once for a mapping; then device and inode of the file are told with the name, and asked for where it is opened.
"""

from __future__ import annotations

import errno
import importlib
import mmap
import os
import sys
import weakref
from typing import Any, Final, NamedTuple

from .._system.mapped_files import leads_to

#: Bytes from which on a file is mapped anew: to open it takes longer than to copy less.
_LEAST: Final = 1 << 16
#: What the mode of a mapping says of the other one. ``w+`` would make the file empty. Changes under ``c`` are in no file.
_MODES: Final = {"r": "r", "r+": "r+", "w+": "r+"}

#: Device and inode.
_Identity = tuple[int, int]


class _Mapping(NamedTuple):
    """Where a mapping begins in memory, and its file; None: the file has another name now, or none."""

    address: int
    file: _Identity | None


_mappings: weakref.WeakKeyDictionary[mmap.mmap, _Mapping] = weakref.WeakKeyDictionary()


def reduce_mapped(obj: Any) -> Any:
    """How a ``memmap`` that lies in a file in one piece is mapped again; None: it goes by what is in it."""
    mapping, path, mode = obj._mmap, obj.filename, _MODES.get(obj.mode)
    flags = obj.flags
    if type(mapping) is not mmap.mmap or path is None or mode is None or obj.nbytes < _LEAST or obj.dtype.hasobject:
        return None
    if not (flags.c_contiguous or flags.f_contiguous):
        return None
    try:
        path = os.fspath(path)
        address, file = _mappings.get(mapping) or _look_at(mapping, path)
        status = os.stat(path)
    except (OSError, ValueError, TypeError):
        return None
    # The offset of a view is that of the array of which it is a part.
    first = obj.offset - obj.offset % mmap.ALLOCATIONGRANULARITY
    place = first + _address(obj) - address
    if file != (status.st_dev, status.st_ino) or place < first or place + obj.nbytes > status.st_size:
        return None
    order = "C" if flags.c_contiguous else "F"
    return _map_again, (path, file, mode if flags.writeable else "r", obj.dtype, place, obj.shape, order)


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _look_at(mapping: mmap.mmap, path: str) -> _Mapping:
    numpy = sys.modules["numpy"]
    address = _address(numpy.frombuffer(mapping, numpy.uint8))
    status = os.stat(path)
    file = (status.st_dev, status.st_ino) if leads_to(path, address) else None
    found = _mappings[mapping] = _Mapping(address, file)
    return found


def _map_again(path: str, identity: _Identity, mode: str, dtype: Any, place: int, shape: Any, order: str) -> Any:
    numpy = importlib.import_module("numpy")
    with open(path, "rb" if mode == "r" else "r+b") as file:
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) != identity:
            raise FileNotFoundError(
                errno.ENOENT, "another file has the name of the one that an array was mapped from", path
            )
        size = dtype.itemsize
        for length in shape:
            size *= length
        if place + size > status.st_size:  # it would be made longer, with zeros
            raise ValueError(f"{path!r}: the file that an array was mapped from is shorter now")
        found = numpy.memmap(file, dtype, mode, place, shape, order)
    found.filename = path
    whole = _address(found) - place % mmap.ALLOCATIONGRANULARITY
    _mappings[found._mmap] = _Mapping(whole, identity)
    return found
