"""Names are looked up with the first record that needs them, and only with those that do."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from numap._records.reader import RecordReader
from numap._records.records import Records, put
from numap._records.writer import RecordWriter
from tests.numap._records.test_writer import Plain, Point

#: As after a name that can't be looked up here.
GONE = put(b"cno_such_module\nThing\n", 1)


def written(items: list[Any]) -> Records:
    writer = RecordWriter(lambda obj: pickle.dumps(obj, pickle.HIGHEST_PROTOCOL))
    for item in items:
        writer.write(item)
    return Records(writer.names, [body for item in items if (body := writer.write(item)) is not None])


def test_without_names_all_are_opened_at_once() -> None:
    assert RecordReader().values(written([[1], (2,)])) == [[1], (2,)]


def test_with_a_new_name_one_by_one_first() -> None:
    records, reader = written([Point(1), Point(2)]), RecordReader()
    assert reader.values(records) is None
    assert reader.open(records.names, records.bodies[0]) == Point(1)
    assert reader.values(records) == [Point(1), Point(2)]
    assert RecordReader().values(records) is None, "each process for itself"


def test_a_name_that_none_of_these_needs_is_not_looked_up() -> None:
    records = written([Point(1), [2]])
    records.names = (*records.names, GONE)
    reader = RecordReader()
    assert [reader.open(records.names, body) for body in records.bodies] == [Point(1), [2]]
    assert reader.values(records) == [Point(1), [2]]
    assert reader.values(records.cut(1, 2)) == [[2]]


def test_bytes_that_only_look_like_a_reference() -> None:
    records = written([("h\x01", Point(1)), [2]])
    records.names = (*records.names, GONE)
    reader = RecordReader()
    assert reader.values(records) is None
    assert [reader.open(records.names, body) for body in records.bodies] == [("h\x01", Point(1)), [2]]


def test_the_record_that_needs_it_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    records, reader = written([Point(1), Plain(2), [3]]), RecordReader()
    monkeypatch.delattr(sys.modules[Plain.__module__], "Plain")
    found: list[Any] = []
    for body in records.bodies:
        try:
            found.append(reader.open(records.names, body))
        except AttributeError:
            found.append(None)
    assert found == [Point(1), None, [3]]
    assert reader.values(records) is None
    assert reader.values(records.cut(0, 1)) == [Point(1)]
