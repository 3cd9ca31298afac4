"""How far the pipers of a run are, as it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, Plumber, SkipEntry


class Bar:
    """A bar of tqdm, as far as it is used."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.n = 0

    def update(self, n: int) -> None:
        self.n += n


def picky(x: int) -> int:
    if x % 10 == 0:
        raise ValueError(x)
    return x


def odd(x: int) -> int:
    if x % 2 == 0:
        raise SkipEntry
    return x


def first_parts(text: str) -> list[str]:
    return [line.split(",")[0] for line in text.splitlines() if " done in " in line]


@pytest.mark.parametrize("parallel", [None, "serial", "thread", 2])
def test_a_line_for_each_piper(parallel: Any, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = [Piper(f, unpack=True, name=f.__name__) for f in (picky, odd, abs)]
    dagger = Dagger(pipes=[pipe], parallel=parallel)
    assert len(list(dagger.results([range(100)], progress="numbers"))) == 60
    said = [text.rpartition(" done")[0] for text in first_parts(capfd.readouterr().err)]
    assert said == ["numbers: picky  100", "numbers: odd  90", "numbers: abs  50"]


def test_a_bar_gets_the_items_of_all(capfd: pytest.CaptureFixture[str]) -> None:
    bar = Bar()
    statistics = Dagger(pipes=[[Piper(abs, unpack=True), Piper(str, unpack=True)]]).run([range(50)], progress=bar)
    assert statistics.results == 50
    assert (bar.n, bar.total) == (100, 100)
    Plumber([], pipes=[[Piper(abs, unpack=True)]]).run([range(50)], progress=True)
    assert "50 done" in capfd.readouterr().err


def test_what_changes_the_number_of_items_has_no_total_behind_it() -> None:
    bar = Bar()
    twice = Piper(lambda x: [x, x], flatten=True, unpack=True)
    Dagger(pipes=[[twice, Piper(str, unpack=True)]]).run([range(50)], progress=bar)
    assert (bar.n, bar.total) == (150, None)


def test_an_input_of_unknown_length(capfd: pytest.CaptureFixture[str]) -> None:
    Dagger([Piper(abs, unpack=True, name="abs")]).run([iter(range(5)).__iter__()], progress=True)
    Dagger([Piper(abs, unpack=True, name="generated")]).run([(x for x in range(5))], progress=True)
    said = first_parts(capfd.readouterr().err)
    assert [text.split(" done")[0] for text in said] == ["abs  5", "generated  5"]


def test_a_loop_that_is_left_shows_how_far_it_came(capfd: pytest.CaptureFixture[str]) -> None:
    for value in Dagger([Piper(abs, unpack=True, name="abs")]).results([range(100)], progress=True):
        if value == 4:
            break
    [said] = first_parts(capfd.readouterr().err)
    assert said.startswith("abs  5 of 100 done")


def test_what_can_not_show_progress() -> None:
    with pytest.raises(DaggerError, match="progress: must be True, False, a title, or an object with update") as caught:
        Dagger([Piper(abs)], parallel=IMap(worker_num=1)).run([[1]], progress=3)
    assert isinstance(caught.value, TypeError)
