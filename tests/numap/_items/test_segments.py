"""Between live objects and segments."""

from __future__ import annotations

import pickle
import sys
import threading
from random import Random
from typing import Any

import pytest

from numap import SerializationError
from numap._items.failures import Failure, serialization_error
from numap._items.segments import (
    FAILED,
    JOINED,
    LONG,
    PACKED,
    PICKLED,
    PICKLES,
    RAW,
    RECORD,
    RECORDS,
    Gatherer,
    Segment,
    encode_item,
    is_atom,
    item_of,
    pack,
    part,
    parts,
    singles,
    size_of,
)
from numap._records.writer import RecordWriter
from tests.numap.tools import each_seed, says


def dumps(value: object) -> bytes:
    return pickle.dumps(value, 5)


class Number(int):
    """An int with a state of its own: no atom."""


@pytest.mark.parametrize("value", [0, -1, 10**30, 1.5, True, None, "", "abc", b"abc", "x" * (LONG - 1)])
def test_atoms(value: object) -> None:
    assert is_atom(value)


@pytest.mark.parametrize("value", [[], (), {}, Number(3), 1j, bytearray(b"a"), "x" * LONG, b"x" * LONG, object, int])
def test_no_atoms(value: object) -> None:
    assert not is_atom(value)


def test_a_pack_is_one_pickle() -> None:
    kind, count, data = pack([1, "a", None])
    assert (kind, count, pickle.loads(data)) == (PACKED, 3, [1, "a", None])


def test_an_item_is_a_pickle_of_its_own() -> None:
    kind, count, data = encode_item([1], dumps, "item")
    assert (kind, count, pickle.loads(data)) == (PICKLED, 1, [1])


def test_an_item_that_can_not_be_pickled_is_a_failure() -> None:
    lock = threading.Lock()
    kind, count, failure = encode_item(lock, dumps, "item")
    assert (kind, count) == (FAILED, 1)
    assert isinstance(failure.error, SerializationError)
    assert isinstance(failure.error.__cause__, TypeError)


@pytest.mark.parametrize("what", ["item", "result"])
def test_the_error_names_what_and_its_type_but_not_the_value(what: str) -> None:
    class Secret:
        def __repr__(self) -> str:
            return "password"

    error = serialization_error(what, Secret(), ValueError("no"))
    assert f"the {what} (" in str(error)
    assert "Secret" in str(error) and "ValueError: no" in str(error)
    assert "password" not in str(error)
    assert isinstance(error.__cause__, ValueError)


def test_an_error_of_ours_is_not_wrapped_again() -> None:
    error = SerializationError("as it is")
    assert serialization_error("item", 1, error) is error


def test_a_pickler_whose_error_has_no_text() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    with pytest.raises(SerializationError) as error:
        raise serialization_error("item", 1, Broken())
    assert says(error, "Broken", "__str__ raised ValueError")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_its_own_code_raises_is_the_failure_of_the_item(kind: type[BaseException]) -> None:
    """Items are pickled in threads of ours and in workers, where no Ctrl-C comes."""

    def refuse(value: object) -> bytes:
        raise kind("no")

    segment = encode_item([], refuse, "item")
    assert segment[0] == FAILED
    assert isinstance(segment[2].error, SerializationError)


def test_neighbours_are_joined() -> None:
    failed = (FAILED, 1, Failure(ValueError()))
    pickled = encode_item([1], dumps, "item")
    records = (PICKLES, 1, [pickled[2]])
    gather = Gatherer().segments
    assert gather([1, 2, pickled, failed, 3]) == [(RAW, 2, [1, 2]), records, failed, (RAW, 1, [3])]
    assert gather([]) == []


def test_records_have_the_names_that_were_said_last() -> None:
    gatherer = Gatherer()
    writer = RecordWriter(lambda obj: pickle.dumps(obj, pickle.HIGHEST_PROTOCOL))
    before = [writer.write([n]) for n in range(2)]
    first = (RECORD, writer.names, writer.write(1j)) if writer.write(1j) else None
    behind = [writer.write([n, 1j]) for n in range(2)]
    found = gatherer.segments([7, *before, first]) + gatherer.segments(behind) + gatherer.segments([*behind, "a"])
    assert [(kind, count) for kind, count, _ in found] == [
        (RAW, 1),
        (RECORDS, 2),
        (RECORDS, 1),
        (RECORDS, 2),
        (RECORDS, 2),
        (RAW, 1),
    ]
    values = [value for _, count, data in found[1:-1] for value in data.values()]
    assert values == [[0], [1], 1j, [0, 1j], [1, 1j], [0, 1j], [1, 1j]]


def test_a_whole_part_is_the_segment_itself() -> None:
    segment = pack([1, 2, 3])
    assert part(segment, 0, 3) is segment
    assert part(segment, 1, 2) == (RAW, 1, [2])
    assert part((RAW, 3, [1, 2, 3]), 1, 3) == (RAW, 2, [2, 3])


def test_parts_across_segments() -> None:
    single = encode_item([0], dumps, "item")
    segments = [(RAW, 2, [0, 1]), single, (RAW, 3, [3, 4, 5])]
    assert parts(segments, 1, 4) == [(RAW, 1, [1]), single, (RAW, 1, [3])]
    assert parts(segments, 0, 6) == segments
    assert parts(segments, 2, 2) == []
    assert parts(segments, 6, 6) == []


@pytest.mark.parametrize("pickled", [True, False])
def test_singles(pickled: bool) -> None:
    for segment in ((RAW, 2, [1, "b"]), pack([1, "b"])):
        found = singles(segment, pickled)
        assert [kind for kind, _, _ in found] == [PICKLED if pickled else RAW] * 2
        assert [item_of(single) for single in found] == [1, "b"]
    whole = encode_item([1], dumps, "item")
    assert singles(whole, pickled) == [whole]


def test_item_of_a_join_is_a_tuple() -> None:
    joined = (JOINED, 1, (encode_item([1], dumps, "item"), (RAW, 1, ["b"]), pack([3])))
    assert item_of(joined) == ([1], "b", 3)


def test_item_of_raises_what_unpickling_raises() -> None:
    with pytest.raises(pickle.UnpicklingError):
        item_of((PICKLED, 1, b"\x80\x05nonsense"))


def test_sizes() -> None:
    packed, pickled = pack([1, 2]), encode_item([1], dumps, "item")
    assert size_of(packed) == len(packed[2])
    assert size_of((JOINED, 1, (packed, pickled))) == len(packed[2]) + len(pickled[2])
    assert 3000 < size_of((RAW, 3, ["x" * 1000] * 3)) < 3300
    assert size_of((RAW, 2, [object(), bytearray(500)])) > 1000
    assert 0 < size_of((RAW, 2, [object(), Failure(None)])) < 2000, (
        "what they are and hold, as far as no code of theirs is needed"
    )
    assert size_of((RAW, 4, range(4))) == 4 * sys.getsizeof(3)
    assert size_of((FAILED, 1, Failure(None))) == 0


def random_segments(random: Random) -> tuple[list[Segment], list[Any]]:
    """Segments of all kinds that hold items, and the items."""
    segments: list[Segment] = []
    items: list[Any] = []
    for _ in range(random.randint(1, 6)):
        atoms = [random.random(), random.randint(0, 9), None, "text"]
        values = random.choices(atoms, k=random.randint(1, 5))
        kind = random.choice([RAW, PACKED, PICKLED, JOINED])
        if kind == RAW:
            segments.append((RAW, len(values), values))
            items += values
        elif kind == PACKED:
            segments.append(pack(values))
            items += values
        elif kind == PICKLED:
            segments.append(encode_item(values, dumps, "item"))
            items.append(values)
        else:
            segments.append((JOINED, 1, tuple(encode_item(value, dumps, "item") for value in values)))
            items.append(tuple(values))
    return segments, items


@each_seed(500)
def test_cutting_and_joining_loses_nothing(random: Random) -> None:
    segments, items = random_segments(random)
    total = len(items)
    assert sum(segment[1] for segment in segments) == total
    start = random.randint(0, total)
    stop = random.randint(start, total)
    found = [single for piece in parts(segments, start, stop) for single in singles(piece, random.random() < 0.5)]
    assert [item_of(single) for single in found] == items[start:stop]
    middle = random.randint(0, total)
    both = parts(segments, 0, middle) + parts(segments, middle, total)
    assert [item_of(single) for piece in both for single in singles(piece, False)] == items
