"""A shared object: the form of an object whose large buffers lie in shared memory. Made by the sender, opened by the receiver.

A buffer is copied once, into the shared memory, and not again: the receiver's object uses that memory itself. So the
receiver's use of it, and that of whatever is made of it, has to be known; the lease in `shared_memory` ends with the last of them.
What may be needed again (an item that is to be retried, an object with several readers) is opened as a copy.
"""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from .._items.segments import JOINED, LONG, RAW, RECORD, RECORDS, SHARED, Segment, encode_item
from .._records.records import Records, alone
from .._records.writer import RecordWriter
from .shared_memory import SHARE, BufferAddress, Ref, SharedMemoryFile

#: What the first buffer of a shared object without a pickle of its own is.
_PICKLE, _BYTES, _TEXT, _BYTEARRAY = range(4)
_PLAIN: dict[type, int] = {bytes: _BYTES, str: _TEXT, bytearray: _BYTEARRAY}

#: A buffer of a shared object; bytes where it had to leave shared memory again.
Buffer = Ref | bytes

#: A constant object: its pickle, or where that is, and where its large buffers are.
Code = tuple[bytes | BufferAddress, list[BufferAddress]]


class Encode(Protocol):
    """Pickles an object; ``callback`` is called with its large buffers and returns true for those to be left in it."""

    def __call__(self, obj: object, callback: Callable[[pickle.PickleBuffer], object] | None = None, /) -> bytes:
        """The pickle."""
        ...


class SharedObject:
    """An object in shared memory.

    Attributes:
        several: More than one reader will open it, so each gets a copy.
    """

    __slots__ = ("_buffers", "_control", "_form", "_shared", "several")

    def __init__(
        self, shared: SharedMemoryFile, form: int, control: bytes, buffers: Sequence[Buffer], several: bool = False
    ) -> None:
        self._shared = shared
        self._form = form
        self._control = control
        self._buffers = list(buffers)
        self.several = several

    def __len__(self) -> int:
        """Bytes of it."""
        return len(self._control) + sum(_size(buffer) for buffer in self._buffers)

    def open(self, lent: BorrowedBuffers | None = None) -> Any:
        """The object. A buffer of it is the memory itself where no other reader will need that, else a copy.

        Args:
            lent: notes what was lent, for `ObjectWriter`.
        """
        copies = self.several or (self._shared.crowded() if lent is None else lent.copies)
        plain = self._form != _PICKLE
        views: list[Any] = []
        for buffer in self._buffers:
            view = self._shared.view(buffer) if isinstance(buffer, Ref) else buffer
            if copies and not plain:
                view = bytearray(view)
            elif lent is not None and isinstance(buffer, Ref):
                lent.note(view, buffer)
            views.append(view)
        if self._form == _BYTES:
            return bytes(views[0])
        if self._form == _TEXT:
            return str(views[0], "utf-8", "surrogatepass")
        if self._form == _BYTEARRAY:
            return bytearray(views[0])
        buffers = [memoryview(view).cast("B") for view in views]
        return pickle.loads(self._control or buffers.pop(0), buffers=buffers)

    def wire(self) -> tuple[Any, ...]:
        """For another process; the shared object has to live until that has it."""
        buffers = [buffer.address if isinstance(buffer, Ref) else buffer for buffer in self._buffers]
        return self._form, self._control, buffers, self.several

    @classmethod
    def of_wire(cls, shared: SharedMemoryFile, wire: tuple[Any, ...]) -> SharedObject:
        """What another process has sent."""
        form, control, buffers, several = wire
        found = [shared.adopt(buffer) if isinstance(buffer, tuple) else buffer for buffer in buffers]
        return cls(shared, form, control, found, several)

    def hand_over(self) -> None:
        """To be called by a worker before it sends a shared object; see `SharedMemoryFile.hand_over`."""
        for buffer in self._buffers:
            if isinstance(buffer, Ref):
                self._shared.hand_over(buffer)

    def part_from(self, borrowed: BorrowedBuffers) -> None:
        """Copies what is still lent: it is still in use here, and the receiver shall have it for itself."""
        for number, buffer in enumerate(self._buffers):
            if isinstance(buffer, Ref) and borrowed.covers(buffer):
                data = self._shared.memory[buffer.offset : buffer.offset + buffer.size]
                self._buffers[number] = self._shared.put(data) or bytes(data)


def _beside(put: Callable[[memoryview], bool]) -> Callable[[pickle.PickleBuffer], bool]:
    """What a pickler asks about each buffer: whether it stays in the pickle. Large ones in one piece go to ``put``."""

    def stays(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            return True  # not in one piece
        return raw.nbytes < SHARE or not put(raw)

    return stays


class Constants:
    """Objects that all workers get once, their large buffers in one memory for all. They live as long as this object."""

    def __init__(self, shared: SharedMemoryFile | None) -> None:
        self._shared = shared
        self._refs: list[Ref] = []

    def encode(self, obj: object, encode: Encode) -> Code:
        """The object for the workers; `load` is the other side."""
        buffers: list[BufferAddress] = []

        def put(raw: memoryview) -> bool:
            place = self._put(raw)
            if place is not None:
                buffers.append(place)
            return place is not None

        blob = encode(obj, _beside(put))
        return self._put(blob) or blob, buffers

    def _put(self, data: Any) -> BufferAddress | None:
        ref = self._shared.put(data) if self._shared is not None and len(data) >= SHARE else None
        if ref is None:
            return None
        self._refs.append(ref)
        return ref.address


def size_of_code(code: Code) -> int:
    """Bytes of a constant object."""
    return sum(part[2] if isinstance(part, tuple) else len(part) for part in (code[0], *code[1]))


def load(code: Code, shared: SharedMemoryFile | None, unpickle: Callable[[Any, list[Any]], Any]) -> Any:
    """In a worker: a constant object. It may be changed; no other process sees that."""
    blob, buffers = code
    if shared is None:
        return unpickle(blob, [])
    data = shared.view(shared.adopt(blob)) if isinstance(blob, tuple) else blob
    return unpickle(data, [shared.private(buffer) for buffer in buffers])


class BorrowedBuffers:
    """What was lent to one item.

    Args:
        copies: the item may run again, so nothing is lent and it gets copies.
    """

    def __init__(self, copies: bool) -> None:
        self.copies = copies
        self._views: list[weakref.ref[Any]] = []
        self._refs: list[Ref] = []

    def note(self, view: Any, ref: Ref) -> None:
        """A view was lent."""
        self._views.append(weakref.ref(view))
        self._refs.append(ref)

    def covers(self, ref: Ref) -> bool:
        """Whether a buffer lies in what was lent."""
        return any(ref.lease is lent.lease for lent in self._refs)

    def is_kept(self) -> bool:
        """Whether anything that was lent is still in use in this process."""
        return any(view() is not None for view in self._views)


class ObjectWriter:
    """Pickles objects, with their large buffers in shared memory as far as there is room. For one thread.

    Args:
        encode: pickles what is no record.
        shared: None: there is no shared memory.
    """

    def __init__(self, encode: Encode, shared: SharedMemoryFile | None) -> None:
        self._encode = encode
        self._shared = shared
        self._records = RecordWriter(encode)
        #: As the last record was told to have.
        self._names = self._records.names

    def entry(self, obj: object, what: str, borrowed: BorrowedBuffers | None = None) -> Any:
        """What `Gatherer` takes for an object that is no atom, or is bytes, or for the failure to pickle it.

        Args:
            what: "item" or "result".
            borrowed: see `write`.
        """
        records = self._records
        body = records.write(obj)
        if body is not None and len(body) < LONG:
            names = records.names
            if names is self._names:
                return body
            self._names = names
            return RECORD, names, body
        if body is not None:
            return encode_item(alone(records.names, body), self._share_pickle, what)
        if type(obj) is bytes and len(obj) < LONG:
            return RAW, 1, [obj]
        return encode_item(obj, partial(self.write, borrowed=borrowed) if borrowed is not None else self.write, what)

    def _share_pickle(self, pickled: Any) -> bytes | SharedObject:
        return self._in_memory(pickled, [])

    def write(self, obj: object, borrowed: BorrowedBuffers | None = None) -> bytes | SharedObject:
        """The pickle, or the shared object.

        Args:
            borrowed: what was lent to the item whose result this is: a buffer in it is passed on by its place.

        Raises:
            Exception: whatever pickling the object raises.
        """
        shared = self._shared
        if shared is None:
            return self._encode(obj)
        form = _PLAIN.get(type(obj))
        if form is not None:
            return self._plain(shared, form, obj)
        buffers: list[Ref] = []

        def put(raw: memoryview) -> bool:
            found = None if borrowed is None else shared.find(raw)
            if found is None or borrowed is None or not borrowed.covers(found) or _overlaps(found, buffers):
                found = shared.put(raw)
            if found is not None:
                buffers.append(found)
            return found is not None

        return self._in_memory(self._encode(obj, _beside(put)), buffers)

    def _in_memory(self, control: bytes, buffers: list[Ref]) -> bytes | SharedObject:
        """A pickle with its buffers, itself in shared memory where it is large."""
        shared = self._shared
        if shared is None:
            return control
        if len(control) >= SHARE:
            found = shared.put(control)
            if found is not None:
                return SharedObject(shared, _PICKLE, b"", [found, *buffers])
        return SharedObject(shared, _PICKLE, control, buffers) if buffers else control

    def _plain(self, shared: SharedMemoryFile, form: int, obj: Any) -> bytes | SharedObject:
        # A character takes up to four bytes.
        if form == _TEXT and 4 * len(obj) >= SHARE:
            raw = obj.encode("utf-8", "surrogatepass")
        else:
            raw = b"" if form == _TEXT else obj
        if len(raw) >= SHARE:
            found = shared.put(raw)
            if found is not None:
                return SharedObject(shared, form, b"", [found])
        return self._encode(obj)


def _size(buffer: Buffer) -> int:
    return buffer.size if isinstance(buffer, Ref) else len(buffer)


def _overlaps(ref: Ref, others: Iterable[Ref]) -> bool:
    return any(ref.offset < other.offset + other.size and other.offset < ref.offset + ref.size for other in others)


def incoming(segment: Segment, shared: SharedMemoryFile | None) -> Segment:
    """A segment that another process has sent, with its records and shared objects."""
    kind, count, data = segment
    if kind == RECORDS:
        return kind, count, Records.of_wire(data)
    if shared is None:
        return segment
    if kind == SHARED:
        return kind, count, SharedObject.of_wire(shared, data)
    if kind == JOINED:
        return kind, count, tuple(incoming(member, shared) for member in data)
    return segment
