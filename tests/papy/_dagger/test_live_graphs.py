"""Guarantee 65 in graphs: requests come one by one, and each answer comes before the next request."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper, Plumber
from tests.papy._dagger.live_items import both, same, twice

KINDS = [None, "serial", "thread", "process"]
MIXED = [("thread", None, "process", None), (None, "thread", "thread", None), ("process", "thread", None, "serial")]


def pool(kind: str | None) -> IMap[Any] | None:
    return None if kind is None else IMap(worker_type=kind, worker_num=2)


def piper(function: Any, imap: IMap[Any] | None, **options: Any) -> Piper:
    return Piper(function, imap, unpack=True, **options)


def diamond(pools: list[Any]) -> list[tuple[Piper, ...]]:
    load, left, right, end = (
        piper(function, imap) for function, imap in zip((abs, same, same, both), pools, strict=True)
    )
    return [(load, left, end), (load, right, end)]


def nested(pools: list[Any]) -> list[tuple[Piper, ...]]:
    load, left, right = (piper(same, pools[0]) for _ in range(3))
    one, other, end = piper(same, pools[1]), piper(same, pools[2]), piper(both, pools[3])
    return [(load, left, one, end), (load, left, other, end), (load, right, end)]


def outputs(pools: list[Any]) -> list[tuple[Piper, ...]]:
    load = piper(same, pools[0])
    return [(load, piper(same, pools[1])), (load, piper(same, pools[2]))]


def rounds(pools: list[Any]) -> list[tuple[Piper, ...]]:
    load, spread, each = piper(same, pools[0]), piper(twice, pools[1], produce=2), piper(same, pools[1], spawn=2)
    gather, end = Piper(both, pools[1], consume=2), piper(both, pools[3])
    return [(load, spread, each, gather, end), (load, piper(same, pools[2]), end)]


SHAPES = [diamond, nested, outputs, rounds]


def answers(graph: Dagger, shape: Callable[..., Any], pools: list[Any], datas: list[Any]) -> Iterator[Any]:
    for pipe in shape(pools):
        graph.add_pipe(pipe)
    return iter(graph.results(datas))


def converse(results: Iterator[Any], *requests: queue.SimpleQueue[Any]) -> None:
    for n in range(3):
        for it in requests:
            it.put(n)
        assert next(results) is not None  # were it held up, this would wait for ever
    for it in requests:
        it.put(None)
    assert list(results) == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_65_one_pool(kind: str | None, shape: Any) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shared = pool(kind)
    with Dagger() as dagger:
        converse(answers(dagger, shape, [shared] * 4, [iter(requests.get, None)]), requests)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kinds", MIXED)
def test_65_mixed(kinds: tuple[str | None, ...], shape: Any) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Dagger() as dagger:
        converse(answers(dagger, shape, [pool(kind) for kind in kinds], [iter(requests.get, None)]), requests)


@pytest.mark.parametrize("kind", KINDS)
def test_65_two_live_inputs_and_a_shared_one(kind: str | None) -> None:
    first: queue.SimpleQueue[Any] = queue.SimpleQueue()
    second: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shared = pool(kind)
    with Dagger() as dagger:
        one, other, end = piper(same, shared), piper(same, shared), piper(both, shared)
        dagger.add_pipe((one, end))
        dagger.add_pipe((other, end))
        converse(iter(dagger.results([iter(first.get, None), iter(second.get, None)])), first, second)
    with Dagger() as dagger:
        one, other, end = piper(same, shared), piper(same, shared), piper(both, shared)
        dagger.add_pipe((one, end))
        dagger.add_pipe((other, end))
        live = iter(first.get, None)
        converse(iter(dagger.results([live, live])), first)


@pytest.mark.parametrize("kind", KINDS)
def test_65_plumbers(kind: str | None) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shared = pool(kind)
    load, left, right = (piper(same, shared) for _ in range(3))
    sink = piper(lambda *numbers: seen.put(numbers), None)
    with Plumber() as plumber:
        plumber.add_pipe((load, left, sink))
        plumber.add_pipe((load, right, sink))
        plumber.start([iter(requests.get, None)])
        plumber.run()
        for n in range(3):
            requests.put(n)
            assert seen.get(timeout=100) == (n, n)
        requests.put(None)
        assert plumber.wait(100)
