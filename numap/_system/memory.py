"""Memory files, and how much memory there is.

Large buffers go between processes in files that exist in memory only and have no name. Such a file is gone with the last
process that has it open, however that process ends; so nothing can be left behind.
"""

from __future__ import annotations

import mmap
import os

from .cgroups import free_memory

_MAP_FIXED = 0x10
#: MREMAP_MAYMOVE and MREMAP_FIXED.
_MREMAP_MOVE = 3


def memory_file(size: int) -> int:
    """A descriptor of ``size`` bytes of shared memory that has no name and so can't be left behind."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("numap", os.MFD_CLOEXEC)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


def reserve(fd: int, offset: int, size: int) -> bool:
    """Makes sure that there is memory behind a range of a memory file; False: there is none.

    Where this can't be asked for, it has to be hoped for.
    """
    if not hasattr(os, "posix_fallocate"):
        return True
    try:
        os.posix_fallocate(fd, offset, size)
    except OSError:
        return False
    return True


def remap(address: int, size: int, file: tuple[int, int] | None) -> bool:
    """Puts other memory behind pages of this process: of a file at an offset, shared, or its own with what is there now.

    Returns whether that was possible; else nothing has changed.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    if file is not None:
        return bool(libc.mmap(address, size, protection, mmap.MAP_SHARED | _MAP_FIXED, *file) == address)
    # The copy is complete before it takes the place: there is no moment in which the pages hold something else.
    fresh = libc.mmap(None, size, protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if fresh in (None, ctypes.c_void_p(-1).value):
        return False
    ctypes.memmove(fresh, address, size)
    libc.mremap.restype = ctypes.c_void_p
    libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
    return bool(libc.mremap(fresh, size, size, _MREMAP_MOVE, address) == address)


def memory_budget() -> int:
    """Bytes that the shared memory of a map may have: a quarter of what this process can still get."""
    contained = free_memory()
    limits = [_available_memory()] if contained is None else [_available_memory(), contained]
    try:
        import resource
    except ImportError:
        return min(limits) // 4
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits) // 4


def is_address_space_limited() -> bool:
    """Whether a mapping may fail though there is memory."""
    try:
        import resource
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _available_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 4 << 30
