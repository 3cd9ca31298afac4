"""The functions of random histories, in a module that a worker imports in no time: hundreds of them are killed."""

from __future__ import annotations

import time
from typing import Any


def double(x: int) -> int:
    if x % 97 == 0:
        time.sleep(0.003)
    return x * 2


def increment(x: int) -> int:
    return x + 1


def add(pair: tuple[int, int]) -> int:
    return pair[0] + pair[1]


def double_array(x: Any) -> Any:
    """In place: an item that ran twice on the same memory would tell."""
    x *= 2
    return x


def add_arrays(pair: tuple[Any, Any]) -> Any:
    pair[0][:] += pair[1]
    return pair[0]


def make_array(x: int) -> Any:
    import numpy

    return numpy.full(20_000, x, "int64")


def value_of_array(x: Any) -> int:
    """The number that an array is full of; the array is changed, which must belong to this item alone."""
    value = int(x[0])
    assert (x == value).all()
    x[:] = -1
    return value
