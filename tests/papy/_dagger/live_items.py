"""What the pipers of live graphs do, in a module that a worker process imports in no time."""

from __future__ import annotations

from typing import Any


def same(n: Any) -> Any:
    return n


def both(*numbers: Any) -> Any:
    return numbers


def twice(n: Any) -> Any:
    return n, n
