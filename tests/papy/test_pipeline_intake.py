"""What goes into a step pipeline, and in which way: queues that order their entries or have other readers, endless iterables."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import threading
import time
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import pytest

from numap import StateError
from papy import AbstractStep, Pipeline


def double(n: int) -> int:
    return 2 * n


def balanced(pipeline: Pipeline) -> bool:
    return pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed


# ---------------------------------------------------------------------- queues


@pytest.mark.parametrize("kind", [queue.PriorityQueue, queue.LifoQueue])
def test_a_queue_that_orders_its_entries(kind: Any) -> None:
    entries = kind()
    seen: list[Any] = []
    gate, busy = threading.Event(), threading.Event()

    def work(entry: Any) -> Any:
        busy.set()
        gate.wait(60)
        return entry

    class Step(AbstractStep):
        process = staticmethod(seen.append)

        def process_meta(self, entry: Any) -> Any:
            seen.append(entry)

    pipeline = Pipeline((work, 1, {"threshold": 1}), (Step, 1), in_queue=entries)
    with pipeline:
        pipeline.put((5, "first"))
        assert busy.wait(60)
        for n in (4, 2, 3, 1):
            entries.put((n, "entry"))
        pipeline.put_meta("meta")
        pipeline.put_iterable([(9, "iterable")])
        pipeline.put((0, "last"))
        pipeline.finish()
        gate.set()
    assert (pipeline.taken, pipeline.count) == (8, 8)
    assert len(seen) == 8
    if kind is queue.PriorityQueue:
        assert seen[-1] == (9, "iterable")  # behind what is in the queue
    assert entries.empty()


def test_a_priority_queue_after_a_failure() -> None:
    entries: Any = queue.PriorityQueue(maxsize=2)
    pipeline = Pipeline((lambda n: 1 // n, 1), in_queue=entries)
    with pytest.raises(ZeroDivisionError), pipeline:
        for n in range(20):
            entries.put(n)  # emptied by the pipeline, also when it has failed
    with pipeline:
        entries.put(1)
    assert balanced(pipeline)
    assert pipeline.taken == 21
    assert entries.empty()


@pytest.mark.parametrize("kind", [queue.Queue, multiprocessing.Queue])
def test_an_iterable_besides_the_users_queue(kind: Any) -> None:
    entries = kind()
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Pipeline((seen.put, 1), in_queue=entries) as pipeline:
        pipeline.put_iterable(n for n in range(3))  # a generator can't be pickled
        assert [seen.get(timeout=60) for _ in range(3)] == [0, 1, 2]
        entries.put(3)
        assert seen.get(timeout=60) == 3
    assert (pipeline.taken, pipeline.count) == (4, 4)
    if kind is multiprocessing.Queue:
        entries.close()
        entries.join_thread()


def test_one_queue_is_for_one_running_pipeline() -> None:
    entries: queue.Queue[int] = queue.Queue()
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    one = Pipeline((seen.put, 1), in_queue=entries)
    other = Pipeline((seen.put, 1), in_queue=entries)
    with one:
        with pytest.raises(StateError, match="run_forever: not allowed while another pipeline reads the same in_queue"):
            other.run_forever(background=True)
        assert not other.alive
        entries.put(1)
        assert seen.get(timeout=60) == 1
        assert list(other.results([5])) == [None]  # not from the queue
        assert seen.get(timeout=60) == 5
    with other:
        entries.put(2)
        assert seen.get(timeout=60) == 2
    with one:
        pass


def test_another_pipeline_goes_on_with_the_queue_of_one_that_failed() -> None:
    entries: queue.Queue[int] = queue.Queue()
    failing = Pipeline((lambda n: 1 // n, 1), in_queue=entries)
    with pytest.raises(ZeroDivisionError), failing:
        entries.put(0)
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(2):
        with Pipeline((seen.put, 1), in_queue=entries) as pipeline:
            for n in range(50):
                entries.put(n)
        assert [seen.get(timeout=60) for _ in range(50)] == list(range(50))
        assert pipeline.taken == 50
    del failing, pipeline
    gc.collect()
    assert entries.empty()


# ---------------------------------------------------------------------- runs that end early


@pytest.mark.parametrize("how", ["error", "drop"])
def test_nobody_reads_on_after_a_run_that_ended_early(how: str) -> None:
    # The end may come just when the reader goes to wait: it must not stay there.
    for _ in range(100):
        arrived = threading.Event()
        pipeline = Pipeline((lambda _, arrived=arrived: arrived.set(), 1))
        if how == "error":
            with pytest.raises(KeyError), pipeline:
                pipeline.put(1)
                assert arrived.wait(60)
                raise KeyError
        else:
            pipeline.run_forever(background=True)
            pipeline.put(1)
            assert arrived.wait(60)
    deadline = time.monotonic() + 60
    del pipeline
    gc.collect()
    while any(thread.name.startswith("numap-input") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_that_is_put_for_the_next_run_is_lost() -> None:
    seen: list[int] = []
    pipeline = Pipeline((seen.append, 1))
    for n in range(100):
        with pytest.raises(KeyError), pipeline:
            raise KeyError
        pipeline.put(n)
        pipeline.finish()
        pipeline.run()
    assert seen == list(range(100))
    assert (pipeline.taken, pipeline.count) == (100, 100)


# ---------------------------------------------------------------------- iterables


def test_stop_does_not_read_an_endless_iterable_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papy._intake.GRACE", 0.1)
    for entries in (count(), (n for n in count()), chain([1], count(2))):
        running = threading.Event()
        pipeline = Pipeline((double, 2), (lambda n, running=running: running.set() if n > 100 else n, 1))
        pipeline.put_iterable(entries)
        pipeline.run_forever(background=True)
        assert running.wait(60)
        pipeline.put(-1)
        pipeline.stop()
        assert not pipeline.alive
        assert pipeline.taken == pipeline.count > 50
        assert "an iterable of unknown length has not come to its end within 0.1 s and is not read any further" in caplog.text
        caplog.clear()


def test_stop_reads_what_ends_to_its_end() -> None:
    pipeline = Pipeline((double, 2))
    for entries in (range(1000), iter([1] * 1000), {n: n for n in range(1000)}.keys()):
        pipeline.put_iterable(entries)
    pipeline.run_forever(background=True)
    pipeline.stop()
    assert pipeline.count == 3000
    pipeline.put_iterable(n for n in range(1000))
    pipeline.run_forever(background=True)
    pipeline.stop()
    assert pipeline.count == 4000, "this one has an end, too, and comes to it soon"
    with pipeline:
        pipeline.put_iterable(n for n in range(1000))
    assert pipeline.count == 5000


def test_a_run_ends_behind_what_its_source_has_put() -> None:
    def source() -> Iterator[int]:
        yield 1
        pipeline.put(2)

    seen: list[int] = []
    pipeline = Pipeline((seen.append, 1))
    pipeline.put_iterable(source())
    pipeline.run()
    assert seen == [1, 2]
