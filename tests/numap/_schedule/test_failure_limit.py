"""``max_failures``: a map that goes wrong as a whole ends, and says so; 75 is the number of the guarantee."""

from __future__ import annotations

import random
import threading
from itertools import count
from typing import Any

import pytest

from numap import IMap, TooManyFailures, join, tee
from numap._items.failures import Failure
from numap._schedule.failure_limit import Tolerance
from tests.numap._schedule.failing_items import BAD, fail_or_die, no_multiple_of_three

KINDS = ["process", "thread", "serial"]
POLICIES = ["raise", "return", "skip"]


def outcomes(results: Any) -> tuple[list[Any], TooManyFailures | None]:
    """What came, failures by their text, and what ended it."""
    found: list[Any] = []
    while True:
        try:
            result = next(results)
        except StopIteration:
            return found, None
        except TooManyFailures as error:
            return found, error
        except BAD as error:
            result = error
        found.append(str(result) if isinstance(result, BAD) else result)


@pytest.mark.parametrize("on_error", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_75_one_failure_too_many_ends_the_map_behind_the_results_before_it(kind: str, on_error: str) -> None:
    with IMap(
        no_multiple_of_three, count(1), worker_type=kind, worker_num=2, on_error=on_error, max_failures=2
    ) as imap:
        found, error = outcomes(imap)
        assert found == [x for x in [1, 2, "3 is bad", 4, 5, "6 is bad", 7, 8] if on_error != "skip" or type(x) is int]
        assert error is not None
        assert (error.failed, error.max_failures) == (3, 2)
        assert str(error).startswith(
            "3 of 9 items failed, and max_failures=2; the first: ValueError: 3 is bad (in task 0 (no_mul"
        )
        assert str(error).endswith("The map has ended: mend what makes them fail, or allow more")
        assert type(error.__cause__) is BAD
        assert list(imap) == []
        assert imap.statistics().state == "failed"


@pytest.mark.parametrize("kind", KINDS)
def test_75_as_many_failures_as_are_allowed_end_nothing(kind: str) -> None:
    with IMap(
        no_multiple_of_three, range(1, 8), worker_type=kind, worker_num=2, on_error="skip", max_failures=2
    ) as imap:
        assert list(imap) == [1, 2, 4, 5, 7]
        assert imap.statistics().state == "finished"


@pytest.mark.parametrize("kind", KINDS)
def test_75_without_order_the_map_ends_at_once(kind: str) -> None:
    options: dict[str, Any] = {"worker_type": kind, "worker_num": 2, "ordered": False, "on_error": "skip"}
    with IMap(no_multiple_of_three, count(1), max_failures=1, **options) as imap:
        found, error = outcomes(imap)
        assert set(found) <= {x for x in range(100) if x % 3}
        assert error is not None
        assert error.failed == 2
        assert list(imap) == []


def test_75_deaths_count_and_retries_come_first(tmp_path: Any) -> None:
    tries = tmp_path / "tries"

    def once_more(x: int) -> int:
        with tries.open("a") as out:
            out.write(f"{x}\n")
        return no_multiple_of_three(x)

    with IMap(once_more, [1, 3, 2], worker_num=1, retries=2, max_failures=0) as imap:
        found, error = outcomes(imap)
        assert found == [1]
        assert error is not None
        assert tries.read_text().count("3\n") == 3
    with IMap(fail_or_die, range(9), worker_num=1, on_error="skip", max_failures=1) as imap:
        found, error = outcomes(imap)
        assert (found, type(error.__cause__).__name__) == ([0, 1, 2], "WorkerDied")


@pytest.mark.parametrize("kind", KINDS)
def test_75_an_item_counts_once_in_chains_joins_and_branches(kind: str) -> None:
    imap = IMap(worker_type=kind, worker_num=2, on_error="skip", max_failures=1)
    one, other = tee(imap.add_task(no_multiple_of_three, range(1, 10)))
    both = imap.add_task(sum, join(imap.add_task(abs, one), imap.add_task(abs, other)))
    end = imap.add_task(abs, both)
    with imap:
        found, error = outcomes(end)
        # The input of the branches ends at item 6, and they learn it from there.
        assert found == [2, 4, 8, 10]
        assert error is not None
        assert error.failed == 2
        assert imap.statistics().state == "failed"


@pytest.mark.parametrize("kind", ["thread", "serial"])
def test_75_every_task_of_the_map_ends(kind: str) -> None:
    imap = IMap(worker_type=kind, worker_num=2, on_error="skip", max_failures=1)
    bad, good = imap.add_task(no_multiple_of_three, count(1)), imap.add_task(abs, count())
    with imap:
        found, error = outcomes(bad)
        assert (found, error.failed) == ([1, 2, 4, 5], 2)
        found, error = outcomes(good)
        assert found == list(range(len(found)))
        assert error is not None


def test_75_the_input_is_let_go_and_a_map_behind_gets_the_same_error() -> None:
    gone = threading.Event()

    def source() -> Any:
        try:
            yield from count(1)
        finally:
            gone.set()

    first = IMap(no_multiple_of_three, source(), worker_type="thread", on_error="skip", max_failures=0)
    with IMap(abs, first, worker_type="thread") as second:
        found, error = outcomes(second)
        assert found == [1, 2]
        assert error is not None
        assert error.max_failures == 0
    assert gone.wait(100)
    first.stop()


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (-1, ValueError, "max_failures: -1 given; must be at least 0, or None for no limit"),
        (True, TypeError, "max_failures: must be a whole number of at least 0, or None for no limit, not True (bool)"),
        (1.5, TypeError, "max_failures: must be a whole number of at least 0, or None for no limit, not 1.5 (float)"),
    ],
)
def test_75_what_max_failures_may_be(given: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        IMap(abs, [1], max_failures=given)
    assert str(caught.value) == text


def test_where_it_ends_does_not_depend_on_who_is_quicker() -> None:
    chance = random.Random(1)
    for _ in range(200):
        bad = sorted(chance.sample(range(50), 8))
        known = chance.sample(bad, 8)
        tolerance = Tolerance(3, {0: True})
        limit = None
        for place in known:
            limit = tolerance.count(0, place, Failure(None, task=place), 0).get(0, limit)
        assert limit == bad[3]
        assert tolerance.overrun is not None
        assert tolerance.overrun[:3] == (4, bad[3] + 1, 3)
        assert tolerance.overrun.first.task == bad[0]
