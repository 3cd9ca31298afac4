"""Every number of seconds is a time limit, also one that no clock of the system can count to."""

from __future__ import annotations

from pathlib import Path

import pytest

from numap import IMap
from papy import Dagger, Piper, Plumber
from papy.util.func import dump_db_item, dump_item, load_db_item, load_item
from papy.util.script import Program
from tests.papy import work

LONG = pytest.mark.parametrize(
    "seconds", [2.2e6, 1e10, 1e300, float("inf"), 10**400], ids=["2e6", "1e10", "1e300", "inf", "whole"]
)


@LONG
def test_of_a_plumber(seconds: float) -> None:
    plumber = Plumber(pipers=[Piper(work.same, unpack=True)])
    plumber.start([[1, 2]])
    plumber.run()
    assert plumber.wait(seconds) is True
    plumber.stop(seconds)
    assert plumber.stats["results"] == 2


@LONG
def test_of_a_piper(seconds: float) -> None:
    pool = IMap[int](worker_type="thread", worker_num=1)
    dagger = Dagger([Piper(work.same, pool, timeout=seconds, unpack=True)])
    assert list(dagger.results([[1, 2]])) == [1, 2]
    with dagger:
        dagger.start([[1, 2]])
        dagger.stop(seconds)


@LONG
def test_of_a_program(seconds: float, tmp_path: Path) -> None:
    program = Program("true", ["true"], {}, dir=tmp_path, timeout=seconds)
    assert list(Dagger([Piper(program)]).results([[{}]])) == [{}]


@LONG
@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_of_items(kind: str, seconds: float, tmp_path: Path) -> None:
    handle = dump_item([b"item"], kind, dir=tmp_path, timeout=seconds)
    assert load_item([handle], timeout=seconds) == b"item"
    row = dump_db_item(["item"], tmp_path / "items.db", timeout=seconds)
    assert load_db_item([row], timeout=seconds) == "item"
