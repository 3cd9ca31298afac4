"""Frames over a socket: whatever their sizes, and however the system cuts them."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from numap._items.failures import Failure
from numap._items.segments import FAILED, JOINED, PACKED, PICKLED, RAW
from numap._transport.channel import _BESIDE, _SCRATCH, Channel, beside, outgoing
from tests.numap.tools import each_seed

Pair = tuple[Channel, Channel]
KIB = 1 << 10
SIZES = [0, 1, 100, 4095, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1]
SIZES += [_BESIDE - 1, _BESIDE, *range(_SCRATCH - 60, _SCRATCH + 2), 3 * _SCRATCH]


def make_pair(blocking: bool) -> Pair:
    """Two channels that are connected; ours does not block, theirs may, as between a map and its worker."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(blocking)
    return Channel(ours), Channel(theirs)


@contextmanager
def connected(blocking: bool) -> Iterator[Pair]:
    """Such a pair, closed in the end."""
    both = make_pair(blocking)
    try:
        yield both
    finally:
        for channel in both:
            channel.close()


@pytest.fixture(params=["blocking", "non-blocking"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with connected(request.param == "blocking") as both:
        yield both


@pytest.fixture
def quick() -> Iterator[Pair]:
    """No end blocks."""
    with connected(blocking=False) as both:
        yield both


@pytest.fixture
def mixed() -> Iterator[Pair]:
    """Their end blocks."""
    with connected(blocking=True) as both:
        yield both


def pump(sender: Channel, receiver: Channel, count: int) -> list[Any]:
    """Flushes one end and reads the other by turns in one thread, until so many frames are complete."""
    frames: list[Any] = []
    while len(frames) < count:
        done = sender.flush()
        before = len(frames)
        frames += receiver.receive()
        assert not receiver.ended
        assert not done or len(frames) > before or receiver._big is not None or receiver._have or len(frames) == count
    return frames


def plain(frame: Any) -> Any:
    """A frame with its buffers as bytes."""
    if isinstance(frame, (memoryview, bytearray, pickle.PickleBuffer)):
        return bytes(frame)
    if isinstance(frame, (list, tuple)):
        return type(frame)(map(plain, frame))
    return frame


@pytest.mark.parametrize("form", [bytes, bytearray, pickle.PickleBuffer])
def test_one_frame(pair: Pair, form: Callable[[bytes], Any]) -> None:
    for size in SIZES:
        data = Random(size).randbytes(size)
        pair[0].send(("x", form(data)))
        assert plain(pump(*pair, 1)) == [("x", data)]


def test_small_ones_come_together(pair: Pair) -> None:
    for number in range(50):
        pair[0].send(number)
    assert pump(*pair, 50) == list(range(50))


def test_the_size_is_told(pair: Pair) -> None:
    small = pair[0].send("x")
    large = pair[0].send(pickle.PickleBuffer(bytes(1000)))
    assert small < 100 and 1000 < large < 1100
    pump(*pair, 2)


def test_nothing_there_is_no_frame(quick: Pair) -> None:
    ours, _ = quick
    assert ours.receive() == []
    assert not ours.ended


def test_an_end_that_does_not_block_never_does(quick: Pair) -> None:
    """Nobody reads: what the socket does not take is kept, and comes out in the end."""
    ours, theirs = quick
    messages = [(n, bytes(100 * KIB)) for n in range(30)]
    for message in messages:
        ours.send(message)
    assert not ours.flush()
    assert pump(ours, theirs, 30) == messages
    assert ours.flush()


def test_twenty_megabytes_among_small_ones(mixed: Pair) -> None:
    large = Random(1).randbytes(20 << 20)
    messages: list[Any] = ["a", ("b", pickle.PickleBuffer(large)), "c", large, "d", [pickle.PickleBuffer(b"")], "e"]
    ours, theirs = mixed
    got: list[Any] = []

    def read() -> None:
        while len(got) < len(messages):
            got.extend(theirs.receive())

    reader = threading.Thread(target=read)
    reader.start()
    ours.sock.setblocking(True)
    for message in messages:
        ours.send(message)
    while not ours.flush():
        pass
    reader.join()
    assert [plain(frame) for frame in got] == [plain(message) for message in messages]


def test_many_buffers_beside_one_frame(quick: Pair) -> None:
    """More than one system call takes."""
    ours, theirs = quick
    buffers = [bytes([n % 256]) * (n * 37 % 3000) for n in range(500)]
    ours.send([pickle.PickleBuffer(buffer) for buffer in buffers])
    assert plain(pump(ours, theirs, 1)) == [buffers]


def test_a_buffer_is_not_copied_by_the_sender(quick: Pair) -> None:
    ours, theirs = quick
    data = bytearray(4 << 20)
    ours.send(pickle.PickleBuffer(data))
    data[-1] = 7  # not out yet, so the other side sees the change
    assert bytes(pump(ours, theirs, 1)[0])[-1] == 7


def test_buffers_outlive_later_frames(pair: Pair) -> None:
    """What lies beside a small frame must not be overwritten by the frames that follow."""
    pair[0].send(pickle.PickleBuffer(b"first" * 10))
    (first,) = pump(*pair, 1)
    for number in range(200):
        pair[0].send(pickle.PickleBuffer(bytes([number]) * 2000))
        pump(*pair, 1)
    assert bytes(first) == b"first" * 10


def test_the_end_of_the_stream(pair: Pair) -> None:
    pair[0].send("last words")
    pair[0].close()
    frames: list[Any] = []
    while not pair[1].ended:
        frames += pair[1].receive()
    assert frames == ["last words"]


def test_the_end_in_the_middle_of_a_frame(pair: Pair) -> None:
    pair[0].send("whole")
    pair[0].sock.send(b"\xff\0\0\0\0\0\0\0\0\0\0\0half")
    pair[0].close()
    frames: list[Any] = []
    while not pair[1].ended:
        frames += pair[1].receive()
    assert frames == ["whole"]


def test_last_words_are_read_although_the_socket_seems_empty(mixed: Pair) -> None:
    """``all_of_it``: one read that is not full is no proof that nothing is behind it."""
    ours, theirs = mixed
    for number in range(1000):
        theirs.send((number, b"x" * (number % 50)))
        if number % 50 == 49:
            frames = ours.receive(all_of_it=True)
            assert [frame[0] for frame in frames] == list(range(number - 49, number + 1))
    theirs.close()
    assert ours.receive(all_of_it=True) == []
    assert ours.ended


def test_sending_to_nobody_is_no_error(pair: Pair) -> None:
    pair[1].close()
    for _ in range(3):
        pair[0].send(bytes(1 << 20))
    assert pair[0].flush()
    assert pair[0].ended


def test_a_blocking_send_is_out_when_it_returns(mixed: Pair) -> None:
    ours, theirs = mixed
    got: list[Any] = []
    large = bytes(5 << 20)

    def read() -> None:
        frames: list[Any] = []
        while not frames:
            frames += theirs.receive()
        got.extend(frames)

    reader = threading.Thread(target=read)
    reader.start()
    sender = Channel(_blocking(ours.sock))
    sender.send(large)
    assert not sender._out
    reader.join()
    assert got == [large]


def _blocking(sock: socket.socket) -> socket.socket:
    sock.setblocking(True)
    return sock


@each_seed(60)
def test_random_frames(random: Random) -> None:
    """Frames of all sizes and forms, sent and read in turns, through sockets with buffers of all sizes."""
    with connected(blocking=random.random() < 0.5) as both:
        random_frames(random, *both)


def random_frames(random: Random, ours: Channel, theirs: Channel) -> None:
    for channel in (ours, theirs):
        size = random.choice([1, 5000, 1 << 20])
        channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def data() -> bytes:
        return random.randbytes(random.choice([0, 1, 10, 1000, random.randint(0, 1 << 16), random.randint(0, 1 << 19)]))

    def message() -> Any:
        parts = [data() for _ in range(random.randint(1, 4))]
        return [pickle.PickleBuffer(part) if random.random() < 0.5 else part for part in parts]

    sent: list[Any] = []
    got: list[Any] = []
    for _ in range(random.randint(1, 25)):
        sent.append(message())
        ours.send(sent[-1])
        while random.random() < 0.5 and len(got) < len(sent):
            ours.flush()
            got += theirs.receive()
    while len(got) < len(sent):
        ours.flush()
        got += theirs.receive()
    assert plain(got) == plain(sent)
    assert ours.flush()


# ---------------------------------------------------------------------- what goes beside


def test_large_pickles_go_beside() -> None:
    small, large = b"x" * (_BESIDE - 1), b"x" * _BESIDE
    assert beside(small) is small
    assert isinstance(beside(large), pickle.PickleBuffer)


def test_segments_with_large_pickles() -> None:
    large = b"x" * _BESIDE
    failed = (FAILED, 1, Failure(large))
    assert isinstance(outgoing((PICKLED, 1, large))[2], pickle.PickleBuffer)
    assert outgoing((PICKLED, 1, b"small")) == (PICKLED, 1, b"small")
    kind, count, members = outgoing((JOINED, 1, ((PICKLED, 1, large), (RAW, 1, [2]))))
    assert (kind, count, members[1]) == (JOINED, 1, (RAW, 1, [2]))
    assert isinstance(members[0][2], pickle.PickleBuffer)
    assert outgoing(failed) is failed
    assert outgoing((PACKED, 2, b"small")) == (PACKED, 2, b"small")


@pytest.mark.parametrize("value", [list(range(100_000)), bytes(1 << 20), "x"])
def test_a_segment_that_crossed_is_as_good_as_before(value: Any, quick: Pair) -> None:
    ours, theirs = quick
    ours.send(outgoing((PICKLED, 1, pickle.dumps(value, 5))))
    ((kind, count, data),) = pump(ours, theirs, 1)
    assert (kind, count, pickle.loads(data)) == (PICKLED, 1, value)
