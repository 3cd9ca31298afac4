"""Shared memory for large buffers: one memory file per map, in which each process writes in a region of its own.

The file has no name, so nothing of it can be left behind. In front is a table: for each block of a region its place and
a byte per process that says whether this process still uses it. Only the owner of a region gives out its blocks, and
a block is free when all its bytes are 0; so no lock is shared between processes, and giving back is one store.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from functools import partial
from typing import Any, Final, NamedTuple

from .._system.memory import memory_file, remap, reserve
from .allocator import BLOCKS, PAGE, PLACE, BlockAllocator, Layout

#: Buffers from this size on are shared; below, the socket is as fast.
SHARE: Final = 1 << 16
#: The column of the caller.
CALLER: Final = 0

#: How a buffer is told to another process: its block, and offset and size in the file.
BufferAddress = tuple[int, int, int]


class Lease:
    """This process uses a block. The block is given back when the last reference is gone."""

    __slots__ = ("__weakref__", "_at", "_shared", "block", "offset", "private", "size", "views")

    def __init__(self, shared: SharedMemoryFile, block: int, at: int | None, offset: int, size: int) -> None:
        self._shared = shared
        self._at = at
        self.block = block
        self.offset = offset
        self.size = size
        #: What was made of it; dead where it is used no more.
        self.views: list[weakref.ref[Any]] = []
        #: It is no shared memory here any more; see `SharedMemoryFile.part_from_forks`.
        self.private = False
        if at is not None:
            shared.memory[at] = 1

    def __del__(self) -> None:
        # Runs anywhere, so it takes no lock. A child that the user forked has a copy of this object, but no say.
        shared = self._shared
        if os is None:
            return  # the interpreter ends, modules are empty already, and all memory goes with the process
        if self._at is None or shared.pid != os.getpid() or (self.private and not shared.share_again(self)):
            return
        memory = shared.memory
        if not memory:
            return  # all of it has gone already: leases that die together in a cycle don't see each other
        memory[self._at] = 0
        if shared.retired:
            shared.give_back(self.offset, self.size)
            shared.close_unless_used(self)


class Ref(NamedTuple):
    """A buffer in a block: offset in the file and size in bytes."""

    lease: Lease
    offset: int
    size: int

    @property
    def address(self) -> BufferAddress:
        """For another process."""
        return self.lease.block, self.offset, self.size


class SharedMemoryFile:
    """The memory file as one process sees it. It is mapped when it is first needed.

    Args:
        layout: how the file is divided.
        column: of this process; None: there was none left, so it reads what others keep for it, and writes nothing.
        region: in which this process writes.
        fd: descriptor of the file, which this object owns; None: make the file.
    """

    def __init__(self, layout: Layout, column: int | None, region: int, fd: int | None = None) -> None:
        self.fd = -1
        self.fd = memory_file(layout.size) if fd is None else fd
        self.layout = layout
        self.pid = os.getpid()
        #: The whole file, once it is mapped.
        self.memory: memoryview = memoryview(b"")
        #: The run is over: whatever is given back from now on goes back to the system.
        self.retired = False
        self.column = column
        self._number = region
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._region: BlockAllocator | None = None
        self._leases: weakref.WeakValueDictionary[int, Lease] = weakref.WeakValueDictionary()

    def __del__(self) -> None:
        self.close_fd()

    def close_fd(self) -> None:
        """Closes the descriptor; the mapping stays as long as a buffer in it is in use."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def open(self) -> mmap.mmap:
        """Maps the file.

        Raises:
            OSError, ValueError: there is no room for it.
        """
        if self._map is None:
            with self._lock:
                if self._map is None:
                    mapped = mmap.mmap(self.fd, self.layout.size)
                    self.memory = memoryview(mapped)
                    self._map = mapped
                    _mapped.add(self)
        return self._map

    @property
    def _base(self) -> int:
        import ctypes

        return ctypes.addressof(ctypes.c_char.from_buffer(self.open()))

    # ------------------------------------------------------------------ writing

    def put(self, data: Any) -> Ref | None:
        """Copies bytes, or a contiguous buffer of bytes, into this process's region; None: there is no room."""
        if self.column is None:
            return None
        try:
            self.open()
            with self._lock:
                block = None if self.retired else self._allocate(len(data), self.column)
        except (OSError, ValueError):  # no room for the mapping
            block = None
        if block is None:
            return None
        lease = self._lease(block)
        self.memory[lease.offset : lease.offset + len(data)] = data
        return Ref(lease, lease.offset, len(data))

    def _allocate(self, size: int, column: int) -> int | None:
        if self._region is None:
            self._region = BlockAllocator(self.memory, self.layout, self._number, partial(reserve, self.fd))
        return self._region.allocate(size, column)

    def hand_over(self, ref: Ref) -> None:
        """The caller is going to use a block: to be said before it is told, lest the block be free in between."""
        self.memory[self.layout.flag(ref.lease.block, CALLER)] = 1

    # ------------------------------------------------------------------ reading

    def adopt(self, address: BufferAddress) -> Ref:
        """The buffer that another process told of; it stays as long as the ref does."""
        block, offset, size = address
        self.open()
        return Ref(self._lease(block), offset, size)

    def _lease(self, block: int) -> Lease:
        lease = self._leases.get(block)
        if lease is None:
            offset, size = PLACE.unpack_from(self.memory, self.layout.entry(block))
            flag = None if self.column is None else self.layout.flag(block, self.column)
            lease = self._leases[block] = Lease(self, block, flag, offset, size)
        return lease

    def view(self, ref: Ref) -> Any:
        """The buffer itself, writable. Whatever is made of it without a copy keeps it, and it keeps the lease."""
        import ctypes

        found = (ctypes.c_ubyte * ref.size).from_buffer(self.open(), ref.offset)
        found.lease = ref.lease  # type: ignore[attr-defined]  # any object may hang there
        ref.lease.views = [view for view in ref.lease.views if view() is not None] + [weakref.ref(found)]
        return found

    def _held(self) -> list[Lease]:
        # Not `values`: that runs in several steps, and other threads add to the dictionary.
        return [lease for lease in (ref() for ref in self._leases.valuerefs()) if lease is not None]

    def private(self, address: BufferAddress) -> memoryview:
        """A buffer that begins with a page, as a private copy that takes memory only where it is changed.

        For what is never given back while this process lives: a page would show what comes after it.
        """
        _, offset, size = address
        if not hasattr(mmap, "MAP_PRIVATE"):
            return memoryview(bytearray(self.view(self.adopt(address))))
        return memoryview(mmap.mmap(self.fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset))

    def find(self, buffer: memoryview) -> Ref | None:
        """The place of a buffer that lies in a block which this process uses; None: it lies elsewhere."""
        if self._map is None or buffer.readonly:
            return None
        import ctypes

        offset = ctypes.addressof(ctypes.c_char.from_buffer(buffer)) - self._base
        if not 0 <= offset < self.layout.size:
            return None
        for lease in self._held():
            if not lease.private and lease.offset <= offset and offset + buffer.nbytes <= lease.offset + lease.size:
                return Ref(lease, offset, buffer.nbytes)
        return None

    # ------------------------------------------------------------------ forks of this process

    def part_from_forks(self) -> None:
        """Before a fork: what is in use here becomes ordinary memory, of which both sides have their own afterwards.

        The addresses stay. The blocks are not given back before they are shared memory again.
        """
        for lease in self._held():
            in_use = any(view() is not None for view in lease.views)
            if in_use and not lease.private and self.pid == os.getpid():
                lease.private = remap(self._base + lease.offset, lease.size, None)

    def share_again(self, lease: Lease) -> bool:
        """A block that is ordinary memory here is shared memory again; False: it can't be, so it stays in use."""
        return self.fd >= 0 and remap(self._base + lease.offset, lease.size, (self.fd, lease.offset))

    # ------------------------------------------------------------------ the caller's care for the whole

    def crowded(self) -> bool:
        """Whether this process keeps so much that more of it should be kept outside."""
        leases = self._held()
        return len(leases) > BLOCKS // 4 or sum(lease.size for lease in leases) > self.layout.size // 8

    def forget(self, column: int, region: int | None) -> None:
        """A worker is gone: what it used is free, and so is what it had written for the caller and not told.

        ``region``: where it wrote; None: another worker writes there now, and this one had told all.
        """
        if self._map is None:
            return
        mine = self.memory[self.layout.column(CALLER)]
        theirs = self.memory[self.layout.column(column)]
        for block, used in enumerate(theirs.tobytes()):
            if used:
                theirs[block] = 0
        if region is None:
            return
        first = region * BLOCKS
        for block, used in enumerate(mine[first : first + BLOCKS].tobytes(), first):
            if used and block not in self._leases:
                mine[block] = 0

    def retire(self) -> None:
        """The run is over: gives back the memory that is not in use, and the rest as it becomes free."""
        with self._lock:
            self.retired = True
        place = 0
        for offset, size in sorted((lease.offset, lease.size) for lease in self._held()):
            self.give_back(place, offset - place)
            place = offset + size
        self.give_back(place, self.layout.size - place)
        self.close_fd()
        self.close_unless_used()

    def close_unless_used(self, dying: Lease | None = None) -> None:
        """Lets the mapping go if nothing but ``dying`` uses it; this object may live on in a cycle."""
        if all(lease is dying for lease in self._held()):
            self._map, self.memory = None, memoryview(b"")

    def give_back(self, offset: int, size: int) -> None:
        """Gives the whole pages of a range back to the system."""
        start = -(-offset // PAGE) * PAGE
        stop = (offset + size) // PAGE * PAGE
        if self._map is not None and stop > start and hasattr(mmap, "MADV_REMOVE"):
            try:
                self._map.madvise(mmap.MADV_REMOVE, start, stop - start)
            except OSError:
                return  # a file system that can't: the memory goes with the mapping


#: All that are mapped.
_mapped: weakref.WeakSet[SharedMemoryFile] = weakref.WeakSet()


def _before_fork() -> None:
    for shared in list(_mapped):
        shared.part_from_forks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
