"""Functions for pipers, in a module that a worker process imports in no time."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from papy import AbstractStep


class TwoArguments(Exception):
    """An exception that can be pickled but not unpickled by its constructor."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")
        self.second: object = right


class Empty(Exception):
    """An exception that is false."""

    def __len__(self) -> int:
        return 0


def total(inbox: list[int]) -> int:
    return sum(inbox)


def same(x: Any) -> Any:
    return x


def gates(number: int) -> list[threading.Event]:
    return [threading.Event() for _ in range(number)]


def double(x: int) -> int:
    return 2 * x


def increment(x: int) -> int:
    return x + 1


def inverse(x: float) -> float:
    return 1 / x


def unless_half(x: float) -> float:
    if x == 0.5:
        raise ValueError("half")
    return x


def pair(*inbox: Any) -> tuple[Any, ...]:
    return inbox


def pid(_: Any) -> int:
    return os.getpid()


def empty(x: int) -> int:
    raise Empty(x)


def two_arguments(x: int) -> int:
    raise TwoArguments("this", "that")


def with_a_lock(x: int) -> None:
    error = TwoArguments("this", "that")
    error.second = threading.Lock()
    raise error


def lambda_in_hand(inbox: list[int]) -> Any:
    return lambda: inbox


def call_and_fail(inbox: tuple[Any, ...]) -> None:
    raise ValueError("no use for it")


def leave(x: int) -> int:
    if x == 2:
        raise SystemExit(x)
    return x


def raise_at_two(kind: type[BaseException], x: int) -> int:
    if x == 2:
        raise kind(x)
    return x


def kill_at_two(x: int) -> int:
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def unpicklable_at_two(x: int) -> Any:
    return (i for i in ()) if x == 2 else x


def tagged(inbox: list[Any], tag: str) -> tuple[Any, ...]:
    return (tag, *inbox)


def error_value(x: int) -> Exception:
    return ValueError(x)


def dawdle(x: int) -> int:
    """Take a varying time, so that nothing comes in the order in which it went."""
    time.sleep(x * 7919 % 5 / 20_000)
    return x


def raise_timeout(number: int, frame: object) -> None:
    raise TimeoutError("by a handler")


def handle_sigterm() -> None:
    signal.signal(signal.SIGTERM, raise_timeout)


def terminate_at_two(x: int) -> int:
    if x == 2:
        signal.raise_signal(signal.SIGTERM)
    return x


class Noting(AbstractStep):
    """Notes beginning and end of each of its objects in a file."""

    def initialize(self, path: str, fails: bool = False) -> None:
        self.path, self.fails = path, fails

    def thread_initialize(self) -> None:
        self.note("begin")

    def thread_shutdown(self) -> None:
        self.note("end")
        if self.fails:
            raise ValueError("commit failed")

    def note(self, word: str) -> None:
        with open(self.path, "a") as file:
            file.write(word + "\n")

    def process(self, value: int) -> int:
        time.sleep(0.002)
        return value


def two(x: int) -> tuple[int, int]:
    return 10 * x + 1, 10 * x + 2


def firsts(inbox: Any) -> list[Any]:
    return [part[0] for part in inbox]


def fail_in_turn(path: str, ways: str, x: int) -> int:
    """Fails in one way after the other, each time that it is called anywhere; then returns."""
    with open(path, "a") as file:
        file.write(".")
    turn = os.path.getsize(path) - 1
    way = ways[turn] if turn < len(ways) else "returns"
    if way == "e":
        raise ValueError(x)
    if way == "x":
        raise SystemExit(x)
    if way == "k":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "l":
        time.sleep(10_000)
    return x
