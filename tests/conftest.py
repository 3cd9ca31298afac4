"""After each test nothing may be left: no process, thread, descriptor or shared memory.

The check is registered as a plugin, so that it also holds for the doctests of the packages and the manual.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest

from tests.lanes import Lanes, Recorder

# A job that a shell runs in the background has SIGINT ignored, and so would have all programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Programs, not modules.
collect_ignore = ["numap/_serialize/kinds_of_code.py", "numap/_modules/hooked.py", "numap/_modules/owned.py"]

#: Whether the system lists the children of a thread.
LISTED = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")

#: Seconds: what ends by itself (a worker told to stop, a thread that returns) gets so much time to do it.
PATIENCE = 30.0


def is_starter(process: psutil.Process) -> bool:
    """The clean process that workers are forked from: it may stay between maps; what descends from it may not."""
    return any("numap._worker.starter" in word for word in process.cmdline())


def children(pid: int) -> Iterator[psutil.Process]:
    """Direct children, ended ones that were not waited for among them.

    Linux lists them; elsewhere all processes of the machine are looked at, which takes a hundred times as long.
    """
    if not LISTED:
        with suppress(psutil.NoSuchProcess):
            yield from psutil.Process(pid).children()
        return
    tasks: list[str] = []
    with suppress(OSError):
        tasks = os.listdir(f"/proc/{pid}/task")
    for task in tasks:
        with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as listed:
            for child in listed.read().split():
                with suppress(psutil.NoSuchProcess):
                    yield psutil.Process(int(child))


def descendants(pid: int) -> Iterator[psutil.Process]:
    """Children, and theirs."""
    for child in children(pid):
        yield child
        yield from descendants(child.pid)


def starter_pid() -> int | None:
    """The pid of the starter, or None: a direct child of ours."""
    for child in children(os.getpid()):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if is_starter(child):
                return child.pid
    return None


def is_template(process: psutil.Process) -> bool:
    """A fork of the starter that has imported libraries: it may stay as long as that; what descends from it may not.

    The name alone does not tell: a worker that was just forked from one has that, too, for a moment.
    """
    return process.name() == "numap-template" and process.ppid() == starter_pid()


def processes() -> dict[int, str]:
    """All descendants but the starter and its templates, by pid."""
    found = {}
    own = os.getpid()
    for child in descendants(own):
        try:
            # A forked worker still has the starter's command line: the starter is the one that is our own child.
            if is_template(child):
                continue
            if child.ppid() != own or not is_starter(child):
                found[child.pid] = f"{child.pid} (parent {child.ppid()}, {child.status()}): {' '.join(child.cmdline())}"
        except psutil.ZombieProcess:
            found[child.pid] = f"{child.pid}: never waited for"
        except psutil.NoSuchProcess:
            pass
    return found


def descriptors() -> dict[int, str]:
    """What each open descriptor refers to; the standard three change with the capturing of output."""
    found = {}
    with suppress(FileNotFoundError):  # a platform without /proc
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the descriptor that listed the directory is gone by now
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {number: target for number, target in found.items() if number > 2}


def held_names() -> set[str]:
    """What this process and its descendants have open or mapped in /dev/shm."""
    found = set()
    for pid in [os.getpid(), *(child.pid for child in descendants(os.getpid()))]:
        with suppress(OSError), open(f"/proc/{pid}/maps", "rb") as maps:  # it has ended
            found.update(line.split()[5].decode() for line in maps if b" /dev/shm/" in line)
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return {path for path in found if path.startswith("/dev/shm/")}


def shared_memory() -> set[str]:
    """What the packages have in /dev/shm, and mapped memory files and anonymous shared pages of this process.

    The machine has other programs, and their names in /dev/shm come and go: one that nobody here holds, and that does not have
    the name of a package in it, is theirs.
    """
    found: set[str] = set()
    with suppress(FileNotFoundError):
        names = {f"/dev/shm/{name}" for name in os.listdir("/dev/shm")}
        found = {name for name in names if "numap" in name or "papy" in name}
        if names - found:
            found |= names & held_names()
    with suppress(FileNotFoundError), open("/proc/self/maps", "rb") as maps:
        data = maps.read()
        shared = [word for word in (b"/memfd:", b"/dev/zero", b"/dev/shm/") if word in data]  # mostly none
        for line in data.splitlines() if shared else ():
            if any(word in line for word in shared):
                # address range, permissions, offset, device, inode, path
                found.add("mapped " + " ".join(line.decode().split()[4:]))
    return found


@dataclass(frozen=True)
class Inventory:
    """What a process holds at one moment."""

    processes: dict[int, str]
    threads: frozenset[threading.Thread]
    descriptors: dict[int, str]
    memory: frozenset[str]

    @classmethod
    def take(cls) -> Inventory:
        return cls(processes(), frozenset(threading.enumerate()), descriptors(), frozenset(shared_memory()))

    def left_since(self, before: Inventory) -> list[str]:
        """One line for each thing that is here and was not there before."""
        lines = [f"process {text}" for pid, text in self.processes.items() if pid not in before.processes]
        lines += [f"thread {thread!r}" for thread in self.threads - before.threads]
        # Counted by kind: a test may end the starter, and then the new one's pipes are others, but not more.
        more = Counter(map(kind, self.descriptors.values())) - Counter(map(kind, before.descriptors.values()))
        lines += [
            f"descriptor {number} -> {target}"
            for number, target in self.descriptors.items()
            if kind(target) in more and before.descriptors.get(number) != target
        ]
        lines += [f"shared memory {name}" for name in sorted(self.memory - before.memory)]
        return lines


def kind(target: str) -> str:
    """A descriptor's target without its number: ``pipe:[4711]`` is a ``pipe:[]``."""
    return re.sub(r"(?<=\[)\d+(?=\])", "", target)


def wait_until_clean(before: Inventory) -> list[str]:
    """Return as soon as nothing is left, or what is left when the patience is over."""
    left = Inventory.take().left_since(before)
    deadline = time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        # Cycles, for example of a traceback and its frames, may hold a map; and a thread that is ending may hold those.
        gc.collect()
        time.sleep(0.02)
        left = Inventory.take().left_since(before)
    return left


class LeakCheck:
    """The plugin with the check."""

    def __init__(self) -> None:
        self.can_start = True

    def ensure_starter(self) -> None:
        """Have the starter run before the first look, so that its pipes are no news afterwards."""
        if not self.can_start or "numap" not in sys.modules or starter_pid() is not None:
            return
        self.can_start = False
        with suppress(Exception):  # then the tests of the process engine tell more than this could
            assert list(sys.modules["numap"].IMap(abs, [-1], worker_type="process", worker_num=1)) == [1]
            self.can_start = True
        gc.collect()

    @pytest.fixture(autouse=True)
    def nothing_left(self) -> Iterator[None]:
        """Fail a test that leaves a process, thread, descriptor or shared memory behind."""
        self.ensure_starter()
        before = Inventory.take()
        yield
        left = wait_until_clean(before)
        if left:
            pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-slow", action="store_true", help="write down which tests are slow: see tests/lanes.py")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LeakCheck(), "leak-check")
    records = config.getoption("record_slow", False)
    config.pluginmanager.register(Lanes(check=not records), "lanes")
    if records and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(), "recorder")


def pytest_collection_finish() -> None:
    """The thousands of tests are never garbage: each collection, of which there are thousands, too, would look at all of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads give way to each other wherever they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
