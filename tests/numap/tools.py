"""What several of these test files use; nothing here goes to a worker."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import pytest

from numap._items.exceptions import add_note


def each_seed(number: int) -> Callable[[Callable[[Random], None]], Callable[[], None]]:
    """Runs a test once for each seed; what fails is noted, and can be repeated alone with ``test.run(seed)``."""

    def decorate(history: Callable[[Random], None]) -> Callable[[], None]:
        def test() -> None:
            for seed in range(number):
                run(seed)

        def run(seed: int) -> None:
            try:
                history(Random(seed))
            except BaseException as error:
                add_note(error, f"seed {seed}")
                raise

        test.run = run  # type: ignore[attr-defined]
        test.__name__, test.__doc__, test.__module__ = history.__name__, history.__doc__, history.__module__
        return test

    return decorate


def says(error: pytest.ExceptionInfo[BaseException], *words: object) -> bool:
    """Whether a message has all these words."""
    text = str(error.value)
    missing = [word for word in map(str, words) if word not in text]
    assert not missing, f"{missing} missing in {text!r}"
    return True


def shown(value: object) -> str:
    """The repr of a value without addresses: a test has the same name in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
