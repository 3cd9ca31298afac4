"""What workers of pipers need of papy is imported once, wherever papy lies."""

from __future__ import annotations

import sys

import pytest

from numap import IMap
from papy import Dagger, Piper


def born_with(name: str) -> bool:
    from numap._worker import imports

    return name in imports._born


@pytest.mark.skipif(sys.platform != "linux", reason="worker processes come from templates on Linux only")
def test_85_papy_is_a_library() -> None:
    def run() -> list[bool]:
        piper = Piper(born_with, parallel=IMap(worker_num=1), unpack=True)
        return list(Dagger([piper]).results([["papy._evaluate.call"]]))

    run()
    assert run() == [True]
