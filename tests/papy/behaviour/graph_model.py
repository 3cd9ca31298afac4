"""Graphs by chance, and a plain interpreter of the same description: one list for each piper, one piper after the other.

An interpreter's stream is a list of places. At each there is a value, the failures that it goes back to, or nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from numap import IMap
from papy import Dagger, Piper, Skip, Worker

NOTHING = "nothing"  # an item was dropped here


class Failed(frozenset[tuple[int, int]]):
    """Failures: for each the number of its piper and the place of its call."""


# what pipers do; all of it depends on the item alone ----------------------


def step(number: int, add: int, fails: int, drops: int, folder: str | None = None) -> int:
    """An item becomes another, fails, or is dropped; with a folder it fails at the first time, too."""
    if folder is not None:
        try:
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            raise OSError("the first time")
    if number % fails == 0:
        raise ValueError(number)
    if number % drops == 0:
        raise Skip
    return number * 3 + add


def pair(left: int, right: int) -> int:
    """Two items become one."""
    if (left + right) % 11 == 0:
        raise ValueError(left, right)
    return left * 7 + right


def parts(number: int, most: int) -> Iterator[int]:
    """An item becomes some; there may be an error behind them."""
    for part in range(number % most):
        yield number + part
    if number % 5 == 0:
        raise ValueError(number)
    if number % 7 == 0:
        raise Skip


def total(numbers: list[int], fails: int) -> int:
    """A batch becomes one item."""
    if sum(numbers) % fails == 0:
        raise ValueError(numbers)
    return sum(numbers) + len(numbers)


def way(number: int, ways: int) -> int:
    """Where an item goes; sometimes there is no such branch."""
    return number % ways if number % 13 else ways


def third(number: int) -> int:
    """The key of a batch."""
    return number // 3


# descriptions --------------------------------------------------------------


@dataclass
class Node:
    """One piper, by what it does, what it reads, and how."""

    kind: str
    ups: tuple[int, ...]
    options: dict[str, Any]
    branch: Any = None
    rhythm: int | None = None
    loose: bool = False  # its items come in any order
    args: tuple[Any, ...] = ()


@dataclass
class Outcome:
    """What an interpreter, or a run, has found."""

    outputs: list[list[Any]]
    items: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    filtered: list[int] = field(default_factory=list)
    sources: dict[tuple[int, int], frozenset[int]] = field(default_factory=dict)


def described(random: Random, folder: str) -> list[Node]:
    """A graph by chance; each node comes behind those that it reads."""
    nodes: list[Node] = [Node("step", (), {}, args=(1, random.choice((4, 97)), random.choice((5, 97))))]
    for _ in range(random.randint(1, 6)):
        _grow(nodes, random, folder)
    return nodes


def _grow(nodes: list[Node], random: Random, folder: str) -> None:
    up = random.randrange(len(nodes))
    kind = random.choice(("step", "step", "pair", "parts", "total", "way", "merge"))
    other = random.randrange(len(nodes))
    here, there = nodes[up], nodes[other]
    number, loose = len(nodes), here.loose
    options: dict[str, Any] = {"retries": random.choice((None, 1, 2))}
    if kind == "pair" and other != up and not here.loose and not there.loose and here.rhythm == there.rhythm:
        nodes.append(Node("pair", (up, other), options, rhythm=here.rhythm))
    elif kind == "parts":
        nodes.append(Node("parts", (up,), options | {"flatten": True}, rhythm=number, loose=loose, args=(4,)))
    elif kind == "total" and not loose:
        limits = random.choice(({"batch": 1}, {"batch": 3}, {"batch_key": third}, {"batch": 2, "batch_key": third}))
        nodes.append(Node("total", (up,), options | limits, rhythm=number, args=(random.choice((4, 97)),)))
    elif kind == "way":
        ways = random.randint(1, 3)
        nodes.append(Node("way", (up,), options | {"route": True}, rhythm=here.rhythm, loose=loose, args=(ways,)))
        nodes += [Node("step", (number,), {}, branch, here.rhythm, loose, (branch, 97, 97)) for branch in range(ways)]
    elif kind == "merge" and other != up:
        alike = here.rhythm == there.rhythm and not here.loose and not there.loose
        nodes.append(Node("step", (up, other), options | {"merge": True}, None, number, not alike, (0, 6, 97)))
    else:
        flaky = (folder,) if options["retries"] and random.random() < 0.3 else ()
        own = os.path.join(folder, str(number))
        if flaky:
            os.mkdir(own)
        args = (number, random.choice((4, 97)), random.choice((5, 97)), *((own,) if flaky else ()))
        nodes.append(Node("step", (up,), options, rhythm=here.rhythm, loose=loose, args=args))


# the plain interpreter -----------------------------------------------------

#: What is at a place of a stream, and from which items of the input it comes.
Place = tuple[Any, frozenset[int]]


class Interpreter:
    """Evaluates a description, all items of one node before the next node."""

    def __init__(self, nodes: list[Node], data: list[int]) -> None:
        self._nodes = nodes
        self._data: list[Place] = [(item, frozenset([place])) for place, item in enumerate(data)]
        self._items = [0] * len(nodes)
        self._filtered = [0] * len(nodes)
        self._calls = [0] * len(nodes)
        self._choices: dict[int, list[Any]] = {}
        self._sources: dict[tuple[int, int], frozenset[int]] = {}

    def run(self) -> Outcome:
        """What comes out of the pipers that no other reads."""
        streams: list[list[Place]] = []
        for number, node in enumerate(self._nodes):
            ups = [self._seen(streams, up, node) for up in node.ups] or [self._data]
            streams.append(self._node(number, node, ups))
        read = {up for node in self._nodes for up in node.ups}
        outputs = [
            [item for item, _ in stream if item is not NOTHING]
            for number, stream in enumerate(streams)
            if number not in read
        ]
        failed = {origin for stream in outputs for it in stream if isinstance(it, Failed) for origin in it}
        by_node = Counter(number for number, _ in failed)
        failures = [by_node[number] for number in range(len(self._nodes))]
        return Outcome(outputs, self._items, failures, self._filtered, self._sources)

    def _seen(self, streams: list[list[Place]], up: int, node: Node) -> list[Place]:
        """What one node gets of another."""
        if self._nodes[up].kind != "way":
            return streams[up]
        return [
            (item if isinstance(item, Failed) or way == node.branch else NOTHING, of)
            for (item, of), way in zip(streams[up], self._choices[up], strict=True)
        ]

    def _node(self, number: int, node: Node, ups: list[list[Place]]) -> list[Place]:
        if node.options.get("merge"):
            return [self._call(number, node, it) for it in _merged(ups)]
        if node.kind == "pair":
            return [self._call(number, node, *row) for row in zip(*ups, strict=True)]
        if node.kind == "parts":
            return [part for it in ups[0] for part in self._parts(number, node, it)]
        if node.kind == "total":
            return [self._call(number, node, it) for it in _batches(ups[0], node.options)]
        made = [self._call(number, node, it) for it in ups[0]]
        if node.kind == "way":
            self._choices[number] = [chosen for chosen, _ in made]
            return [
                (chosen if isinstance(chosen, Failed) else item, of)
                for (item, of), (chosen, _) in zip(ups[0], made, strict=True)
            ]
        return made

    def _call(self, number: int, node: Node, *inbox: Place) -> Place:
        place = self._calls[number]
        self._calls[number] += 1
        of = frozenset[int]().union(*(of for _, of in inbox))
        items = [item for item, _ in inbox]
        failed = [it for it in items if isinstance(it, Failed)]
        if failed:
            return Failed(frozenset[tuple[int, int]]().union(*failed)), of
        if any(it is NOTHING for it in items):
            return NOTHING, of
        self._items[number] += 1
        self._sources[number, place] = of
        function: Any = {"step": step, "pair": pair, "total": total, "way": way}[node.kind]
        args = node.args[:3] if node.kind == "step" else node.args
        try:
            made = function(*items, *args)
        except Skip:
            self._filtered[number] += 1
            return NOTHING, of
        except ValueError:
            return Failed([(number, place)]), of
        return (Failed([(number, place)]) if node.kind == "way" and made not in range(node.args[0]) else made), of

    def _parts(self, number: int, node: Node, at: Place) -> list[Place]:
        item, of = at
        place = self._calls[number]
        self._calls[number] += 1
        if isinstance(item, Failed) or item is NOTHING:
            return [at]
        self._items[number] += 1
        self._sources[number, place] = of
        made: list[Any] = []
        try:
            made.extend(parts(item, *node.args))
        except Skip:
            self._filtered[number] += not made
        except ValueError:
            made.append(Failed([(number, place)]))
        return [(it, of) for it in made or [NOTHING]]


def _merged(ups: list[list[Place]]) -> Iterator[Place]:
    """In the order of the places where there are as many; as a multiset they are the same elsewhere."""
    known: set[Failed] = set()
    most = max(map(len, ups))
    nothing: Place = (NOTHING, frozenset())
    for row in zip(*(stream + [nothing] * (most - len(stream)) for stream in ups), strict=True):
        of = frozenset[int]().union(*(of for _, of in row))
        found = [item for item, _ in row if item is not NOTHING and not (isinstance(item, Failed) and item in known)]
        failed = [item for item in found if isinstance(item, Failed)]
        known.update(failed)
        kept = [item for at, item in enumerate(found) if not isinstance(item, Failed) or item not in found[:at]]
        yield from ((item, of) for item in kept or [NOTHING])


def _batches(stream: list[Place], options: dict[str, Any]) -> Iterator[Place]:
    batch: list[int] = []
    sources: frozenset[int] = frozenset()
    for item, of in stream:
        if isinstance(item, Failed) or item is NOTHING:
            yield item, of
            continue
        if batch and "batch_key" in options and third(item) != third(batch[0]):
            yield batch, sources
            batch, sources = [], frozenset()
        batch.append(item)
        sources |= of
        if len(batch) == options.get("batch"):
            yield batch, sources
            batch, sources = [], frozenset()
    if batch:
        yield batch, sources


# the same by papy ----------------------------------------------------------


def built(nodes: list[Node], random: Random, kinds: tuple[str, ...]) -> tuple[Dagger, list[Piper]]:
    """A Dagger of this description, with pipers of these kinds: linear ones, or those of workers."""
    pools: dict[str, IMap[Any] | None] = {}
    for kind in kinds:
        buffer = random.choice((None, None, 20))
        pools[kind] = None if kind == "linear" else IMap(worker_type=kind, worker_num=2, buffer=buffer)
    functions = {"step": step, "pair": pair, "parts": parts, "total": total, "way": way}
    pipers = [
        Piper(
            Worker(functions[node.kind], node.args, unpack=True),
            pools[random.choice(kinds)],
            branch=node.branch,
            name=f"{number}",
            **node.options,
        )
        for number, node in enumerate(nodes)
    ]
    dagger = Dagger(pipers)
    for number, node in enumerate(nodes):
        for up in node.ups:
            dagger.add_pipe((pipers[up], pipers[number]))
    return dagger, pipers
