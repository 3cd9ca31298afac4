"""Graphs by chance, with all that changes the number of items: what comes out is what a plain interpreter finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from papy import PiperError
from papy._base.failures import origins
from tests.papy.behaviour.graph_model import Failed, Interpreter, Node, built, described

KINDS = (("linear",), ("linear", "serial"), ("linear", "thread"), ("linear", "thread", "process"))


def found(item: Any, placed: bool) -> Any:
    """An item of a run as the interpreter has it; without places where items come in any order."""
    if not isinstance(item, PiperError):
        return item
    return Failed((int(it.piper or -1), it.index if placed else 0) for it in origins(item))  # type: ignore[misc]


def placed(item: Any) -> Any:
    """An item of the interpreter, without the place of its failure."""
    return Failed((number, 0) for number, _ in item) if isinstance(item, Failed) else item


def check(seed: int, folder: Path) -> None:
    random = Random(seed)
    nodes = described(random, str(folder))
    data = [random.randrange(1, 60) for _ in range(random.choice((0, 1, 7, 30, 100)))]
    dagger, pipers = built(nodes, random, KINDS[seed % len(KINDS)])
    for node, piper in zip(nodes, pipers, strict=True):
        node.ups = tuple(pipers.index(up) for up in dagger.inbox_order(piper))
    expected = Interpreter(nodes, data).run()
    outputs = [number for number in range(len(nodes)) if all(number not in node.ups for node in nodes)]
    loose = any(any_loose(nodes, number) for number in outputs)
    lazy = random.random() < 0.5
    with dagger:
        dagger.start([iter(data) if lazy else data])
        for number, wanted in zip(outputs, expected.outputs, strict=True):
            got = list(pipers[number])
            if any_loose(nodes, number):
                assert Counter(found(it, False) for it in got) == Counter(placed(it) for it in wanted), number
            else:
                assert [found(it, True) for it in got] == wanted, number
    figures = dagger._run.statistics(0.0)  # type: ignore[union-attr]
    assert [figures.items[it] for it in pipers] == expected.items
    assert [figures.failures[it] for it in pipers] == expected.failures
    assert [figures.filtered[it] for it in pipers] == expected.filtered
    again = dagger.run([data])  # whatever the rhythms of its outputs are
    assert [again.items, again.failures, again.filtered] == [figures.items, figures.failures, figures.filtered]
    for letter in () if loose else figures.dead_letters:
        found_in = {place for _, place, _ in letter._sources}
        assert found_in == expected.sources[int(letter.piper or -1), letter.index], letter  # type: ignore[index]
        assert all(item == data[place] for _, place, item in letter._sources)


def any_loose(nodes: list[Node], number: int) -> bool:
    """Whether a piper, or one before it, gets its items in any order."""
    return nodes[number].loose or any(any_loose(nodes, up) for up in nodes[number].ups)


@pytest.mark.parametrize("seed", range(100))
def test_a_graph_gives_what_a_plain_interpreter_does(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)
