"""A run in which items failed says so once, at its end; figures that raise; the most that may fail."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

import numap
from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, Worker
from papy.util import func
from tests.papy import work


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Gives the warnings of papy since it was asked last."""

    def texts() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "papy"]
        assert all(record.levelno == logging.WARNING for record in caplog.records)
        caplog.clear()
        return found

    return texts


@pytest.fixture(params=[None, "serial", "thread", "process"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Piper]]:
    """Make a piper; all are linear, or on one IMap."""
    shared = None if request.param is None else IMap[Any](worker_type=request.param, worker_num=2)
    yield lambda function, **options: Piper(function, shared, **{"unpack": True, "name": function.__name__, **options})
    if shared is not None:
        shared.stop()


ONE = "1 item failed: 1 of 3 on inverse; the first: inverse failed on item 1: ZeroDivisionError: division by zero"
Said = Callable[[], list[str]]
Make = Callable[..., Piper]


def test_75_a_run_with_failures_says_so_once(make: Make, said: Said) -> None:
    dagger = Dagger(pipes=[(make(work.inverse), make(work.double))])
    done = dagger.run([[1, 0, 2]])
    assert said() == [ONE] and done.failed == 1
    with pytest.raises(DaggerError, match=r"^1 item failed: 1 of 3 on inverse") as caught:
        done.raise_for_failures()
    assert caught.value.__cause__ is done.first_failure is done.dead_letters[0]
    assert len(list(dagger.results([[1, 0, 2]]))) == 3 and said() == [ONE]
    assert len(list(islice(dagger.results([[1, 0, 2, 0]]), 2))) == 2 and gc.collect() >= 0
    (text,) = said()  # of what had come out when the loop was left
    assert text.startswith("1 item failed: 1 of ")
    with dagger:
        dagger.start([[1, 0, 2]])
        list(dagger.get_outputs()[0])
        assert said() == []
    assert said() == [ONE]
    good = dagger.run([[1, 2]])
    assert (said(), good.failed, good.raise_for_failures()) == ([], 0, good)


def test_75_a_plumber_says_so_before_wait_returns(make: Make, said: Said) -> None:
    with Plumber(pipes=[(make(work.inverse), make(work.double))]) as plumber:
        plumber.start([[1, 0, 2]])
        plumber.run()
        assert plumber.wait() and said() == [ONE] and plumber.stats["failed"] == 1
        plumber.stop()
        plumber.run([[1, 0, 2]])
        assert said() == [ONE]
        plumber.start([[1, 0, 2]])
        plumber.stop()
        assert len(said()) <= 1  # it may have been taken, and then it flows through
    assert said() == []


def test_75_what_is_raised_is_not_said(make: Make, said: Said) -> None:
    dagger = Dagger(pipes=[(make(work.inverse), make(work.double))], on_error="raise")
    with pytest.raises(PiperError):
        dagger.run([[1, 0, 2]])
    with pytest.raises(PiperError):
        list(dagger.results([[1, 0, 2]]))
    assert said() == []
    with dagger:
        dagger.start([[1, 0, 2]])
        output = dagger.get_outputs()[0]
        assert next(output) == 2
        with pytest.raises(PiperError):
            next(output)
    assert said() == []
    skips = Dagger(pipes=[(make(work.inverse, on_error="skip"), make(work.inverse, name="last", on_error="raise"))])
    with pytest.raises(PiperError):
        list(skips.results([[0, 1, float("inf")]]))
    assert said() == [
        "2 items failed: 1 of 3 on inverse, 1 of 2 on last (inverse); the first: inverse failed on item 0: "
        "ZeroDivisionError: division by zero"
    ]


def test_75_what_was_dropped_is_said(said: Said) -> None:
    Dagger([Piper(work.inverse, unpack=True, name="inverse")], on_error="skip").run([[1, 0, 2]])
    assert said() == [ONE]
    with pytest.raises(DaggerError, match="disk"):
        Dagger([Piper(work.inverse, unpack=True, name="inverse")]).run([broken([1, 0, 2])])
    assert said() == [ONE]


def broken(items: Any) -> Iterator[Any]:
    yield from items
    raise OSError("disk")


def split(text: str) -> list[str]:
    return text.split()


def both(left: int, right: int) -> int:
    return left + right


@pytest.mark.parametrize(
    ("function", "item", "advised"),
    [
        (int, "1", True),
        (split, "a b", True),
        (both, 1, True),
        (float, "1", True),
        (open, "name", True),
        (work.inverse, 1, True),
        (dict, 1, False),
        (func.dump_item, 1, False),
        (lambda inbox: 1 / inbox[0], 0, False),
        (lambda inbox: inbox[0] + "", 1, False),
        (lambda inbox: {}[inbox[0]], 1, False),
    ],
)
def test_75_a_function_that_was_given_an_inbox(said: Said, function: Any, item: Any, advised: bool) -> None:
    dagger = Dagger([Piper(function)])
    done = dagger.run([[item]])
    (text,) = said()
    assert ("unpack=True" in text) == advised, text
    with pytest.raises(DaggerError) as caught:
        done.raise_for_failures()
    assert str(caught.value) == text
    with pytest.raises(PiperError) as raised:
        dagger.run([[item]], on_error="raise")
    assert ("unpack=True" in "".join(getattr(raised.value, "__notes__", []))) == advised
    dagger.del_pipers(list(dagger))
    dagger.add_piper(Piper(Worker([abs, split], unpack=True)))
    dagger.run([[1]])
    assert "unpack" not in said()[0]


# max_failures --------------------------------------------------------------


def test_75_max_failures_ends_a_run(make: Make, said: Said) -> None:
    dagger = Dagger(pipes=[(make(work.inverse), make(work.double))], max_failures=1)
    assert dagger.run([[1, 0, 2]]).failed == 1 and said() == [ONE]
    for run in (dagger.run, lambda datas: list(dagger.results(datas))):
        with pytest.raises(
            numap.TooManyFailures, match=r"^2 items failed, and max_failures=1; the first: inv"
        ) as caught:
            run([(n % 2 for n in count())])
        assert isinstance(caught.value, DaggerError) and type(caught.value).__name__ == "TooManyFailures"
        assert isinstance(caught.value.__cause__, PiperError)
        assert (caught.value.failed, caught.value.max_failures) == (2, 1)
        assert said() == [] and repr(dagger).endswith("idle)")
    assert dagger.run([[0, 0, 0]], max_failures=3).failed == 3 and len(said()) == 1
    with pytest.raises(numap.TooManyFailures):
        dagger.run([[0]], max_failures=0)


def test_75_max_failures_of_a_dagger_that_was_started(make: Make, said: Said) -> None:
    with Dagger([piper := make(work.inverse)], max_failures=1) as dagger:
        dagger.start([(n % 2 for n in count())])
        found = []
        for _ in range(2):
            with pytest.raises(numap.TooManyFailures):
                found.extend(piper)
        assert len(found) == 2
    assert said() == []


def test_75_max_failures_of_a_plumber(make: Make, said: Said) -> None:
    with Plumber(pipes=[(make(work.inverse), make(work.double))], max_failures=1) as plumber:
        plumber.start([(n % 2 for n in count())])
        plumber.run()
        with pytest.raises(numap.TooManyFailures):
            plumber.wait()
        assert "failed" in repr(plumber)
        plumber.stop()
        with pytest.raises(numap.TooManyFailures):
            plumber.run([[0, 0]])
        plumber.run([[0, 0]], max_failures=2)
        assert len(said()) == 1


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
def test_75_max_failures_is_a_number(wrong: Any) -> None:
    for call in (
        lambda: Dagger(max_failures=wrong),
        lambda: Plumber(max_failures=wrong),
        lambda: Dagger([Piper(abs)]).run([[1]], max_failures=wrong),
        lambda: Dagger([Piper(abs)]).results([[1]], max_failures=wrong),
        lambda: Dagger([Piper(abs)]).start([[1]], max_failures=wrong),
    ):
        with pytest.raises(DaggerError, match=r"max_failures: .*at least 0"):
            call()
