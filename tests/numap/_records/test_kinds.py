"""Whose instances are opened without code of the program."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import Any, NamedTuple

import pytest

from numap._records.kinds import is_free


@dataclasses.dataclass
class Data:
    x: int


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int


class Slots:
    __slots__ = ("x",)


class Point(NamedTuple):
    x: int
    y: int = 0


Old = collections.namedtuple("Old", "x y")  # that is what is tried


class Derived(Old):
    """Has more methods."""

    def total(self) -> Any:
        return self.x + self.y


class Flags(enum.Flag):
    A = 1


class Number(int):
    pass


class Meta(type):
    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(name)


class WithMeta(metaclass=Meta):
    pass


@pytest.mark.parametrize("kind", [Data, Frozen, Slots, Point, Old, Derived, Flags, Number, WithMeta, set, complex])
def test_free(kind: type) -> None:
    assert is_free(kind)


class SetsItself:
    def __setstate__(self, state: object) -> None: ...


class Reduces:
    def __reduce__(self) -> Any:
        return Reduces, ()


class ReducesEx:
    def __reduce_ex__(self, protocol: Any) -> Any:
        return ReducesEx, ()


class MakesItself:
    def __new__(cls) -> Any:
        return object.__new__(cls)


class MakesTuples(Old):
    def __new__(cls, x: int, y: int) -> Any:
        return Old.__new__(cls, x, y)


class FindsAttributes:
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class FindsAll:
    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)


class SetsSlots:
    __slots__ = ("x",)

    def __setattr__(self, name: str, value: object) -> None: ...


class MyList(list[int]):
    pass


@pytest.mark.parametrize(
    "kind",
    [
        SetsItself,
        Reduces,
        ReducesEx,
        MakesItself,
        MakesTuples,
        FindsAttributes,
        FindsAll,
        SetsSlots,
        MyList,
        ValueError,
        object,
        dataclasses.Field,
    ],
)
def test_not_free(kind: type) -> None:
    assert not is_free(kind)


def test_a_class_with_a_reducer_of_the_programs() -> None:
    import copyreg

    class Own:
        pass

    assert is_free(Own)
    copyreg.pickle(Own, lambda obj: (Own, ()))
    try:
        assert not is_free(Own)
    finally:
        del copyreg.dispatch_table[Own]
