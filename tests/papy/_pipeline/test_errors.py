"""Errors in each place of a step pipeline: it ends soon, raises them with their place, and the counts fit."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

import papy
from numap import ItemError, StateError, WorkerDied, WorkerStartError
from papy import (
    AbstractIterStep,
    AbstractStep,
    CallbackReporter,
    Pipeline,
    PipelineRuntimeDebugger,
    SkipEntry,
    iterstep,
)


class Boom(Exception):
    """What the tests raise."""


def boom(*_: Any, **__: Any) -> Any:
    raise Boom("on purpose")


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


def same(entry: Any) -> Any:
    return entry


def at_seven(n: int) -> int:
    if n == 7:
        boom()
    return n


def balanced(pipeline: Pipeline) -> bool:
    return pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed


def ways_to_run(pipeline: Pipeline, entries: Any) -> Iterator[Callable[[], object]]:
    """Each gives an error to whoever started the pipeline."""

    def run() -> None:
        pipeline.put_iterable(entries())
        pipeline.run()

    def with_block() -> None:
        with pipeline:
            pipeline.put_iterable(entries())

    def stop() -> None:
        pipeline.put_iterable(entries())
        pipeline.run_forever(background=True)
        pipeline.stop()

    yield from (run, with_block, stop, lambda: list(pipeline.results(entries())))


@pytest.mark.parametrize("worker_type", ["thread", "process"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_step_that_fails(worker_type: str, place: int) -> None:
    steps: list[Any] = [(same, 2)] * 3
    steps[place] = (at_seven, 2, {"worker_type": worker_type})
    called: list[int] = []
    pipeline = Pipeline(steps, fail_callback=lambda: called.append(1))
    for way in ways_to_run(pipeline, count):
        called.clear()
        failed = pipeline.failed
        with pytest.raises(Boom, match="on purpose") as caught:
            way()
        assert "raised by step 'at_seven' for entry 7" in notes(caught.value)
        assert worker_type == "process" or caught.traceback[-1].name == "boom"
        assert balanced(pipeline)
        assert pipeline.failed == failed + 1
        assert called == [1]
        assert not pipeline.ok
        assert not pipeline.alive
    assert sorted(pipeline.results([1, 2])) == [1, 2]
    assert pipeline.ok


@pytest.mark.parametrize(
    "options", [{}, {"max_retries": 1}, {"max_retries": 1, "backoff": 0.001}, {"retry_on": OSError}]
)
def test_76_the_traceback_of_a_step_in_a_process_shows_the_users_code(options: dict[str, Any]) -> None:
    with pytest.raises(Boom) as caught:
        list(Pipeline((at_seven, 1, {"worker_type": "process", **options})).results(range(9)))
    text = "".join(traceback.format_exception(caught.value.__cause__))
    assert "in at_seven" in text and "in boom" in text
    assert text.startswith("numap.RemoteTraceback: \n") and f"{Path(papy.__file__).parent}/" not in text


HOOKS = ["step_initialize", "initialize", "thread_initialize", "thread_shutdown", "step_shutdown", "in_queue_empty"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", [AbstractStep, AbstractIterStep])
def test_a_hook_that_fails(kind: type[Any], hook: str, place: int) -> None:
    step = type("Failing", (kind,), {"process": lambda self, entry: entry, hook: boom})
    steps: list[Any] = [(same, 2)] * 3
    steps[place] = (step, 2)
    pipeline = Pipeline(steps)
    # At the end of a run that fails, hooks are called while nobody waits for them any more.
    entries = count if "shutdown" not in hook else lambda: range(50)
    for way in ways_to_run(pipeline, entries):
        with pytest.raises(Boom) as caught:
            way()
        assert "of step 'Failing'" in notes(caught.value)
        assert balanced(pipeline)
        assert not pipeline.ok


@pytest.mark.parametrize("hook", HOOKS[:5])
def test_a_hook_that_fails_with_processes(hook: str) -> None:
    step = type("Failing", (AbstractStep,), {"process": lambda self, entry: entry, hook: boom})
    pipeline = Pipeline((same, 1), (step, 2, {"worker_type": "process"}), (same, 1))
    pipeline.put_iterable(range(50))
    in_worker = hook in ("initialize", "thread_initialize")
    with pytest.raises(Boom, match="on purpose") as caught:
        pipeline.run()
    assert "step 'Failing'" in notes(caught.value)
    assert balanced(pipeline)
    if in_worker:
        assert f"raised by {hook} of step 'Failing' in a worker process" in notes(caught.value)
        assert isinstance(caught.value.__cause__, WorkerStartError)
        assert "Traceback" in str(caught.value.__cause__)


def test_an_error_at_the_start_of_a_process_that_cannot_be_sent() -> None:
    class Failing(AbstractStep):
        def initialize(self) -> None:
            raise ValueError(lambda: "no way")

        def process(self, entry: int) -> int:
            return entry

    with pytest.raises(WorkerStartError, match="ValueError") as caught:
        list(Pipeline((Failing, 1), worker_type="process").results([1]))
    assert "step 'Failing'" in notes(caught.value)


@pytest.mark.parametrize("first", [(same, 2), (iterstep(iter), 2), (same, 2, {"worker_type": "process"})])
def test_a_source_that_fails(first: Any) -> None:
    def source() -> Iterator[int]:
        yield from range(7)
        boom()

    pipeline = Pipeline(first, (same, 1))
    for way in ways_to_run(pipeline, source):
        with pytest.raises(Boom) as caught:
            way()
        assert "source" in notes(caught.value)
        assert "after 7 entries" in notes(caught.value)
        assert balanced(pipeline)
        assert pipeline.failed == 0


def test_an_iterator_step_that_fails() -> None:
    def generator(entries: Iterator[int]) -> Iterator[int]:
        for entry in entries:
            yield at_seven(entry)

    ended = threading.Event()

    def after(entries: Iterator[int]) -> Iterator[int]:
        try:
            yield from entries
        finally:
            ended.set()

    for steps in (
        [(iterstep(generator), 1)],
        [(iterstep(generator), 3), (same, 2)],
        [(same, 2), (iterstep(generator), 2), (iterstep(after), 1)],
    ):
        pipeline = Pipeline(steps)
        for way in ways_to_run(pipeline, count):
            with pytest.raises(Boom) as caught:
                way()
            assert "raised by step 'generator'" in notes(caught.value)
            assert balanced(pipeline)
    assert ended.wait(60)


def test_a_generator_does_not_take_a_failure_for_the_end() -> None:
    written = []

    def write(entries: Iterator[int]) -> Iterator[int]:
        total = sum(entries)
        written.append(total)
        yield total

    pipeline = Pipeline((at_seven, 1), (iterstep(write), 1))
    with pytest.raises(Boom):
        list(pipeline.results(count()))
    assert not written


def test_skip_entry_in_an_iterator_step_is_an_error() -> None:
    def generator(entries: Iterator[int]) -> Iterator[int]:
        yield next(entries)
        raise SkipEntry

    with pytest.raises(SkipEntry):
        list(Pipeline((iterstep(generator), 1)).results(range(9)))


@pytest.mark.parametrize("worker_type", ["thread", "process"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit])
def test_what_must_not_fly_through_the_caller(error: type[BaseException], worker_type: str) -> None:
    def leave(n: int) -> int:
        if n == 3:
            raise error
        return n

    pipeline = Pipeline((leave, 2), (same, 1), worker_type=worker_type)
    with pytest.raises(ItemError) as caught:
        list(pipeline.results(count()))
    assert isinstance(caught.value.original, error)
    assert balanced(pipeline)


def test_a_worker_process_that_dies() -> None:
    def die(n: int) -> int:
        if n == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    pipeline = Pipeline((same, 1), (die, 2, {"worker_type": "process"}), (same, 1))
    with pytest.raises(WorkerDied) as caught:
        list(pipeline.results(count()))
    assert "step 'die'" in notes(caught.value)
    assert balanced(pipeline)
    assert pipeline.failed == 1


def test_what_cannot_be_sent_to_a_process() -> None:
    with pytest.raises(Exception, match="lock") as caught:
        list(Pipeline((same, 1, {"worker_type": "process"})).results([threading.Lock()]))
    assert "step 'same'" in notes(caught.value)


def test_the_first_error_wins_over_those_that_follow() -> None:
    together = threading.Barrier(4)

    def all_fail(n: int) -> None:
        together.wait(60)
        raise Boom(n)

    pipeline = Pipeline((all_fail, 4))
    with pytest.raises(Boom):
        list(pipeline.results(range(4)))
    assert balanced(pipeline)
    assert 1 <= pipeline.failed <= 4


def test_an_error_does_not_wait_for_a_slow_sink() -> None:
    gate, busy = threading.Event(), threading.Event()

    def sink(n: int) -> None:
        busy.set()
        gate.wait(60)

    def fails_late(n: int) -> int:
        if n == 5:
            busy.wait(60)
            boom()
        return n

    pipeline = Pipeline((fails_late, 1), (sink, 1))
    with pytest.raises(Boom):
        list(pipeline.results(count()))
    assert not gate.is_set()
    gate.set()


def test_no_entry_begins_after_an_error() -> None:
    seen: list[int] = []

    def first_fails(n: int) -> None:
        seen.append(n)
        if n == 0:
            boom()

    pipeline = Pipeline((first_fails, 1))
    pipeline.put_all(range(1000))
    pipeline.finish()
    with pytest.raises(Boom):
        pipeline.run()
    assert seen == [0]
    assert (pipeline.taken, pipeline.failed, pipeline.skipped) == (1000, 1, 999)


def test_a_meta_entry_that_fails() -> None:
    step = type("Failing", (AbstractStep,), {"process": lambda self, entry: entry, "process_meta": boom})
    pipeline = Pipeline((step, 1), max_retries=0)
    pipeline.put_meta("?")
    pipeline.finish()
    with pytest.raises(Boom) as caught:
        pipeline.run()
    assert "for a meta entry" in notes(caught.value)
    assert balanced(pipeline)


def test_errors_of_callback_and_tracker_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Tracker:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def before_process(self, step: Any) -> None:
            self.seen.append(f"before {step.name}")
            boom()

        def after_process(self, step: Any) -> None:
            self.seen.append("after")

    tracker = Tracker()
    pipeline = Pipeline((at_seven, 1), tracker=tracker, fail_callback=boom)
    with pytest.raises(Boom):
        list(pipeline.results([1, 7]))
    assert tracker.seen == ["before at_seven", "after", "before at_seven"]
    assert [
        "tracker" in record.getMessage() or "fail_callback" in record.getMessage() for record in caplog.records
    ] == [True] * 3


@pytest.mark.parametrize("step", [(at_seven, 2), (at_seven, 2, {"worker_type": "process"}), (iterstep(boom), 1)])
def test_producers_of_a_queue_are_not_stuck(step: Any) -> None:
    entries: queue.Queue[int] = queue.Queue(maxsize=3)

    def produce() -> None:
        for n in range(500):
            entries.put(n)

    producers = [threading.Thread(target=produce, daemon=True) for _ in range(3)]
    pipeline = Pipeline(step, (same, 1), in_queue=entries)
    with pytest.raises(Boom), pipeline:
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join(60)
            assert not producer.is_alive()
    assert balanced(pipeline)
    assert not pipeline.alive


def test_a_producer_that_fails_ends_the_run() -> None:
    class Broken(queue.Queue[int]):
        def get(self, *args: Any, **kwargs: Any) -> int:
            boom()
            return 0

    pipeline = Pipeline((same, 1), in_queue=Broken())
    with pytest.raises(Boom) as caught:
        pipeline.run_forever()
    assert "source" in notes(caught.value)


# ---------------------------------------------------------------------- user code at the end of a run


def in_time(call: Callable[[], object]) -> BaseException | None:
    """What a call raises; fails if it does not come back."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"
    return raised[0] if raised else None


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt, Boom])
def test_a_fail_callback_that_raises_is_not_heard(leave: type[BaseException]) -> None:
    def callback() -> None:
        raise leave

    pipeline = Pipeline((boom, 1), fail_callback=callback)
    for way in ways_to_run(pipeline, lambda: [1]):
        assert "on purpose" in str(in_time(way))
        assert balanced(pipeline)
    assert in_time(pipeline.stop) is None


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_reporter_that_raises_fails_the_run(every: float) -> None:
    called: list[int] = []
    debugger = PipelineRuntimeDebugger([CallbackReporter(boom)], every=every)
    pipeline = Pipeline((same, 1), debugger=debugger, fail_callback=lambda: called.append(1))
    for number, way in enumerate(ways_to_run(pipeline, lambda: [1])):
        error = in_time(way)
        assert isinstance(error, Boom)
        assert "raised by a reporter of the debugger" in notes(error)
        assert not pipeline.ok
        assert len(called) == number + 1
    assert in_time(pipeline.stop) is None


def test_a_reporter_that_leaves_the_program_does_not_hold_it_up() -> None:
    debugger = PipelineRuntimeDebugger([CallbackReporter(lambda _: sys.exit(3))])
    pipeline = Pipeline((same, 1), debugger=debugger)
    pipeline.put_iterable([1])
    error = in_time(pipeline.run)
    assert isinstance(error, ItemError)
    assert "SystemExit raised by a reporter" in str(error)


def test_a_fail_callback_may_look_at_the_pipeline_and_cannot_start_it() -> None:
    seen: list[Any] = []

    def callback() -> None:
        seen.append((pipeline.taken, pipeline.ok, pipeline.alive))
        try:
            pipeline.run_forever(background=True)
        except StateError as error:
            seen.append(str(error))

    pipeline = Pipeline((boom, 1), fail_callback=callback)
    for way in ways_to_run(pipeline, lambda: [1]):
        seen.clear()
        assert isinstance(in_time(way), Boom)
        assert seen[0][1:] == (False, False)
        assert "run_forever: the pipeline has failed; stop() it first" in seen[1]


def test_an_init_that_raises_on_a_later_run() -> None:
    class Second(AbstractStep):
        made = 0

        def __init__(self) -> None:
            Second.made += 1
            if Second.made > 1:
                boom()

        def process(self, entry: Any) -> Any:
            return entry

    called: list[int] = []
    pipeline = Pipeline((Second, 1), fail_callback=lambda: called.append(1))
    pipeline.put_iterable([1, 2])
    pipeline.run()
    pipeline.put_iterable([1, 2])
    with pytest.raises(Boom) as caught:
        pipeline.run()
    assert "raised by __init__ of step 'Second'" in notes(caught.value)
    assert (pipeline.count, pipeline.failed, pipeline.ok, called) == (2, 0, False, [1])
    assert balanced(pipeline)


@pytest.mark.parametrize("hook", ["initialize", "step_initialize"])
def test_producers_go_on_when_an_initialization_has_failed(hook: str) -> None:
    broken = type("Broken", (AbstractStep,), {hook: boom, "process": lambda _, entry: entry})
    entries: queue.Queue[int] = queue.Queue(1)
    pipeline = Pipeline((broken, 1), in_queue=entries)
    producer = threading.Thread(target=lambda: [entries.put(n) for n in range(10)], daemon=True)
    producer.start()
    with pytest.raises(Boom):
        pipeline.run_forever(background=True)
    producer.join(60)
    assert not producer.is_alive()
    assert balanced(pipeline)


ENDED = threading.Event()


class Ends(AbstractStep):
    def process(self, entry: Any) -> Any:
        return entry

    def step_shutdown(self) -> None:
        ENDED.set()


def test_the_supervisor_ends_a_run_that_nobody_looks_at() -> None:
    reported = threading.Event()
    debugger = PipelineRuntimeDebugger([CallbackReporter(lambda _: reported.set())], every=1e9)
    pipeline = Pipeline((Ends, 1, {"worker_type": "process"}), debugger=debugger)
    for _ in pipeline.results(count()):
        break
    assert ENDED.wait(60)
    assert reported.wait(60)


def test_an_error_in_the_with_block_shows_that_of_the_pipeline() -> None:
    failed = threading.Event()
    with pytest.raises(queue.Empty) as caught, Pipeline((boom, 1), fail_callback=failed.set) as pipeline:
        pipeline.put(1)
        assert failed.wait(60)
        raise queue.Empty
    assert "the pipeline had failed before: Boom: on purpose" in notes(caught.value)
    assert isinstance(caught.value.__context__, Boom)
    assert "raised by step 'boom' for entry 0" in notes(caught.value.__context__)
    assert in_time(pipeline.stop) is None


@pytest.mark.parametrize("background", [False, True])
def test_finish_does_not_wait_for_room(background: bool) -> None:
    entries: queue.Queue[int] = queue.Queue(2)
    entries.put(1)
    entries.put(2)
    pipeline = Pipeline((same, 1), in_queue=entries)
    for _ in range(2):
        assert in_time(pipeline.finish) is None
    assert in_time(pipeline.run_forever if not background else lambda: pipeline.run_forever(True).stop()) is None
    assert (pipeline.taken, pipeline.count, entries.qsize()) == (2, 2, 0)


def test_producers_go_on_when_an_iterator_step_had_enough() -> None:
    entries: queue.Queue[int] = queue.Queue(1)
    go = threading.Event()

    def wait(entry: int) -> int:
        assert go.wait(60)
        return entry

    producer = threading.Thread(target=lambda: [entries.put(n) for n in range(500)], daemon=True)
    pipeline = Pipeline((iterstep(lambda them: islice(them, 3)), 1), (wait, 1), in_queue=entries)
    producer.start()
    pipeline.run_forever(background=True)
    go.set()
    producer.join(60)
    assert not producer.is_alive()
    assert in_time(pipeline.stop) is None
    assert pipeline.count == 3
    assert balanced(pipeline)


def test_stop_in_a_hook_or_a_source_is_finish() -> None:
    class Stops(AbstractStep):
        def thread_initialize(self) -> None:
            hooked.stop()

        def process(self, entry: Any) -> Any:
            return entry

    hooked = Pipeline((Stops, 1))
    hooked.put(1)
    assert in_time(hooked.run_forever) is None
    assert hooked.count == 1

    def source() -> Iterator[int]:
        yield 1
        sourced.stop()
        yield 2

    sourced = Pipeline((same, 1))
    sourced.put_iterable(source())
    assert in_time(lambda: sourced.run_forever(background=True)) is None
    assert in_time(sourced.stop) is None
    assert sourced.count == 2


def test_a_stop_that_comes_late_leaves_the_next_run_alone() -> None:
    pipeline = Pipeline((boom, 1))
    pipeline.run_forever(background=True)
    first = pipeline._runs._background
    assert first is not None
    pipeline.stop()
    pipeline.run_forever(background=True)
    pipeline._runs._forget(first)  # what the second of two threads does that both stopped the first run
    pipeline.put(1)
    assert isinstance(in_time(pipeline.stop), Boom)
