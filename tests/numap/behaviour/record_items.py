"""Classes and functions of records, in a module that a worker imports in no time."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


@dataclass
class Row:
    number: int
    name: str


class Point(NamedTuple):
    x: int
    y: list[int]


class Color(Enum):
    RED = 1


class Opens:
    """Counts those of it that are open in this process, from when they are unpickled on."""

    now = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Opens.now += 1

    def close(self) -> None:
        Opens.now -= 1


class Ends:
    """May leave the interpreter when it is pickled."""

    def __init__(self, number: int, here: bool = False) -> None:
        self.number = number
        self.here = here

    def __getstate__(self) -> dict[str, Any]:
        if self.here:
            raise SystemExit(3)
        return self.__dict__


def ends_at(item: Ends, place: int) -> Ends:
    item.here = item.number == place
    return item


def open_now(item: Opens) -> int:
    try:
        return Opens.now
    finally:
        item.close()


def append_and_die_at(item: list[Any], places: set[int]) -> list[Any]:
    if item[0] in places:
        os.kill(os.getpid(), signal.SIGKILL)
    item.append("seen")
    return item


class ClosesThere(Row):
    """Can be opened in the process that has made it only."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "x")

    def __reduce__(self) -> Any:
        return _open_at, (os.getpid(), self.number)


class DiesThere(Row):
    """Kills the process that opens it, unless that has made it."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "x")

    def __reduce__(self) -> Any:
        return _die_at, (os.getpid(), self.number)


class ClosesHere(Row):
    """A result that can't be opened anywhere."""

    def __reduce__(self) -> Any:
        return _raise, (self.number,)


class InterruptsHere(Row):
    """The first time that it is opened, an interrupt comes."""

    def __reduce__(self) -> Any:
        return _interrupt_once, (self.number,)


def _open_at(pid: int, number: int) -> Row:
    if os.getpid() != pid:
        raise ValueError(f"row {number} is closed")
    return Row(number, "x")


def _die_at(pid: int, number: int) -> Row:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return Row(number, "x")


def _raise(number: int) -> Row:
    raise ValueError(f"row {number} is closed")


_interrupted: set[int] = set()


def _interrupt_once(number: int) -> Row:
    if number not in _interrupted:
        _interrupted.add(number)
        raise KeyboardInterrupt
    return Row(number, "x")


def append_and_count(item: tuple[int, list[int], dict[str, list[int]]]) -> Any:
    number, members, named = item
    members.append(number)
    return number, members, named["x"] is members


_members: list[int] = []


def a_list_of_the_worker(number: int) -> list[int]:
    """Always the same list, with another number in it."""
    _members[:] = [number + 1]
    return _members


def number_of(row: Row) -> int:
    return row.number


def closes_here_at(number: int, bad: set[int]) -> Row:
    return ClosesHere(number, "x") if number in bad else Row(number, "x")


def interrupts_here_at(number: int, place: int) -> Row:
    return InterruptsHere(number, "x") if number == place else Row(number, "x")


def dies_at(row: Row, place: int) -> int:
    if row.number == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return row.number


def wrap(item: tuple[int, bool, Any]) -> tuple[int, Any]:
    number, fails, value = item
    if fails:
        raise ValueError(number)
    return number, value


def first(pair: tuple[Any, Any]) -> Any:
    assert pair[0][1] == pair[1], "both members are of one place"
    return pair[0]


def append_and_see(members: list[int]) -> list[int]:
    members.append(members[0])
    return members


def second_but(pair: tuple[int, Any], place: int) -> Any:
    if pair[0] % 100 == place:
        raise ValueError(place)
    return pair[1]
