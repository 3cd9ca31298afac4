"""Records travel in one pickle and are as apart as in pickles of their own."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest

from numap._records.records import Records
from numap._records.writer import RecordWriter
from tests.numap.tools import each_seed


def written(items: list[Any]) -> Records:
    writer = RecordWriter(lambda obj: pickle.dumps(obj, pickle.HIGHEST_PROTOCOL))
    for item in items:
        writer.write(item)  # now all names are agreed
    bodies = [writer.write(item) for item in items]
    assert None not in bodies
    return Records(writer.names, [body for body in bodies if body is not None])


def forms(records: Records) -> list[Records]:
    """As they are where they are written, and where they are read."""
    names, joined, lengths = records.wire()
    return [records, Records.of_wire((names, joined, lengths)), Records.of_wire((names, memoryview(joined), lengths))]


def nested(dice: Random, depth: int = 0) -> Any:
    kind = dice.randrange(4 if depth > 3 else 8)
    if kind == 0:
        return dice.choice([None, True, 1.5, b"bytes", "h\x00", "", "\n"])
    if kind in (1, 2):
        return dice.getrandbits(dice.choice([1, 8, 16, 31, 64, 300]))
    if kind == 3:
        return chr(dice.randrange(32, 0x2FFF)) * dice.choice([1, 3, 300])
    inner = [nested(dice, depth + 1) for _ in range(dice.randrange(4))]
    shared = inner + inner[:1]
    return [list(shared), tuple(shared), {str(n): it for n, it in enumerate(shared)}, {"own": shared, "again": shared}][
        kind - 4
    ]


@each_seed(200)
def test_they_arrive_as_they_were(dice: Random) -> None:
    items = [nested(dice) if dice.random() < 0.7 else (n, {1, n}, complex(n)) for n in range(dice.randrange(1, 30))]
    items = [item for item in items if type(item) not in (str, bytes)] or [[1]]
    start = dice.randrange(len(items))
    stop = dice.randrange(start, len(items)) + 1
    for records in forms(written(items)):
        assert len(records) == len(items)
        assert records.values() == items
        assert [pickle.loads(raw) for raw in records.pickles()] == items
        part = records.cut(start, stop)
        assert (len(part), part.values()) == (stop - start, items[start:stop])
        assert 0 < part.nbytes <= records.nbytes


def test_no_two_share_an_object() -> None:
    shared: list[int] = []
    items = [[shared, shared], (shared, 2), {"a": shared}]
    for records in forms(written(items)):
        first, second, third = records.values()
        assert first[0] is first[1], "within one it is the same object"
        assert len({id(it) for it in (first[0], second[0], third["a"])}) == 3


def test_one_that_holds_itself() -> None:
    own: list[Any] = [1]
    own.append(own)
    loop: tuple[Any, ...] = ([],)
    loop[0].append(loop)
    for found in (records.values() for records in forms(written([own, loop, own]))):
        assert found[0][1] is found[0] and found[2][1] is found[2] and found[0] is not found[2]
        assert found[1][0][0] is found[1]


@pytest.mark.parametrize("number", [255, 256, 70_000])
def test_many_objects_in_one(number: int) -> None:
    """More than one byte can count."""
    big = [[n] for n in range(number)]
    big += big[-1:]
    for records in forms(written([[0], big, [1], big])):
        found = records.values()
        assert found == [[0], big, [1], big]
        assert found[1][-1] is found[1][-2]


def test_bytes_that_look_like_a_reference() -> None:
    records = written([("h\x00",), (2,)])
    assert records.refers_to(0)
    assert not records.refers_to(1)
