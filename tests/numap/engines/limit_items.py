"""What the items of the tests of limits do, in a module that a worker process imports in no time."""

from __future__ import annotations

import os
from pathlib import Path

FOREVER = 10_000


def stuck_in_c(x: int) -> int:
    if x == 5:
        pow(3, 10**9)
    return x


def stuck_with_program(x: int, path: str) -> int:
    if x == 1:
        import subprocess

        with subprocess.Popen(["sleep", str(FOREVER)]) as program:
            Path(path).write_text(str(program.pid))
            program.wait()
    return x


def count_calls(x: int, path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{x}\n")
    if x == 7:
        os._exit(3)
    return x


def inverse(x: int) -> float:
    return 1 / x


def exits(x: int) -> int:
    if x == 1:
        raise SystemExit(3)
    return x
