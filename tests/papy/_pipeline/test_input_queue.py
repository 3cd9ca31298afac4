"""What goes into a step pipeline, and in which way: queues that order their entries or have other readers, endless iterables."""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, StateError, tee
from papy import AbstractStep, Pipeline
from papy._pipeline.iterable_reader import IterableReader
from tests.numap.programs import until

ROOT = Path(__file__).resolve().parents[3]


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
        assert other.taken == 0
        entries.put(1)
        assert seen.get(timeout=60) == 1
    with other:
        entries.put(2)
        assert seen.get(timeout=60) == 2
    with one:
        pass


@pytest.mark.parametrize("kind", [queue.Queue, multiprocessing.JoinableQueue])
def test_join_of_a_queue_returns_when_all_was_taken(kind: Any) -> None:
    entries = kind()
    gate = threading.Event()
    pipeline = Pipeline((lambda n: gate.wait(60), 1), in_queue=entries)
    with pipeline:
        pipeline.put_iterable(n for n in range(3))
        for n in range(5):
            entries.put(n)
        entries.join()
        gate.set()
        pipeline.put(5)
    entries.join()  # nothing of ours counts
    assert pipeline.count == 9
    gate.clear()
    with pytest.raises(KeyError), pipeline:
        entries.put(1)
        raise KeyError
    for n in range(200):
        entries.put(n)
    entries.join()  # by whoever empties it after a run
    gate.set()
    with pipeline:
        pass
    entries.join()
    assert balanced(pipeline)
    if kind is not queue.Queue:
        entries.close()
        entries.join_thread()


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
    monkeypatch.setattr("papy._pipeline.input_queue.ITERABLE_TIMEOUT", 0.1)
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
        assert (
            "an iterable that may be endless has not come to its end within 0.1 s and is not read any further"
            in caplog.text
        )
        caplog.clear()


class Endless:
    """Says that it ends."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        if self.length < 0:
            raise OSError("no connection")
        return self.length

    def __iter__(self) -> Iterator[int]:
        return count()


class Hinted:
    def __iter__(self) -> Hinted:
        return self

    def __next__(self) -> int:
        return 1

    def __length_hint__(self) -> int:
        return 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endless(3),
        lambda: Endless(sys.maxsize),
        lambda: Endless(-1),
        Hinted,
        lambda: IMap(abs, count(), worker_type="thread", worker_num=1),
        lambda: IMap(abs, Endless(10**6), worker_type="serial"),
        lambda: tee(Endless(1000))[0],
    ],
    ids=["short", "long", "raises", "hinted", "map", "map-of-length", "branch"],
)
def test_66_a_length_does_not_make_an_endless_source_end(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papy._pipeline.input_queue.ITERABLE_TIMEOUT", 0.05)
    running = threading.Event()
    pipeline = Pipeline((lambda n: running.set(), 1))
    pipeline.put_iterable(make())
    pipeline.run_forever(background=True)
    assert running.wait(60)
    pipeline.stop()
    assert not pipeline.alive
    assert pipeline.count > 0
    assert balanced(pipeline), "one that came late is skipped"


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


# ---------------------------------------------------------------------- iterables that block


def test_stop_does_not_wait_for_an_iterable_that_blocks(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papy._pipeline.input_queue.ITERABLE_TIMEOUT", 0.1)
    source: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    pipeline = Pipeline((seen.put, 2))
    pipeline.put_iterable(iter(source.get, None))
    pipeline.put_iterable([7, 8])
    pipeline.run_forever(background=True)
    assert sorted(seen.get(timeout=60) for _ in range(2)) == [7, 8], "nor does another iterable"
    source.put(1)
    assert seen.get(timeout=60) == 1
    pipeline.stop()
    assert not pipeline.alive
    assert pipeline.taken == pipeline.count == 3
    assert "has not come to its end within 0.1 s" in caplog.text
    source.put(2)  # wakes the thread that was left
    assert until(lambda: pipeline.taken == 4)
    assert pipeline.skipped == 1
    pipeline.put_iterable(iter([5, 6]))
    pipeline.run()
    assert pipeline.count == 5


@pytest.mark.parametrize("kind", [None, queue.Queue, queue.LifoQueue, multiprocessing.Queue])
def test_entries_do_not_wait_behind_an_iterable_that_blocks(kind: Any) -> None:
    source: queue.SimpleQueue[Any] = queue.SimpleQueue()
    entries = None if kind is None else kind()
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Step(AbstractStep):
        process = staticmethod(seen.put)

        def process_meta(self, entry: Any) -> Any:
            seen.put(f"meta {entry}")

    with Pipeline((Step, 1), in_queue=entries) as pipeline:
        pipeline.put_iterable(iter(source.get, None))
        pipeline.put_iterable("ab")
        assert [seen.get(timeout=60) for _ in "ab"] == ["a", "b"], "nor does another iterable"
        for n in range(20):
            pipeline.put(n)
            assert seen.get(timeout=60) == n
            pipeline.put_meta(n)
            assert seen.get(timeout=60) == f"meta {n}"
            source.put(-n - 1)
            assert seen.get(timeout=60) == -n - 1
        source.put(None)
    assert pipeline.taken == pipeline.count == 62
    if kind is multiprocessing.Queue:
        entries.close()
        entries.join_thread()


@pytest.mark.parametrize("how", ["error", "drop", "body"])
def test_an_iterable_that_blocks_is_left_when_a_run_ends_early(how: str) -> None:
    source: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    arrived = threading.Event()
    pipeline = Pipeline((lambda n: arrived.set() if n else 1 // n, 1))
    pipeline.put_iterable(iter(source.get, None))
    if how == "body":
        with pytest.raises(KeyError), pipeline:
            pipeline.put(1)
            assert arrived.wait(60)
            raise KeyError
        assert balanced(pipeline)
    else:
        pipeline.run_forever(background=True)
        pipeline.put(1)
        assert arrived.wait(60)
    if how == "error":
        pipeline.put(0)
        with pytest.raises(ZeroDivisionError):
            pipeline.stop()
        assert balanced(pipeline)
    elif how == "drop":
        del pipeline
        gc.collect()
        assert until(lambda: not any(thread.name.startswith("papy-supervisor") for thread in threading.enumerate()))
    source.put(None)


@pytest.mark.parametrize("threshold", [1, 3, 100])
def test_an_iterable_of_unknown_length_is_not_read_ahead(threshold: int) -> None:
    pulled = 0
    most = 0
    done = 0

    def source() -> Iterator[int]:
        nonlocal pulled
        for n in range(2000):
            pulled += 1
            yield n

    def work(n: int) -> None:
        nonlocal most, done
        most = max(most, pulled - done)
        done += 1

    pipeline = Pipeline((lambda n: n, 2), (work, 1), threshold=threshold)
    pipeline.put_iterable(source())
    assert pulled == 0
    pipeline.run()
    assert pulled == done == pipeline.count == 2000
    assert most <= 2 * threshold + 2 + 1 + 2 + 1  # two steps, their workers, and who carries one


def test_an_iterable_of_unknown_length_that_raises() -> None:
    def source() -> Iterator[int]:
        yield from range(300)
        raise OSError("gone")

    pipeline = Pipeline((double, 2))
    pipeline.put_iterable(source())
    with pytest.raises(OSError, match="gone") as info:
        pipeline.run()
    assert "raised by the source of the pipeline after 300 entries" in "".join(getattr(info.value, "__notes__", []))
    assert balanced(pipeline)


def test_an_iterable_that_blocks_does_not_hold_the_end_of_the_program_up() -> None:
    code = (
        "import queue, papy._pipeline.input_queue\nfrom papy import Pipeline\npapy._pipeline.input_queue.ITERABLE_TIMEOUT = 0.1\n"
        "source = queue.SimpleQueue()\npipeline = Pipeline((lambda n: print('did', n, flush=True), 1))\n"
        "pipeline.put_iterable(iter(source.get, None))\npipeline.run_forever(background=True)\npipeline.put(1)\nsource.put(2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert (sorted(done.stdout.splitlines()), done.returncode) == (["did 1", "did 2"], 0)
    assert "has not come to its end within 0.1 s" in done.stderr
    assert "Traceback" not in done.stderr


def test_stop_ends_a_run_whose_reader_is_in_an_iterable_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of the interpreter, which may start no thread for it."""

    def refused(reader: IterableReader) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(IterableReader, "start", refused)
    monkeypatch.setattr("papy._pipeline.input_queue.ITERABLE_TIMEOUT", 0.1)
    source: queue.SimpleQueue[int] = queue.SimpleQueue()
    did: list[int] = []
    pipeline = Pipeline((did.append, 1))
    pipeline.put_iterable(iter(source.get, None))
    pipeline.run_forever(background=True)
    source.put(1)
    pipeline.stop()
    assert not pipeline.alive
    assert did in ([1], []), "it may have come too late"
    source.put(2)
