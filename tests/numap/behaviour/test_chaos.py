"""Workers killed, stopped and recycled at random moments: every item still has exactly one outcome."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from numap import IMap, WorkerDied, join
from tests.numap.behaviour.chaos_items import (
    add,
    add_arrays,
    double,
    double_array,
    increment,
    make_array,
    value_of_array,
)

ITEMS = 6000
KILLS = 200


class Load(NamedTuple):
    """What the items of a history are, and the functions on them."""

    items: int
    make: Callable[[Iterable[int]], Iterable[Any]]
    value: Callable[[Any], int]
    double: Callable[[Any], Any]
    add: Callable[[Any], Any]


NUMBERS = Load(ITEMS, lambda xs: xs, int, double, add)
ARRAYS = Load(1200, lambda xs: map(make_array, xs), value_of_array, double_array, add_arrays)


class Killer(threading.Thread):
    """Sends signals to the workers of a map: children of the starter that tell their pids by files.

    A worker's pid is only used while its slot still has that worker, so that no stranger is hit.
    """

    def __init__(self, imap: IMap[Any], dice: Random) -> None:
        super().__init__(daemon=True)
        self._slots = imap._life.manager._engine.slots
        self._dice = dice
        self.over = threading.Event()
        self.kills = 0

    def run(self) -> None:
        dice = self._dice
        while not self.over.wait(dice.uniform(0, 0.008)) and self.kills < KILLS:
            handle = dice.choice(self._slots).handle
            pid = handle.pid if handle is not None else None
            if pid is None or not is_child_of_starter(pid):
                continue
            try:
                if dice.random() < 0.8:
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1
                else:
                    os.kill(pid, signal.SIGSTOP)
                    self.over.wait(dice.uniform(0, 0.03))
                    os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue


def is_child_of_starter(pid: int) -> bool:
    try:
        return b"numap._worker.starter" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def chaos(seed: int, load: Load = NUMBERS) -> tuple[str, int, int]:
    """One history; returns its shape, the kills and the items that failed."""
    places = range(load.items)
    dice = Random(seed)
    shape = dice.choice(["single", "chain", "join"])
    ordered = dice.random() < 0.5
    recycled = dice.choice([None, None, 50, 500])
    imap: IMap[Any] = IMap(
        worker_num=dice.choice([2, 3, 4]),
        ordered=ordered,
        retries=dice.choice([0, 0, 3]),
        max_items_per_worker=recycled,
    )
    if shape == "single":
        end, expected = imap.add_task(load.double, load.make(places)), [2 * x for x in places]
    elif shape == "chain":
        end = imap.add_task(increment, imap.add_task(load.double, load.make(x for x in places)))
        expected = [2 * x + 1 for x in places]
    else:
        pairs = join(imap.add_task(load.double, load.make(places)), imap.add_task(increment, load.make(places)))
        end, expected = imap.add_task(load.add, pairs), [3 * x + 1 for x in places]
    found: list[tuple[str, int]] = []
    with imap:
        killer = Killer(imap, dice)
        killer.start()
        while True:
            try:
                found.append(("value", load.value(next(end))))
            except StopIteration:
                break
            except WorkerDied as error:
                assert error.index is not None
                found.append(("failed", error.index))
            if dice.random() < 0.2:
                time.sleep(0.0006)
        killer.over.set()
        killer.join()
    failed = [index for kind, index in found if kind == "failed"]
    assert len(found) == load.items and len(failed) == len(set(failed))
    gone = set(failed)
    right = [("failed", x) if x in gone else ("value", expected[x]) for x in places]
    assert found == right if ordered else sorted(found) == sorted(right)
    return shape, killer.kills, len(failed)


@pytest.mark.parametrize("seed", range(4))
def test_chaos(seed: int) -> None:
    shape, kills, _ = chaos(seed)
    assert kills, f"nothing was killed in a history with shape {shape}"


@pytest.mark.parametrize("seed", range(3))
def test_chaos_with_arrays_in_shared_memory(seed: int) -> None:
    pytest.importorskip("numpy", reason="numpy is in the test extra")
    shape, kills, _ = chaos(seed, ARRAYS)
    assert kills, f"nothing was killed in a history with shape {shape}"


if __name__ == "__main__":
    import sys

    chosen = ARRAYS if "arrays" in sys.argv[3:] else NUMBERS
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        print(number, *chaos(number, chosen), flush=True)
