"""What goes as a record, with which names, and what is left to the pickler of code."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import threading
import uuid
from typing import Any, NamedTuple

import pytest

from numap._records.records import Records
from numap._records.writer import RecordWriter


class Point(NamedTuple):
    x: int


class Color(enum.Enum):
    RED = 1


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


class Stops:
    """Its own code raises what is no Exception."""

    def __getstate__(self) -> Any:
        raise SystemExit


def by_name(obj: object) -> bytes:
    return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)


VALUES: list[Any] = [
    (1, "a"),
    [Point(1), Point(2)],
    Plain(3),
    {"when": datetime.datetime(2026, 1, 1), "price": decimal.Decimal("1.5")},
    (uuid.UUID(int=3), pathlib.PurePosixPath("a/b"), fractions.Fraction(1, 3)),
    {1, 2},
    Color.RED,
    collections.OrderedDict(a=1),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    collections.deque([1], 3),
    (len, Plain, by_name),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda it: type(it).__name__)
def test_what_goes_as_a_record(value: Any) -> None:
    writer = RecordWriter(by_name)
    bodies = [writer.write(value) for _ in range(3)]
    assert None not in bodies
    assert Records(writer.names, bodies).values() == [value] * 3  # type: ignore[arg-type]


def test_a_mixture_agrees_on_all_names() -> None:
    writer = RecordWriter(by_name)
    for value in VALUES:
        writer.write(value)
    bodies = [writer.write(value) for value in VALUES]
    assert Records(writer.names, bodies).values() == VALUES  # type: ignore[arg-type]
    assert len(set(writer.names)) == len(writer.names)


@pytest.mark.parametrize(
    "value",
    ["text", b"bytes", bytearray(3), ValueError("x"), threading.Event(), (1, lambda: 2)],
    ids=lambda it: type(it).__name__,
)
def test_what_does_not(value: Any) -> None:
    assert RecordWriter(by_name).write(value) is None


def test_a_name_that_the_other_process_lacks_is_not_agreed() -> None:
    def by_value(obj: object) -> bytes:
        return by_name(obj) + b"and more"

    writer = RecordWriter(by_value)
    assert writer.write((1, Point(2))) is None
    assert writer.names == ()
    assert writer.write((1, 2)) is not None


def test_what_can_not_be_sent_is_left_to_the_other_pickler() -> None:
    def refuse(obj: object) -> bytes:
        raise ValueError("no")

    assert RecordWriter(refuse).write(Point(2)) is None


def test_after_some_attempts_in_vain_a_type_is_not_tried_again() -> None:
    asked = []

    def refuse(obj: object) -> bytes:
        asked.append(obj)
        raise ValueError("no")

    writer = RecordWriter(refuse)
    for _ in range(50):
        assert writer.write(Point(2)) is None
    assert 1 < len(asked) < 20
    assert writer.write((1, 2)) is not None


def test_a_type_that_goes_now_and_then_is_tried_for_ever() -> None:
    writer = RecordWriter(by_name)
    for n in range(50):
        assert writer.write([threading.Event()]) is None
        assert writer.write([n]) is not None


def test_whatever_its_own_code_raises_leaves_nothing_behind() -> None:
    writer = RecordWriter(by_name)
    assert writer.write([1, Stops()]) is None
    body = writer.write([2])
    assert body is not None and Records(writer.names, [body]).values() == [[2]]


def test_a_copy_is_apart() -> None:
    writer = RecordWriter(by_name)
    value = [Point(1), [2]]
    copied = writer.copy(value, 4096)
    assert copied is not None and copied[0] == value and copied[0][1] is not value[1]
    assert writer.copy(["x" * 5000], 4096) is None
    assert writer.copy(threading.Event(), 4096) is None
