"""What is done with items that fail: return, skip or raise, for a piper, a Dagger and a run; retries; dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, ItemError, TaskTimeout, WorkerDied
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, WorkerError
from papy._streams import results as _results
from tests.papy import work

Make = Callable[..., Piper]


@pytest.fixture(params=[None, "serial", "thread", "process"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make a piper of a function that takes items; all are linear, or on one IMap."""
    shared = None if request.param is None else IMap[Any](worker_type=request.param, worker_num=2)
    yield lambda function, **options: Piper(function, shared, unpack=True, **options)
    if shared is not None:
        shared.stop()


def values(results: Any) -> list[Any]:
    return ["failed" if isinstance(result, PiperError) else result for result in results]


def test_by_default_a_failure_travels(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.inverse), make(work.double))])
    assert values(dagger.results([[1, 0, 2]])) == [2.0, "failed", 1.0]


@pytest.mark.parametrize("where", ["piper", "dagger", "run", "debug"])
@pytest.mark.parametrize("behind", [True, False])
def test_raise(make: Make, where: str, behind: bool) -> None:
    first = make(
        work.inverse, name="first", **{"piper": {"on_error": "raise"}, "debug": {"debug": True}}.get(where, {})
    )
    dagger = Dagger([first], on_error="raise" if where == "dagger" else None)
    if behind:
        dagger.add_pipe((first, make(work.double)))
    policy = "raise" if where == "run" else None
    results = dagger.results([[1, 0, 2]], on_error=policy)
    assert next(results) == 1 + behind
    with pytest.raises(PiperError, match="first") as caught:
        next(results)
    assert isinstance(caught.value.exception, ZeroDivisionError) and caught.value.index == 1
    assert repr(dagger).endswith("idle)") and list(results) == []
    with pytest.raises(PiperError):
        dagger.run([[1, 0, 2]], on_error=policy)
    assert repr(dagger).endswith("idle)")


def test_skip_drops_the_item_from_the_whole_run(make: Make) -> None:
    root, left, right = make(work.same), make(work.inverse, on_error="skip"), make(str)
    dagger = Dagger(pipes=[(root, left, join := make(work.pair)), (root, right, join), (root, make(float))])
    found = list(dagger.results([[1, 0, 2]]))
    assert found == [((1.0, "1"), 1.0), ((0.5, "2"), 2.0)]
    done = dagger.run([[1, 0, 2]])
    assert (done.results, done.skipped, done.failures[left]) == (2, 1, 1)
    assert [(it.piper, it.inbox) for it in done.dead_letters] == [(left.name, [0])]


def test_outputs_that_are_read_one_by_one_skip_together(make: Make) -> None:
    root = make(work.same)
    left, right = make(work.inverse, on_error="skip"), make(str)
    with Dagger(pipes=[(root, left), (root, right)]) as dagger:
        dagger.start([[0, 1, 0, 2]])
        assert list(zip(left, right, strict=True)) == [(1.0, "1"), (0.5, "2")]
        assert [it.inbox for it in dagger.dead_letters] == [[0], [0]]


def test_what_is_said_of_a_piper_holds(make: Make) -> None:
    first, second = make(work.inverse, on_error="return"), make(work.unless_half)
    dagger = Dagger(pipes=[(first, second)], on_error="raise")
    assert values(dagger.results([[0, 1, 2]], on_error="skip")) == ["failed", 1.0]
    with pytest.raises(PiperError, match="half"):
        list(dagger.results([[0, 1, 2]]))
    assert values(dagger.results([[0, 1]])) == ["failed", 1.0]


def test_the_strictest_decides_where_failures_meet(make: Make) -> None:
    skip, keep = make(work.inverse, on_error="skip"), make(work.inverse, on_error="return")
    dagger = Dagger(pipes=[(skip, join := make(work.pair)), (keep, join)])
    assert values(dagger.results([[1, 0, 1, 0], [1, 1, 0, 0]])) == [(1.0, 1.0), "failed"]


def test_what_the_engine_can_not_deliver_follows_the_policy() -> None:
    pool = IMap[Any](worker_type="process", worker_num=2)
    dying = Piper(work.kill_at_two, pool, unpack=True, on_error="skip", name="dying")
    dagger = Dagger(pipes=[(dying, Piper(work.double, pool, unpack=True))])
    assert list(dagger.results([range(5)])) == [0, 2, 6, 8]
    assert [type(it.exception).__name__ for it in dagger.dead_letters] == ["WorkerDied"]


@pytest.mark.parametrize("where", ["piper", "dagger", "run"])
def test_retries(where: str) -> None:
    def stutter(x: int) -> int:
        calls.append(x)
        if calls.count(x) < 3:
            raise ValueError(x)
        return x

    for retries, expected in ((2, [7, 8]), (1, ["failed", "failed"])):
        calls: list[int] = []
        dagger = Dagger(
            [Piper(stutter, unpack=True, retries=retries if where == "piper" else None)],
            retries=retries if where == "dagger" else None,
        )
        assert values(dagger.results([[7, 8]], retries=retries if where == "run" else None)) == expected
        assert len(calls) == 2 * (retries + 1)


def test_retries_on_an_imap(make: Make) -> None:
    piper = make(work.inverse, retries=3)
    done = Dagger([piper]).run([[1, 0]])
    assert (done.items[piper], done.failures[piper]) == (2, 1)


def test_a_wrong_number_of_results_is_tried_again() -> None:
    calls: list[int] = []

    def grows(x: int) -> list[int]:
        calls.append(x)
        return calls

    assert list(Dagger([Piper(grows, produce=2, retries=1, unpack=True)]).results([[5]])) == [5, 5]


@pytest.mark.parametrize(
    ("ways", "error"),
    [("e", ValueError), ("x", ItemError), ("k", WorkerDied), ("l", TaskTimeout), ("kelx", None), ("exekl", None)],
)
@pytest.mark.parametrize("where", ["piper", "dagger", "run", "imap"])
def test_retries_are_for_whatever_happens(tmp_path: Path, ways: str, error: type[Exception] | None, where: str) -> None:
    """Deaths, time limits and errors count together, and what is said next to the piper is what holds."""
    calls = tmp_path / "calls"
    n = 2
    pool = IMap[Any](worker_num=1, retries=n if where == "imap" else 7, task_timeout=0.3 if "l" in ways else None)
    piper = Piper(
        partial(work.fail_in_turn, str(calls), ways * 9),
        pool,
        unpack=True,
        retries=n if where == "piper" else None,
        name="bad",
    )
    dagger = Dagger(
        pipes=[(piper, Piper(work.same, pool, unpack=True, retries=0))],
        retries={"dagger": n, "piper": 5, "run": 5}.get(where),
    )
    (found,) = dagger.results([[1]], retries=n if where == "run" else None)
    assert calls.stat().st_size == n + 1
    assert isinstance(found, PiperError) and (found.piper, found.index) == ("bad", 0)
    if error is not None:
        assert type(found.exception) is error
        assert not hasattr(found, "__notes__")
    assert len(dagger.dead_letters) == 1


@pytest.mark.parametrize("ways", ["ek", "ke", "xl"])
def test_after_so_many_failures_it_may_succeed(tmp_path: Path, ways: str) -> None:
    pool = IMap[Any](worker_num=1, task_timeout=0.3)
    pipers = [
        Piper(partial(work.fail_in_turn, str(tmp_path / name), ways), pool, unpack=True, retries=2) for name in "ab"
    ]
    assert list(Dagger(pipes=[pipers]).results([[1, 2, 3]])) == [1, 2, 3]


def test_zero_retries_are_none(make: Make, tmp_path: Path) -> None:
    """Also where the IMap has some."""
    pool = IMap[Any](worker_type="serial", retries=3)
    piper = Piper(partial(work.fail_in_turn, str(tmp_path / "calls"), "ee"), pool, unpack=True, retries=0)
    assert values(Dagger([piper]).results([[1]])) == ["failed"]
    assert (tmp_path / "calls").stat().st_size == 1


@pytest.mark.parametrize("policy", ["return", "skip", "raise"])
@pytest.mark.parametrize("retries", [0, 1])
def test_policies_after_retries(make: Make, policy: str, retries: int) -> None:
    bad, good, join = make(work.inverse, retries=retries, on_error=policy, name="bad"), make(work.same), make(work.pair)
    dagger = Dagger(pipes=[(bad, make(work.double), join), (good, join)])
    results = dagger.results([[1, 0, 2], [1, 2, 3]])
    if policy == "raise":
        assert next(results) == (2, 1)
        with pytest.raises(PiperError, match="bad"):
            next(results)
    else:
        assert values(results) == [(2, 1), *(["failed"] if policy == "return" else []), (1, 3)]


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"retries": "2"}])
def test_wrong_policies_are_refused(options: dict[str, Any]) -> None:
    dagger = Dagger([work.total])
    for call in (
        lambda: Dagger(**options),
        lambda: dagger.start([[1]], **options),
        lambda: dagger.run([[1]], **options),
    ):
        with pytest.raises(DaggerError, match=next(iter(options))):
            call()
    with pytest.raises(DaggerError):
        Plumber(**options)
    assert repr(dagger).endswith("idle)")


def test_dead_letters_tell_everything(make: Make) -> None:
    dagger = Dagger(pipes=[(make(work.inverse, name="first"), make(work.double))])
    assert dagger.dead_letters == []
    list(dagger.results([[1, 0, 2, 0]]))
    for letter, index in zip(dagger.dead_letters, (1, 3), strict=True):
        assert (letter.piper, letter.function, letter.inbox, letter.index) == ("first", "inverse", [0], index)
        assert isinstance(letter.args[0], WorkerError) and letter.args[0].args[1:] == ("inverse", [0])
    dagger.run([[1]])
    assert dagger.dead_letters == []


def test_a_failure_that_comes_out_twice_is_one_dead_letter(make: Make) -> None:
    root = make(work.inverse)
    dagger = Dagger(pipes=[(root, make(str)), (root, make(float))])
    done = dagger.run([[0, 0, 1]])
    assert len(done.dead_letters) == 2 and done.failures[root] == 2


def test_the_last_dead_letters_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_results, "REMEMBERED", 10)
    done = Dagger([Piper(work.inverse, unpack=True)]).run([[0] * 1500])
    assert len(done.dead_letters) == 1000 and done.dead_letters[-1].index == 1499
    assert sum(done.failures.values()) == 1500


def test_exceptions_are_values_under_every_policy(make: Make) -> None:
    for policy in ("return", "skip", "raise"):
        found = list(Dagger([make(work.error_value)], on_error=policy).results([[1]]))
        assert [type(it) for it in found] == [ValueError]
