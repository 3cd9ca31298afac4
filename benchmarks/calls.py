"""How many calls of Python one live item takes on its way through an idle map, in the process of the caller.

A live input gives one item now and then. Each of them finds its map asleep, and a user waits for all that happens until its
result is there. Time says little about that on a busy machine; the number of calls is the same in each run.

    python benchmarks/calls.py            # the counts of both kinds of workers
    python benchmarks/calls.py --list     # and which calls these are

Counted are calls of functions in files of numap, in all threads of this process, from the moment in which the input may give
the item until `next` returns. What worker processes call is not.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from queue import SimpleQueue
from statistics import median
from types import FrameType
from typing import Any, NamedTuple

import numap

#: Items that are counted, behind those by which the map learns what they cost.
ITEMS = 60
WARM_UP = 20
#: Seconds after which every thread of the map has gone back to sleep.
REST = 0.02

#: A function of numap: its file and its name.
Function = tuple[str, str]


class Count(NamedTuple):
    """What one item takes, in the middle of all that were counted."""

    calls: int
    files: int
    functions: Counter[Function]


class Tracer:
    """Notes the calls of functions in files of numap, while it is told to."""

    def __init__(self) -> None:
        self._folder = os.path.dirname(os.path.abspath(numap.__file__)) + os.sep
        self._on = False
        self._calls: list[Function] = []

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        """For `sys.setprofile` and `threading.setprofile`."""
        if self._on and event == "call" and frame.f_code.co_filename.startswith(self._folder):
            code = frame.f_code
            self._calls.append((code.co_filename[len(self._folder) :], code.co_name))

    def begin(self) -> None:
        """Notes calls from here on."""
        self._calls = []
        self._on = True

    def end(self) -> list[Function]:
        """Returns what was noted."""
        self._on = False
        return self._calls


def count(worker_type: str, workers: int = 2) -> Count:
    """The calls that an item takes where workers of this kind are idle."""
    tracer = Tracer()
    gate: SimpleQueue[int | None] = SimpleQueue()

    def items() -> Iterator[int]:
        while (item := gate.get()) is not None:
            yield item

    def give() -> None:
        time.sleep(REST)
        tracer.begin()
        gate.put(0)

    found: list[list[Function]] = []
    threading.setprofile(tracer.note)
    sys.setprofile(tracer.note)
    try:
        with numap.IMap(abs, items(), worker_type=worker_type, worker_num=workers) as imap:
            for _ in range(WARM_UP + ITEMS):
                giver = threading.Thread(target=give)
                giver.start()
                next(imap)
                found.append(tracer.end())
                giver.join()
            gate.put(None)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    found = found[WARM_UP:]
    calls = int(median(map(len, found)))
    middle = next((it for it in found if len(it) == calls), found[-1])
    return Count(calls, len({file for file, _ in middle}), Counter(middle))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="say which calls these are")
    options = parser.parse_args()
    for worker_type in ("thread", "process"):
        found = count(worker_type)
        print(f"{worker_type:8} {found.calls:4} calls in {found.files:3} files")
        if options.list:
            for (file, name), number in sorted(found.functions.items()):
                print(f"    {number:3}  {file}  {name}")


if __name__ == "__main__":
    main()
