"""Does cost grow with the work and nothing else? Items, workers, tasks and sizes, over some powers of ten.

python benchmarks/growth.py [items|workers|tasks|sizes ...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from functions import increment, nap, same
from machine import facts

from numap import IMap


def memory() -> float:
    """Megabytes of this process by its proportional share of what it has in common with others."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


def items() -> None:
    """Items a second and memory, from 10^4 to 10^7 items."""
    for size in (10**4, 10**5, 10**6, 10**7):
        most = memory()
        began = time.perf_counter()
        with IMap(increment, iter(range(size)), worker_num=2) as results:
            for number, _ in enumerate(results):
                if not number % 1_000_000:
                    most = max(most, memory())
        took = time.perf_counter() - began
        print(f"{size:>12,} items {size / took:>14,.0f} items/s {max(most, memory()):>10.1f} MB", flush=True)


def workers() -> None:
    """Sleeping items: time against the ideal, from 1 to 64 workers, processes and threads."""
    for kind in ("process", "thread"):
        for number in (1, 2, 4, 8, 16, 32, 64):
            count = 100 * number
            with IMap(nap, [1] * number * 2, worker_num=number, worker_type=kind) as results:
                assert len(list(results)) == 2 * number  # each has started
            with IMap(nap, iter([10] * count), worker_num=number, worker_type=kind) as results:
                next(results)
                began = time.perf_counter()
                for _ in results:
                    pass
            took = time.perf_counter() - began
            over = 1e6 * (took - 0.010 * count / number) / count
            print(
                f"{kind:>8} {number:>3} workers: {took:6.2f} s, {0.010 * count / number / took:6.1%} of the ideal, "
                f"{over:8.1f} us an item on top",
                flush=True,
            )


def tasks() -> None:
    """Items a second over 1 to 100 tasks on one map, side by side and chained."""
    size = 200_000
    for number, each in (*((n, size // n) for n in (1, 3, 10, 30, 100)), (100, 20_000), (100, 100_000)):
        imap: IMap[int] = IMap(worker_num=2)
        ends = [imap.add_task(same, range(each)) for _ in range(number)]
        with imap:
            began = time.perf_counter()
            for end in ends:
                for _ in end:
                    pass
            took = time.perf_counter() - began
        print(
            f"{number:>4} tasks side by side: {1e9 * took / number / each:8.0f} ns an item, {each:>7,} each", flush=True
        )
    for number in (1, 3, 10, 30, 100):
        imap = IMap(worker_num=2)
        end = range(max(2000, size // number))
        count = len(end)
        for _ in range(number):
            end = imap.add_task(same, end)
        with imap:
            began = time.perf_counter()
            for _ in end:
                pass
            took = time.perf_counter() - began
        print(f"{number:>4} tasks in a chain:   {1e9 * took / count / number:8.0f} ns an item and task", flush=True)


def sizes() -> None:
    """Bytes there and back, from nothing to a gigabyte."""
    for size in (0, 10, 10**2, 10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9):
        count = max(3, min(20_000, 4 * 10**8 // max(1, size)))

        def source(size: int = size, count: int = count) -> Iterator[bytes]:
            for _ in range(count):
                yield bytes(size)

        with IMap(same, source(), worker_num=2) as results:
            began = time.perf_counter()
            for result in results:
                assert len(result) == size
            took = time.perf_counter() - began
        print(
            f"{size:>13,} B: {1e6 * took / count:12.1f} us an item, {2 * size * count / took / 1e9:6.2f} GB/s",
            flush=True,
        )


CURVES: dict[str, Callable[[], None]] = {"items": items, "workers": workers, "tasks": tasks, "sizes": sizes}


def main() -> None:
    for name, value in facts().items():
        print(f"{name:12} {value}")
    for name in sys.argv[1:] or CURVES:
        print(f"\n{name}: {CURVES[name].__doc__}")
        CURVES[name]()


if __name__ == "__main__":
    main()
