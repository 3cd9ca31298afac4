"""Guarantees 71, 73, 79 and 80: what an item may do to its process, and what it starts and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, TaskTimeout, WorkerDied
from numap.engines.processes import slot as _slot
from tests.conftest import processes
from tests.numap import work
from tests.numap.programs import ENGINES, SOON, STARTS, Program, run, until

# ---------------------------------------------------------------------- 71


class Slow:
    """An item that takes its time to be unpickled."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return work.nap, (self.seconds,)


@pytest.mark.parametrize("engine", STARTS)
def test_71_what_unpickling_takes_is_not_the_time_of_the_item(engine: str) -> None:
    options = dict(ENGINES[engine], max_items_per_worker=1)
    with IMap(work.identity, [Slow(0.4) for _ in range(3)], task_timeout=0.2, **options) as imap:
        assert list(imap) == [0.4] * 3


@pytest.mark.parametrize("engine", STARTS)
def test_71_an_item_that_is_never_unpickled_is_over_its_time_at_last(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_slot, "UNPICKLING_TIMEOUT", 0.1)
    with IMap(work.identity, [1, Slow(600), 3], task_timeout=0.1, on_error="return", **ENGINES[engine]) as imap:
        one, error, three = imap
    assert (one, type(error), three) == (1, TaskTimeout, 3)
    assert "still being unpickled" in str(error) and "initializer" in str(error)


# ---------------------------------------------------------------------- 73


def interrupted(how: str) -> int:
    """The exit code of a program that was sent SIGINT."""
    if how == "fork":
        pid = os.fork()
        if pid == 0:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(600)
            except KeyboardInterrupt:
                os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if how == "system":
        return os.waitstatus_to_exitcode(os.system("kill -INT $$; sleep 600"))
    process = subprocess.Popen(["sleep", "600"])
    process.send_signal(signal.SIGINT)
    return process.wait()


@pytest.mark.parametrize("engine", (*STARTS, "thread"))
def test_73_interrupts_reach_what_items_start(engine: str) -> None:
    # While one thread is in os.system, what another starts ignores interrupts; and the fork of a thread is not our business.
    hows = ["popen"] if engine == "thread" else ["popen", "system", "fork"]
    assert list(IMap(interrupted, hows, **ENGINES[engine])) == [-signal.SIGINT, -signal.SIGINT, 7][: len(hows)]


SIGNALS = """
def told(_):
    with open("/proc/thread-self/status") as own:
        blocked = [line for line in own if line.startswith("SigBlk")]
    command = ["sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status"]
    return blocked + subprocess.run(command, capture_output=True, text=True, restore_signals=False).stdout.splitlines()
def ask():
    (seen,) = IMap(told, [0], **OPTIONS)
    return seen
list(IMap(abs, [1], **OPTIONS))
say(ask() == told(0) or (ask(), told(0)))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGUSR2, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGCHLD])
say(ask() == told(0) or (ask(), told(0)))
import numap
numap.shutdown()
say(ask() == told(0) or (ask(), told(0)))
"""


@pytest.mark.skipif(not os.path.exists("/proc/thread-self"), reason="only Linux tells what is ignored")
@pytest.mark.parametrize("engine", STARTS)
def test_73_programs_of_items_begin_with_the_signals_of_the_caller(engine: str, tmp_path: Path) -> None:
    assert run(tmp_path, SIGNALS, engine).stdout == "True\nTrue\nTrue\n"


@pytest.mark.parametrize("engine", STARTS)
def test_73_an_interrupt_is_nothing_to_a_worker(engine: str, tmp_path: Path) -> None:
    code = """
def func(x):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    return x
say(list(IMap(func, range(3), **OPTIONS)))
"""
    assert run(tmp_path, code, engine).stdout == "[0, 1, 2]\n"


# ---------------------------------------------------------------------- 79

FORKING = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def func(x, how):
    pid = os.fork() if x % 3 == 1 else None
    if pid is None:
        return x
    if pid:
        return x, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if how == "raise":
        raise ValueError("of the child")
    if how == "exit":
        sys.exit(4)
    return -x
for how, code in (("return", 0), ("raise", 1), ("exit", 4)):
    found = list(IMap(func, range(40), (how,), **OPTIONS))
    say(found == [(x, code) if x % 3 == 1 else x for x in range(40)] or found)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_79_a_child_that_comes_back_through_the_function_tells_no_outcome(engine: str, tmp_path: Path) -> None:
    with Program(tmp_path, FORKING, engine) as program:
        program.ends(0)
        assert program.stdout == "True\nTrue\nTrue\n" and program.left() == []
        # What it raised is not lost either, and nothing of ours is in its traceback.
        assert program.stderr.count("Traceback") == program.stderr.count("ValueError: of the child\n") == 13
        assert "numap" not in program.stderr


@pytest.mark.parametrize("engine", STARTS)
def test_79_a_child_that_lives_on_and_one_of_an_initializer(engine: str, tmp_path: Path) -> None:
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def start():
    os.fork()
def func(x):
    if x % 5 == 0 and os.fork() == 0:
        time.sleep(0.02)
    return x
def behind(x):
    with open(PATH, "a") as file: file.write(f"{x}\\\\n")
    return x
PATH = os.environ["TMPDIR"] + "/seen"
imap = IMap(**OPTIONS, initializer=start)
last = imap.add_task(behind, imap.add_task(func, range(40)))
imap.start()
say(list(last) == list(range(40)))
imap.stop()
say(sorted(map(int, open(PATH))) == list(range(40)))
os.remove(PATH)
""".replace("\\\\n", "\\n")
    assert run(tmp_path, code, engine).stdout == "True\nTrue\n"


# ---------------------------------------------------------------------- 80

STREAMS = """
import io, warnings
class Own(io.TextIOWrapper):
    def reconfigure(self, **_): raise RuntimeError("no")
class Mute:
    def write(self, text): return len(text)
class Hostile:
    def __getattr__(self, name): raise RuntimeError(name)
def closed():
    file = open(os.devnull, "w")
    file.close()
    return file
out, err, wrong = sys.stdout, sys.stderr, []
for kind in (Mute, Hostile, closed, io.StringIO, lambda: None, lambda: Own(io.BytesIO())):
    sys.stdout = sys.stderr = kind()
    try: found = list(IMap(lambda x: -x, range(3), **OPTIONS))
    except Exception as error: found = error
    sys.stdout, sys.stderr = out, err
    if found != [0, -1, -2]: wrong.append((kind, found))
say(wrong)
"""


@pytest.mark.parametrize("engine", ["default", "fork"])
def test_80_the_standard_streams_may_be_objects_of_the_program(engine: str, tmp_path: Path) -> None:
    assert run(tmp_path, STREAMS, engine).stdout == "[]\n"


@pytest.mark.parametrize("engine", STARTS)
def test_80_an_item_that_closes_all_descriptors_costs_itself(engine: str, tmp_path: Path) -> None:
    code = """
def func(x):
    if x == 170: os.closerange(3, 65536)
    return x
found = list(IMap(func, range(300), **OPTIONS, on_error="return"))
say([x for x in found if x.__class__ is int] == [x for x in range(300) if x != 170], found[170])
"""
    said = run(tmp_path, code, engine).stdout
    assert said.startswith("True worker process ") and "item 170" in said and "descriptors were closed" in said


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_80_maps_started_and_stopped_at_once_leave_nothing_and_no_work(method: str) -> None:
    for _ in range(60 if method == "forkserver" else 10):
        IMap(work.identity, count(), worker_num=2, start_method=method).stop()
    # The starter does not go on with what they asked for.
    assert until(lambda: not processes(), SOON)


def test_80_the_end_of_a_worker_without_descriptors_is_told_as_such() -> None:
    with IMap(os.closerange, [3], (65536,), worker_num=1, on_error="return") as imap:
        (error,) = imap
    assert type(error) is WorkerDied and sys.exc_info()[0] is None
