"""What the items of the tests of retries do, in a module that a worker process imports in no time."""

from __future__ import annotations

import os
import time
from pathlib import Path


def fails_at_first(item: tuple[int, int], folder: str) -> int:
    """The number of an item, in its run after so many failures; each run is a line in a file."""
    number, failures = item
    path = Path(folder, str(number))
    with path.open("a") as file:
        file.write(f"{time.monotonic()}\n")
    if len(path.read_text().splitlines()) <= failures:
        raise ConnectionError(number)
    return number


def fails_as(item: str, folder: str) -> str:
    """Fails as the item says, and notes each run."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{item}\n")
    if item == "dies":
        os._exit(3)
    if item == "sleeps":
        time.sleep(10_000)
    if item == "unpicklable":
        return (lambda: (yield))()  # type: ignore[return-value]
    if item != "works":
        raise {"key": KeyError, "connection": ConnectionResetError, "exits": SystemExit}[item](item)
    return item


def noted(item: int, path: str) -> int:
    """Notes when it began."""
    with Path(path).open("a") as file:
        file.write(f"{time.monotonic()}\n")
    return item


def inverse(item: int) -> float:
    return 1 / item


def long_then_item(item: int) -> int:
    if item < 0:
        time.sleep(10_000)
    return item
