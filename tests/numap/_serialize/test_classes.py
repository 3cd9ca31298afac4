"""Classes that are hard to make again in another process: most of them are, and what can't be fails its own item."""

from __future__ import annotations

import abc
import ctypes
import dataclasses
import datetime
import enum
import errno
import functools
from typing import Any, ClassVar

import pytest

from tests.numap._modules.test_main_export import Receiver, there
from tests.numap.programs import STARTS, run

__all__ = ["there"]  # the fixture


class Table(type):
    """Wants a keyword, which is not known any more when the class is there."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], *, table: str) -> dict[str, object]:
        return {}

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, table: str) -> Any:
        return super().__new__(cls, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, table: str) -> None:
        super().__init__(name, bases, namespace)
        type.__setattr__(cls, "table", table)

    def __setattr__(cls, name: str, value: object) -> None:
        raise AttributeError("as it is")


class AbstractTable(abc.ABCMeta):
    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, table: str) -> Any:
        made: Any = super().__new__(cls, name, bases, namespace)
        made.table = table
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, table: str) -> None:
        super().__init__(name, bases, namespace)


class Once(type):
    names: ClassVar[list[str]] = []

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if name in cls.names or "table" not in namespace:
            raise TypeError(f"{name} is there, or has no table")
        cls.names.append(name)
        return super().__new__(cls, name, bases, namespace)


class Colours(enum.EnumMeta):
    @classmethod
    def __prepare__(cls, name: str, bases: Any, *, table: str = "") -> Any:
        return super().__prepare__(name, bases)

    def __new__(cls, name: str, bases: Any, namespace: Any, *, table: str) -> Any:
        made: Any = super().__new__(cls, name, bases, namespace)
        made.table = table
        return made

    def __init__(cls, name: str, bases: Any, namespace: Any, *, table: str) -> None:
        super().__init__(name, bases, namespace)


def with_keyword() -> Any:
    class Row(metaclass=Table, table="rows"):
        pass

    return Row


def below_one_with_keyword() -> Any:
    class Below(with_keyword(), table="below"):  # type: ignore[misc]
        def get(self) -> object:
            return super().__init__()

    return Below


def abstract() -> Any:
    class Row(metaclass=AbstractTable, table="rows"):
        def get(self) -> int:
            return 3

    return Row


def only_once() -> Any:
    Once.names.clear()

    class Row(metaclass=Once):
        table = "rows"

    return Row


def enumeration() -> Any:
    class Colour(enum.Enum, metaclass=Colours, table="colours"):
        RED = 1

    return Colour


@pytest.mark.parametrize("make", [with_keyword, below_one_with_keyword, abstract, only_once, enumeration])
def test_74_metaclasses_that_want_what_is_lost(make: Any, there: Receiver) -> None:
    kind = make()

    def look(made: Any) -> Any:
        return type(made) is kind, kind.table, type(kind).__name__, made

    item = kind.RED if make is enumeration else kind()
    same, table, meta, back = there(look, item)
    assert (same, table, meta) == (True, kind.table, type(kind).__name__)
    assert type(back) is kind


def labelled() -> Any:
    class Coordinate(bytes, enum.Enum):
        label: str

        def __new__(cls, value: int, label: str) -> Any:
            made = bytes.__new__(cls, [value])
            made._value_ = value
            made.label = label
            return made

        X = 3, "x"
        Y = 4, "y"

    return Coordinate.Y, lambda it: (bytes.hex(it), it.value, it.label)


def upper() -> Any:
    class Upper(str, enum.Enum):
        def __new__(cls, value: str) -> Any:
            made = str.__new__(cls, value.upper())
            made._value_ = value
            return made

        A = "a"

    return Upper.A, lambda it: (str.lower(it), it + "-", it.value)


def numbers() -> Any:
    class Code(int, enum.Enum):
        def __new__(cls, value: int, phrase: str) -> Any:
            made = int.__new__(cls, value)
            made._value_, made.phrase = str(value), phrase
            return made

        FINE = 200, "fine"

    return Code.FINE, lambda it: (it + 1, it.value, it.phrase)


def date() -> Any:
    class Day(datetime.date, enum.Enum):
        FIRST = 2020, 1, 2

    return Day.FIRST, lambda it: (it.isoformat(), it.value)


@dataclasses.dataclass
class Creature:
    legs: int
    sound: str = "?"


def of_a_dataclass() -> Any:
    class Beast(Creature, enum.Enum):
        DOG = 4, "woof"
        BIRD = 2

    return Beast.BIRD, lambda it: (it.legs, it.sound, repr(it.value))


@pytest.mark.parametrize("make", [labelled, upper, numbers, date, of_a_dataclass])
def test_74_members_of_an_enumeration_that_are_more_than_their_value(make: Any, there: Receiver) -> None:
    item, facts = make()
    kind = type(item)

    def look(member: Any) -> Any:
        return facts(member), kind(member.value) is member is kind[member.name], list(kind.__members__), member

    assert there(look, item) == look(item)
    assert there(look, item)[-1] is item


def test_74_structures_of_ctypes(there: Receiver) -> None:
    class Point(ctypes.Structure):
        _fields_: ClassVar = [("x", ctypes.c_int), ("y", ctypes.c_double)]

        def total(self) -> float:
            return float(self.x + self.y)

    class Pixel(Point):
        _pack_ = 1
        _layout_ = "ms"
        _fields_: ClassVar = [("corners", Point * 2), ("bits", ctypes.c_int, 3)]

    class Either(ctypes.Union):
        _fields_: ClassVar = [("whole", ctypes.c_int), ("part", ctypes.c_char * 2)]

    class Swapped(ctypes.BigEndianStructure):
        _fields_: ClassVar = [("x", ctypes.c_int)]

    class Node(ctypes.Structure):
        pass

    Node._fields_ = [("value", ctypes.c_int), ("next", ctypes.POINTER(Node))]
    pixel = Pixel(1, 2.5)
    pixel.corners[1].y, pixel.bits = 7, 2

    def look(pixel: Any, either: Any, swapped: Any) -> Any:
        first = Node(1)
        second = Node(2, ctypes.pointer(first))
        same = (type(pixel) is Pixel, type(either) is Either, type(pixel.corners) is Point * 2)
        sizes = [ctypes.sizeof(kind) for kind in (Point, Pixel, Either, Swapped, Node)]
        told = (pixel.total(), pixel.corners[1].y, pixel.bits, bytes(either.part), bytes(swapped), second.next[0].value)
        return same, sizes, told, pixel

    wanted, found = look(pixel, Either(65), Swapped(1)), there(look, pixel, Either(65), Swapped(1))
    assert found[:3] == wanted[:3]
    assert type(found[3]) is Pixel and bytes(found[3]) == bytes(pixel)


def test_74_libraries_that_ctypes_has_opened(there: Receiver) -> None:
    def check(result: int, function: Any, args: Any) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), "as told")
        return result

    library, other = ctypes.CDLL(None, use_errno=True), ctypes.PyDLL(None)
    library.close.errcheck = check
    library.atof.argtypes, library.atof.restype = [ctypes.c_char_p], ctypes.c_double
    atof, own = library.atof, library["atof"]
    own.restype = ctypes.c_longlong

    def look(item: Any) -> Any:
        with pytest.raises(OSError, match="as told") as caught:
            library.close(-1)
        kinds = (type(library) is ctypes.CDLL, type(other) is ctypes.PyDLL, other.Py_IsInitialized())
        return (
            caught.value.errno,
            atof(b"2.5"),
            atof is library.atof,
            own.restype is ctypes.c_longlong,
            item.abs(-3),
            kinds,
        )

    assert there(look, library) == look(library) == (errno.EBADF, 2.5, True, True, 3, (True, True, 1))


def test_74_structs_of_msgspec(there: Receiver) -> None:
    msgspec: Any = pytest.importorskip("msgspec")

    class Base(msgspec.Struct):  # type: ignore[misc]
        a: int
        b: list[int] = []  # noqa: RUF012 - a struct copies it

    class Row(Base, frozen=True, kw_only=True, tag="row", rename="camel"):  # type: ignore[misc]
        in_words: str = "x"
        must: int
        made: list[int] = msgspec.field(default_factory=lambda: [1])

        def __post_init__(self) -> None:
            self.made[1:] = [2]

        def get(self) -> object:
            return super().__hash__, self.in_words

    def look(row: Any) -> Any:
        return type(row) is Row, Row(1, must=3), msgspec.json.encode(row), row.get()[1], row

    row = Row(1, [2], must=4)
    assert there(look, row)[:4] == look(row)[:4]
    assert type(there(look, row)[4]) is Row


BAD = """\
import os
HERE = os.getpid()

class Attribute:
    def __reduce__(self):
        return make, (os.getpid(),)

def make(pid):
    if pid != os.getpid():
        raise ValueError("only where it was made")
    return Attribute()

class Bad:
    attribute = Attribute()

def same(item):
    return type(item).__name__

def asks(item):
    return isinstance(item, Bad)

def local():
    class Local:
        attribute = Attribute()
    return Local()

items = [0, Bad(), 2, local(), 4, Bad, Bad(), 7]
found = list(IMap(same, items, on_error="return", max_items_per_worker=3, **OPTIONS))
print([it if isinstance(it, str) else type(it).__name__ for it in found])
print(all("Bad" in str(found[place]) and 'start_method="fork"' in str(found[place]) for place in (1, 5, 6)))
try:
    print(list(IMap(asks, [1], **OPTIONS)))
except Exception as error:
    print(type(error).__name__, "'Bad'" in str(error), 'start_method="fork"' in str(error))
"""


@pytest.mark.parametrize("start", [start for start in STARTS if start != "fork"])
def test_74_a_class_that_can_not_be_made_again_fails_its_own_item(start: str, tmp_path: Any) -> None:
    program = run(tmp_path, BAD, start)
    names, told, refused = program.stdout.splitlines()
    error = "SerializationError"
    assert names == str(["int", error, "int", error, "int", error, error, "int"])
    assert (told, refused) == ("True", "WorkerStartError True True")


def test_74_a_fork_has_it(tmp_path: Any) -> None:
    program = run(tmp_path, BAD.replace("raise ValueError", "pass #").split("print(all")[0], "fork")
    assert program.stdout == str(["int", "Bad", "int", "Local", "int", "type", "Bad", "int"]) + "\n"


def test_partial_objects_of_such_classes(there: Receiver) -> None:
    kind = with_keyword()
    assert there(functools.partial(lambda kind, item: kind.table + item, kind), "!") == "rows!"
