"""Workers killed, stopped and recycled at random moments: every item still has exactly one outcome."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from numap import IMap, WorkerDied, join

ITEMS = 10_000
KILLS = 200


def double(x: int) -> int:
    if x % 97 == 0:
        time.sleep(0.003)
    return x * 2


def increment(x: int) -> int:
    return x + 1


def add(pair: tuple[int, int]) -> int:
    return pair[0] + pair[1]


class Killer(threading.Thread):
    """Sends signals to the workers of a map: children of the starter that tell their pids by files.

    A worker's pid is only used while its slot still has that worker, so that no stranger is hit.
    """

    def __init__(self, imap: IMap[Any], dice: Random) -> None:
        super().__init__(daemon=True)
        self._slots = imap._manager._engine.slots
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
        return b"numap._starter" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def chaos(seed: int) -> tuple[str, int, int]:
    """One history; returns its shape, the kills and the items that failed."""
    dice = Random(seed)
    shape = dice.choice(["single", "chain", "join"])
    ordered = dice.random() < 0.5
    recycled = dice.choice([None, None, 50, 500])
    imap: IMap[Any] = IMap(
        worker_num=dice.choice([2, 3, 4]), ordered=ordered, retries=dice.choice([0, 0, 3]), max_items_per_worker=recycled
    )
    if shape == "single":
        end, expected = imap.add_task(double, range(ITEMS)), [2 * x for x in range(ITEMS)]
    elif shape == "chain":
        end = imap.add_task(increment, imap.add_task(double, (x for x in range(ITEMS))))
        expected = [2 * x + 1 for x in range(ITEMS)]
    else:
        pairs = join(imap.add_task(double, range(ITEMS)), imap.add_task(increment, range(ITEMS)))
        end, expected = imap.add_task(add, pairs), [3 * x + 1 for x in range(ITEMS)]
    found: list[tuple[str, int]] = []
    with imap:
        killer = Killer(imap, dice)
        killer.start()
        while True:
            try:
                found.append(("value", next(end)))
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
    assert len(found) == ITEMS and len(failed) == len(set(failed))
    right = [("failed", x) if x in set(failed) else ("value", expected[x]) for x in range(ITEMS)]
    assert found == right if ordered else sorted(found) == sorted(right)
    return shape, killer.kills, len(failed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_chaos(seed: int) -> None:
    shape, kills, _ = chaos(seed)
    assert kills, f"nothing was killed in a history with shape {shape}"


if __name__ == "__main__":
    import sys

    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        print(number, *chaos(number), flush=True)
