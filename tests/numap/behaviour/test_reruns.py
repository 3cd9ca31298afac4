"""Pauses before an item runs again, after which failures it does, how many begin in a second, and the settings of single tasks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, TaskTimeout, WorkerDied
from numap.testing import ScriptedEngine
from tests.numap.behaviour.retried_items import fails_as, fails_at_first, inverse, long_then_item, noted

ENGINES: list[dict[str, Any]] = [
    {"worker_type": "serial"},
    {"worker_type": "thread", "worker_num": 2},
    {"worker_type": "process", "worker_num": 2},
]
each_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda it: it["worker_type"])
each_order = pytest.mark.parametrize("ordered", [True, False])


def times(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split()]


@each_engine
@each_order
def test_an_item_runs_again_after_pauses_that_get_longer(tmp_path: Path, engine: dict[str, Any], ordered: bool) -> None:
    items = [(0, 3), *((n, 0) for n in range(1, 20))]
    options = {"retries": 3, "backoff": 0.05, "max_backoff": 0.1, "ordered": ordered}
    found = list(IMap(fails_at_first, items, (str(tmp_path),), **options, **engine))
    assert (found if ordered else sorted(found)) == list(range(20))
    runs = times(tmp_path / "0")
    pauses = [after - before for before, after in pairwise(runs)]
    assert len(runs) == 4
    assert all(pause >= least for pause, least in zip(pauses, [0.05, 0.1, 0.1], strict=True))
    assert times(tmp_path / "1")[0] < runs[-1], "others go on meanwhile"


@each_engine
def test_an_unordered_map_hands_over_what_is_ready(tmp_path: Path, engine: dict[str, Any]) -> None:
    items = [(0, 1), (1, 0), (2, 0)]
    imap = IMap(fails_at_first, items, (str(tmp_path),), retries=1, backoff=60, ordered=False, **engine)
    with imap:
        assert sorted([next(imap), next(imap)]) == [1, 2]


@each_engine
def test_a_pause_holds_up_no_end(tmp_path: Path, engine: dict[str, Any]) -> None:
    """The consumer is not kept, and neither is `stop`, by an item that waits for an hour."""
    imap = IMap(fails_at_first, [(0, 1)], (str(tmp_path),), retries=1, backoff=60, **engine)
    with pytest.raises(TimeoutError):
        imap.next(timeout=0.2)
    began = time.monotonic()
    imap.stop()
    assert time.monotonic() - began < 30


@each_engine
def test_a_bound_of_one_goes_on(tmp_path: Path, engine: dict[str, Any]) -> None:
    items = [(n, 2) for n in range(5)]
    options = {"retries": 2, "backoff": 0.01, "buffer": 1, "buffer_bytes": 1}
    assert list(IMap(fails_at_first, items, (str(tmp_path),), **options, **engine)) == list(range(5))


@each_engine
def test_chains_try_each_task_again(tmp_path: Path, engine: dict[str, Any]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    imap: IMap[Any] = IMap(retries=2, backoff=0.01, **engine)
    numbers = imap.add_task(fails_at_first, [(n, n % 3) for n in range(9)], (str(first),))
    pairs = imap.add_task(fails_at_first, imap_pairs(imap, numbers), (str(second),), retries=5)
    with imap:
        assert list(pairs) == list(range(9))
    assert len(times(first / "2")) == 3 and len(times(second / "2")) == 5


def pair(number: int) -> tuple[int, int]:
    return number, 4


def imap_pairs(imap: IMap[Any], numbers: Any) -> Any:
    return imap.add_task(pair, numbers)


RETRY_ON: dict[str, tuple[Any, str, int]] = {
    "all": (None, "connection", 3),
    "class": (ConnectionError, "connection", 3),
    "other class": (KeyError, "connection", 1),
    "classes": ((KeyError, OSError), "connection", 3),
    "function": (lambda error: "connection" in str(error), "connection", 3),
    "function says no": (lambda error: False, "connection", 1),
    "function raises": (lambda error: error.nothing, "connection", 1),
    "no exception": (Exception, "exits", 1),
    "no exception, all": (None, "exits", 3),
    "function of what is none": (lambda error: isinstance(error, SystemExit), "exits", 3),
}


@each_engine
@pytest.mark.parametrize("case", RETRY_ON)
def test_retry_on(tmp_path: Path, engine: dict[str, Any], case: str) -> None:
    retry_on, item, runs = RETRY_ON[case]
    (error,) = IMap(fails_as, [item], (str(tmp_path),), retries=2, retry_on=retry_on, on_error="return", **engine)
    assert (tmp_path / "runs").read_text().split() == [item] * runs
    assert not hasattr(error, "__numap_again__")
    if case == "function raises":
        assert any("retry_on raised AttributeError" in note for note in error.__notes__)


def test_retry_on_with_an_executor(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        options: dict[str, Any] = {"worker_type": executor, "retries": 2, "backoff": 0.01, "on_error": "return"}
        list(IMap(fails_as, ["connection", "key"], (str(tmp_path),), retry_on=KeyError, **options))
    assert sorted((tmp_path / "runs").read_text().split()) == ["connection", *["key"] * 3]


DEATHS: dict[str, tuple[Any, str, int]] = {
    "all": (None, "dies", 2),
    "class": (WorkerDied, "dies", 2),
    "other class": (TaskTimeout, "dies", 1),
    "function": (lambda error: error.exitcode == 3, "dies", 2),
    "function says no": (lambda error: error.exitcode == 4, "dies", 1),
    "time limit": (TaskTimeout, "sleeps", 2),
    "no time limit": (WorkerDied, "sleeps", 1),
    "what can't be pickled": (Exception, "unpicklable", 1),
}


@pytest.mark.parametrize("case", DEATHS)
def test_retry_on_knows_deaths_and_time_limits(tmp_path: Path, case: str) -> None:
    retry_on, item, runs = DEATHS[case]
    limit = 0.1 if item == "sleeps" else None
    options: dict[str, Any] = {"retries": 1, "retry_on": retry_on, "on_error": "return", "task_timeout": limit}
    found = list(IMap(fails_as, [item, "works"], (str(tmp_path),), worker_num=2, **options))
    assert isinstance(found[0], Exception) and found[1] == "works"
    assert (tmp_path / "runs").read_text().split().count(item) == runs


def test_a_function_of_retry_on_that_never_returns_holds_up_only_its_item() -> None:
    asked, released = threading.Event(), threading.Event()

    def ask(error: BaseException) -> bool:
        asked.set()
        return released.wait(60)

    engine = ScriptedEngine(workers=2)
    with engine.installed():
        imap = IMap(abs, count(), worker_num=2, ordered=False, retries=1, retry_on=ask)
    engine.die(0)
    engine.finish(1)
    with imap:
        assert next(imap) == 1
        assert asked.wait(60)
        for number in range(2, 9):
            engine.finish(number)
            assert next(imap) == number
        released.set()
        for number in count(9):
            if any(it.place == 0 for it in engine.running()):
                break
            engine.finish(number)
            assert next(imap) == number
        engine.finish(0)
        assert next(imap) == 0


@each_engine
@each_order
def test_items_begin_at_a_rate(tmp_path: Path, engine: dict[str, Any], ordered: bool) -> None:
    path = tmp_path / "began"
    assert sorted(IMap(noted, range(8), (str(path),), rate=20, ordered=ordered, **engine)) == list(range(8))
    began = sorted(times(path))
    # The eighth is the seventh behind the first, however many workers there are.
    assert began[-1] - began[0] >= 6.5 / 20


def test_a_high_rate_is_reached() -> None:
    began = time.monotonic()
    assert len(list(IMap(abs, range(2000), worker_type="thread", worker_num=2, rate=10_000))) == 2000
    assert 0.15 < time.monotonic() - began < 30


@each_engine
def test_each_task_has_its_own_rate(engine: dict[str, Any]) -> None:
    imap: IMap[Any] = IMap(rate=0.01, **engine)
    slow = imap.add_task(abs, [-1, -2, -3])
    quick = imap.add_task(abs, range(50), rate=1e6)
    texts = imap.add_task(str, slow, rate=1000)
    with imap:
        assert list(quick) == list(range(50))
        assert next(texts) == "1", "the first begins at once"


@each_engine
def test_each_task_has_its_own_on_error(engine: dict[str, Any]) -> None:
    imap: IMap[Any] = IMap(on_error="return", **engine)
    numbers = imap.add_task(int, ["1", "x", "0", "2", "y"], on_error="skip")
    inverses = imap.add_task(inverse, numbers)
    texts = imap.add_task(inverse, [0, 1], on_error="raise")
    with imap:
        found = list(inverses)
        assert (found[0], found[2]) == (1.0, 0.5) and isinstance(found[1], ZeroDivisionError) and len(found) == 3
        with pytest.raises(ZeroDivisionError):
            next(texts)
        assert list(texts) == [1.0]
    assert imap.statistics().failed == 4


@each_engine
def test_what_is_returned_or_raised_is_said_by_the_task_that_failed(engine: dict[str, Any]) -> None:
    imap: IMap[Any] = IMap(**engine)
    numbers = imap.add_task(int, ["1", "x", "0"], on_error="return")
    inverses = imap.add_task(inverse, numbers)
    with imap:
        assert next(inverses) == 1.0
        assert isinstance(next(inverses), ValueError)
        with pytest.raises(ZeroDivisionError):
            next(inverses)


@each_engine
def test_a_map_may_track_all_its_tasks(engine: dict[str, Any]) -> None:
    imap: IMap[Any] = IMap(track=True, **engine)
    numbers = imap.add_task(abs, [-1, -2])
    texts = imap.add_task(str, numbers)
    halves = imap.add_task(inverse, [1], track=False)
    with imap:
        assert list(texts) == ["1", "2"] and list(halves) == [1.0]
    assert (numbers.tracked, texts.tracked, halves.tracked) == ({0: 1, 1: 2}, {0: "1", 1: "2"}, {})


def test_a_time_limit_of_one_task() -> None:
    imap: IMap[Any] = IMap(worker_num=2, on_error="return")
    limited = imap.add_task(long_then_item, [1, -1, 2], task_timeout=0.2)
    others = imap.add_task(time.sleep, [0.5])
    with imap:
        found = list(limited)
        assert found[::2] == [1, 2] and isinstance(found[1], TaskTimeout) and "task_timeout=0.2" in str(found[1])
        assert list(others) == [None]
