"""Guarantees 17 and 18: Ctrl-C stops what has not begun, is seen once, and loses nothing."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from numap import IMap, ItemError, WorkerStartError
from tests.numap.programs import ENGINES, SIGINT, SOON, STARTS, Program, run, until_main_waits

WORKERS = (*STARTS, "thread")
ALL = tuple(ENGINES)

#: Functions whose items leave a mark when they begin. Of `held` the first two run until `release`: what runs at the
#: interrupt is known for sure, and has left its mark.
MARKS = """
folder = os.environ["TMPDIR"] + "/../marks"
os.mkdir(folder)
def mark(x):
    with open(f"{folder}/{x}", "a") as file: file.write("+")
    say("begun", x)
def marks():
    return {int(name): open(f"{folder}/{name}").read() for name in os.listdir(folder)}
def slow(x):
    mark(x)
    time.sleep(0.15)
    return x
def held(x):
    mark(x)
    while x < 2 and not os.path.exists(folder + "/../released"): time.sleep(0.005)
    return x
def release():
    open(folder + "/../released", "w").close()
"""
ITEMS = MARKS + "imap = IMap(slow, range(12), **OPTIONS)\n"
HELD = MARKS + "imap = IMap(held, range(12), **OPTIONS)\n"
ONCE = re.compile(r"Traceback \(most recent call last\):\n(  .*\n)*KeyboardInterrupt\n")


@pytest.mark.parametrize("group", [True, False], ids=["to-the-group", "to-the-program"])
@pytest.mark.parametrize("engine", ALL)
def test_17_uncaught(engine: str, group: bool, tmp_path: Path) -> None:
    with Program(tmp_path, ITEMS + "for y in imap: pass", engine) as program:
        program.wait_for("begun 0")
        (program.send_group if group else program.send)(SIGINT)
        program.ends(-SIGINT, SOON)
        assert program.left() == []
        assert ONCE.fullmatch(program.stderr), program.stderr


@pytest.mark.parametrize("group", [True, False], ids=["to-the-group", "to-the-program"])
@pytest.mark.parametrize("engine", ALL)
def test_17_no_new_item_starts_and_who_goes_on_misses_nothing(engine: str, group: bool, tmp_path: Path) -> None:
    held = [0] if engine == "serial" else [0, 1]
    code = """
found = []
try:
    say("reads")
    found.extend(imap)
except KeyboardInterrupt:
    release()
    time.sleep(0.5)
    say("caught", found, sorted(marks()))
found.extend(imap)
say(found == list(range(12)), set(marks()) == set(range(12)), sorted(set(marks().values())))
"""
    with Program(tmp_path, HELD + code, engine) as program:
        for x in held:
            program.wait_for(f"begun {x}")
        program.wait_for("reads")
        if engine != "serial":  # there it runs the item
            until_main_waits(program.pid)
        (program.send_group if group else program.send)(SIGINT)
        program.ends(0)
        caught, end = (line for line in program.stdout.splitlines() if not line.startswith(("begun", "reads")))
        assert caught == f"caught [] {held}"
        if engine == "serial":  # the item that was interrupted in the caller's thread runs again
            assert end == "True True ['+', '++']"
        else:
            assert end == "True True ['+']"
        assert program.stderr == "" and program.left() == []


@pytest.mark.parametrize("through", ["tee(imap)[0]", "join(imap)"])
@pytest.mark.parametrize("engine", ["default", "thread"])
def test_17_no_new_item_starts_behind_a_tee_or_a_join(engine: str, through: str, tmp_path: Path) -> None:
    code = f"""
from numap import join, tee
stream = {through}
found = []
try:
    say("reads")
    found.extend(stream)
except KeyboardInterrupt:
    release()
    time.sleep(0.5)
    say("caught", sorted(marks()))
found.extend(stream)
say(len(found), set(marks().values()))
"""
    with Program(tmp_path, HELD + code, engine) as program:
        for x in range(2):
            program.wait_for(f"begun {x}")
        program.wait_for("reads")
        until_main_waits(program.pid)
        program.send(SIGINT)
        program.ends(0)
        assert [line for line in program.stdout.splitlines() if not line.startswith(("begun", "reads"))] == [
            "caught [0, 1]",
            "12 {'+'}",
        ]
        assert program.stderr == "" and program.left() == []


@pytest.mark.parametrize("engine", ALL)
def test_17_twice_and_in_the_users_code(engine: str, tmp_path: Path) -> None:
    code = """
caught = 0
found = []
def note(signum, frame):
    say("interrupted")
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, note)
while len(found) < 12:
    try:
        say("reads")
        for y in imap:
            found.append(y)
            if y == 5:
                say("five")
                time.sleep(600)
        break
    except KeyboardInterrupt:
        caught += 1
say(found == list(range(12)), caught)
"""
    with Program(tmp_path, ITEMS + code, engine) as program:
        program.wait_for("begun 0")
        program.wait_for("reads")
        program.send_group(SIGINT)
        program.wait_for("interrupted")
        program.wait_for("five")
        program.send_group(SIGINT)
        program.ends(0)
        assert program.stdout.splitlines()[-1] == "True 2"
        assert program.stderr == "" and program.left() == []


@pytest.mark.parametrize("engine", ALL)
def test_17_stop_after_the_interrupt(engine: str, tmp_path: Path) -> None:
    code = """
with imap:
    try:
        say("reads")
        list(imap)
    except KeyboardInterrupt:
        say("caught")
say("stopped")
"""
    with Program(tmp_path, ITEMS + code, engine) as program:
        program.wait_for("begun 0")
        program.wait_for("reads")
        program.send_group(SIGINT)
        program.wait_for("stopped", SOON)
        program.check_clean_end()


def test_17_a_program_of_an_item_sees_no_ctrl_c_of_its_own(tmp_path: Path) -> None:
    """The terminal signals its whole foreground group; what workers start is not in it."""
    code = '''
def program(x):
    code = """
import os, sys, time
print("ready", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.005)
print("whole", flush=True)
"""
    return subprocess.run([sys.executable, "-c", code, released]).returncode
released = os.environ["TMPDIR"] + "/../released"
imap = IMap(program, range(1), **OPTIONS)
try:
    say("reads")
    next(imap)
except KeyboardInterrupt:
    say("caught")
    open(released, "w").close()
say(next(imap))
'''
    with Program(tmp_path, code) as program:
        program.wait_for("ready")
        program.wait_for("reads")
        until_main_waits(program.pid)
        program.send_group(SIGINT)
        program.ends(0)
        assert sorted(program.stdout.splitlines()) == ["0", "caught", "reads", "ready", "whole"]
        assert program.stderr == ""


# The stress: an alarm clock rings at random moments, and its handler is that of Ctrl-C. It is wound up again only where
# the next interrupt is sure to be caught. Map after map, until 300 interrupts have come.
STRESS = """
import gc, random
from numap import join, tee
# An interrupt within a finalizer of garbage would be printed and forgotten by the interpreter: nobody can change that.
gc.disable()
signal.signal(signal.SIGALRM, signal.default_int_handler)
dice = random.Random(17)
hits = 0
found = []
def collect(results):
    global hits
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.000001, LONGEST))
            found.extend(results)
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        except KeyboardInterrupt:
            hits += 1
def f(x):
    return x
def half(x):
    return x if x % 7 else 1 // 0
def impatient():
    imap = IMap(**OPTIONS)
    results = imap.add_task(f, range(COUNT), timeout=600)
    imap.start()
    return results
def chain(func):
    imap = IMap(**OPTIONS)
    results = imap.add_task(func, imap.add_task(f, range(COUNT)))
    imap.start()
    return results
def joined():
    imap = IMap(**OPTIONS)
    a = imap.add_task(f, range(COUNT))
    b = imap.add_task(f, range(COUNT))
    imap.start()
    return join(a, b)
while hits < 300:
    found.clear()
    gc.collect()
    collect(MAKE)
    found = [type(y) if isinstance(y, Exception) else y for y in found]
    if not CHECK:
        say("wrong after", hits, "interrupts:", len(found), found)
        break
else:
    say("right")
"""
MAPS = {
    "ordered": ("IMap(f, range(COUNT), **OPTIONS)", "found == list(range(COUNT))"),
    "iterator": ("IMap(f, iter(range(COUNT)), **OPTIONS)", "found == list(range(COUNT))"),
    "unordered": ("IMap(f, range(COUNT), ordered=False, **OPTIONS)", "sorted(found) == list(range(COUNT))"),
    "no-atoms": ("IMap(lambda x: [x], range(COUNT), **OPTIONS)", "found == [[x] for x in range(COUNT)]"),
    "buffer": ("IMap(f, range(COUNT), buffer=3, **OPTIONS)", "found == list(range(COUNT))"),
    "errors": (
        "IMap(half, range(COUNT), on_error='return', **OPTIONS)",
        "found == [x if x % 7 else ZeroDivisionError for x in range(COUNT)]",
    ),
    "skip": ("IMap(half, range(COUNT), on_error='skip', **OPTIONS)", "found == [x for x in range(COUNT) if x % 7]"),
    "chain": ("chain(f)", "found == list(range(COUNT))"),
    "join": ("joined()", "found == [(x, x) for x in range(COUNT)]"),
    "tee": ("tee(IMap(f, range(COUNT), **OPTIONS), 1)[0]", "found == list(range(COUNT))"),
    "timeouts": ("impatient()", "found == list(range(COUNT))"),
    "slow": (
        "IMap(lambda x: time.sleep(0.0002) or x, range(COUNT // 10), **OPTIONS)",
        "found == list(range(COUNT // 10))",
    ),
}


@pytest.mark.parametrize("engine", ["default", "thread", "serial"])
@pytest.mark.parametrize("name", MAPS)
def test_17_at_any_moment(name: str, engine: str, tmp_path: Path) -> None:
    make, check = MAPS[name]
    code = f"COUNT, LONGEST = 2000, 0.001\n{STRESS}".replace("MAKE", make).replace("CHECK", f"({check})")
    said = run(tmp_path, code, engine).stdout
    assert said == "right\n"


def test_17_a_handler_that_raises_by_itself_in_a_serial_item(tmp_path: Path) -> None:
    code = """
def note(signum, frame): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, note)
imap = IMap(lambda x: os.kill(os.getpid(), signal.SIGALRM) or x if not caught else x, range(3), **OPTIONS)
caught = []
try:
    next(imap)
except KeyboardInterrupt:
    caught.append(1)
say(list(imap), len(caught))
"""
    assert run(tmp_path, code, "serial").stdout == "[0, 1, 2] 1\n"


def _no_manager(how: Callable[[], None]) -> Callable[[threading.Thread], None]:
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == "numap-manager":
            how()
        start(thread)

    return start_others


def _interrupted_at_its_lock() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise RuntimeError("release unlocked lock")  # noqa: B904


def _exhausted() -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("kind", ["process", "thread", "serial"])
def test_an_interrupt_of_the_start_of_a_thread_is_an_interrupt(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `threading` makes of it is its own affair; and no other error turns into one."""
    monkeypatch.setattr(threading.Thread, "start", _no_manager(_interrupted_at_its_lock))
    with pytest.raises(KeyboardInterrupt):
        IMap(abs, [1], worker_type=kind)
    monkeypatch.undo()
    monkeypatch.setattr(threading.Thread, "start", _no_manager(_exhausted))
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(WorkerStartError, match="can't start new thread"):
            IMap(abs, [1], worker_type=kind)


def test_who_leaves_by_a_signal_leaves_a_serial_item() -> None:
    """What the user's handler raises is not the function's; the item runs again."""

    def leave(number: int, frame: object) -> None:
        sys.exit(number)

    def item(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)
        return x

    calls: list[int] = []
    results = IMap(item, [7, 8], worker_type="serial")
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            next(results)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(results) == [7, 8] and calls == [7, 7, 8]
    with pytest.raises(ItemError, match="SystemExit"):
        next(iter(IMap(sys.exit, [3], worker_type="serial")))
