"""The fast lane takes what a person waits for: under a minute, on two cores that are quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lanes import COLLECTED, LIMIT, MOST, Lanes, Recorder, recorded

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent
#: Seconds for a person, and the number of processes that share the tests, as `make test` has it.
MINUTE, PROCESSES = 60, 2
#: Seconds in which each of the processes starts and collects the tests.
COLLECTING = 12


def test_the_fast_lane_takes_less_than_a_minute() -> None:
    assert recorded()["fast seconds"] / PROCESSES + COLLECTING < MINUTE


def test_what_was_measured_is_about_what_there_is(request: pytest.FixtureRequest) -> None:
    """Else new tests may be slow ones: ``make durations`` measures them."""
    assert request.config.stash[COLLECTED] < 1.1 * recorded()["fast tests"]


def test_each_folder_of_tests_has_fast_ones() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")}
    assert folders <= set(recorded()["fast tests by folder"])


def test_most_tests_are_fast() -> None:
    record = recorded()
    assert record["fast tests"] > record["all tests"] / 2


LEAN = ("-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:randomly")


def test_the_slow_ones_are_written_down_and_marked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    record = pytester.path / "slow.json"
    monkeypatch.setattr("tests.lanes.RECORD", record)
    pytester.makepyfile(
        test_it=f"""
        import time, pytest
        @pytest.mark.parametrize("seconds", [0, {2 * LIMIT}])
        def test_some(seconds): time.sleep(seconds)
        def test_all(): time.sleep({2 * LIMIT})
        def test_none(): pass
        """
    )
    assert pytester.inline_run(*LEAN, plugins=[Recorder()]).ret == 0
    found = recorded()
    assert found["slow"] == {"test_it.py": {"test_some": [str(2 * LIMIT)], "test_all": None}}
    assert (found["all tests"], found["fast tests"], found["fast tests by folder"]) == (4, 2, {".": 2})
    assert found["all seconds"] >= 4 * LIMIT > LIMIT > found["fast seconds"]
    pytester.inline_run(*LEAN, "-m", "not slow", plugins=[Lanes()]).assertoutcome(passed=2)
    pytester.inline_run(*LEAN, "-m", "slow", plugins=[Lanes()]).assertoutcome(passed=2)


def test_a_fast_test_that_takes_long_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what it does, not what it waits for."""
    monkeypatch.setattr("tests.lanes.RECORD", pytester.path / "none.json")
    monkeypatch.setattr("tests.lanes.MOST", 0.05)
    assert MOST > 0.05
    pytester.makepyfile(
        """
        import time, pytest
        def work():
            before = time.process_time()
            while time.process_time() < before + 0.1: pass
        def test_works(): work()
        @pytest.mark.slow
        def test_may_work(): work()
        def test_waits(): time.sleep(0.1)
        """
    )
    pytester.makeini("[pytest]\nmarkers = slow")
    assert pytester.inline_run(*LEAN, plugins=[Lanes()]).countoutcomes() == [3, 0, 1]
