"""numap beside multiprocessing.Pool: a few workloads, each pair measured in turn, medians and ratios.

Each measurement takes a process of its own. The baseline is ``Pool(2).imap`` as it comes; ours has default arguments.

    python benchmarks/bench_numap.py [WORKLOAD ...]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from typing import Any

from numap import IMap

ROUNDS = 3


def increment(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


def burn(n: int) -> int:
    x = 0
    for i in range(n):
        x += i & 7
    return x


def pool_map(functions: list[Callable[[Any], Any]], items: Iterable[Any]) -> Iterator[Any]:
    with get_context("fork").Pool(2) as pool:
        for function in functions:
            items = pool.imap(function, items)
        yield from items


def numap_map(functions: list[Callable[[Any], Any]], items: Iterable[Any]) -> Iterator[Any]:
    imap: IMap[Any] = IMap(worker_num=2)
    for function in functions:
        items = imap.add_task(function, items)
    with imap:
        yield from items


#: Name: functions, items, what it shows.
WORKLOADS: dict[str, tuple[list[Callable[[Any], Any]], Callable[[], Iterable[Any]], str]] = {
    "tiny": ([increment], lambda: range(100_000), "x + 1 over integers"),
    "generator": ([increment], lambda: (x for x in range(100_000)), "the same from a generator"),
    "chain": ([increment, double, increment], lambda: range(30_000), "three chained tasks"),
    "cpu": ([burn], lambda: [40_000] * 600, "2 ms of Python each"),
    "bytes": ([bytes.upper], lambda: (b"x" * (1 << 20) for _ in range(200)), "1 MB there and back"),
    "once": ([increment], lambda: [1], "a map for one item"),
}
MAPS = {"numap": numap_map, "Pool": pool_map}


def measure(workload: str, name: str) -> float:
    """Seconds for one run of a workload, start and end of the workers included."""
    functions, items, _ = WORKLOADS[workload]
    # The first map of a process starts the starter; the second one is what a program sees from then on.
    for _ in MAPS[name]([increment], [1]):
        pass
    began = time.perf_counter()
    for _ in MAPS[name](functions, items()):
        pass
    return time.perf_counter() - began


def in_own_process(workload: str, name: str) -> float:
    command = [sys.executable, __file__, "--measure", workload, name]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(json.loads(found.stdout))


def main(names: list[str]) -> None:
    print(f"{'workload':12}{'numap':>10}{'Pool':>10}{'ratio':>8}   what")
    for workload in names or WORKLOADS:
        times: dict[str, list[float]] = {name: [] for name in MAPS}
        for _ in range(ROUNDS):
            for name in MAPS:
                times[name].append(in_own_process(workload, name))
        ours, theirs = (statistics.median(times[name]) for name in ("numap", "Pool"))
        print(f"{workload:12}{ours:9.3f}s{theirs:9.3f}s{theirs / ours:8.1f}   {WORKLOADS[workload][2]}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:4])))
    else:
        main(sys.argv[1:])
