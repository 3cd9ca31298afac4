"""Guarantees 75 and 77 for pipelines: bounds count bytes, and a run in which entries failed says so once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import ItemError, TooManyFailures, WorkerDied
from papy import AbstractStep, Pipeline, SkipEntry, iterstep
from tests.numap.blocks import MB, Block
from tests.papy._pipeline.test_errors import balanced, notes


@pytest.fixture
def block() -> Iterator[type[Block]]:
    Block.forget()
    yield Block


def same(entry: Any) -> Any:
    return entry


def passing(entries: Iterable[Any]) -> Iterator[Any]:
    yield from entries


STEPS = {
    "functions": ((Block.make, 2), (same, 2), (len, 1)),
    "iterators": ((iterstep(lambda entries: map(Block.make, entries)), 1), (iterstep(passing), 1), (len, 1)),
    "mixed": ((Block.make, 2), (iterstep(passing), 1), (same, 2), (iterstep(passing), 1)),
    "hidden": ((lambda n: [{"data": (n, Block.make(n))}], 2), (same, 2), (same, 1)),
}


@pytest.mark.parametrize("steps", STEPS)
def test_77_large_entries_are_few(block: type[Block], steps: str) -> None:
    results = Pipeline(*STEPS[steps]).results(count())
    for _ in range(200):
        next(results)
    results.close()
    assert block.most * 2 < 100, "of the 64 MB, and what is in somebody's hands"


@pytest.mark.parametrize("steps", ["functions", "iterators"])
def test_77_a_bound_that_was_given(block: type[Block], steps: str) -> None:
    results = Pipeline(*STEPS[steps], buffer_bytes=12 * MB).results(count())
    for _ in range(50):
        next(results)
    results.close()
    assert block.most <= 20


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_77_one_entry_always_has_room(worker_type: str) -> None:
    steps = (bytes, 2), (iterstep(passing), 2), (len, 2)
    pipeline = Pipeline(*steps, buffer_bytes=1, worker_type=worker_type)
    assert list(pipeline.results([100_000] * 9)) == [100_000] * 9


def test_77_entries_that_become_large(block: type[Block]) -> None:
    results = Pipeline((lambda n: n if n < 1000 else block.make(n), 2), (same, 1), threshold=1000).results(count())
    for _ in range(1200):
        next(results)
    results.close()
    assert block.most * 2 < 200


def test_77_an_iterable_of_unknown_length_is_not_read_far_ahead(block: type[Block]) -> None:
    pipeline = Pipeline((same, 1), (len, 1))
    pipeline.put_iterable(block.make(n) for n in range(200))
    pipeline.run()
    assert (pipeline.count, block.most * 2 < 120) == (200, True)


def test_77_large_entries_of_processes_are_few(tmp_path: Path) -> None:
    made, ahead = tmp_path / "made", []
    made.touch()

    def make(n: int) -> bytes:
        with made.open("ab") as file:
            file.write(b".")
        return bytes(2 * MB)

    for taken, _ in enumerate(Pipeline((make, 2), (same, 2), (len, 1), worker_type="process").results(range(150))):
        ahead.append(made.stat().st_size - taken)
    assert max(ahead) * 2 < 100


def test_77_small_entries_are_many() -> None:
    seen: list[int] = []
    pulled = iter(range(10_000))

    def source() -> Iterator[int]:
        for n in pulled:
            seen.append(n)
            yield n

    results = Pipeline((same, 1), threshold=1000).results(source())
    for _ in range(500):
        next(results)
    results.close()
    assert len(seen) > 1000


# ---------------------------------------------------------------------- failures


def at(places: Iterable[int], n: int) -> int:
    if n in places:
        raise ValueError(f"bad {n}")
    return n


BAD = (3, 5, 7)


@pytest.mark.parametrize("worker_type", ["thread", "process"])
@pytest.mark.parametrize("options", [{}, {"max_retries": 1, "backoff": 0.001}])
def test_75_a_run_goes_on_until_too_many_have_failed(
    caplog: pytest.LogCaptureFixture, worker_type: str, options: dict[str, Any]
) -> None:
    calls: list[int] = []
    steps = (lambda n: at(BAD, n), 2), (lambda n: at((8,), n), 1)
    pipeline = Pipeline(
        *steps, worker_type=worker_type, max_failures=4, fail_callback=lambda: calls.append(1), **options
    )
    with caplog.at_level(logging.WARNING, "papy"):
        assert sorted(pipeline.results(range(10))) == [0, 1, 2, 4, 6, 9]
    assert (pipeline.taken, pipeline.count, pipeline.failed, pipeline.skipped, pipeline.ok) == (10, 6, 4, 0, True)
    assert calls == [1]
    (record,) = caplog.records
    assert "step '<lambda>': 3 of 10, first ValueError: bad" in record.getMessage()
    assert (
        "step '<lambda>-2': 1 of 7, first ValueError: bad 8 (raised by step '<lambda>-2' for entry 8)"
        in record.getMessage()
    )


@pytest.mark.parametrize("how", ["run", "with", "stop", "results", "forever"])
@pytest.mark.parametrize("most", [0, 2])
def test_75_one_failure_more_ends_the_run(caplog: pytest.LogCaptureFixture, how: str, most: int) -> None:
    pipeline = Pipeline((lambda n: at(BAD, n), 1), max_failures=most)
    with caplog.at_level(logging.WARNING, "papy"), pytest.raises(TooManyFailures) as caught:
        if how == "results":
            list(pipeline.results(range(1000)))
        elif how == "with":
            with pipeline:
                pipeline.put_iterable(range(1000))
        else:
            pipeline.put_iterable(range(1000))
            if how == "run":
                pipeline.run()
            elif how == "forever":
                pipeline.run_forever()
            else:
                pipeline.run_forever(background=True).stop()
    assert (caught.value.max_failures, caught.value.failed) == (most, most + 1)
    assert repr(caught.value.__cause__) == "ValueError('bad 3')"
    assert "raised by step '<lambda>' for entry 3" in notes(caught.value.__cause__)
    assert not caplog.records, "who got the error needs no warning"
    assert balanced(pipeline)
    assert not pipeline.ok


def test_75_workers_that_die_count_too(caplog: pytest.LogCaptureFixture) -> None:
    import os

    def die(n: int) -> int:
        return n if n != 2 else os._exit(3)  # type: ignore[return-value]

    pipeline = Pipeline((die, 1), worker_type="process", max_failures=1)
    assert list(pipeline.results(range(4))) == [0, 1, 3]
    assert "WorkerDied" in caplog.text
    assert balanced(pipeline)
    with pytest.raises(WorkerDied) as caught:
        list(Pipeline((die, 1), worker_type="process").results([2]))
    assert "raised by step 'die' for entry 0" in notes(caught.value)


def test_75_a_generator_that_has_raised_ends_the_run() -> None:
    pipeline = Pipeline((iterstep(lambda entries: (1 // n for n in entries)), 1), max_failures=5)
    with pytest.raises(ZeroDivisionError):
        list(pipeline.results([1, 0, 1]))
    assert balanced(pipeline)


def test_75_hooks_and_sources_are_no_entries() -> None:
    class Broken(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def thread_shutdown(self) -> None:
            raise KeyError("shutdown")

    with pytest.raises(KeyError):
        list(Pipeline((Broken, 1), max_failures=9).results([1]))
    with pytest.raises(ZeroDivisionError):
        list(Pipeline((same, 1), max_failures=9).results(1 // n for n in (1, 0)))


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_the_note_of_an_error_names_the_entry(worker_type: str) -> None:
    def odd(n: int) -> int:
        if n == 0:
            raise SkipEntry
        return n

    def bad(n: int) -> Any:
        if n == 2:
            raise StopIteration(n)
        if n == 3:
            raise ValueError(n)
        return n if n != 4 else (it for it in ())

    for n, kind in ((2, ItemError), (3, ValueError), (4, Exception)):
        pipeline = Pipeline((odd, 1), (bad, 1), (same, 1, {"worker_type": "process"}), worker_type=worker_type)
        with pytest.raises(kind) as caught:
            list(pipeline.results([0, 1, n]))
        assert "for entry 2" in notes(caught.value) + str(caught.value)
