"""How the input of a step pipeline ends: iterables that take turns, sources that raise, and `stop` with a time limit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from numap import StateError
from papy import Pipeline

WORKERS = ("thread", "process")


def same(entry: Any) -> Any:
    return entry


def balanced(pipeline: Pipeline) -> bool:
    return pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed


# turns ---------------------------------------------------------------------


class Both:
    """Sees whether entries of each kind come, and says when all have."""

    def __init__(self, *kinds: str) -> None:
        self.left = set(kinds)
        self.all = threading.Event()

    def __call__(self, entry: Any) -> None:
        self.left.discard(entry[0])
        if not self.left:
            self.all.set()


@pytest.mark.parametrize(
    "make",
    [
        lambda: [(("a", n) for n in count()), (("b", n) for n in count())],
        lambda: [(("a", n) for n in count()), [("b", 1)]],
        lambda: [[("b", n) for n in range(10**6)], (("a", n) for n in count())],
        lambda: [(("a", n) for n in count()), (("b", n) for n in range(3)), (("c", n) for n in count())],
    ],
    ids=["endless", "list-behind", "list-before", "three"],
)
def test_no_iterable_starves_another(make: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papy._pipeline.input_queue.ITERABLE_TIMEOUT", 0.05)
    iterables = make()
    both = Both("a", "b", *("c" for _ in iterables[2:]))
    pipeline = Pipeline((both, 1), quiet=True)
    for iterable in iterables:
        pipeline.put_iterable(iterable)
    pipeline.run_forever(background=True)
    assert both.all.wait(60)
    pipeline.stop(0)
    assert balanced(pipeline)


def test_an_iterable_that_blocks_does_not_hold_another_up() -> None:
    never: queue.SimpleQueue[Any] = queue.SimpleQueue()
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Pipeline((came.put, 1), quiet=True) as pipeline:
        pipeline.put_iterable(iter(never.get, None))
        pipeline.put_iterable(n for n in range(1000))
        assert [came.get(timeout=60) for _ in range(1000)] == list(range(1000))
        never.put(None)
    assert pipeline.count == 1000


def test_lists_are_read_one_after_the_other() -> None:
    seen: list[int] = []
    pipeline = Pipeline((seen.append, 1), quiet=True)
    for start in range(0, 100, 10):
        pipeline.put_iterable(range(start, start + 10))
    pipeline.run()
    assert seen == list(range(100))


def test_hundreds_of_iterables() -> None:
    most = 0

    def few(n: int) -> Iterator[int]:
        nonlocal most
        most = max(most, sum(it.name.startswith("papy-reader") for it in threading.enumerate()))
        yield from range(n, n + 3)

    seen: list[int] = []
    pipeline = Pipeline((seen.append, 1), quiet=True)
    for n in range(0, 900, 3):
        pipeline.put_iterable(few(n))
    pipeline.run()
    assert sorted(seen) == list(range(900))
    assert most <= 64, "some that are over may still be on their way out"


def test_all_readers_together_keep_the_bound() -> None:
    pulled = 0
    done = 0
    most = 0
    lock = threading.Lock()

    def source() -> Iterator[int]:
        nonlocal pulled
        for n in range(500):
            with lock:
                pulled += 1
            yield n

    def work(n: int) -> None:
        nonlocal done, most
        most = max(most, pulled - done)
        done += 1

    pipeline = Pipeline((work, 1), threshold=10, quiet=True)
    for _ in range(4):
        pipeline.put_iterable(source())
    pipeline.run()
    assert pipeline.count == 2000
    assert most <= 10 + 1 + 1 + 2 * 4, (
        "besides what has room, each reader may hold one that was asked for, and one that it reads"
    )


# sources that raise --------------------------------------------------------


def breaks(n: int) -> Iterator[int]:
    yield from range(n)
    raise OSError("gone")


@pytest.mark.parametrize("worker_type", WORKERS)
@pytest.mark.parametrize("how", ["results", "ordered", "run", "with", "stop"])
def test_what_was_taken_before_a_source_raised_comes_first(worker_type: str, how: str) -> None:
    seen: list[int] = []
    pipeline = Pipeline((same, 2), (same, 1), (same, 1, {"worker_type": "thread"}), worker_type=worker_type, quiet=True)
    with pytest.raises(OSError, match="gone") as caught:
        if how in ("results", "ordered"):
            results = pipeline.results(breaks(50), ordered=how == "ordered")
            seen.append(next(results))
            seen.extend(results)
        elif how == "with":
            with pipeline:
                pipeline.put_iterable(breaks(50))
        else:
            pipeline.put_iterable(breaks(50))
            pipeline.run() if how == "run" else pipeline.run_forever(background=True).stop()
    assert (pipeline.taken, pipeline.count, pipeline.skipped, pipeline.failed) == (50, 50, 0, 0)
    assert sorted(seen) == (list(range(50)) if how in ("results", "ordered") else []), (
        "extend() keeps what came before the error"
    )
    assert not pipeline.ok
    assert "raised by the source of the pipeline after 50 entries" in "".join(getattr(caught.value, "__notes__", []))
    assert list(pipeline.results([1])) == [1], "the next run is a run like any other"


def test_nothing_is_put_behind_a_source_that_raised() -> None:
    gate, reached, raised = threading.Event(), threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 1
        raised.set()
        raise OSError("gone")

    def slow(n: int) -> None:
        reached.set()
        gate.wait(60)

    pipeline = Pipeline((slow, 1), quiet=True)
    pipeline.put_iterable(source())
    pipeline.run_forever(background=True)
    assert reached.wait(60) and raised.wait(60)
    while pipeline._runs.last.state.source_failure is None:  # type: ignore[union-attr]
        threading.Event().wait(0.001)
    with pytest.raises(StateError, match="the pipeline has failed, and takes no more"):
        pipeline.put(2)
    gate.set()
    with pytest.raises(OSError, match="gone"):
        pipeline.stop()
    assert (pipeline.taken, pipeline.count) == (1, 1)


def test_the_error_of_a_source_is_not_lost_with_a_run_that_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    gate, reached = threading.Event(), threading.Event()

    def slow(n: int) -> None:
        reached.set()
        gate.wait(60)

    pipeline = Pipeline((slow, 1), quiet=True)
    pipeline.put_iterable(breaks(1))
    pipeline.run_forever(background=True)
    assert reached.wait(60)
    while pipeline._runs.last.state.source_failure is None:  # type: ignore[union-attr]
        threading.Event().wait(0.001)
    threading.Timer(0.1, gate.set).start()
    pipeline.stop(0)
    assert "a pipeline was stopped whose source had failed" in caplog.text and "OSError: gone" in caplog.text
    assert balanced(pipeline)


def test_another_failure_comes_first() -> None:
    def fails(n: int) -> None:
        if n == 20:
            raise KeyError(n)

    pipeline = Pipeline((fails, 1), quiet=True)
    with pytest.raises(KeyError):
        list(pipeline.results(breaks(50)))
    assert balanced(pipeline)


# stop ----------------------------------------------------------------------


@pytest.mark.parametrize("worker_type", WORKERS)
def test_stop_without_a_limit_lets_all_flow(worker_type: str) -> None:
    pipeline = Pipeline((same, 1), worker_type=worker_type, quiet=True).run_forever(background=True)
    for n in range(300):
        pipeline.put(n)
    pipeline.stop(None)
    assert pipeline.count == 300
    pipeline.run_forever(background=True)
    for n in range(300):
        pipeline.put(n)
    pipeline.stop(60)
    assert pipeline.count == 600


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_stop_with_a_limit_skips_the_rest(timeout: float, caplog: pytest.LogCaptureFixture) -> None:
    gate, reached = threading.Event(), threading.Event()

    def slow(n: int) -> int:
        reached.set()
        gate.wait(60)
        return n

    pipeline = Pipeline((slow, 1), quiet=True).run_forever(background=True)
    for n in range(10):
        pipeline.put(n)
    assert reached.wait(60)
    threading.Timer(0.5, gate.set).start()
    pipeline.stop(timeout)
    assert not pipeline.alive
    assert pipeline.taken == 10 and balanced(pipeline)
    assert pipeline.skipped >= 9
    assert ("not been through within 0.05 s" in caplog.text) == bool(timeout)
    assert list(pipeline.results([1])) == [1]


def test_stop_with_a_limit_ends_processes_that_are_busy() -> None:
    pipeline = Pipeline((threading.Event().wait, 1), quiet=True)
    assert pipeline.stop(0) is None, "nothing runs"
    pipeline = Pipeline((forever, 1), worker_type="process", quiet=True).run_forever(background=True)
    pipeline.put(1)
    pipeline.stop(0.05)
    assert (pipeline.taken, pipeline.skipped) == (1, 1)


def forever(_: int) -> None:
    threading.Event().wait(10_000)


def test_what_is_no_limit() -> None:
    pipeline = Pipeline((same, 1), quiet=True)
    for wrong in ("1", True):
        with pytest.raises(TypeError, match="timeout: must be a number of seconds or None"):
            pipeline.stop(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout: -1 given; must be at least 0 seconds, or None"):
        pipeline.stop(-1)
