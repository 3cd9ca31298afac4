"""Functions for calls, in a module that a worker process imports in no time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

STATE: dict[str, int] = {}


def set_up(value: int) -> None:
    STATE["value"] = value


def state(x: object = None) -> tuple[int, int]:
    return STATE["value"], os.getpid()


def die(x: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(x: int, place: int) -> int:
    if x == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def until(path: str, begun: str = "") -> int:
    """Returns when there is such a file."""
    if begun:
        Path(begun).touch()
    while not Path(path).exists():
        time.sleep(0.001)
    return os.getpid()


def until_both(x: int, folder: str, count: int) -> int:
    """Returns when so many have arrived."""
    Path(folder, str(x)).touch()
    while len(os.listdir(folder)) < count:
        time.sleep(0.001)
    return x


def once(folder: str) -> str:
    """Fails the first time."""
    path = Path(folder, "tried")
    if not path.exists():
        path.touch()
        raise ValueError("the first time")
    return "done"


def hours() -> None:
    time.sleep(10_000)
