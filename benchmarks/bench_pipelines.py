"""Figures of step pipelines: entries a second through three tiny steps, the time of one entry, the CPU of an idle one.

    python benchmarks/bench_pipelines.py
"""

from __future__ import annotations

import queue
import statistics
import time
from collections.abc import Callable
from typing import Any

from papy import AbstractStep, Pipeline, iterstep

ENTRIES = 100_000


def same(entry: Any) -> Any:
    return entry


class Same(AbstractStep):
    def process(self, entry: Any) -> Any:
        return entry


def throughput(pipeline: Pipeline, entries: int = ENTRIES) -> float:
    """Entries a second, start and end of the workers included."""
    pipeline.put_iterable(range(entries))
    begin = time.perf_counter()
    pipeline.run()
    return entries / (time.perf_counter() - begin)


def latencies(entries: int = 300) -> list[float]:
    """Seconds that one entry takes through three idle steps."""
    source: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    found = []
    with Pipeline((same, 1), (same, 1), (done.put, 1), in_queue=source):
        for n in range(entries):
            begin = time.perf_counter()
            source.put(n)
            done.get()
            found.append(time.perf_counter() - begin)
            time.sleep(0.002)
    return found


def idle(seconds: float = 3.0) -> float:
    """The share of a CPU that an idle pipeline uses."""
    with Pipeline((same, 8), (iterstep(iter), 4), (same, 1)):
        time.sleep(0.2)
        begin = time.process_time()
        time.sleep(seconds)
        return (time.process_time() - begin) / seconds


def main() -> None:
    workloads: dict[str, Callable[[], float]] = {
        "three functions, 1 thread each": lambda: throughput(Pipeline((same, 1), (same, 1), (same, 1))),
        "three functions, 4 threads each": lambda: throughput(Pipeline((same, 4), (same, 4), (same, 4))),
        "three classes, 1 thread each": lambda: throughput(Pipeline((Same, 1), (Same, 1), (Same, 1))),
        "the same, threshold=1024": lambda: throughput(Pipeline((Same, 1), (Same, 1), (Same, 1), threshold=1024)),
        "two iterator steps": lambda: throughput(Pipeline((iterstep(iter), 1), (iterstep(iter), 1))),
        "one step of 500 threads": lambda: throughput(Pipeline((same, 500)), 20_000),
    }
    for name, measure in workloads.items():
        figures = sorted(measure() for _ in range(3))
        print(f"{name:34} {figures[1]:9,.0f} entries/s   ({figures[0]:,.0f} to {figures[2]:,.0f})")
    found = latencies()
    print(f"{'one entry through three idle steps':34} {1000 * statistics.median(found):9.2f} ms (at most {1000 * max(found):.2f})")
    print(f"{'an idle pipeline':34} {100 * idle():9.3f} % of a CPU")


main()
