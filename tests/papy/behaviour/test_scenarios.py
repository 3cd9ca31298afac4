"""Guarantees 44 to 48 for Daggers and Plumbers on every kind of worker; the numbers are those of the guarantees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber
from tests.papy import work

KINDS = [None, "serial", "thread", "process"]
Run = Callable[[Any, list[Any]], Any]


def by_dagger(graph: Any, datas: list[Any]) -> Any:
    return graph.run(datas)


def by_plumber(graph: Any, datas: list[Any]) -> Any:
    """In the background, held a few times."""
    graph.start(datas)
    try:
        for _ in range(3):
            graph.run()
            graph.pause()
            if "paused" not in repr(graph):
                break
        else:
            graph.run()
        assert graph.wait(100)
        return graph.stats
    finally:
        graph.stop()


RUNS = [pytest.param(Dagger, by_dagger, id="Dagger"), pytest.param(Plumber, by_plumber, id="Plumber")]


def pools(kind: str | None, number: int) -> list[IMap[Any] | None]:
    return [None if kind is None else IMap(worker_type=kind, worker_num=2, buffer=16) for _ in range(number)]


@pytest.mark.parametrize(("make", "run"), RUNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_44_a_diamond_with_a_slow_branch(make: Any, run: Run, kind: str | None, shared: bool) -> None:
    pulled: list[int] = []
    joined: list[Any] = []
    furthest = 0

    def data() -> Iterator[int]:
        nonlocal furthest
        for x in range(300):
            pulled.append(x)
            furthest = max(furthest, len(pulled) - len(joined))
            yield x

    made = pools(kind, 1) * 3 if shared else pools(kind, 3)
    a, b = Piper(work.same, made[0], unpack=True), Piper(work.dawdle, made[1], unpack=True)
    c, d = Piper(work.double, made[2], unpack=True), Piper(lambda inbox: joined.append(tuple(inbox)))
    run(make(pipes=[(a, b, d), (a, c, d)]), [data()])
    assert joined == [(x, 2 * x) for x in range(300)]
    assert furthest <= 16 * len(made) + len(made) + 1


@pytest.mark.parametrize(("make", "run"), RUNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["return", "skip", "raise"])
def test_45_a_branch_that_fails(make: Any, run: Run, kind: str | None, policy: str) -> None:
    joined: list[Any] = []
    (pool,) = pools(kind, 1)
    a, b = Piper(work.same, pool, unpack=True), Piper(work.inverse, pool, unpack=True, name="b")
    d = Piper(lambda inbox: joined.append(tuple(inbox)))
    graph = make(pipes=[(a, b, d), (a, d)], on_error=policy)
    if policy == "raise":
        with pytest.raises(PiperError, match=r"b .inverse. failed on item 3"):
            run(graph, [[1, 2, 4, 0, 5]])
        assert joined[:3] == [(1.0, 1), (0.5, 2), (0.25, 4)]
    else:
        done = run(graph, [[1, 2, 4, 0, 5]])
        assert joined == [(1.0, 1), (0.5, 2), (0.25, 4), (0.2, 5)]
        letters = done["dead_letters"] if isinstance(done, dict) else done.dead_letters
        assert [(letter.piper, letter.index) for letter in letters] == [("b", 3)]
    assert "idle" in repr(graph)


@pytest.mark.parametrize(("make", "run"), RUNS)
def test_46_mixed_kinds_under_load(make: Any, run: Run) -> None:
    size = 10_000
    threads, processes = IMap[Any](worker_type="thread", worker_num=4), IMap[Any](worker_type="process", worker_num=2)
    joined: list[Any] = []
    root, left = Piper(work.increment, unpack=True), Piper(work.dawdle, threads, unpack=True)
    right, middle = Piper(work.dawdle, processes, unpack=True), Piper(work.double, unpack=True)
    join, out = Piper(work.pair, processes, unpack=True), Piper(joined.append, unpack=True)
    both = Piper(lambda x: (x, -x), threads, produce=2, unpack=True)
    again = Piper(work.same, processes, spawn=2, unpack=True)
    once = Piper(lambda inbox: sum(part[0] for part in inbox), threads, consume=2)
    graph = make(pipes=[(root, left, middle, join, out), (root, right, join), (root, both, again, once, join)])
    run(graph, [range(size)])
    assert joined == [(2 * x, x, 0) for x in range(1, size + 1)]


@pytest.mark.parametrize(("make", "run"), RUNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(3, 5), (5, 3), (0, 1), (200, 1)])
@pytest.mark.parametrize("paired", ["join", "outputs"])
def test_47_inputs_of_unequal_length(
    make: Any, run: Run, kind: str | None, sizes: tuple[int, int], paired: str
) -> None:
    (pool,) = pools(kind, 1)
    a, b = Piper(work.same, pool, unpack=True), Piper(work.same, pool, unpack=True)
    graph = make([a, b]) if make is Dagger else make(pipers=[a, b])
    if paired == "join":
        graph.add_pipes([(a, join := Piper(work.pair, pool, unpack=True)), (b, join)])
    with pytest.raises(DaggerError):
        run(graph, [range(size) for size in sizes])
    assert "idle" in repr(graph)


@pytest.mark.parametrize("kind", KINDS)
def test_48_started_and_stopped_by_many_at_once(kind: str | None) -> None:
    (pool,) = pools(kind, 1)
    piper = Piper(work.same, pool, unpack=True)
    graph = Dagger([piper])
    wrong: list[BaseException] = []
    started: list[int] = []
    barrier = threading.Barrier(4)

    def go() -> None:
        for _ in range(20):
            barrier.wait(60)
            try:
                graph.start([count()])
                started.append(1)
            except DaggerError as error:
                if str(error) != "start is not possible while the Dagger is running; stop() it first":
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)
            if barrier.wait(60) == 0:
                assert next(piper) == 0
            barrier.wait(60)
            graph.stop()
            barrier.wait(60)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert wrong == [] and len(started) == 20
