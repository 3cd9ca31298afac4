"""Pipers with a map of their own, or with that of their Dagger: said in a number, a word, or options."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber


def where(_: int) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def places(dagger: Dagger, n: int = 20) -> list[Any]:
    return list(dagger.results([range(n)]))


HERE = os.getpid()


@pytest.mark.parametrize("parallel", [2, "process", True])
def test_in_processes(parallel: Any) -> None:
    piper = Piper(where, parallel=parallel, unpack=True)
    assert HERE not in {pid for pid, _ in places(Dagger([piper]))}


def test_in_threads() -> None:
    piper = Piper(where, parallel="thread", worker_num=2, unpack=True, name="looks")
    assert piper.imap is not None
    assert (piper.imap.options["worker_num"], piper.imap.name) == (2, "looks")
    found = places(Dagger([piper]))
    assert {pid for pid, _ in found} == {HERE}
    assert threading.get_ident() not in {thread for _, thread in found}


def test_on_an_executor() -> None:
    with ThreadPoolExecutor(1) as executor:
        piper = Piper(where, parallel=executor, unpack=True)  # type: ignore[arg-type]
        [thread] = {thread for _, thread in places(Dagger([piper]))}
        assert executor.submit(threading.get_ident).result() == thread


def test_one_option_is_enough() -> None:
    piper = Piper(where, worker_type="serial", stride=3, unpack=True)
    assert piper.imap is not None
    assert (piper.imap.options["worker_type"], piper.stride) == ("serial", 3)
    assert Piper(where).imap is None


def test_a_dagger_has_a_map_for_pipers_that_say_nothing() -> None:
    pool = IMap(worker_type="thread", worker_num=1)
    kept = threading.get_ident()
    says_nothing = Piper(lambda inbox: [threading.get_ident()], name="says nothing")
    linear = Piper(lambda inbox: [*inbox[0], threading.get_ident()], parallel=False)
    own = Piper(lambda inbox: [*inbox[0], threading.get_ident()], parallel="serial")
    dagger = Dagger(pipes=[(says_nothing, linear, own)], parallel=pool)
    for _ in range(2):
        [[first, second, third]] = dagger.results([[0]])
        assert first != kept
        assert (second, third) == (kept, kept)
        assert says_nothing.imap is None  # it was lent
    assert "on " + pool.name in dagger.to_dot()


@pytest.mark.parametrize("make", [Dagger, Plumber])
def test_a_dagger_makes_a_map(make: Any) -> None:
    dagger = make(pipes=[(Piper(where, unpack=True), Piper(lambda at: (at, where(0)), unpack=True))], worker_num=1)
    assert dagger.parallel.options["worker_num"] == 1
    with dagger:
        found = places(dagger)
    assert {first for (first, _), _ in found} == {first for _, (first, _) in found}, "one map for both"
    assert HERE not in {first for (first, _), _ in found}


def test_a_piper_that_is_attached_by_one_dagger_and_then_by_another() -> None:
    piper = Piper(where, unpack=True)
    assert HERE not in {pid for pid, _ in places(Dagger([piper], parallel=1))}
    assert {pid for pid, _ in places(Dagger([piper]))} == {HERE}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"parallel": 2, "worker_num": 3}, "worker_num: 3 given, and parallel=2; give one of them"),
        ({"parallel": "thread", "worker_type": "process"}, "worker_type: 'process' given, and parallel='thread'"),
        ({"parallel": False, "buffer": 3}, "buffer: 3 given, but parallel=False means"),
        ({"parallel": IMap(worker_num=1), "buffer": 3}, "buffer: 3 given, but parallel is an IMap, which has its own"),
        ({"worker_num": 0}, "worker_num: 0 given; must be"),
        ({"parallel": "thread", "task_timeout": 1}, "task_timeout: needs workers that can be killed"),
    ],
)
def test_what_can_not_be(options: dict[str, Any], text: str) -> None:
    for make in (lambda: Piper(abs, **options), lambda: Dagger(**options)):
        with pytest.raises((PiperError, DaggerError)) as caught:
            make()
        assert isinstance(caught.value, ValueError)
        assert str(caught.value).startswith(text)


def test_a_plumber_saves_what_evaluates(tmp_path: Path) -> None:
    plumber = Plumber(
        [], pipes=[(Piper(abs, unpack=True), Piper(str, parallel="thread", worker_num=3, unpack=True))], parallel=2
    )
    plumber.save(tmp_path / "saved.py")
    found = Plumber()
    found.load(tmp_path / "saved.py")
    options = [piper.imap.options for piper in found.postorder() if piper.imap is not None]
    assert [(it["worker_type"], it["worker_num"]) for it in options] == [("process", 2), ("thread", 3)]
