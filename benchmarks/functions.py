"""What workers run: functions of an importable module, as every peer can send them."""

from __future__ import annotations

import os
import time
from typing import Any


def increment(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


def decrease(x: int) -> int:
    return x - 3


def burn(n: int) -> int:
    """Python code for ``n`` rounds."""
    x = 0
    for i in range(n):
        x += i & 7
    return x


def nap(milliseconds: float) -> float:
    time.sleep(milliseconds / 1000)
    return milliseconds


def twice(array: Any) -> Any:
    """A new array of the same size."""
    return array * 2


def rotate(data: bytes) -> bytes:
    """New bytes of the same size."""
    return data[1:] + data[:1]


def with_table(x: int, table: bytes) -> int:
    return x + len(table)


def same(x: Any) -> Any:
    return x


def pid(_: Any) -> int:
    return os.getpid()


def each(function: Any, items: list[Any]) -> list[Any]:
    """A batch, for peers that make none themselves."""
    return [function(item) for item in items]


def with_numpy(x: int) -> float:
    import numpy

    return float(numpy.ones(3).sum()) + x


def with_pandas(x: int) -> float:
    import pandas

    return float(pandas.Series([1.0, 2.0]).sum()) + x


#: By the library that they need.
FUNCTIONS: dict[str | None, Any] = {None: same, "numpy": with_numpy, "pandas": with_pandas}


def first_of(inbox: Any) -> Any:
    return inbox[0]
