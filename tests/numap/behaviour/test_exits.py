"""Guarantees 9 to 16, 55, 57 and 58: however a program ends, it ends soon and nothing of it is left."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from numap import IMap, StateError
from tests.conftest import processes
from tests.numap import work
from tests.numap.programs import ENGINES, SIGKILL, SIGTERM, SOON, STARTS, Program, run, until

ALL = tuple(ENGINES)
WORKERS = (*STARTS, "thread")


@dataclass(frozen=True)
class End:
    """How a program ends: its code, and then its exit code, stdout and stderr, a regular expression."""

    number: int
    name: str
    code: str
    exitcode: int = 0
    stdout: str = ""
    stderr: str = ""
    engines: tuple[str, ...] = WORKERS


#: One result comes, the other items take for ever.
STUCK = """
def stuck(x):
    if x:
        time.sleep(600)
    return x
"""
TRACEBACK = r"Traceback \(most recent call last\):\n(  .*\n)+KeyError: 'mine'\n"
CHAIN = """
imap = IMap(**OPTIONS)
a = imap.add_task(lambda x: x + 1, itertools.count())
b = imap.add_task(lambda x: 2 * x, a)
imap.start()
say(next(b))
"""

ENDS = [
    End(10, "normal", "say(sum(IMap(lambda x: x + 1, range(100), **OPTIONS)))", stdout="5050\n", engines=ALL),
    End(
        10,
        "break-infinite",
        "for y in IMap(lambda x: x, itertools.count(), **OPTIONS):\n    if y == 3: say(y); break",
        stdout="3\n",
        engines=ALL,
    ),
    End(
        10,
        "break-and-the-generator-is-dropped",
        """
gone = threading.Event()
def source():
    try:
        yield from itertools.count()
    finally:
        gone.set()
for y in IMap(lambda x: x, source(), **OPTIONS):
    if y == 3: break
say(gone.wait(20))""",
        stdout="True\n",
        engines=ALL,
    ),
    End(10, "break-stuck-items", STUCK + "for y in IMap(stuck, range(9), **OPTIONS): break\nsay(y)", stdout="0\n"),
    End(
        10,
        "break-blocking-input",
        """
def source():
    yield 1
    time.sleep(600)
for y in IMap(lambda x: x, source(), **OPTIONS): break
say(y)""",
        stdout="1\n",
        engines=ALL[:3],
    ),
    End(
        11,
        "exception-in-the-loop",
        "for y in IMap(str, itertools.count(), **OPTIONS):\n    raise KeyError('mine')",
        exitcode=1,
        stderr=TRACEBACK,
        engines=ALL,
    ),
    End(
        11,
        "exception-with-stuck-items",
        STUCK + "for y in IMap(stuck, range(9), **OPTIONS): raise KeyError('mine')",
        exitcode=1,
        stderr=TRACEBACK,
    ),
    End(11, "forgotten", "imap = IMap(str, itertools.count(), **OPTIONS)\nsay(next(imap))", stdout="0\n", engines=ALL),
    End(11, "forgotten-stuck-items", STUCK + "imap = IMap(stuck, range(9), **OPTIONS)\nsay(next(imap))", stdout="0\n"),
    End(11, "forgotten-chain", CHAIN, stdout="2\n", engines=ALL),
    End(11, "forgotten-in-a-cycle", "x = [IMap(str, itertools.count(), **OPTIONS)]\nx.append(x)\ndel x", engines=ALL),
    End(11, "never-started", "imap = IMap(**OPTIONS)\nimap.add_task(str, itertools.count())", engines=ALL),
    End(
        11,
        "blocking-input",
        """
def source():
    yield 1
    threading.Event().wait()
imap = IMap(lambda x: x, source(), **OPTIONS)
say(next(imap))""",
        stdout="1\n",
    ),
    End(11, "sys-exit", STUCK + "for y in IMap(stuck, range(9), **OPTIONS): sys.exit(3)", exitcode=3),
    End(
        11,
        "sys-exit-serial",
        "for y in IMap(str, itertools.count(), **OPTIONS): sys.exit(3)",
        exitcode=3,
        engines=("serial",),
    ),
    End(13, "os-exit", STUCK + "for y in IMap(stuck, range(9), **OPTIONS): os._exit(4)", exitcode=4),
    End(
        11,
        "while-a-daemon-thread-iterates",
        """
imap = IMap(lambda x: x, itertools.count(), **OPTIONS)
some = threading.Event()
def consume():
    for y in imap:
        if y == 100: some.set()
threading.Thread(target=consume, daemon=True).start()
say(some.wait(20))""",
        stdout="True\n",
        engines=ALL,
    ),
    End(
        11,
        "a-consumer-in-a-thread-gets-all",
        """
started = threading.Event()
def consume():
    imap = IMap(lambda x: time.sleep(0.01) or x, range(50), **OPTIONS)
    started.set()  # CPython 3.12 and later start no thread once the main thread has ended
    say(sum(imap))
threading.Thread(target=consume).start()
started.wait()""",
        stdout="1225\n",
        engines=ALL,
    ),
    End(
        11,
        "a-consumer-in-a-thread-of-a-map-of-main",
        """
imap = IMap(lambda x: time.sleep(0.01) or x, range(50), **OPTIONS)
threading.Thread(target=lambda: say(sum(imap))).start()""",
        stdout="1225\n",
        engines=ALL,
    ),
    End(
        14,
        "made-in-a-thread-that-has-ended",
        """
found = []
thread = threading.Thread(target=lambda: found.append(IMap(lambda x: time.sleep(0.01) or x, range(50), **OPTIONS)))
thread.start(); thread.join(); del thread
time.sleep(0.2)
say(sum(found[0]))""",
        stdout="1225\n",
        engines=ALL,
    ),
    End(
        9,
        "stop-in-atexit",
        """
import atexit
imap = IMap(lambda x: x, itertools.count(), **OPTIONS)
atexit.register(imap.stop)
say(next(imap))""",
        stdout="0\n",
        engines=ALL,
    ),
    End(
        9,
        "shutdown-and-again",
        """
import numap
imap = IMap(lambda x: x, itertools.count(), **OPTIONS)
say(next(imap))
numap.shutdown(); numap.shutdown()
say(list(IMap(lambda x: x, range(3), **OPTIONS)))""",
        stdout="0\n[0, 1, 2]\n",
        engines=ALL,
    ),
    End(
        15,
        "forgotten-with-programs",
        """
imap = IMap(lambda x: subprocess.run(["sleep", "600"]) if x else x, range(9), **OPTIONS)
say(next(imap))""",
        stdout="0\n",
        engines=STARTS,
    ),
    End(
        57,
        "a-map-inside-an-item",
        """
def inner(x):
    return sum(IMap(lambda y: x * y, range(4)))
say(list(IMap(inner, range(4), **OPTIONS)))""",
        stdout="[0, 6, 12, 18]\n",
        engines=ALL,
    ),
    End(
        57,
        "a-map-inside-an-item-of-a-map-inside-an-item",
        """
def inner(x, depth):
    return sum(IMap(inner, range(2), (depth - 1,))) if depth else 1
say(list(IMap(inner, range(2), (2,), **OPTIONS)))""",
        stdout="[4, 4]\n",
        engines=("default", "serial"),
    ),
    End(
        57,
        "a-map-inside-an-item-is-forgotten-with-it",
        """
def inner(x):
    global imap
    imap = IMap(lambda y: time.sleep(600 * y), range(4))
    return next(imap)
say(list(IMap(inner, range(2), **OPTIONS)))""",
        stdout="[None, None]\n",
        engines=STARTS,
    ),
]


@pytest.mark.parametrize(
    ("end", "engine"),
    [pytest.param(end, engine, id=f"{end.number}-{end.name}-{engine}") for end in ENDS for engine in end.engines],
)
def test_a_program_ends_by_itself(end: End, engine: str, tmp_path: Path) -> None:
    with Program(tmp_path, end.code, engine) as program:
        if end.name not in ("normal", "never-started") and end.stdout:
            program.wait_for(end.stdout.splitlines()[-1])
            program.ends(end.exitcode, SOON)
        else:
            program.ends(end.exitcode)
        assert program.left() == []
        assert program.stdout == end.stdout
        assert re.fullmatch(end.stderr, program.stderr), program.stderr


# ---------------------------------------------------------------------- a signal to the program

STATES = {
    # Ready means that all workers are in that state.
    "idle": "imap = IMap(lambda x: x, range(100_000), **OPTIONS)\nnext(imap)\nsay('ready')\ntime.sleep(600)",
    "finished": "imap = IMap(lambda x: x, range(9), **OPTIONS)\nlist(imap)\nsay('ready')\ntime.sleep(600)",
    "waiting-for-input": """
def source():
    yield 1
    time.sleep(600)
for y in IMap(lambda x: x, source(), **OPTIONS): say('ready')""",
    "asleep": "for y in IMap(lambda x: say('ready') or time.sleep(600), range(9), **OPTIONS): pass",
    "busy": """
def busy(x):
    say('ready')
    while True: pass
for y in IMap(busy, range(9), **OPTIONS): pass""",
    "stuck-in-c": """
def stuck(x):
    say('ready')
    return pow(3, 1 << 10_000_000, (1 << 50_000) + 1) if x else sum(itertools.repeat(0))
for y in IMap(stuck, range(9), **OPTIONS): pass""",
    "stuck-initializer": """
def stuck():
    say('ready')
    time.sleep(600)
for y in IMap(str, range(9), initializer=stuck, **OPTIONS): pass""",
    "in-programs": """
def program(x):
    process = subprocess.Popen(["sleep", "600"])
    say('ready')
    process.wait()
for y in IMap(program, range(9), **OPTIONS): pass""",
    "in-programs-of-programs": """
for y in IMap(lambda x: os.system("sh -c 'echo ready; sleep 600 & wait' & wait"), range(9), **OPTIONS): pass""",
    "in-a-program-in-a-session-of-its-own": """
def program(x):
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    say('ready')
    process.wait()
for y in IMap(program, range(9), **OPTIONS): pass""",
    "ignoring-signals": """
def deaf(x):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
    say('ready')
    time.sleep(600)
for y in IMap(deaf, range(9), **OPTIONS): pass""",
    "made-in-a-thread-that-has-ended": """
def main():
    global imap
    imap = IMap(lambda x: say('ready') or time.sleep(600), range(9), **OPTIONS)
thread = threading.Thread(target=main)
thread.start(); thread.join()
time.sleep(600)""",
    "with-a-map-inside-an-item": """
def inner(x):
    return list(IMap(lambda y: say('ready') or time.sleep(600), range(4)))
for y in IMap(inner, range(9), **OPTIONS): pass""",
    "sending-much": """
for n, y in enumerate(IMap(lambda x: bytes(10_000_000), itertools.count(), **OPTIONS)):
    if n == 3: say('ready')""",
    "receiving-much": """
for n, y in enumerate(IMap(len, (bytes(10_000_000) for _ in itertools.count()), **OPTIONS)):
    if n == 3: say('ready')""",
}


SIGNALS = {13: SIGKILL, 16: SIGTERM}
#: What a fork of the program can't do: nobody is left to look for those who left its group. It is in the manual.
NOT_OF_FORKS = ("in-a-program-in-a-session-of-its-own",)
SIGNALLED = [
    pytest.param(SIGNALS[number], state, engine, id=f"{number}-{SIGNALS[number].name.lower()}-{engine}-{state}")
    for number in SIGNALS
    for engine in STARTS
    for state in STATES
    if not (engine == "fork" and state in NOT_OF_FORKS)
]


@pytest.mark.parametrize(("number", "state", "engine"), SIGNALLED)
def test_a_signal_to_the_program(number: int, state: str, engine: str, tmp_path: Path) -> None:
    with Program(tmp_path, STATES[state], engine) as program:
        program.wait_for("ready")
        # The caller, the starter and a worker.
        assert len(program.alive()) >= 1 + (engine != "fork") + (state != "finished")
        program.send(number)
        program.check_clean_end(-number, within=SOON)


@pytest.mark.parametrize("engine", STARTS)
def test_13_sigkill_to_the_process_group(engine: str, tmp_path: Path) -> None:
    with Program(tmp_path, STATES["in-programs"], engine) as program:
        program.wait_for("ready")
        program.send_group(SIGKILL)
        program.check_clean_end(-SIGKILL, within=SOON)


@pytest.mark.parametrize("engine", WORKERS)
def test_16_the_users_own_handler_of_sigterm(engine: str, tmp_path: Path) -> None:
    code = STUCK + (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "for y in IMap(stuck, range(9), **OPTIONS): say('ready')\n"
    )
    with Program(tmp_path, code, engine) as program:
        program.wait_for("ready")
        program.send(SIGTERM)
        program.check_clean_end(5, within=SOON)


@pytest.mark.parametrize("engine", STARTS)
def test_13_sigkill_at_any_moment(engine: str, tmp_path: Path) -> None:
    """Also during the start: of the interpreter, of the starter, of the workers."""
    code = "while True:\n    with IMap(lambda x: x, range(50), **OPTIONS) as imap: next(imap)"
    for _ in range(20):
        with Program(tmp_path, code, engine) as program:
            time.sleep(random.uniform(0.02, 0.4))
            program.send(SIGKILL)
            program.check_clean_end(-SIGKILL, within=SOON)


# ---------------------------------------------------------------------- stop


@pytest.mark.parametrize("engine", ENGINES)
def test_9_stop_in_every_state(engine: str) -> None:
    imap: IMap[Any] = IMap(**ENGINES[engine])
    imap.stop()
    imap.add_task(work.identity, range(3))
    imap.stop()
    imap.stop()
    imap = IMap(work.identity, range(3), **ENGINES[engine])
    assert list(imap) == [0, 1, 2]
    imap.stop()
    imap.stop()
    with pytest.raises(StateError, match="next"):
        next(imap)


@pytest.mark.parametrize("engine", WORKERS)
def test_9_stop_from_another_thread_while_items_run_and_the_input_blocks(engine: str, tmp_path: Path) -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield from range(2)
        gate.wait()

    (tmp_path / "marks").mkdir()
    imap = IMap(work.mark_and_wait, source(), (str(tmp_path / "marks"), str(tmp_path / "gate")), **ENGINES[engine])
    assert until(lambda: len(list((tmp_path / "marks").iterdir())) == 2)
    raised = []

    def consume() -> None:
        try:
            next(imap)
        except StateError as error:
            raised.append(str(error))

    consumer = threading.Thread(target=consume)
    consumer.start()
    stopper = threading.Thread(target=imap.stop)
    began = time.monotonic()
    stopper.start()
    stopper.join(10)
    consumer.join(10)
    assert time.monotonic() - began < SOON
    assert len(raised) == 1 and "stop" in raised[0]
    gate.set()
    (tmp_path / "gate").touch()


@pytest.mark.parametrize("engine", ENGINES)
def test_9_stop_from_many_threads_while_others_read(engine: str) -> None:
    for _ in range(10):
        imap = IMap(work.identity, count(), **ENGINES[engine])

        def consume(imap: IMap[int] = imap) -> None:
            with suppress(StateError):
                for _ in imap:
                    pass

        threads = [threading.Thread(target=consume) for _ in range(3)]
        threads += [threading.Thread(target=imap.stop) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def test_9_stop_while_it_starts() -> None:
    """The initializer of a serial map runs within `start`."""
    inside, stopped = threading.Event(), threading.Event()

    def initialize() -> None:
        inside.set()
        stopped.wait(20)

    imap: IMap[Any] = IMap(worker_type="serial", initializer=initialize)
    imap.add_task(abs, [1])
    starter = threading.Thread(target=imap.start)
    starter.start()
    inside.wait(20)
    imap.stop()
    stopped.set()
    starter.join(20)
    assert not starter.is_alive()
    with pytest.raises(StateError, match="next"):
        next(imap)


@pytest.mark.parametrize("engine", ["thread", "serial"])
def test_9_an_item_stops_its_own_map(engine: str) -> None:
    imap: IMap[Any] = IMap(**ENGINES[engine])
    imap.add_task(lambda _: imap.stop(), range(5))
    imap.start()
    with suppress(StateError):  # a result may have been handed over before
        while True:
            assert next(imap) is None
    with pytest.raises(StateError, match="next"):
        next(imap)


@pytest.mark.parametrize("engine", STARTS)
def test_15_what_an_item_started_goes_with_stop(engine: str, tmp_path: Path) -> None:
    code = STATES["in-programs"].replace("for y in", "imap =").replace(": pass", "") + (
        "\nsys.stdin.read()\nimap.stop()\nsay('stopped')\ntime.sleep(600)"
    )
    with Program(tmp_path, code, engine) as program:
        program.wait_for("stopped")
        # The caller and the starter stay.
        assert until(lambda: len(program.alive()) == (1 if engine == "fork" else 2), SOON), program.left(0)
        assert not any("sleep" in process.name() for process in program.alive())


@pytest.mark.parametrize("engine", ENGINES)
def test_12_200_maps_leave_nothing(engine: str) -> None:
    own = psutil.Process()
    # What one map leaves is seen, whatever their number. To spawn takes long, and so does a fork of this process with its tests.
    rounds = {"spawn": 20, "fork": 60}.get(engine, 220)

    def one(number: int) -> None:
        imap = IMap(work.identity, range(10) if number % 2 else iter(range(10)), **ENGINES[engine])
        if number % 3:
            assert next(imap) == 0
        if number % 5 == 0:
            assert list(imap)[-1] == 9
        if number % 2:
            imap.stop()

    def resources() -> tuple[int, int, int, int]:
        maps = sum(
            b"/memfd:" in line or b"/dev/shm" in line for line in Path("/proc/self/maps").read_bytes().splitlines()
        )
        return own.num_fds(), threading.active_count(), len(processes()), maps

    alone = threading.active_count()
    one(1)
    gc.collect()
    # Its threads end by themselves, too: one that is still there now would be missed at the end.
    assert until(lambda: not processes() and threading.active_count() <= alone, 5)
    before = resources()
    for number in range(rounds):
        one(number)
    gc.collect()
    until(lambda: resources() == before, 5)
    assert resources() == before


@pytest.mark.parametrize("engine", STARTS)
def test_12_what_a_dropped_map_holds_goes_at_once(engine: str) -> None:
    imap = IMap(work.identity, count(), **ENGINES[engine])
    assert next(imap) == 0
    assert len(processes()) >= 2
    del imap
    assert until(lambda: not processes(), SOON)


# ---------------------------------------------------------------------- the starter, forks, maps in maps

STARTER = """
def starter():
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline") as cmdline:
                    if int(stat.read().rpartition(")")[2].split()[1]) == own and "numap._worker.starter" in cmdline.read():
                        return int(name)
            except OSError:
                pass
"""


@pytest.mark.parametrize("engine", ["default", "spawn"])  # forks have no starter
@pytest.mark.parametrize("times", [1, 5])
def test_55_the_starter_is_killed(times: int, engine: str, tmp_path: Path) -> None:
    code = (
        STARTER
        + f"""
found = []
killed = set()
for y in IMap(lambda x: time.sleep(0.005) or x, range(200), **OPTIONS):
    found.append(y)
    if y in range(20, 20 + 30 * {times}, 30):
        killed.add(starter())
        os.kill(starter(), signal.SIGKILL)
assert found == list(range(200)), found
say(len(killed))
"""
    )
    assert run(tmp_path, code, engine).stdout == f"{times}\n"


def test_55_the_starter_is_killed_between_maps(tmp_path: Path) -> None:
    code = (
        STARTER
        + """
for _ in range(3):
    say(list(IMap(lambda x: x, range(3), **OPTIONS)))
    os.kill(starter(), signal.SIGKILL)
"""
    )
    assert run(tmp_path, code).stdout == 3 * "[0, 1, 2]\n"


def test_55_the_starter_is_stopped_with_programs_running(tmp_path: Path) -> None:
    code = (
        STARTER
        + """
import numap
imap = IMap(lambda x: time.sleep(600), range(9), **OPTIONS)
time.sleep(0.3)
os.kill(starter(), signal.SIGKILL)
time.sleep(0.3)
numap.shutdown()
say("down")
time.sleep(600)
"""
    )
    with Program(tmp_path, code) as program:
        program.wait_for("down")
        assert until(lambda: len(program.alive()) == 1, SOON)


@pytest.mark.parametrize("engine", ENGINES)
def test_58_the_user_forks_while_a_map_runs(engine: str, tmp_path: Path) -> None:
    code = """
from numap import StateError
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: of forks of a process with threads
imap = IMap(lambda x: time.sleep(0.002) or x, range(300), **OPTIONS)
found = [next(imap) for _ in range(20)]
read, write = os.pipe()
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            next(imap)
        except StateError as error:
            os.write(write, b"StateError\\n")
        if number == 0:
            imap.stop()
        elif number == 1:
            del imap
        text = str(list(IMap(lambda x: -x, range(3), **OPTIONS)))
        os.write(write, text.encode() + b"\\n")
        sys.exit()
    children.append(pid)
found += imap
codes = [os.waitpid(pid, 0)[1] for pid in children]
os.close(write)
say(found == list(range(300)), codes, sorted(os.read(read, 1000).decode().split("\\n")))
"""
    expected = ["", *3 * ["StateError"], *3 * ["[0, -1, -2]"]]
    assert run(tmp_path, code, engine).stdout == f"True [0, 0, 0] {sorted(expected)}\n"


@pytest.mark.parametrize("engine", STARTS)
def test_58_the_parent_ends_first_and_the_child_goes_on(engine: str, tmp_path: Path) -> None:
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
imap = IMap(lambda x: x, itertools.count(), **OPTIONS)
next(imap)
if os.fork() == 0:
    parent = os.getppid()
    while os.getppid() == parent: time.sleep(0.01)
    say(list(IMap(lambda x: -x, range(3), **OPTIONS)))
"""
    with Program(tmp_path, code, engine) as program:
        program.ends(0)
        assert until(lambda: program.stdout == "[0, -1, -2]\n", 20)
        assert program.left() == [] and program.stderr == ""


@pytest.mark.parametrize("engine", STARTS)
def test_57_a_map_inside_an_item_dies_with_it(engine: str, tmp_path: Path) -> None:
    code = """
def inner(x):
    if x:
        return x
    imap = IMap(lambda y: say("ready", os.getpid()) or time.sleep(600), range(4))
    next(imap)
imap = IMap(lambda x: inner(x), range(9), **OPTIONS)
sys.stdin.read()
time.sleep(1000)
"""
    with Program(tmp_path, code, engine) as program:
        assert until(lambda: "ready" in program.stdout)
        innermost = psutil.Process(int(program.stdout.split()[1]))
        worker = innermost.parent().parent()
        assert worker.pid != program.pid
        os.kill(worker.pid, signal.SIGKILL)
        assert until(lambda: not innermost.is_running() or innermost.status() == psutil.STATUS_ZOMBIE, SOON)


def test_the_users_signal_handlers_are_untouched(tmp_path: Path) -> None:
    code = """
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
imap = IMap(lambda x: x, itertools.count(), **OPTIONS)
next(imap)
during = {number: signal.getsignal(number) for number in signal.valid_signals()}
imap.stop()
after = {number: signal.getsignal(number) for number in signal.valid_signals()}
say(before == during == after, signal.set_wakeup_fd(-1))
"""
    assert run(tmp_path, code).stdout == "True -1\n"


def test_5_finalizers_that_take_long_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numap.engines.processes.ending.RECYCLED_TIMEOUT", 0.5)
    most = 0
    options = {"max_items_per_worker": 1, "finalizer": work.sleep_long}
    for n, _ in enumerate(IMap(work.identity, range(60), worker_num=2, **options)):
        if n % 10 == 0:
            most = max(most, len(processes()))
    assert most < 20


def test_17_interrupts_while_maps_are_made_leave_no_thread(tmp_path: Path) -> None:
    code = """
import random, numap
signal.signal(signal.SIGALRM, signal.default_int_handler)
list(IMap(str, range(3), **OPTIONS))
for _ in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.006))
        imap = IMap(str, range(3), **OPTIONS)
        time.sleep(0.01)
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    imap = None
began = time.monotonic()
numap.shutdown()
# Thread.start may leave a thread half started behind an interrupt, which CPython lists for ever.
say(time.monotonic() - began < 9, [thread.name for thread in threading.enumerate() if thread.is_alive()])
"""
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert program.stdout == "True ['MainThread']\n" and program.left() == []


# ---------------------------------------------------------------------- two seconds


@pytest.mark.parametrize("engine", STARTS)
@pytest.mark.parametrize("state", ["idle", "busy", "stuck-in-c"])
def test_13_two_seconds_after_sigkill_no_worker_is_left(state: str, engine: str, tmp_path: Path) -> None:
    """The best of three, as this measures the machine, too; the other tests wait longer, for the fact alone."""

    def seconds() -> float:
        with Program(tmp_path, STATES[state], engine) as program:
            program.wait_for("ready")
            began = time.monotonic()
            program.send(SIGKILL)
            assert program.left() == []
            return time.monotonic() - began

    assert min(seconds() for _ in range(3)) < 2


# ---------------------------------------------------------------------- descriptors


def test_6_too_few_descriptors_are_a_start_error_and_cost_none(tmp_path: Path) -> None:
    code = """
import gc, resource
from numap import WorkerStartError
# The hard limit is the same all along: a program that has given up some of it gets another starter.
resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 20000))
running = IMap(lambda x: x, itertools.count(), worker_num=1, buffer=10)
def starter():
    with IMap(lambda x: os.getppid(), [0], worker_num=1) as imap:
        return next(imap)
pid = starter()
def count():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
before, failed = count(), 0
for room in range(40):
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + room, 20000))
    try:
        imap = IMap(abs, [-1], worker_num=2)
        assert list(imap) == [1]
        imap.stop()
    except WorkerStartError:
        failed += 1
    imap = None
resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 20000))
say(failed > 5, count() - before, starter() == pid, next(running))
"""
    found = run(tmp_path, code).stdout
    assert found == "True 0 True 0\n"
