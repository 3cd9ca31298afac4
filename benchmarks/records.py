"""What people have as items: records."""

from __future__ import annotations

import datetime
import decimal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import functions as f
from peers import Peer

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


def enlarged(number: int, took: float) -> int:
    """How many items to try next, where so many took too few seconds."""
    return max(2 * number, int(1.3 * number * ENOUGH / took))


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
        number = enlarged(number, took)
