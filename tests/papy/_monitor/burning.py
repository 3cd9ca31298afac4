"""Steps that take time, in a module that a worker process imports in no time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator


def slow(entries: Iterable[int]) -> Iterator[int]:
    for entry in entries:
        time.sleep(0.02)
        yield entry


def quick(entries: Iterable[int]) -> Iterator[int]:
    yield from entries


def burn(n: int) -> int:
    time.sleep(0.02)
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    return n


def burn_all(entries: Iterable[int]) -> Iterator[int]:
    return map(burn, entries)
