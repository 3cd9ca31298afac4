"""Retries of step pipelines with a back-off and for some exceptions only, in threads and in processes."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from numap import ItemError, WorkerDied
from papy import CallbackReporter, Pipeline, PipelineRuntimeDebugger, iterstep

pytestmark = pytest.mark.parametrize("worker_type", ["thread", "process"])

# Seconds that nobody would wait.
FOREVER = 100_000
LONG: dict[str, Any] = {"max_retries": 3, "backoff": FOREVER, "max_backoff": FOREVER}


class Boom(Exception):
    """An exception that can't be made again of its arguments."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(f"{text} {number}")
        self.number = number


class Attempts:
    """Where a step in whatever process tells of its attempts: a file with a line for each, or a pipe to wait for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path.with_suffix(".pipe"))

    def tell(self) -> int:
        """Tells of an attempt at this very time; returns how many there have been."""
        with self.path.open("a") as file:
            file.write(f"{time.monotonic()}\n")
        return len(self.times())

    def times(self) -> list[float]:
        return [float(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def pauses(self) -> list[float]:
        times = self.times()
        self.path.unlink()
        return [after - before for before, after in pairwise(times)]

    def arrive(self) -> None:
        """Lets go on who waits for an attempt."""
        with self.path.with_suffix(".pipe").open("w") as file:
            file.write("x")

    def wait(self) -> None:
        with self.path.with_suffix(".pipe").open() as file:
            assert file.read() == "x"  # to its end: the next one is to be another


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path / "attempts")


def fails(attempts: Attempts, times: int = 1000) -> Any:
    """A step that fails so often, and tells of the first time."""

    def failing(n: int) -> int:
        number = attempts.tell()
        if number == 1:
            attempts.arrive()
        if number <= times:
            raise Boom("on purpose", n)
        return n

    return failing


def counts(pipeline: Pipeline) -> tuple[int, int, int, int]:
    return pipeline.taken, pipeline.count, pipeline.skipped, pipeline.failed


def flaky_in(attempts: Attempts) -> Any:
    """A step that fails three times, and waits for nobody."""

    def flaky(n: int) -> int:
        if attempts.tell() <= 3:
            raise Boom("on purpose", n)
        return n

    return flaky


def test_pauses_double_up_to_their_limit(worker_type: str, attempts: Attempts) -> None:
    flaky = flaky_in(attempts)
    pipeline = Pipeline((flaky, 1), max_retries=3, backoff=0.05, worker_type=worker_type)
    assert list(pipeline.results([7])) == [7]
    found = attempts.pauses()
    assert len(found) == 3
    assert all(pause > 0.9 * asked for pause, asked in zip(found, [0.05, 0.1, 0.2], strict=True))
    assert counts(pipeline) == (1, 1, 0, 0)
    pipeline = Pipeline((flaky, 1, {"backoff": 0.05, "max_backoff": 0.05}), max_retries=3, worker_type=worker_type)
    with pipeline:  # its end waits for the attempts
        pipeline.put(7)
    assert counts(pipeline) == (1, 1, 0, 0)
    assert all(pause > 0.045 for pause in attempts.pauses())


def test_the_last_attempt_tells(worker_type: str, attempts: Attempts) -> None:
    def failing(n: int) -> None:
        attempts.tell()
        raise Boom("on purpose", n)

    pipeline = Pipeline((failing, 1), max_retries=2, backoff=0.001, worker_type=worker_type)
    with pytest.raises(Boom, match="on purpose 7") as caught:
        list(pipeline.results([7]))
    assert caught.value.number == 7
    assert "raised by step 'failing' for entry 0" in caught.value.__notes__[0]
    if worker_type == "process":
        assert "in failing" in str(caught.value.__cause__)
    assert len(attempts.times()) == 3
    assert counts(pipeline) == (1, 0, 0, 1)


def test_an_error_that_cannot_be_sent_is_told_by_its_text(worker_type: str) -> None:
    def failing(_: int) -> None:
        raise ValueError("with", threading.Lock())

    expected = ValueError if worker_type == "thread" else ItemError
    pipeline = Pipeline((failing, 1), max_retries=1, backoff=0.001, worker_type=worker_type)
    with pytest.raises(expected, match=r"with.*lock"):
        list(pipeline.results([7]))
    assert counts(pipeline) == (1, 0, 0, 1)


@pytest.mark.parametrize(("retry_on", "tried"), [((OSError, Boom), 4), (Boom, 4), (OSError, 1), ((), 1)])
def test_retries_for_some_exceptions_only(worker_type: str, attempts: Attempts, retry_on: Any, tried: int) -> None:
    flaky = flaky_in(attempts)
    pipeline = Pipeline((flaky, 1, {"retry_on": retry_on}), max_retries=3, worker_type=worker_type)
    if tried == 1:
        with pytest.raises(Boom):
            list(pipeline.results([7]))
    else:
        assert list(pipeline.results([7])) == [7]
    assert len(attempts.times()) == tried


def test_stop_does_not_wait_for_the_next_attempt(worker_type: str, attempts: Attempts) -> None:
    pipeline = Pipeline((fails(attempts, 3), 1), worker_type=worker_type, **LONG).run_forever(background=True)
    pipeline.put_all([1, 2])
    attempts.wait()
    pipeline.stop()
    assert counts(pipeline) == (2, 2, 0, 0)
    assert len(attempts.times()) == 5
    attempts.path.unlink()
    pipeline = Pipeline((fails(attempts), 1), worker_type=worker_type, **LONG).run_forever(background=True)
    pipeline.put_all([1, 2])
    attempts.wait()
    with pytest.raises(Boom):
        pipeline.stop()
    taken, count, skipped, failed = counts(pipeline)
    assert taken == count + skipped + failed
    assert failed > 0 == count


def test_a_run_that_ends_early_waits_for_nobody(worker_type: str, attempts: Attempts) -> None:
    # By an error of the block, by another step, and by being dropped. That no worker goes on waiting is seen after the test.
    step = (fails(attempts), 1, {"worker_type": worker_type, **LONG})
    pipeline = Pipeline(step)
    with pytest.raises(KeyError, match="mine"), pipeline:
        pipeline.put(1)
        attempts.wait()
        raise KeyError("mine")
    assert counts(pipeline) == (1, 0, 1, 0)
    attempts.path.unlink()
    pipeline = Pipeline((lambda n: 1 // n, 1), step)
    with pytest.raises(ZeroDivisionError), pipeline:
        pipeline.put(1)
        attempts.wait()
        pipeline.put(0)
    assert counts(pipeline) == (2, 0, 1, 1)
    attempts.path.unlink()
    pipeline = Pipeline(step).run_forever(background=True)
    pipeline.put(1)
    attempts.wait()
    del pipeline
    gc.collect()


def test_a_worker_that_died_is_tried_again_if_that_is_wanted(worker_type: str, attempts: Attempts) -> None:
    if worker_type == "thread":
        worker_type = "process"  # threads don't die; so here without a back-off
        options: dict[str, Any] = {"retry_on": (WorkerDied, OSError)}
    else:
        options = {"backoff": 0.001}

    def dies(n: int) -> int:
        if attempts.tell() <= 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    assert list(Pipeline((dies, 1), max_retries=2, worker_type=worker_type, **options).results([1])) == [1]
    assert len(attempts.times()) == 3
    attempts.path.unlink()
    with pytest.raises(WorkerDied):
        list(Pipeline((dies, 1), max_retries=2, worker_type=worker_type, retry_on=OSError).results([1]))
    assert len(attempts.times()) == 1


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"backoff": -1}, ValueError, "backoff: -1 given; must be from 0 to"),
        ({"backoff": "1"}, TypeError, "backoff: must be a number of seconds"),
        ({"backoff": True}, TypeError, "backoff: must be a number of seconds"),
        ({"backoff": float("nan")}, ValueError, "backoff: nan given"),
        ({"max_backoff": float("inf")}, ValueError, "max_backoff: inf given"),
        ({"backoff": 2, "max_backoff": 1}, ValueError, "backoff: 2 given; must be at most max_backoff, which is 1"),
        ({"retry_on": "OSError"}, TypeError, "retry_on: must be a class of exceptions, or a tuple"),
        ({"retry_on": [OSError]}, TypeError, "retry_on: must be a class"),
        ({"retry_on": (OSError, KeyboardInterrupt)}, TypeError, "retry_on: must be a class"),
        ({"retry_on": OSError()}, TypeError, "retry_on: must be a class"),
    ],
)
def test_options_that_are_not_allowed(
    worker_type: str, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Pipeline((len, 1), worker_type=worker_type, **options)
    with pytest.raises(error, match=text):
        Pipeline((len, 1, {"worker_type": worker_type, **options}))


@pytest.mark.parametrize("option", [{"backoff": 1}, {"max_backoff": 1}, {"retry_on": OSError}])
def test_an_iterator_step_has_no_retries(worker_type: str, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))}: what a generator has raised can't be tried again"):
        Pipeline((len, 1, {"worker_type": worker_type}), (iterstep(iter), 1, option))
    assert list(Pipeline((iterstep(iter), 1), worker_type=worker_type, **option).results([1])) == [1]


def test_a_pause_is_no_runtime_of_the_step(worker_type: str, attempts: Attempts) -> None:
    told: list[Any] = []
    pipeline = Pipeline(
        (flaky_in(attempts), 1),
        max_retries=3,
        backoff=0.1,
        worker_type=worker_type,
        debugger=PipelineRuntimeDebugger([CallbackReporter(told.append)]),
    )
    assert list(pipeline.results([7])) == [7]
    name, resources = told[-1][1]
    assert name == "flaky"
    assert 0 <= resources.runtime < sum(attempts.pauses()) - 0.6
