"""The hooks that workers of a Pipeline call at their end: once, at every orderly end, and heard of when they fail."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from papy import Pipeline
from tests.papy.work import Noting


def run(pipeline: Pipeline) -> None:
    pipeline.put_iterable(range(20))
    pipeline.run()


def stop(pipeline: Pipeline) -> None:
    results = pipeline.results(range(10**6))
    for _ in range(10):
        next(results)
    pipeline.stop()


def leave_the_loop(pipeline: Pipeline) -> None:
    for x in pipeline.results(range(10**6)):
        if x > 10:
            break


def work_for_ever(pipeline: Pipeline) -> None:
    pipeline.run_forever(background=True)
    for x in range(20):
        pipeline.put(x)
    pipeline.stop()


def holds(fact: Callable[[], bool]) -> bool:
    """Whether it is so, or becomes so: a run whose results were dropped ends by itself."""
    deadline = time.monotonic() + 60
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.005)
    return fact()


ENDS = [run, stop, leave_the_loop, work_for_ever]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_60_thread_shutdown_runs_once_for_each_worker(
    kind: str, end: Callable[[Pipeline], None], tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    end(Pipeline((Noting, 2, {"path": str(path)}), worker_type=kind))  # type: ignore[arg-type]
    found = Counter[str]()

    def is_even() -> bool:
        found.clear()
        found.update(path.read_text().split())
        return found["begin"] == found["end"]

    assert holds(is_even) and found["begin"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_60_a_thread_shutdown_that_raises_is_heard_of(
    kind: str, end: Callable[[Pipeline], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline((Noting, 2, {"path": str(tmp_path / "notes"), "fails": True}), worker_type=kind)  # type: ignore[arg-type]
    raised = []
    try:
        end(pipeline)
    except ValueError as error:
        raised.append(str(error))

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "papy"]

    begun = (tmp_path / "notes").read_text().split().count("begin")
    assert holds(lambda: len(raised) + len(told()) == begun) and len(raised) == (end in (run, work_for_ever))
    assert set(told()) <= {"raised by thread_shutdown of step 'Noting': commit failed"}


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_60_at_the_end_of_a_program_that_is_in_the_middle_of_results(kind: str) -> None:
    script = """
import sys
from papy import AbstractStep, Pipeline
class Fails(AbstractStep):
    def thread_shutdown(self):
        raise ValueError("commit failed")
    def process(self, value):
        return value
results = Pipeline((Fails, 1), worker_type=sys.argv[1]).results(range(10**6))
next(results)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, kind], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert done.stderr.count("raised by thread_shutdown of step 'Fails': commit failed") == 1, done.stderr
