"""Arrays and scalars of numpy that go as records: they arrive as they are, and are opened by code of numpy alone."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from numap import IMap
from numap._records.arrays import LARGE
from numap._records.records import Records, alone
from numap._records.writer import RecordWriter

numpy = pytest.importorskip("numpy", reason="numpy is in the test extra")


class Plain(numpy.ndarray):  # type: ignore[misc]
    pass


class Finalized(numpy.ndarray):  # type: ignore[misc]
    def __array_finalize__(self, obj: Any) -> None:
        """Code of the program."""


class Measured(numpy.ndarray):  # type: ignore[misc]
    @property
    def nbytes(self) -> int:  # type: ignore[override]
        raise RuntimeError("code of the program")


def readonly() -> Any:
    array = numpy.arange(3)
    array.flags.writeable = False
    return array


RECORDS = {
    "floats": numpy.arange(128.0),
    "order of Fortran": numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    "every second": numpy.arange(20.0).reshape(4, 5)[::2, 1:3],
    "no dimension": numpy.array(3.0),
    "nothing": numpy.zeros((0, 3)),
    "fields": numpy.ones(3, [("a", "i8"), ("b", "f4", (2,))]),
    "texts": numpy.array(["a", "bc"]),
    "dates": numpy.arange(3).astype("M8[s]"),
    "objects": numpy.array([1, "a", (2,), [3]], dtype=object),
    "subclass": numpy.arange(3.0).view(Plain),
    "in a dict": {"x": numpy.arange(3.0), "y": numpy.int64(3)},
    "float64": numpy.float64(1.5),
    "int8": numpy.int8(-3),
    "bool": numpy.bool_(True),
    "text": numpy.str_("abc"),
    "date": numpy.datetime64("2026-01-01"),
    "a row of fields": numpy.ones(2, [("a", "i8")])[0],
    "type": numpy.dtype("i4", metadata={"unit": "s"}),
}
OTHERS = {
    "read-only": readonly(),
    "bytes in the other order": numpy.arange(4, dtype=">i4" if numpy.dtype("i4").str == "<i4" else "<i4"),
    "large": numpy.zeros(LARGE + 8, "u1"),
    "finalized": numpy.arange(3.0).view(Finalized),
    "measured": numpy.arange(3.0).view(Measured),
}
ALL = {**RECORDS, **{name: value for name, value in OTHERS.items() if name != "measured"}}


def writer() -> RecordWriter:
    return RecordWriter(lambda obj: pickle.dumps(obj, 5))


def same(value: Any) -> Any:
    return value


def check(found: Any, value: Any) -> None:
    assert type(found) is type(value)
    if isinstance(value, dict):
        for name in value:
            check(found[name], value[name])
    elif isinstance(value, numpy.dtype):
        assert found == value
        assert found.metadata == value.metadata
    else:
        assert found.dtype == value.dtype
        numpy.testing.assert_array_equal(found, value)
    if isinstance(value, numpy.ndarray):
        assert found.shape == value.shape
        assert found.flags.f_contiguous == value.flags.f_contiguous or not value.flags.forc
        assert found.flags.writeable == value.flags.writeable


@pytest.mark.parametrize("name", RECORDS)
def test_what_goes_as_a_record_arrives_as_it_is(name: str) -> None:
    write = writer()
    for _ in range(2):
        body = write.write(RECORDS[name])
        assert body is not None
        check(pickle.loads(alone(write.names, body)), RECORDS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_code_of_the_program_opens_and_what_its_pickle_would_change_goes_its_own_way(name: str) -> None:
    assert writer().write(OTHERS[name]) is None


def test_large_arrays_do_not_keep_small_ones_behind_them_from_going_as_records() -> None:
    write = writer()
    for _ in range(20):
        assert write.write({"x": OTHERS["large"]}) is None
    assert write.write({"x": RECORDS["floats"]}) is not None


def test_records_that_show_one_array_get_one_each() -> None:
    write, array = writer(), numpy.arange(4.0)
    bodies = [write.write([array, array]) for _ in range(3)]
    assert None not in bodies
    values = Records(write.names, bodies).values()  # type: ignore[arg-type]
    assert all(first is second for first, second in values)
    values[0][0][:] = 7
    assert [list(first) for first, _ in values] == [[7] * 4, [0, 1, 2, 3], [0, 1, 2, 3]]


def test_the_common_types_of_elements_are_the_same_object_as_ever() -> None:
    write = writer()
    body = write.write(numpy.arange(3.0))
    assert body is not None
    assert pickle.loads(alone(write.names, body)).dtype is numpy.dtype(float)


def change(array: Any) -> Any:
    array += 1
    return array


def test_items_that_are_one_array_are_changed_one_by_one() -> None:
    array = numpy.arange(100.0)
    found = list(IMap(change, [array] * 500, worker_num=2))
    assert all((it == array + 1).all() and it.flags.writeable for it in found)
    assert (array == numpy.arange(100.0)).all()


def test_through_a_map_all_kinds_arrive_as_they_are() -> None:
    found = list(IMap(same, [*ALL.values()] * 20, worker_num=2))
    for place, value in enumerate([*ALL.values()] * 20):
        check(found[place], value)


def test_rows_of_an_array_are_items() -> None:
    rows = numpy.arange(6000.0).reshape(2000, 3)
    assert (numpy.array(list(IMap(change, rows, worker_num=2))) == rows + 1).all()
