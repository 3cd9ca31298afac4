"""Programs with a Plumber or a Dagger that end, at any moment and in whatever way, leave nothing."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.numap.programs import PRELUDE, Program, run, until

PIPELINE = """
from papy import Dagger, Piper, Plumber
def work(x):
    return x
def sink(x):
    if x == 20:
        say("twenty")
pool = IMap(**OPTIONS)
pipes = [(Piper(work, pool, unpack=True), Piper(work, pool, unpack=True), Piper(sink, unpack=True))]
plumber = Plumber(pipes=pipes)
"""

RUNNING = PIPELINE + "plumber.start([itertools.count()])\nplumber.run()\n"

# How far the program gets before it ends.
MOMENTS = {
    "started": PIPELINE + "plumber.start([itertools.count()])\nsay('twenty')\n",
    "running": RUNNING,
    "paused": RUNNING + "plumber.pause()\nsay('twenty')\n",
    "finished": PIPELINE + "plumber.start([range(21)])\nplumber.run()\nplumber.wait()\n",
}

kinds = pytest.mark.parametrize("kind", ["default", "thread", "serial"])


# What is said of a Plumber that was forgotten then.
SAID = r"(?:1 result|(?!1 )\d+ results) .* not at their end; .*\n"
TOLD = {
    "started": "a Plumber was left at the end of the program before it was told to run: " + SAID,
    "running": "a Plumber was left at the end of the program while it was running: " + SAID,
    "paused": "a Plumber was left at the end of the program while it was paused: " + SAID,
    "finished": "",
}


@kinds
@pytest.mark.parametrize("moment", MOMENTS)
def test_76_the_end_of_the_program(tmp_path: Path, kind: str, moment: str) -> None:
    with Program(tmp_path, MOMENTS[moment], kind) as program:
        program.ends(0)
        assert program.left() == []
        assert re.fullmatch(TOLD[moment], program.stderr), program.stderr


@pytest.mark.parametrize(
    ("kind", "data"),
    [("default", "range(200)"), ("thread", "iter(list(range(200)))"), ("serial", "(n for n in range(200))")],
)
def test_76_a_forgotten_plumber_finishes_what_ends(tmp_path: Path, kind: str, data: str) -> None:
    code = (
        PIPELINE
        + """
def store(x):
    if x == 199:
        say("all")
plumber = Plumber(pipes=[(Piper(work, pool, unpack=True), Piper(store, unpack=True))])
"""
    )
    assert run(tmp_path, code + f"plumber.start([{data}])\nplumber.run()\n", kind).stdout == "all\n"


IN_FUNCTIONS = {
    "plumber": "plumber = Plumber(pipers=[Piper(work, unpack=True)]); plumber.start([range(200)]); plumber.run()",
    "pipeline": "steps = Pipeline((work, 1)).run_forever(background=True); steps.put_iterable(range(200))",
}


@pytest.mark.parametrize("what", IN_FUNCTIONS)
def test_76_what_a_function_leaves_behind_at_the_end_is_told(tmp_path: Path, what: str) -> None:
    code = f"""
from papy import Piper, Pipeline, Plumber
def work(x):
    time.sleep(0.01)
def main():
    {IN_FUNCTIONS[what]}
main()
"""
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert program.left() == [] and program.stderr.count(" was dropped while it ") == 1, program.stderr


def test_76_a_forgotten_plumber_does_not_wait_for_what_may_never_end(tmp_path: Path) -> None:
    code = (
        PIPELINE
        + """
import papy._dagger.plumber
papy._dagger.plumber.EXIT_TIMEOUT = 0.1
plumber.start([(n for n in itertools.count())])
plumber.run()
"""
    )
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert program.left() == [] and re.fullmatch(TOLD["running"], program.stderr), program.stderr


def test_76_a_forgotten_plumber_that_failed(tmp_path: Path) -> None:
    code = (
        PIPELINE
        + """
plumber = Plumber(pipers=[Piper(lambda x: 1 / x, unpack=True)], on_error="raise")
plumber.start([[0]])
plumber.run()
"""
    )
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert "the run of a Plumber has failed" in program.stderr and "papy.PiperError" in program.stderr


UNREAD = "papy: a Dagger was left at the end of the program before its results were read to their end"


@pytest.mark.parametrize(
    ("pool", "rest", "told"),
    [
        ("IMap()", "", UNREAD + ", and what its workers had begun is lost; "),
        ("IMap(worker_type='thread')", "next(piper)", UNREAD + ", and what its workers had begun is lost; "),
        ("None", "", UNREAD + "; "),
        ("IMap(worker_type='thread')", "list(piper)", ""),
        ("IMap(worker_type='thread')", "dagger.stop()", ""),
        ("None", "dagger.stop()", ""),
        ("IMap(worker_type='thread')", "sys.exit(1 / 0)", "Traceback"),
    ],
)
def test_76_a_forgotten_dagger_is_told_of(tmp_path: Path, pool: str, rest: str, told: str) -> None:
    code = f"""
import logging
from papy import Dagger, Piper
logging.basicConfig(format="%(name)s: %(message)s")
piper = Piper(abs, {pool}, unpack=True)
dagger = Dagger([piper])
dagger.start([range(-9, 0)])
{rest}
"""
    with Program(tmp_path, code) as program:
        program.ends(1 if told == "Traceback" else 0)
        assert program.left() == [] and program.stderr.startswith(told)
        assert program.stderr.count("papy: ") == told.count("papy: ") and bool(program.stderr) == bool(told)


@kinds
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_error_in_the_program(tmp_path: Path, kind: str, moment: str) -> None:
    with Program(tmp_path, MOMENTS[moment] + "1 / 0\n", kind) as program:
        program.ends(1)
        assert program.left() == []
        assert program.stderr.count("Traceback") == 1 and "ZeroDivisionError" in program.stderr


@kinds
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_everything(tmp_path: Path, kind: str, moment: str, number: int) -> None:
    with Program(tmp_path, MOMENTS[moment] + "time.sleep(600)\n", kind) as program:
        program.wait_for("twenty")
        program.send(number)
        program.ends(-number)
        assert program.left() == [] and program.stderr == ""


@kinds
def test_an_interrupt_while_waiting(tmp_path: Path, kind: str) -> None:
    code = (
        RUNNING
        + """
try:
    plumber.wait()
except KeyboardInterrupt:
    say("interrupted")
say(plumber.wait(0), "running" in repr(plumber))
plumber.pause()
plumber.stop()
say(plumber.run([range(30)]).results)
"""
    )
    with Program(tmp_path, code, kind) as program:
        program.wait_for("twenty")
        program.send_group(signal.SIGINT)
        program.wait_for("interrupted")
        program.check_clean_end()
        assert program.stdout.splitlines()[-3:] == ["False True", "twenty", "30"]


@kinds
def test_an_interrupt_while_results_are_read(tmp_path: Path, kind: str) -> None:
    code = (
        PIPELINE
        + """
def interrupt(x):
    if x == 1000 and not interrupted:
        interrupted.append(x)
        signal.raise_signal(signal.SIGINT)
    return x
first, last = Piper(work, pool, unpack=True), Piper(interrupt, unpack=True)
dagger = Dagger(pipes=[(first, last)])
dagger.start([itertools.count()])
found, interrupted = [], []
while len(found) < 3000:
    try:
        found.extend(itertools.islice(last, 3000 - len(found)))
    except KeyboardInterrupt:
        say("interrupted")
say(found == list(range(3000)))
dagger.stop()
interrupted.clear()
try:
    for x in dagger.results([itertools.count()]):
        pass
except KeyboardInterrupt:
    say(x, repr(dagger))
"""
    )
    with Program(tmp_path, code, kind) as program:
        program.check_clean_end()
        assert program.stdout.splitlines() == ["interrupted", "True", "999 Dagger(2 pipers, 1 pipe, idle)"]


def test_an_interrupt_that_nobody_catches(tmp_path: Path) -> None:
    with Program(tmp_path, RUNNING + "plumber.wait()\n") as program:
        program.wait_for("twenty")
        program.send_group(signal.SIGINT)
        program.ends(-signal.SIGINT)
        assert program.left() == [] and program.stderr.count("Traceback") == 1


def test_killed_workers_are_failures_and_the_run_goes_on(tmp_path: Path) -> None:
    code = (
        PIPELINE
        + """
def dies(x):
    if x % 10 == 3:
        os.kill(os.getpid(), 9)
    return x
plumber = Plumber(pipes=[(Piper(dies, pool, unpack=True), Piper(work, pool, unpack=True))])
plumber.start([range(50)])
plumber.run()
say(plumber.wait(60), len(plumber.stats["dead_letters"]), plumber.stats["results"])
"""
    )
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert (program.stdout, program.left()) == ("True 5 50\n", [])
        assert re.fullmatch(
            r"5 items failed: 5 of 50 on piper_\d+ \(dies\); the first: .*WorkerDied.*\n", program.stderr
        )


@pytest.mark.parametrize("kind", ["default", "thread"])
def test_a_pipeline_from_standard_input(tmp_path: Path, kind: str) -> None:
    code = RUNNING.replace("count()", "chain(range(30))") + "plumber.wait()\nplumber.stop()\n"
    with Program(tmp_path, argv=["-"], stdin=PRELUDE + code, engine=kind) as program:
        program.check_clean_end()
        assert program.stdout == "twenty\n"


def test_an_idle_plumber_uses_no_cpu(tmp_path: Path) -> None:
    code = (
        PIPELINE
        + """
def live():
    yield from range(21)
    threading.Event().wait(600)
plumber.start([live()])
plumber.run()
"""
    )
    with Program(tmp_path, code + "threading.Event().wait(600)\n") as program:
        program.wait_for("twenty")
        process = psutil.Process(program.pid)

        def used() -> float:
            return sum(process.cpu_times()[:2])

        # It comes to rest, and then the clock of its CPU stands still.
        assert until(lambda: rests(used))
        program.process.kill()
        program.ends(-signal.SIGKILL)
        assert program.left() == []


def rests(used: Callable[[], float]) -> bool:
    before = used()
    time.sleep(0.5)
    return used() == before
