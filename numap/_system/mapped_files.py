"""Which file lies behind a mapping: another may have its name by now."""

from __future__ import annotations

import mmap
import os
from bisect import bisect
from typing import Final

_MAPS: Final = "/proc/self/maps"


def leads_to(path: str, address: int) -> bool:
    """Whether a path leads to the file that is mapped at an address; where the system can't say, it has to be hoped for.

    Raises:
        OSError, ValueError: the file can't be opened or mapped.
    """
    if not os.path.exists(_MAPS):
        return True
    import ctypes

    # What `os.stat` says of a file need not be what the list of mappings says, so the file is mapped once more.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_COPY) as probe:
        byte = ctypes.c_char.from_buffer(probe)
        with open(_MAPS, "rb") as mappings:
            lines = mappings.read().splitlines()
        found, wanted = _file(lines, ctypes.addressof(byte)), _file(lines, address)
        del byte  # the mapping can't be closed before
    return found is not None and found == wanted


def _file(lines: list[bytes], address: int) -> tuple[bytes, bytes] | None:
    """Device and inode of what is mapped at an address."""
    line = lines[bisect(lines, address, key=_begin) - 1]
    place, _, _, device, inode = line.split(None, 5)[:5]
    return (device, inode) if _begin(line) <= address < int(place.partition(b"-")[2], 16) else None


def _begin(line: bytes) -> int:
    return int(line[: line.index(b"-")], 16)
