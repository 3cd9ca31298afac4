"""What it costs to have workers: maps one after the other, workers that are replaced, and the memory of many."""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import Any

import functions as f
from peers import PEERS, Peer

#: Maps in a row, and items of each.
MAPS, ITEMS = 100, 10


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
    """Seconds for 60 items with a new worker after every five of them; numap has seen the function in two maps before."""
    if library is not None:
        __import__(library)
    function = f.FUNCTIONS[library]
    if peer is PEERS["numap"]:
        from numap import IMap

        for _ in range(2):
            assert sum(1 for _ in IMap(function, range(4), worker_num=2)) == 4
        began = time.perf_counter()
        assert sum(1 for _ in IMap(function, range(60), worker_num=2, max_items_per_worker=5)) == 60
    else:
        from multiprocessing import get_context

        began = time.perf_counter()
        with get_context("fork").Pool(2, maxtasksperchild=5) as pool:
            assert sum(1 for _ in pool.imap(function, range(60))) == 60
    return time.perf_counter() - began


def hundred(peer: type[Peer]) -> float:
    """Milliseconds a map for a hundred of ten items in a row; of the Pool one is kept open for all of them."""
    pool = peer()
    assert len(list(pool.map(f.same, range(ITEMS)))) == ITEMS
    began = time.perf_counter()
    for _ in range(MAPS):
        assert len(list(pool.map(f.same, range(ITEMS)))) == ITEMS
    took = time.perf_counter() - began
    pool.close()
    return 1000 * took / MAPS


def memory_of_ten(peer: type[Peer]) -> float:
    """Memory of ten workers with pandas as a part of that of ten workers that have imported it each for itself."""
    import pandas  # noqa: F401  (the program has it)

    from numap import IMap

    def total(**options: Any) -> float:
        said = IMap(_weighed, range(10), worker_num=10, stride=1, **options)
        return sum(dict(said).values())

    return total(preload=["pandas", "psutil"]) / total(start_method="spawn")


def _weighed(item: int) -> tuple[int, float]:
    import pandas
    import psutil

    assert pandas.Series([item]).sum() == item
    time.sleep(2.0)  # until all ten are there
    return os.getpid(), psutil.Process().memory_full_info().pss
