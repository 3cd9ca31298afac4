"""The user forks while a run goes on: neither process disturbs the other (guarantee 58)."""

from __future__ import annotations

import os
import threading
import traceback
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, PlumberError
from papy.util.script import Program
from tests.papy import work

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
KINDS = [None, "thread", "process"]


def in_a_child(check: Callable[[], object]) -> None:
    """Runs a check in a forked child; what it raises there fails here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: of forks of a process with threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            timer = threading.Timer(50, os._exit, (2,))
            timer.daemon = True
            timer.start()
            check()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def refused(
    call: Callable[[], object], kind: type[Exception], text: str = "in use in the process that forked this one"
) -> None:
    with pytest.raises(kind, match=text):
        call()


def piper(kind: str | None, function: Any = work.same) -> Piper:
    return Piper(function, None if kind is None else IMap(worker_type=kind, worker_num=1), unpack=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", ["started", "running", "paused", "finished"])
def test_a_plumber_is_the_parents(kind: str | None, state: str) -> None:
    seen: list[int] = []
    more = threading.Event()

    def sink(x: int) -> None:
        seen.append(x)
        if len(seen) > before + 10:
            more.set()

    before = 1 << 60
    plumber = Plumber(pipes=[(piper(kind), Piper(sink, unpack=True))])
    plumber.start([range(5) if state == "finished" else count()])
    if state != "started":
        plumber.run()
    if state == "paused":
        plumber.pause()
    if state == "finished":
        assert plumber.wait(60)

    def child() -> None:
        for call in (plumber.wait, plumber.run, plumber.pause, plumber.start, plumber.disconnect):
            refused(call, PlumberError)
        refused(lambda: plumber.run([[1]]), PlumberError)
        refused(lambda: list(plumber.results([[1]])), PlumberError)
        refused(lambda: next(plumber.get_outputs()[0]), PiperError, "next is not possible")
        with plumber:
            plumber.stop()
        plumber.stop(None)
        assert "forked" in repr(plumber) and plumber.stats["start_time"]
        assert list(Plumber(pipers=[piper(kind)]).results([[1, 2]])) == [1, 2]

    in_a_child(child)
    before = len(seen)
    if state in ("started", "paused"):
        plumber.run()
    if state != "finished":
        assert more.wait(60)
    plumber.stop()
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dagger_is_the_parents(kind: str | None) -> None:
    only = piper(kind)
    dagger = Dagger([only])
    dagger.start([count()])
    assert next(only) == 0

    def child() -> None:
        refused(lambda: next(only), PiperError)
        refused(lambda: dagger.start([[1]]), DaggerError)
        dagger.stop()
        dagger.disconnect(forced=True)

    in_a_child(child)
    assert next(only) == 1
    dagger.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_parents(kind: str | None) -> None:
    results = Dagger([piper(kind)]).results([count()])
    assert next(results) == 0
    in_a_child(lambda: refused(lambda: next(results), DaggerError))
    assert next(results) == 1
    results.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_piper_is_the_parents(kind: str | None) -> None:
    alone = piper(kind)
    alone.connect([count()]).start()
    assert next(alone) == 0

    def child() -> None:
        refused(lambda: next(alone), PiperError)
        alone.stop(forced=True)

    in_a_child(child)
    assert next(alone) == 1
    alone.stop(forced=True)


def test_a_lock_of_the_parents_is_none_in_the_child() -> None:
    """Another thread is in the middle of a stop that waits for an item."""
    arrived, gate = threading.Event(), threading.Event()

    def block(x: int) -> None:
        arrived.set()
        gate.wait(60)

    plumber = Plumber(pipers=[piper(None, block)])
    plumber.start([count()])
    plumber.run()
    assert arrived.wait(60)
    stopping = threading.Thread(target=plumber.stop, args=(None,))
    stopping.start()
    in_a_child(lambda: refused(plumber.wait, PlumberError))
    in_a_child(plumber.stop)
    gate.set()
    stopping.join()
    assert plumber.run([[1]]).results == 1


def test_an_idle_dagger_runs_in_the_child() -> None:
    dagger = Dagger([piper("process")])
    assert list(dagger.results([[1]])) == [1]

    def child() -> None:
        assert list(dagger.results([[1, 2]])) == [1, 2]

    in_a_child(child)


def test_a_childs_run_ends_no_program_of_the_parents(tmp_path: Path) -> None:
    """Programs are known by the function that runs them, and that is the same in both."""
    os.mkfifo(tmp_path / "gate")
    program = Program("copy", ["cat", "{in.file}"], {"out": "txt"}, dir=tmp_path, stdout="out")
    plumber = Plumber(pipers=[Piper(program)])
    plumber.start([[tmp_path / "gate"]])
    plumber.run()
    with open(tmp_path / "gate", "wb") as gate:  # as soon as it is there

        def child() -> None:
            assert list(Dagger([Piper(program)]).results([[]])) == []

        in_a_child(child)
        gate.write(b"all of it")
    assert plumber.wait(60) and not plumber.dead_letters
    plumber.stop()
    assert (tmp_path / "gate_copy-out.txt").read_bytes() == b"all of it"
