"""A program that saves the pipeline of its main module: run by the tests, and as a saved pipeline in a fresh interpreter."""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

from numap import IMap
from papy import Piper, Plumber, Worker

OFFSET = 3
TABLE = {"a": (1, 2.5), "b": frozenset([1]), "c": [None, True, b"x", float("inf")]}


class Point:
    """A class of the main module."""

    def __init__(self, x: float) -> None:
        self.x = x


def scaled(x: float) -> float:
    return x * OFFSET


def counted(function: Any) -> Any:
    """A decorator of the main module."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


@counted
def first(inbox: list[Any], add: float = 0, key: Any = None) -> float:
    return scaled(inbox[0]) + add + len(TABLE) + key(-1)


def second(x: float, power: float) -> Point:
    return Point(math.sqrt(x) ** power)


def parts(inbox: list[Any]) -> list[float]:
    return [round(inbox[0].x, 6), round(-inbox[0].x, 6)]


def collected(inbox: list[Any]) -> list[Any]:
    return inbox


def pipeline() -> Plumber:
    pool = IMap[Any](worker_num=2, stride=2, buffer=40, name="pool", retries=1)
    a = Piper(Worker(first, (5,), {"key": abs}), pool, name="alpha", branch="x", on_error="skip", retries=2)
    b = Piper(functools.partial(second, power=2), pool, unpack=True, track=True, timeout=50)
    c = Piper(parts, IMap(worker_type="thread", ordered=False), produce=2)
    d = Piper([Worker(collected), Worker(str, unpack=True)], consume=2, debug=True)
    e = Piper(Worker(collected, name="named"), produce=2, repeat=True, branch=1)
    plumber = Plumber(pipes=[(a, b, c, d), (b, e)], on_error="return", retries=1)
    plumber.add_piper(Piper(max, unpack=True, branch=(1, "x")), {"made": "for the test"})
    return plumber


if __name__ == "__main__":
    pipeline().save(sys.argv[1])
    print(pipeline().run([[[1, 2]], [4.0]]).results, [piper.worker.name for piper in pipeline().get_outputs()])
