"""Stopping a run: what was taken from the inputs flows through, nothing more is taken, and it does not last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count, islice
from time import perf_counter
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, PlumberError
from tests.papy import work

KINDS = [None, "serial", "thread", "process"]


class Counted(Iterator[int]):
    """All numbers; knows how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __next__(self) -> int:
        self.taken += 1
        return self.taken - 1


class StepWorker:
    """Gives so many numbers, and then blocks until it is let go."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.gate = threading.Event()

    def __iter__(self) -> Iterator[int]:
        yield from range(self.size)
        self.gate.wait(60)


def chain(kind: str | None, sink: Any, shared: bool = True) -> list[Piper]:
    pools = [None if kind is None else IMap[Any](worker_type=kind, worker_num=2) for _ in range(1 if shared else 2)]
    first, second = Piper(work.same, pools[0], unpack=True), Piper(work.double, pools[-1], unpack=True)
    return [first, Piper(work.same, unpack=True), second, Piper(sink, unpack=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("paused", [True, False])
def test_a_sink_sees_what_a_plumber_has_taken(kind: str | None, shared: bool, paused: bool) -> None:
    seen: list[int] = []
    some = threading.Event()

    def sink(x: int) -> None:
        seen.append(x)
        if len(seen) == 20:
            some.set()

    numbers = Counted()
    plumber = Plumber(pipes=[chain(kind, sink, shared)])
    plumber.start([numbers])
    plumber.run()
    assert some.wait(60)
    if paused:
        plumber.pause()
    plumber.stop(60)
    assert seen == [2 * x for x in range(numbers.taken)]
    assert "idle" in repr(plumber) and plumber.stats["run_time"] > 0 and plumber.stats["results"] == len(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sink_sees_what_a_plumber_has_taken_that_never_ran(kind: str | None) -> None:
    seen: list[int] = []
    numbers = Counted()
    plumber = Plumber(pipes=[chain(kind, seen.append)])
    plumber.start([numbers])
    plumber.stop(60)
    assert seen == [2 * x for x in range(numbers.taken)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sink_sees_what_a_dagger_has_taken(kind: str | None) -> None:
    seen: list[int] = []
    numbers = Counted()
    pipe = chain(kind, seen.append)
    fork = Piper(work.same, unpack=True)
    dagger = Dagger(pipes=[pipe, (pipe[0], fork)])
    dagger.start([numbers])
    assert list(islice(pipe[-1], 5)) == [None] * 5
    dagger.stop(60)
    assert seen == [2 * x for x in range(numbers.taken)]
    assert not any(piper.started for piper in dagger)


@pytest.mark.parametrize("make", [list, tuple, lambda it: it])
def test_sequences_are_shut_like_any_input(make: Any) -> None:
    seen: list[int] = []
    plumber = Plumber(pipes=[chain("thread", seen.append)])
    plumber.start([make(range(10**5))])
    plumber.stop(60)
    assert seen == [2 * x for x in range(len(seen))] and len(seen) < 10**5


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_flows_where_that_is_not_wanted(kind: str | None) -> None:
    seen: list[int] = []
    plumber = Plumber(pipes=[chain(kind, seen.append)])
    plumber.start([count()])
    plumber.stop(timeout=0)
    assert seen == []


@pytest.mark.parametrize("graph", [Dagger, Plumber])
def test_it_is_soon_whatever_the_items_do(graph: type[Dagger]) -> None:
    gate = threading.Event()
    plumber = graph(pipes=[chain("thread", lambda x: gate.wait(60))])
    plumber.start([count()])
    if isinstance(plumber, Plumber):
        plumber.run()
    began = perf_counter()
    plumber.stop(0.05)
    assert perf_counter() - began < 30  # and not 60
    assert "idle" in repr(plumber)
    gate.set()


@pytest.mark.parametrize("kind", KINDS[2:])
def test_an_input_that_blocks_holds_back_nothing(kind: str) -> None:
    seen: list[int] = []
    hand = StepWorker(5)
    plumber = Plumber(pipes=[chain(kind, seen.append)])
    plumber.start([hand])
    plumber.run()
    plumber.stop(2)
    hand.gate.set()
    assert seen == [2 * x for x in range(len(seen))] and "idle" in repr(plumber)


def test_errors_on_the_way_out_are_nobody_s() -> None:
    plumber = Plumber(pipes=[chain("thread", work.inverse)], on_error="raise")
    plumber.start([count(-2)])
    plumber.stop(60)
    left, right = (Piper(work.same, IMap[Any](worker_type="thread"), unpack=True) for _ in range(2))
    dagger = Dagger(pipes=[(left, join := Piper(work.pair, unpack=True)), (right, join)])
    dagger.start([count(), [1, 2]])
    assert next(join) is not None
    dagger.stop(60)
    assert "idle" in repr(dagger)


def test_who_reads_meanwhile_does_not_take_it_for_the_end() -> None:
    arrived, gate = threading.Event(), threading.Event()

    def held(x: int) -> int:
        arrived.set()
        gate.wait(60)
        return x

    dagger = Dagger([piper := Piper(held, unpack=True)])
    dagger.start([count()])
    stopper = threading.Thread(target=lambda: arrived.wait(60) and dagger.stop(0.05))
    stopper.start()
    opener = threading.Timer(0.2, gate.set)
    opener.start()
    with pytest.raises(PiperError, match=r"was stopped while its results were read|is not possible while it is idle"):
        for _ in piper:
            pass
    stopper.join(60)
    opener.join(60)


def test_an_error_in_the_block_waits_for_nothing() -> None:
    seen: list[int] = []
    plumber = Plumber(pipes=[chain("thread", seen.append)])
    with pytest.raises(KeyError), plumber:
        plumber.start([count()])
        raise KeyError
    assert seen == [] and "idle" in repr(plumber)


@pytest.mark.parametrize("graph", [Dagger, Plumber])
@pytest.mark.parametrize(
    ("timeout", "kind"), [("1", TypeError), (True, TypeError), (-1, ValueError), (float("nan"), ValueError)]
)
def test_a_timeout_that_is_none(graph: type[Dagger], timeout: Any, kind: type[Exception]) -> None:
    dagger = graph([Piper(work.same)]) if graph is Dagger else graph(pipers=[Piper(work.same)])
    with dagger:
        dagger.start([count()])
        error = PlumberError if graph is Plumber else DaggerError
        with pytest.raises(error, match=r"timeout: .* seconds") as caught:
            dagger.stop(timeout)
        assert isinstance(caught.value, kind) and "idle" not in repr(dagger)
