"""What is spread over a stream is collected again, whatever the stride, and nothing is lost at the end."""

from __future__ import annotations

from functools import partial
from itertools import chain
from random import Random
from typing import Any

import pytest

from papy._base.errors import PiperError
from papy._base.failures import failure
from papy._streams.interleave import Blocks, deinterleave, interleave, split
from papy._streams.source import Ending
from tests.numap.tools import each_seed


def spread(results: list[tuple[Any, ...]], produce: int, stride: int) -> list[Any]:
    """A plain model: first results of so many calls, then their second results."""
    out = []
    while results:
        block, results = results[:stride], results[stride:]
        for place in range(produce):
            out += [row[place] for row in block]
    return out


def through(items: list[Any], size: int, turn: Any) -> list[Any]:
    return list(Blocks(iter(items), size, turn))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("produce", [1, 2, 3])
def test_producing_is_in_strides(produce: int, stride: int) -> None:
    for length in range(12):
        results = [tuple((call, part) for part in range(produce)) for call in range(length)]
        made = through(results, stride, partial(interleave, produce=produce, stride=stride))
        assert made == spread(results, produce, stride)


def test_the_order_of_the_manual() -> None:
    results = [(11, 12), (21, 22), (31, 32)]
    assert interleave(results, 2, 3) == [11, 21, 31, 12, 22, 32]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_repeating_is_in_strides(stride: int) -> None:
    for length in range(10):
        made = through(list(range(length)), stride, partial(interleave, produce=2, stride=stride, repeat=True))
        assert made == spread([(x, x) for x in range(length)], 2, stride)


def test_a_failure_takes_the_place_of_each_result() -> None:
    error = failure("a", 1, ValueError())
    assert interleave([(1, 2), error], 2, 2) == [1, error, 2, error]
    assert interleave([error], 3, 5, repeat=True) == [error] * 3
    by_hand = PiperError("a value")
    assert interleave([(by_hand, 2)], 2, 1) == [by_hand, 2]


@each_seed(200)
def test_what_was_produced_together_is_consumed_together(rng: Random) -> None:
    stride, length = rng.randrange(1, 5), rng.randrange(12)
    consume, spawn = rng.randrange(1, 4), rng.randrange(1, 4)
    width = consume * spawn
    results = [tuple((call, part) for part in range(width)) for call in range(length)]
    stream = through(results, stride, partial(interleave, produce=width, stride=stride))
    groups = through(stream, width * stride, partial(deinterleave, consume=consume, stride=stride, width=width))
    # What the groups become goes on in the same strides, ``spawn`` a round.
    final = through(groups, spawn * stride, partial(deinterleave, consume=spawn, stride=stride, width=spawn))
    parts = [[list(row[start : start + consume]) for start in range(0, width, consume)] for row in results]
    assert final == parts


@each_seed(200)
def test_a_piper_between_produces_again(rng: Random) -> None:
    stride, length = rng.randrange(1, 5), rng.randrange(12)
    first, second = rng.randrange(1, 4), rng.randrange(1, 4)
    results = [tuple((call, part) for part in range(first)) for call in range(length)]
    stream = through(results, stride, partial(interleave, produce=first, stride=stride))
    again = [tuple((*item, part) for part in range(second)) for item in stream]
    stream = through(again, first * stride, partial(interleave, produce=second, stride=stride, width=first))
    width = first * second
    groups = through(stream, width * stride, partial(deinterleave, consume=width, stride=stride, width=width))
    assert groups == [[(call, a, b) for a in range(first) for b in range(second)] for call in range(length)]


@each_seed(100)
def test_groups_of_data_are_so_many_places_apart(rng: Random) -> None:
    stride, consume, length = rng.randrange(1, 5), rng.randrange(1, 5), rng.randrange(30)
    items = list(range(length))
    made = through(items, consume * stride, partial(deinterleave, consume=consume, stride=stride))
    # A plain model: fill the groups of a block in turn, as far as there are items.
    expected: list[list[int]] = []
    for start in range(0, length, consume * stride):
        block: list[list[int]] = [[] for _ in range(stride)]
        for place, item in enumerate(items[start : start + consume * stride]):
            block[place % stride].append(item)
        expected += [group for group in block if group]
    assert made == expected and sorted(chain(*made)) == items


def test_a_last_group_may_have_fewer_items() -> None:
    assert through([1, 2, 3, 4], 3, partial(deinterleave, consume=3, stride=1)) == [[1, 2, 3], [4]]


def test_what_ends_the_stream_is_raised_behind_all_items_before_it() -> None:
    def items() -> Any:
        yield from (1, 2, 3)
        raise OSError("gone")

    blocks = Blocks(items(), 2, partial(deinterleave, consume=2, stride=1))
    assert [next(blocks), next(blocks)] == [[1, 2], [3]]
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            next(blocks)


def test_no_more_is_read_than_a_block() -> None:
    taken: list[int] = []

    def items() -> Any:
        for x in range(100):
            taken.append(x)
            yield x

    blocks = Blocks(items(), 4, partial(deinterleave, consume=2, stride=2))
    assert taken == [] and next(blocks) == [0, 2] and taken == [0, 1, 2, 3]


@each_seed(200)
def test_results_are_split_as_they_were_spread(rng: Random) -> None:
    stride, spawn, length = rng.randrange(1, 5), rng.randrange(1, 4), rng.randrange(12)
    calls = [[(call, part) for part in range(spawn)] for call in range(length)]
    blocks = Blocks(iter(calls), stride, partial(interleave, produce=spawn, stride=stride), stride)
    parts = [{call: (call, part) for call in range(length)} for part in range(spawn)]
    results = dict(enumerate(blocks))
    assert split(results, stride, spawn, blocks.ending) == split(results, stride, spawn, None) == parts


def test_results_beyond_the_end_are_kept() -> None:
    assert split(dict(enumerate("abcd")), 2, 2, Ending(0, 1)) == [{0: "a"}, {0: "b", 1: "c", 2: "d"}]
