"""What people have: records as items, and functions that need a library."""

from __future__ import annotations

import datetime
import decimal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import functions as f
from peers import PEERS, Peer

#: Seconds that a measurement takes at least, and the items that it begins with.
ENOUGH = 0.5
BEGIN = 2000


class Point(NamedTuple):
    id: int
    name: str
    value: float


@dataclass
class Row:
    id: int
    name: str
    value: float


def array(n: int) -> Any:
    import numpy

    return numpy.arange(128.0) + n


#: By the name of a workload what its items are and how one is made.
KINDS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "R1": ("integers", lambda n: n),
    "R2": ("texts of 300 characters", lambda n: f"{n} " * 60),
    "R3": ("tuples of three", lambda n: (n, f"name {n}", n * 1.5)),
    "R4": ("lists of ten integers", lambda n: list(range(n, n + 10))),
    "R5": ("dicts of four", lambda n: {"id": n, "name": f"name {n}", "value": n * 1.5, "tags": ["a", "b"]}),
    "R6": (
        "nested records of 1 KB",
        lambda n: {"id": n, "rows": [{"k": k, "v": [n, k, k / 3]} for k in range(8)], "text": f"{n} " * 40},
    ),
    "R7": ("named tuples", lambda n: Point(n, f"name {n}", n * 1.5)),
    "R8": ("data classes", lambda n: Row(n, f"name {n}", n * 1.5)),
    "R9": (
        "dates with decimals",
        lambda n: (datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=n), decimal.Decimal(n) / 7),
    ),
    "R10": ("arrays of 128 floats", array),
}


def records(peer: type[Peer], make: Callable[[int], Any], chained: int = 1) -> float:
    """Items per second through ``chained`` tasks that give back what they get; the start of the pool counts.

    There are as many items as take a while, so each peer has its share of the start.
    """
    pool = peer()
    for _ in pool.map(f.same, [make(n) for n in range(20)]):
        pass
    pool.close()
    number = BEGIN
    while True:
        items = [make(n) for n in range(number)]
        began = time.perf_counter()
        pool = peer()
        found = pool.map(f.same, items) if chained == 1 else pool.chain([f.same] * chained, items)
        assert sum(1 for _ in found) == number
        pool.close()
        took = time.perf_counter() - began
        if took >= ENOUGH:
            return number / took
        number = max(2 * number, int(1.3 * number * ENOUGH / took))


def start(peer: type[Peer], library: str | None, first: bool = False) -> float:
    """Milliseconds for the whole life of a map of four items whose function needs a library, which the program has, too.

    Args:
        peer: the pool.
        library: what the function imports.
        first: that of the first map of the process, else the median of those that follow.
    """
    if library is not None:
        __import__(library)
    function = f.FUNCTIONS[library]
    taken = []
    for _ in range(1 if first else 8):
        began = time.perf_counter()
        pool = peer()
        assert len(list(islice(pool.map(function, range(4)), 4))) == 4
        pool.close()
        taken.append(1000 * (time.perf_counter() - began))
    return taken[0] if first else sorted(taken[1:])[3]


def replaced(peer: type[Peer], library: str | None) -> float:
    """Seconds for 60 items with a new worker after every five of them."""
    if library is not None:
        __import__(library)
    function = f.FUNCTIONS[library]
    began = time.perf_counter()
    if peer is PEERS["numap"]:
        from numap import IMap

        assert sum(1 for _ in IMap(function, range(60), worker_num=2, max_items_per_worker=5)) == 60
    else:
        from multiprocessing import get_context

        with get_context("fork").Pool(2, maxtasksperchild=5) as pool:
            assert sum(1 for _ in pool.imap(function, range(60))) == 60
    return time.perf_counter() - began
