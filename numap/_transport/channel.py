"""Frames over a stream socket, without ever blocking the side that must not block.

A frame is a pickle with its large buffers behind it: they are neither copied into the pickle nor out of it. One thread of the
caller serves many workers, so its end never waits. What a socket does not take is kept, and what has come in part stays until
the rest is there. A worker has one socket and nothing else to do, so its end blocks.
"""

from __future__ import annotations

import mmap
import pickle
import socket
import struct
from collections import deque
from itertools import islice
from typing import Any

from .._items.segments import JOINED, PICKLED, RECORDS, SHARED, Segment

_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
#: Pickles from this size on go beside the frame's own.
_BESIDE = 1 << 15
_SCRATCH = 1 << 18
#: Buffers in one system call at most.
_IOVEC = 64


def beside(data: Any) -> Any:
    """A pickle as it is, or marked to go beside the frame where it is large, or came so and goes on to the next task."""
    large = isinstance(data, memoryview) or (isinstance(data, bytes) and len(data) >= _BESIDE)
    return pickle.PickleBuffer(data) if large else data


def outgoing(segment: Segment) -> Segment:
    """The segment as it goes into a frame: large pickles are marked to go beside it."""
    kind, count, data = segment
    if kind == PICKLED:
        return kind, count, beside(data)
    if kind == RECORDS:
        names, joined, lengths = data.wire()
        return kind, count, (names, beside(joined), lengths)
    if kind == SHARED:
        return kind, count, data.wire()
    if kind == JOINED:
        return kind, count, tuple(outgoing(part) for part in data)
    return segment


def _zeros(size: int) -> mmap.mmap | bytearray:
    """A buffer whose pages are there when they are used: most channels use a few of them, and a worker waits for each."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return bytearray(size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Channel:
    """One end of a stream socket that carries frames.

    Args:
        sock: its blocking mode says how `send` and `receive` behave. Non-blocking: `send` keeps what the socket
            does not take, `flush` tries again, `receive` returns what is complete. Blocking: `send` returns when all is
            out, `receive` after at least one read.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: The other end is closed.
        self.ended = False
        self._blocking = sock.getblocking()
        self._out: deque[memoryview] = deque()
        self._scratch = _zeros(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._have = 0
        self._big: memoryview | None = None
        self._filled = 0
        self._big_buffers = 0

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self.sock.fileno()

    def close(self) -> None:
        """Closes the socket; what was not sent is dropped."""
        self._out.clear()
        self.sock.close()

    # ------------------------------------------------------------------ out

    def send(self, message: object) -> int:
        """Sends a frame, or keeps what the socket does not take yet; returns its size in bytes."""
        buffers: list[pickle.PickleBuffer] = []
        control = pickle.dumps(message, 5, buffer_callback=buffers.append)
        if not buffers:
            self._out.append(memoryview(_HEADER.pack(len(control), 0) + control))
            self.flush()
            return len(control)
        views = [buffer.raw() for buffer in buffers]
        lengths = b"".join(_LENGTH.pack(view.nbytes) for view in views)
        size = len(lengths) + len(control) + sum(view.nbytes for view in views)
        self._out.append(memoryview(_HEADER.pack(size, len(views)) + lengths + control))
        self._out.extend(views)
        self.flush()
        return size

    def flush(self) -> bool:
        """Sends what is kept as far as the socket takes it; returns whether all is out."""
        out = self._out
        while out:
            try:
                sent = self.sock.sendmsg(islice(out, _IOVEC)) if len(out) > 1 else self.sock.send(out[0])
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                # The other end is gone. Its death is reported by the starter; what it was to do is in its ledger.
                out.clear()
                self.ended = True
                return True
            while out and sent >= out[0].nbytes:
                sent -= out.popleft().nbytes
            if sent:
                out[0] = out[0][sent:]
        return True

    # ------------------------------------------------------------------ in

    def receive(self, all_of_it: bool = False) -> list[Any]:
        """The frames that have become complete; sets ``ended`` at the end of the stream.

        With ``all_of_it`` a non-blocking channel is read until it is empty, not just until it seems so.
        """
        frames: list[Any] = []
        while True:
            target = self._view[self._have :] if self._big is None else self._big[self._filled :]
            try:
                count = self.sock.recv_into(target)
            except BlockingIOError:
                return frames
            except ConnectionResetError:
                count = 0
            if count == 0:
                self.ended = True
                return frames
            if self._big is None:
                self._have += count
                self._parse(frames)
            else:
                self._filled += count
                if self._filled == self._big.nbytes:
                    frames.append(_load(self._big, self._big_buffers))
                    self._big = None
            if self._blocking or (self._big is None and count < len(target) and not all_of_it):
                return frames

    def _parse(self, frames: list[Any]) -> None:
        start, have, view = 0, self._have, self._view
        while have - start >= _HEADER.size:
            size, buffers = _HEADER.unpack_from(view, start)
            body = start + _HEADER.size
            if size > have - body:
                if size + _HEADER.size > _SCRATCH:
                    self._big = memoryview(bytearray(size))
                    self._filled = have - body
                    self._big_buffers = buffers
                    self._big[: self._filled] = view[body:have]
                    start = have
                break
            # A copy of its own where buffers stay in use behind the frame; the scratch is used again.
            part = view[body : body + size] if not buffers else memoryview(bytes(view[body : body + size]))
            frames.append(_load(part, buffers))
            start = body + size
        if start:
            view[: have - start] = view[start:have]
            self._have = have - start


def _load(body: memoryview, buffers: int) -> Any:
    if not buffers:
        return pickle.loads(body)
    place = buffers * _LENGTH.size
    lengths = [_LENGTH.unpack_from(body, n * _LENGTH.size)[0] for n in range(buffers)]
    end = body.nbytes - sum(lengths)
    control = body[place:end]
    views = []
    for length in lengths:
        views.append(body[end : end + length])
        end += length
    return pickle.loads(control, buffers=views)
