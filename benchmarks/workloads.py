"""What is measured: each workload gives one figure for one peer, in a process of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

import functions as f
from buffers import BUFFERS, LARGE, buffers
from peers import PEERS, Peer
from records import KINDS, records
from starts import hundred, memory_of_ten, replaced, start

TINY = 200_000


class Workload(NamedTuple):
    """One row of the table.

    Attributes:
        title: what is done.
        unit: of the figure.
        run: gives the figure for a peer's class.
        peers: what is measured besides numap and the baseline.
        baseline: a peer, which is measured in turn with every other, or a figure that was published, or None: the figure
            stands for itself.
        reach: the ratio to the baseline, or the figure, to be reached.
        at_most: less is better.
    """

    title: str
    unit: str
    run: Callable[[type[Peer]], float]
    peers: Sequence[str] = ()
    baseline: str | float | None = "Pool"
    reach: float | None = None
    at_most: bool = False


def drain(items: Iterable[Any]) -> int:
    number = 0
    for _ in items:
        number += 1
    return number


def warmed(peer: type[Peer], workers: int = 2, kind: str = "process") -> Peer:
    """A pool that has run something: its start is another workload's business."""
    pool = peer(workers, kind)
    drain(pool.map(f.same, range(8)))
    return pool


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# ---------------------------------------------------------------------- many small items


def tiny(peer: type[Peer], ordered: bool = True, generator: bool = False) -> float:
    size = int(TINY * peer.share)
    if peer is PEERS["Pool"]:
        size //= 5
    pool = warmed(peer)
    items: Any = (x for x in range(size)) if generator else range(size)
    total = 0
    began = time.perf_counter()
    for result in pool.map(f.increment, items, ordered):
        total += result
    took = time.perf_counter() - began
    assert total == size * (size + 1) // 2
    pool.close()
    return size / took


def chained(peer: type[Peer]) -> float:
    size = int(50_000 * max(peer.share, 0.1))
    pool = warmed(peer)
    functions: list[Callable[[Any], Any]] = [f.increment, f.double, f.decrease]
    began = time.perf_counter()
    total = sum(pool.chain(functions, range(size)))
    took = time.perf_counter() - began
    assert total == size * (size - 1) - size
    pool.close()
    return size / took


# ---------------------------------------------------------------------- work


def rounds_of(seconds: float) -> int:
    """Rounds of `burn` for so much CPU time."""
    per_round = min(timed(partial(f.burn, 200_000)) for _ in range(5)) / 200_000
    return int(seconds / per_round)


def bare(durations: list[int]) -> float:
    """Seconds that two forked processes need with nothing but the work, evenly shared."""
    shares: list[list[int]] = [[], []]
    for rounds in sorted(durations, reverse=True):
        min(shares, key=sum).append(rounds)
    began = time.perf_counter()
    for share in shares:
        if os.fork() == 0:
            for rounds in share:
                f.burn(rounds)
            os._exit(0)
    for _ in shares:
        os.wait()
    return time.perf_counter() - began


def efficiency(peer: type[Peer], durations: list[int], ordered: bool) -> float:
    ideal = bare(durations)
    pool = warmed(peer)
    took = timed(lambda: drain(pool.map(f.burn, durations, ordered)))
    pool.close()
    return min(ideal, bare(durations)) / took


def even(peer: type[Peer]) -> float:
    return efficiency(peer, [rounds_of(0.002)] * 2000, True)


def heavy_tailed(peer: type[Peer], ordered: bool) -> float:
    dice = random.Random(1)
    unit = rounds_of(0.001)
    durations = [int(unit * min(100, dice.paretovariate(1.1))) for _ in range(400)]
    return efficiency(peer, durations, ordered)


# ---------------------------------------------------------------------- large items


def arrays(peer: type[Peer], size: int, number: int) -> float:
    import numpy

    pool = warmed(peer)
    number = max(8, int(number * min(1.0, 0.25 + peer.share)))

    def source() -> Iterator[Any]:
        for _ in range(number):
            yield numpy.ones(size // 8)

    def consume() -> None:
        for result in pool.map(f.twice, source()):
            assert result[0] == 2 and result[-1] == 2

    took = timed(consume)
    pool.close()
    return 2 * number * size / took / 1e9


def large_bytes(peer: type[Peer], number: int, chain: bool) -> float:
    pool = warmed(peer)
    payload = os.urandom(1 << 20)
    source = (payload[n:] + payload[:n] for n in range(number))
    found = pool.chain([f.rotate] * 3, source) if chain else pool.map(f.rotate, source)
    took = timed(lambda: drain(found))
    pool.close()
    return number / took


def large_argument(peer: type[Peer]) -> float:
    pool = warmed(peer)
    table = partial(f.with_table, table=b"x" * 50_000_000)
    took = timed(lambda: drain(pool.map(table, range(40))))
    pool.close()
    return 40 / took


# ---------------------------------------------------------------------- laziness


def ahead(peer: type[Peer], figure: str) -> float:
    import psutil

    this = psutil.Process()
    before = this.memory_info().rss
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        for pulled in count(1):
            if pulled > 300_000:
                return
            yield b"%1000d" % pulled

    pool = warmed(peer)
    furthest = grown = 0
    for place, _ in enumerate(islice(pool.map(f.same, endless()), 1500)):
        time.sleep(0.001)
        furthest = max(furthest, pulled - place - 1)
        if not place % 100:
            grown = max(grown, this.memory_info().rss - before)
    return float(furthest) if figure == "items" else grown / 1e6


# ---------------------------------------------------------------------- start and wait


def one_item(peer: type[Peer], cold: bool, in_main: bool) -> float:
    """Milliseconds for a pool, one item and the end of the pool."""
    function = f.increment
    if in_main:
        exec("def increment(x): return x + 1", vars(sys.modules["__main__"]))
        function = vars(sys.modules["__main__"])["increment"]
    if peer.name == "numap":
        import numap

        assert numap.IMap
    else:
        import multiprocessing.pool  # noqa: F401

    def once() -> None:
        pool = peer()
        assert drain(pool.map(function, [1])) == 1
        pool.close()

    if not cold:
        once()
    return 1000 * timed(once)


def import_time(peer: type[Peer]) -> float:
    """Milliseconds that ``import`` adds to the start of Python."""

    def start(code: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    module = peer.module
    start(f"import {module}")
    return 1000 * (min(start(f"import {module}") for _ in range(7)) - min(start("pass") for _ in range(7)))


def round_trip(peer: type[Peer]) -> float:
    """Microseconds for one item on an idle map."""
    import queue

    source: queue.SimpleQueue[int] = queue.SimpleQueue()
    pool = peer()
    results = pool.map(f.same, iter(source.get, None))
    times = []
    for number in range(600):
        began = time.perf_counter()
        source.put(number)
        next(results)
        times.append(time.perf_counter() - began)
    return 1e6 * sorted(times)[300]


def ping_pong(_: type[Peer]) -> float:
    """Microseconds for one item through a raw pipe."""
    from multiprocessing import Pipe

    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        while (item := theirs.recv()) is not None:
            theirs.send(item)
        os._exit(0)
    times = []
    for number in range(600):
        began = time.perf_counter()
        ours.send(number)
        ours.recv()
        times.append(time.perf_counter() - began)
    ours.send(None)
    os.wait()
    return 1e6 * sorted(times)[300]


# ---------------------------------------------------------------------- threads


def naps(peer: type[Peer]) -> float:
    """The part of the time that 64 threads need at least."""
    pool = warmed(peer, 64, "thread")
    took = timed(lambda: drain(pool.map(f.nap, [5] * 2000)))
    pool.close()
    return 2000 * 0.005 / 64 / took


def tiny_threads(peer: type[Peer]) -> float:
    pool = warmed(peer, 4, "thread")
    took = timed(lambda: drain(pool.map(f.increment, range(TINY // 4))))
    pool.close()
    return TINY / 4 / took


# ---------------------------------------------------------------------- papy


def step_pipeline(_: type[Peer]) -> float:
    from papy import Pipeline

    pipeline = Pipeline((f.same, 1), (f.same, 1), (f.same, 1))
    pipeline.put_iterable(range(50_000))
    return 50_000 / timed(pipeline.run)


def idle(_: type[Peer]) -> float:
    """Percent of a CPU that an unread map and a waiting pipeline use."""
    from numap import IMap
    from papy import Pipeline

    imap = IMap(f.same, count(), worker_num=2)
    with imap, Pipeline((f.same, 4), (f.same, 1)):
        next(imap)
        time.sleep(0.5)
        began, used = time.perf_counter(), time.process_time()
        time.sleep(3)
        return 100 * (time.process_time() - used) / (time.perf_counter() - began)


def dagger(_: type[Peer]) -> float:
    from numap import IMap
    from papy import Dagger, Piper

    def run(size: int) -> float:
        imap: Any = IMap(worker_num=2)
        pipers = [Piper(f.first_of, parallel=imap, name=name) for name in "abc"]
        graph = Dagger()
        graph.add_pipers(pipers)
        graph.add_pipe(tuple(pipers))
        began = time.perf_counter()
        assert drain(graph.results([range(size)])) == size
        return size / (time.perf_counter() - began)

    run(100)
    return run(10_000)


_TUNED = "Pool, chunks of 1000"
_TINY_PEERS = (
    "hand",
    "Pool, chunks of 1000",
    "Executor",
    "Executor, chunks of 1000",
    "loky",
    "loky, chunks of 1000",
    "joblib",
    "mpire",
    "pebble",
    "pypeln",
    "spdl",
    "dask",
    "ray",
)
_UNORDERED = ("hand", "Pool, chunks of 1000", "Executor, chunks of 1000", "mpire")
_WORK = ("Executor", "joblib", "mpire", "pebble", "dask")
_LARGE = ("Executor", "loky", "joblib", "mpire", "pebble", "dask", "ray")
_CHAINS = ("hand", "Pool, chunks of 1000", "Executor", "mpire", "pypeln", "spdl")

WORKLOADS: dict[str, Workload] = {
    "P1": Workload("x + 1 over 200,000 integers", "items/s", tiny, _TINY_PEERS, reach=70),
    "P1g": Workload("the same from a generator", "items/s", partial(tiny, generator=True), ("hand", "joblib", "mpire")),
    "P1u": Workload("the same, unordered", "items/s", partial(tiny, ordered=False), _UNORDERED, reach=80),
    "P2": Workload("2 ms of Python each, against bare processes", "of the ideal", even, ("Pool", *_WORK), None, 0.97),
    "P3": Workload(
        "1 to 100 ms, heavy-tailed, ordered",
        "of the ideal",
        partial(heavy_tailed, ordered=True),
        ("Pool", "joblib", "mpire"),
        "hand, singly",
        0.95,
    ),
    "P3u": Workload(
        "the same, unordered",
        "of the ideal",
        partial(heavy_tailed, ordered=False),
        ("Pool", "mpire"),
        "hand, singly",
        0.95,
    ),
    "P4": Workload("arrays of 8 MB there and back", "GB/s", partial(arrays, size=8 << 20, number=200), _LARGE, reach=8),
    "P4b": Workload("arrays of 64 MB", "GB/s", partial(arrays, size=64 << 20, number=40), ("mpire", "ray"), reach=8),
    "P4c": Workload(
        "1 MB of bytes there and back",
        "items/s",
        partial(large_bytes, number=1000, chain=False),
        ("mpire", "joblib"),
        reach=3,
    ),
    "P5": Workload("three chained tasks, small items", "items/s", chained, _CHAINS, reach=100),
    "P5b": Workload(
        "three chained tasks, 1 MB of bytes",
        "items/s",
        partial(large_bytes, number=300, chain=True),
        ("mpire",),
        reach=5,
    ),
    "P6": Workload(
        "items pulled ahead of a slow consumer",
        "items",
        partial(ahead, figure="items"),
        ("Pool", "mpire", "spdl", "joblib"),
        None,
        None,
        True,
    ),
    "P6m": Workload("its growth of memory", "MB", partial(ahead, figure="MB"), ("Pool", "mpire"), None, None, True),
    "P7": Workload(
        "a map for one item, starter warm", "ms", partial(one_item, cold=False, in_main=False), (), "Pool", 1.5, True
    ),
    "P7c": Workload(
        "the same, first of the process", "ms", partial(one_item, cold=True, in_main=False), (), "Pool", 1.5, True
    ),
    "P7m": Workload(
        "warm, a function of __main__", "ms", partial(one_item, cold=False, in_main=True), (), "Pool", 1.5, True
    ),
    "P7mc": Workload(
        "first of the process, of __main__", "ms", partial(one_item, cold=True, in_main=True), (), "Pool", 1.5, True
    ),
    "P7i": Workload("import", "ms", import_time, ("joblib", "mpire", "pebble", "dask"), None, 30, True),
    "P8": Workload("5 ms of sleep on 64 threads", "of the ideal", naps, ("Pool", "Executor"), None, 0.9),
    "P8t": Workload("tiny items on 4 threads", "items/s", tiny_threads, ("Executor",), reach=1.5),
    "P9": Workload(
        "40 items, 50 MB of constant argument",
        "items/s",
        large_argument,
        ("Pool, chunks of 25", "joblib", "mpire"),
        reach=30,
    ),
    "P10": Workload("one item on an idle map", "us", round_trip, (), "ping-pong", 3, True),
    "P11": Workload("Pipeline, three tiny steps", "items/s", step_pipeline, (), 5_700.0, 10),
    "P12": Workload("idle map and Pipeline", "% CPU", idle, (), None, 0.2, True),
    "P13": Workload("Dagger, three pipers, 10,000 items", "items/s", dagger, (), 4_800.0, 50),
}

#: Ratios to reach, to a Pool with a tuned chunk size, or (`_APART`) to a loop that pickles each record for itself.
_REACH = {"R1": 1.2, "R2": 1.1, "R3": 1.0, "R4": 1.0, "R5": 1.0, "R6": 0.9, "R7": 0.8, "R8": 0.8, "R9": 0.8, "R10": 1.0}
_APART = ("R4", "R5", "R6")
_RECORD_PEERS = ("Pool, chunks of 1000", "hand, apart", "Pool", "joblib", "mpire")

WORKLOADS |= {
    key: Workload(
        title,
        "items/s",
        partial(records, make=make),
        _RECORD_PEERS,
        "hand, apart" if key in _APART else "Pool, chunks of 1000",
        _REACH[key],
    )
    for key, (title, make) in KINDS.items()
}
WORKLOADS["R11"] = Workload(
    "three chained tasks, dicts", "items/s", partial(records, make=KINDS["R5"][1], chained=3), ("mpire",), _TUNED, 1.0
)
WORKLOADS |= {
    key: Workload(title, "items/s", partial(buffers, make=make, size=size), (), "Pool", 3.0 if size == LARGE else 0.8)
    for key, (title, make, size) in BUFFERS.items()
}
for _mark, _library, _most in (("", None, 1.5), ("n", "numpy", 2.0), ("p", "pandas", 2.0)):
    _title = f"a map of four items, {_library or 'bare'}"
    _first = f"the first map of a process, {_library or 'bare'}"
    _new = f"60 items, a new worker for five, {_library or 'bare'}"
    _life = partial(start, library=_library)
    WORKLOADS |= {
        f"S{'2' if _mark else '1'}{_mark}": Workload(_title, "ms", _life, ("joblib",), "Pool", _most, True),
        f"S3{_mark}": Workload(_first, "ms", partial(_life, first=True), ("joblib",), "Pool", None, True),
        f"S4{_mark}": Workload(_new, "s", partial(replaced, library=_library), (), "Pool", 2.0, True),
    }
WORKLOADS |= {
    "S5": Workload("a hundred maps of ten items, one Pool kept", "ms", hundred, ("joblib",), "Pool", 1.5, True),
    "S6": Workload("memory of ten workers with pandas", "of ten imports", memory_of_ten, (), None, 0.4, True),
}
# What most people have comes first: records, libraries, then numbers.
WORKLOADS = dict(sorted(WORKLOADS.items(), key=lambda it: "RSP".index(it[0][0])))


def figure(key: str, name: str) -> float:
    """Measures; in a process that does nothing else."""
    workload = WORKLOADS[key]
    if name == "ping-pong":
        return ping_pong(Peer)
    return workload.run(PEERS[name])
