"""Where an item's time goes: the parts of a map, each alone, in nanoseconds an item or microseconds a message.

python benchmarks/parts.py
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from functions import increment
from machine import facts

from numap._items.segments import PACKED, pack
from numap._results.output_queue import OutputQueue
from numap._results.reader import Reader
from numap._results.waiters import Waiters
from numap._schedule.ordering import ReorderBuffer
from numap._schedule.scheduler import Scheduler
from numap._transport.allocator import layout
from numap._transport.channel import Channel
from numap._transport.shared_memory import SharedMemoryFile
from numap._transport.shared_objects import ObjectWriter

#: Items in a batch.
BATCH = 2048


def best(call: Callable[[], Any], times: int) -> float:
    """Seconds for one call, the least of five rounds."""
    found = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            call()
        found.append((time.perf_counter() - began) / times)
    return min(found)


def per_item(call: Callable[[], Any], items: int = BATCH, times: int = 50) -> float:
    """Nanoseconds an item."""
    return 1e9 * best(call, times) / items


class _Quiet:
    """What an output needs of a manager, with no manager behind it."""

    paused = False
    warning: str | None = None

    def __init__(self) -> None:
        self.changed_outputs: deque[int] = deque()
        self.awaited: list[Waiters] = []

    def nothing(self) -> None:
        pass

    on_release = on_interrupt = resume = on_end = nothing

    def help(self) -> bool:
        return False


class _Results(Reader[int]):
    def __init__(self, output: OutputQueue) -> None:
        self._output = output


def iterate() -> float:
    """A consumer's loop over results that are there."""
    segment = pack(list(range(BATCH)))

    def once() -> None:
        output = OutputQueue(0, "f", "raise", False, _Quiet())
        output.put(0, segment)
        results = iter(_Results(output))
        for _, _ in zip(range(BATCH), results, strict=False):
            pass

    return per_item(once)


def run_items() -> float:
    """The loop of a worker: the number and the epoch on the page, the call, the type of the result, a clock at times."""
    words = memoryview(bytearray(64)).cast("Q")
    items = list(range(BATCH))
    small = frozenset((int, float, bool, type(None)))

    def once() -> None:
        seq, look, out = 0, 32, list[Any]()
        for value in items:
            seq += 1  # noqa: SIM113
            words[0] = seq
            if words[1]:
                return
            try:
                result = increment(value)
            except Exception:
                raise
            out.append(result if type(result) in small else (result,))
            if seq >= look:
                look = seq + 32
                time.perf_counter()

    return per_item(once)


def schedule() -> float:
    """The decisions for a batch: pull, arrive, turn, submit, leave, release."""
    decide = Scheduler([[]], None, None, 4 * BATCH)

    def once() -> None:
        decide.pull(0, BATCH)
        decide.arrive(0, BATCH)
        turn = decide.next_turn()
        assert turn is not None
        decide.submit(turn[0], turn[1])
        decide.leave(0, BATCH)
        decide.release(0, BATCH)

    return 1e6 * best(once, 2000)


def deliver() -> float:
    """Putting a batch in order."""
    delivery = ReorderBuffer(True)
    place = 0

    def once() -> None:
        nonlocal place
        delivery.add(place, (PACKED, BATCH, b""))
        place += BATCH

    return 1e6 * best(once, 2000)


def ping_pong(size: int) -> float:
    """A frame of so many bytes to another process and back."""
    ours, theirs = socket.socketpair()
    payload = (PACKED, BATCH, b"x" * size)
    if os.fork() == 0:
        ours.close()
        channel = Channel(theirs)
        while not channel.ended:
            for message in channel.receive():
                channel.send(message)
        os._exit(0)
    theirs.close()
    channel = Channel(ours)

    def once() -> None:
        channel.send(payload)
        while not channel.receive():
            pass

    found = 1e6 * best(once, 300)
    channel.close()
    os.wait()
    return found


def thread_switch() -> float:
    """From one thread to another and back."""
    from queue import SimpleQueue

    there: SimpleQueue[int] = SimpleQueue()
    back: SimpleQueue[int] = SimpleQueue()

    def serve() -> None:
        while there.get():
            back.put(1)

    thread = threading.Thread(target=serve)
    thread.start()

    def once() -> None:
        there.put(1)
        back.get()

    found = 1e6 * best(once, 2000)
    there.put(0)
    thread.join()
    return found


def arena(size: int) -> float:
    """Bytes into shared memory, and out of it into an object of their own; gigabytes a second."""
    shape = layout(1, 512 << 20)
    assert shape is not None
    memory = SharedMemoryFile(shape, 0, 0)
    packer = ObjectWriter(pickle.dumps, memory).write
    data = b"x" * size

    def once() -> None:
        parcel = packer(data)
        assert not isinstance(parcel, bytes)
        assert len(parcel.open(None)) == size

    times = max(3, (64 << 20) // size)
    return size / best(once, times) / 1e9


def memcpy(size: int) -> float:
    """What the machine copies into memory that is in use; gigabytes a second."""
    data, target = b"x" * size, mmap.mmap(-1, size)

    def once() -> None:
        target[:] = data

    return size / best(once, max(3, (256 << 20) // size)) / 1e9


def main() -> None:
    for name, value in facts().items():
        print(f"{name:12} {value}")
    values = list(range(BATCH))
    packed = pickle.dumps(values, 5)
    lines: list[tuple[str, float, str]] = [
        ("call of a function", per_item(lambda: list(map(increment, values))), "ns an item"),
        ("loop of a worker, call included", run_items(), "ns an item"),
        ("pickle of small integers", per_item(lambda: pickle.dumps(values, 5)), "ns an item"),
        ("unpickle", per_item(lambda: pickle.loads(packed)), "ns an item"),
        ("pickle one by one", per_item(lambda: [pickle.dumps(value, 5) for value in values]), "ns an item"),
        ("loop of a consumer, unpickling included", iterate(), "ns an item"),
        ("schedule, per batch", schedule(), "us"),
        ("delivery, per batch", deliver(), "us"),
        ("thread switch, there and back", thread_switch(), "us"),
        ("frame of 100 B to a process and back", ping_pong(100), "us"),
        ("frame of 6 KB (a batch) to a process and back", ping_pong(6 << 10), "us"),
        ("frame of 1 MB to a process and back", ping_pong(1 << 20), "us"),
        ("bytes of 1 MB through the arena", arena(1 << 20), "GB/s"),
        ("bytes of 8 MB through the arena", arena(8 << 20), "GB/s"),
        ("memcpy of 8 MB", memcpy(8 << 20), "GB/s"),
    ]
    print()
    for what, value, unit in lines:
        print(f"{what:48} {value:10.3g} {unit}", flush=True)


if __name__ == "__main__":
    main()
