"""Functions that fail, in a module that a worker process imports in no time."""

from __future__ import annotations

BAD = ValueError


def no_multiple_of_three(x: int) -> int:
    if x % 3 == 0:
        raise BAD(f"{x} is bad")
    return x


def fail_or_die(x: int) -> int:
    if x > 2:
        import os

        os._exit(3)
    return x
