"""The life of step pipelines: in the background, fed by a queue, stopped, interrupted, dropped, at the program's end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import StateError
from papy import AbstractStep, Pipeline, chunk, combine_pipeline, iterstep
from papy._pipeline import supervisor
from papy._pipeline.pipeline_run import PipelineRun
from tests.numap.programs import until, until_main_waits

ROOT = Path(__file__).resolve().parents[3]


def double(n: int) -> int:
    return 2 * n


def balanced(pipeline: Pipeline) -> bool:
    return pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed


def program(code: str, **options: Any) -> subprocess.Popen[str]:
    """A program, as a user starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


# ---------------------------------------------------------------------- background


def test_alive_tells_the_truth() -> None:
    pipeline = Pipeline((double, 1))
    assert (pipeline.alive, pipeline.ok) == (False, True)
    with pipeline as same:
        assert same is pipeline
        assert pipeline.alive
    assert (pipeline.alive, pipeline.ok) == (False, True)
    with pytest.raises(ZeroDivisionError), pipeline:
        pipeline.put("no number")
        pipeline.put_iterable(1 / n for n in range(1))
        pipeline.finish()
    assert (pipeline.alive, pipeline.ok) == (False, False)


def test_stop_finishes_what_was_put() -> None:
    seen: list[int] = []
    pipeline = Pipeline((double, 2), (seen.append, 1)).run_forever(background=True)
    pipeline.put_all(range(100))
    pipeline.stop()
    assert sorted(seen) == [2 * n for n in range(100)]
    pipeline.stop()
    assert balanced(pipeline)


def test_stop_in_any_state() -> None:
    pipeline = Pipeline((double, 1))
    pipeline.stop()
    with pipeline:
        pipeline.put(1)
        pipeline.stop()
        pipeline.stop()
    pipeline.stop()
    assert pipeline.count == 1


def test_stop_from_other_threads_at_once() -> None:
    pipeline = Pipeline((double, 1)).run_forever(background=True)
    threads = [threading.Thread(target=pipeline.stop) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not pipeline.alive


def test_stop_by_a_worker_is_finish() -> None:
    pipeline = Pipeline((lambda n: pipeline.stop() if n == 3 else n, 2))
    pipeline.run_forever(background=True)
    pipeline.put_all(range(4))
    pipeline.stop()
    assert (pipeline.taken, pipeline.count) == (4, 4)


def test_only_one_run_at_a_time() -> None:
    pipeline = Pipeline((double, 1))
    with pipeline:
        for call in (pipeline.run_forever, lambda: pipeline.run_forever(background=True), pipeline.__enter__):
            with pytest.raises(StateError, match="run_forever: not allowed while the pipeline runs"):
                call()
        pipeline.put_iterable([1])
        with pytest.raises(StateError, match="run: not allowed while the pipeline runs"):
            pipeline.run()
    assert pipeline.count == 1


def test_a_run_that_was_not_filled_is_refused_for_the_run_that_goes_on() -> None:
    with Pipeline((double, 1)) as pipeline, pytest.raises(StateError, match="run: not allowed while the pipeline runs"):
        pipeline.run()


def test_what_is_refused_after_a_failure_says_that() -> None:
    failed = threading.Event()
    pipeline = Pipeline((lambda x: 1 / x, 1), fail_callback=failed.set)
    pipeline.run_forever(background=True)
    pipeline.put(0)
    assert failed.wait(30) and not pipeline.alive
    for call in (pipeline.run, pipeline.run_forever, lambda: next(pipeline.results([1]))):
        with pytest.raises(StateError, match="the pipeline has failed; stop\\(\\) it first"):
            call()
    with pytest.raises(ZeroDivisionError):
        pipeline.stop()


def test_what_is_refused_after_the_end_says_that() -> None:
    pipeline = Pipeline((double, 1))
    pipeline.put(1)
    pipeline.finish()
    background = pipeline.run_forever(background=True)._runs._background
    assert background is not None
    background.join()
    with pytest.raises(StateError, match="run_forever: the pipeline is at its end; stop\\(\\) it first"):
        pipeline.run_forever()
    pipeline.stop()


def test_run_forever_ends_with_finish() -> None:
    pipeline = Pipeline((double, 1))
    runner = threading.Thread(target=pipeline.run_forever)
    runner.start()
    pipeline.put(1)
    pipeline.finish()
    runner.join(60)
    assert not runner.is_alive()
    assert pipeline.count == 1


def test_an_error_in_the_with_block_goes_on() -> None:
    gate = threading.Event()
    pipeline = Pipeline((lambda _: gate.wait(60), 1))
    with pytest.raises(KeyError, match="mine"), pipeline:
        pipeline.put_all(range(10))
        raise KeyError("mine")
    gate.set()
    assert balanced(pipeline)
    assert pipeline.taken == 10


class SlowQueue:
    """A queue whose readers are slow to get to it."""

    def __init__(self) -> None:
        self.entries: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.asked = threading.Event()
        self.put = self.entries.put
        self.put_nowait = self.entries.put_nowait
        self.empty = self.entries.empty

    def get(self, block: bool = True) -> Any:
        if threading.current_thread().name == "numap-input":
            self.asked.set()
            time.sleep(0.2)
        return self.entries.get(block)


def test_a_run_is_not_over_before_its_reader_has_left_the_queue() -> None:
    """Else it would wait there for ever, and take what is put for the next run."""
    pipeline = Pipeline((double, 1))
    entries = SlowQueue()
    pipeline._inputs._queue = entries
    with pytest.raises(KeyError, match="mine"), pipeline:
        assert entries.asked.wait(60)
        pipeline.put(1)
        raise KeyError("mine")
    assert balanced(pipeline)
    assert pipeline.taken == 1
    with pipeline:
        pipeline.put(2)
    assert (pipeline.taken, pipeline.count) == (2, 1)


def test_put_after_a_failure_is_an_error_and_the_run_raises_its_own() -> None:
    failed = threading.Event()
    pipeline = Pipeline((lambda n: 1 // n, 1), fail_callback=failed.set)
    pipeline.run_forever(background=True)
    pipeline.put(0)
    assert failed.wait(60)
    with pytest.raises(StateError, match="put: the pipeline has failed") as caught:
        pipeline.put(1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        pipeline.stop()
    pipeline.stop()
    failed.clear()
    with pytest.raises(ZeroDivisionError), pipeline:
        pipeline.put(0)
        assert failed.wait(60)
        pipeline.put(1)  # a StateError, which says less than what is behind it
    assert balanced(pipeline)


# ---------------------------------------------------------------------- queues


@pytest.mark.parametrize("kind", [queue.Queue, queue.SimpleQueue, queue.LifoQueue, multiprocessing.Queue])
def test_a_queue_of_the_users(kind: Any) -> None:
    entries = kind()
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    pipeline = Pipeline((double, 2), (seen.put, 1), in_queue=entries)
    with pipeline:
        for n in range(3):
            entries.put(n)
        assert sorted(seen.get() for _ in range(3)) == [0, 2, 4]
        pipeline.put(5)
        assert seen.get() == 10
    assert (pipeline.taken, pipeline.count) == (4, 4)
    if kind is multiprocessing.Queue:
        entries.close()
        entries.join_thread()


def test_a_bounded_queue_holds_producers_back() -> None:
    entries: queue.Queue[int] = queue.Queue(maxsize=2)
    pipeline = Pipeline((double, 2), in_queue=entries, threshold=2)

    def produce() -> None:
        for n in range(300):
            entries.put(n)

    with pipeline:
        producers = [threading.Thread(target=produce) for _ in range(3)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join()
    assert (pipeline.taken, pipeline.count) == (900, 900)


def test_nothing_of_ours_stays_in_the_users_queue() -> None:
    entries: queue.Queue[int] = queue.Queue()
    pipeline = Pipeline((lambda n: 1 // n, 1), in_queue=entries)
    with pipeline:
        entries.put(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), pipeline:
            entries.put(0)
    assert pipeline.failed == 3
    del pipeline
    gc.collect()
    deadline = time.monotonic() + 60
    while any(thread.name.startswith("papy-drain") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert entries.empty()


@pytest.mark.parametrize("how", ["stop", "with", "forever", "drop"])
@pytest.mark.parametrize("size", [0, 1])
def test_80_nothing_is_left_of_one_that_crashed(how: str, size: int) -> None:
    entries: queue.Queue[int] = queue.Queue(size)
    failed = threading.Event()
    pipeline = Pipeline((lambda n: 1 // n, 1), in_queue=entries, fail_callback=failed.set)
    if how == "drop":
        pipeline.run_forever(background=True)
        entries.put(0)
        assert failed.wait(60)
        del pipeline
        gc.collect()
    else:
        with pytest.raises(ZeroDivisionError):
            if how == "with":
                with pipeline:
                    entries.put(0)
            else:
                entries.put(0)
                if how == "stop":
                    pipeline.run_forever(background=True)
                    assert failed.wait(60)
                    pipeline.stop()
                else:
                    pipeline.run_forever()
    assert until(lambda: not any(thread.name.startswith("papy-") for thread in threading.enumerate()))
    assert entries.empty()


def test_80_producers_that_wait_get_through_after_the_error_was_told() -> None:
    entries: queue.Queue[int] = queue.Queue(1)
    producer = threading.Thread(target=lambda: [entries.put(n) for n in range(300)], daemon=True)
    pipeline = Pipeline((lambda n: 1 // n, 1), in_queue=entries)
    with pytest.raises(ZeroDivisionError), pipeline:
        producer.start()
    producer.join(60)
    assert not producer.is_alive()


def test_an_entry_passes_an_idle_pipeline_in_milliseconds() -> None:
    entries: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    best = []
    for steps in ([(double, 1)] * 2, [(iterstep(iter), 1), (double, 2)], [(iterstep(iter), 3), (iterstep(iter), 1)]):
        with Pipeline([*steps, (done.put, 1)], in_queue=entries):
            times = []
            for n in range(30):
                begin = time.perf_counter()
                entries.put(n)
                done.get()
                times.append(time.perf_counter() - begin)
            # Not the middle one: the machine may be busy, while who looks from time to time is never quick.
            best.append(sorted(times)[2])
    assert max(best) < 0.005


def test_an_idle_pipeline_uses_no_cpu() -> None:
    with Pipeline((double, 8), (iterstep(chunk(3)), 4), (len, 2)) as pipeline:
        pipeline.put_all(range(10))

        def rests() -> bool:
            before = time.process_time()
            time.sleep(2)
            return (time.process_time() - before) / 2 < 0.002

        assert until(rests)
        assert pipeline.alive


# ---------------------------------------------------------------------- the end


def test_a_dropped_pipeline_ends() -> None:
    ended = threading.Event()

    class Step(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def step_shutdown(self) -> None:
            ended.set()

    pipeline = Pipeline((Step, 2), (iterstep(iter), 2)).run_forever(background=True)
    pipeline.put(1)
    del pipeline
    gc.collect()
    assert ended.wait(60)


def test_a_dropped_pipeline_tells_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    arrived, gate = threading.Event(), threading.Event()

    def work(_: int) -> None:
        arrived.set()
        gate.wait(60)

    pipeline = Pipeline((work, 1)).run_forever(background=True)
    pipeline.put_all(range(5))
    assert arrived.wait(60)
    (run,) = (it for it in supervisor._live if not it.over.is_set())
    (stage,) = run._stages
    del pipeline
    gc.collect()
    # Else its worker may be through with all entries before any is lost.
    assert until(lambda: stage.imap.statistics().state == "stopped")
    gate.set()
    assert until(lambda: "dropped while it ran in the background, and" in caplog.text)
    assert "taken=5" in caplog.text
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_of_a_dropped_pipeline_is_told(when: str, caplog: pytest.LogCaptureFixture) -> None:
    failed, gate = threading.Event(), threading.Event()

    def callback() -> None:
        failed.set()
        gate.wait(60)

    pipeline = Pipeline((lambda n: 1 // n, 1), fail_callback=callback).run_forever(background=True)
    pipeline.put(0)
    assert failed.wait(60)
    if when == "after":
        gate.set()
        background = pipeline._runs._background
        assert background is not None
        assert until(lambda: background.error)
        del background
    del pipeline
    gc.collect()
    gate.set()
    assert until(lambda: "was dropped before stop() could tell" in caplog.text)
    assert "ZeroDivisionError" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("told", [False, True])
def test_a_dropped_pipeline_is_quiet_if_nothing_is_lost(told: bool, caplog: pytest.LogCaptureFixture) -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    pipeline = Pipeline((lambda n: seen.put(1 // n), 1)).run_forever(background=True)
    pipeline.put(1)
    assert seen.get(timeout=60) == 1
    if told:
        pipeline.put(0)
        with pytest.raises(ZeroDivisionError):
            pipeline.stop()
    else:
        state = pipeline._runs.last.state
        assert until(lambda: state.count == 1)
    del pipeline
    gc.collect()
    assert until(lambda: not any(thread.name.startswith("papy") for thread in threading.enumerate()))
    assert caplog.text == ""


@pytest.mark.parametrize("how", ["break", "error"])
def test_an_input_that_is_not_read_to_its_end_is_let_go(how: str) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    pipeline = Pipeline((lambda n: n if how == "break" else 1 // n, 2))
    if how == "break":
        for _ in pipeline.results(source()):
            break
    else:
        pipeline.put_iterable(source())
        with pytest.raises(ZeroDivisionError):
            pipeline.run()
    gc.collect()
    assert closed.wait(60)
    assert balanced(pipeline)


def test_dropped_results_end_while_the_source_blocks() -> None:
    release = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        release.wait(60)

    results = Pipeline((double, 1), (double, 1)).results(source())
    assert next(results) == 4
    del results
    gc.collect()
    deadline = time.monotonic() + 60
    while any(thread.name.startswith(("numap-worker", "papy")) for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    release.set()


def test_an_iterator_step_that_has_enough_ends_the_run() -> None:
    def first_three(entries: Iterator[int]) -> Iterator[int]:
        for _ in range(3):
            yield next(entries)

    pipeline = Pipeline((double, 2), (iterstep(first_three), 1), (double, 1))
    assert len(list(pipeline.results(count()))) == 3
    assert balanced(pipeline)
    assert pipeline.ok
    pipeline = Pipeline((iterstep(lambda entries: None), 2))
    assert list(pipeline.results(count())) == []
    pipeline.put_iterable(count())
    pipeline.run()
    assert balanced(pipeline)


def test_no_entries_at_all() -> None:
    pipeline = Pipeline((double, 3), (iterstep(chunk(2)), 2), (double, 1, {"worker_type": "process"}))
    assert list(pipeline.results([])) == []
    pipeline.put_iterable(iter(()))
    pipeline.run()
    with pipeline:
        pass
    assert (pipeline.taken, pipeline.count) == (0, 0)


@pytest.mark.parametrize("call", ["run", "run_forever"])
@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_an_interrupt_stops_a_run(call: str, worker_type: str) -> None:
    code = f"""
from itertools import count
from papy import Pipeline
def tell(n):
    if n == 1000:
        print("running", flush=True)
    return n
pipeline = Pipeline((abs, 2), (tell, 1, {{"worker_type": "thread"}}), worker_type={worker_type!r})
pipeline.put_iterable(count())
try:
    pipeline.{call}()
except KeyboardInterrupt:
    print("interrupted", pipeline.alive, pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed)
"""
    process = program(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("interrupted False True\n", "", 0)


def test_results_go_on_after_an_interrupt() -> None:
    code = """
import signal
from papy import Pipeline, iterstep
def interrupt(_, frame):
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    # Nor in what catches it: that would be a fault of this program.
    if frame.f_globals["__name__"].partition(".")[0] in ("papy", "numap"):
        raise KeyboardInterrupt
for steps in ([(abs, 2)], [(iterstep(iter), 2)]):
    pipeline, seen, caught = Pipeline(steps), [], 0
    results = pipeline.results(range(200_000))
    seen.append(next(results))
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    while True:
        try:
            seen.extend(results)  # takes an item and keeps it in one step
            signal.setitimer(signal.ITIMER_REAL, 0)
            break
        except KeyboardInterrupt:
            caught += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert caught > 3, caught
    assert sorted(seen) == list(range(200_000)), len(seen)
    assert (pipeline.taken, pipeline.count) == (200_000, 200_000)
print("nothing missed")
"""
    process = program(code)
    out, err = process.communicate(timeout=100)
    assert (out, err) == ("nothing missed\n", "")


@pytest.mark.parametrize(("daemon", "pause", "printed"), [(False, 0.1, "01234"), (True, 600, "")])
def test_the_end_of_the_program(daemon: bool, pause: float, printed: str) -> None:
    code = f"""
import time
from papy import Pipeline
def tell(n):
    time.sleep({pause})
    print(n, end="", flush=True)
pipeline = Pipeline((tell, 1), daemon={daemon}).run_forever(background=True)
pipeline.put_all(range(5))
"""
    process = program(code)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == (printed, "", 0)


def test_a_forgotten_queue_does_not_hold_the_program_up() -> None:
    code = """
import queue
from papy import Pipeline
entries = queue.Queue()
pipeline = Pipeline((print, 1), in_queue=entries).run_forever(background=True)
entries.put(1)
"""
    process = program(code)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("1\n", "", 0)


FORGOTTEN = {
    "background": ("pipeline.run_forever(background=True); pipeline.put_all(range(9))", "012345678", ""),
    "iterable": ("pipeline.run_forever(background=True); pipeline.put_iterable(range(9))", "012345678", ""),
    "never run": ("pipeline.put_all(range(9))", "", "without having run what was put in (9 entries)"),
    "an iterable never run": ("pipeline.put_iterable(range(9))", "", "without having run what was put in (1 iterable)"),
    "dropped": (
        "pipeline.run_forever(background=True); pipeline.put_all(range(9)); del pipeline",
        "",
        "9 entries with it",
    ),
    "dropped before": ("pipeline.put_all(range(9)); del pipeline; time.sleep(0.5)", "", "(9 entries)"),
}


@pytest.mark.parametrize("how", FORGOTTEN)
@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_75_a_forgotten_pipeline_is_finished_or_reported(how: str, worker_type: str) -> None:
    call, printed, told = FORGOTTEN[how]
    process = program(f"""
import time
from papy import Pipeline
def tell(n):
    print(n, end="", flush=True)
def work(n):
    time.sleep({600 if how == "dropped" else 0.01})
    return n
pipeline = Pipeline((work, 1, {{"worker_type": {worker_type!r}}}), (tell, 1))
{call}
""")
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == (printed, 0)
    assert told in err and bool(told) == bool(err)


STEPS = ["(int, 1)", "(int, 1, {'worker_type': 'process'})", "(iterstep(lambda texts: map(int, texts)), 1)"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("in_queue", [None, "queue.Queue()"])
def test_an_error_in_the_background_is_not_silent_at_the_end(step: str, in_queue: str | None) -> None:
    process = program(f"""
import queue
from papy import Pipeline, iterstep
pipeline = Pipeline({step}, in_queue={in_queue}).run_forever(background=True)
pipeline.put("x")
""")
    _, err = process.communicate(timeout=60)
    assert "invalid literal for int()" in err
    # Of the run only; at this time the interpreter starts no thread, and that is nobody's error.
    assert "new thread" not in err and "Exception in thread" not in err


def test_stop_by_a_signal_handler_and_by_another_thread() -> None:
    # CPython does not see a signal that comes between its last look for one and the call that waits, so there are several.
    signals = """
    while not over.wait(0.1):
        os.kill(os.getpid(), signal.SIGALRM)
"""
    for how in (signals, "threading.Thread(target=pipeline.stop).start()"):
        process = program(f"""
import os, signal, threading
from papy import Pipeline
def work(n):
    if n == 5:
        tell.set()
    return n
tell = threading.Event()
pipeline = Pipeline((work, 2))
signal.signal(signal.SIGALRM, lambda *_: pipeline.stop())
pipeline.put_all(range(10))
def later():
    tell.wait()
    {how}
over = threading.Event()
thread = threading.Thread(target=later)
thread.start()
pipeline.run_forever()
over.set()
thread.join()
print(pipeline.count)
""")
        out, err = process.communicate(timeout=60)
        assert (out, err) == ("10\n", "")


def test_stop_by_a_signal_handler_of_the_thread_that_puts() -> None:
    process = program("""
import signal
from papy import Pipeline
class Enough(Exception):
    pass
def enough(*_):
    pipeline.stop()
    raise Enough
signal.signal(signal.SIGALRM, enough)
for n in range(20):
    pipeline, put = Pipeline((abs, 1)).run_forever(background=True), 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001 * (n + 1))
        while True:
            pipeline.put(put)
            put += 1
    except Enough:
        pipeline.stop()
    assert pipeline.taken == pipeline.count + pipeline.skipped and pipeline.taken in (put, put + 1), (pipeline, put)
print("stopped")
""")
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("stopped\n", "")


def test_stop_in_the_fail_callback() -> None:
    pipeline = Pipeline((lambda n: 1 // n, 1), fail_callback=lambda: pipeline.stop())  # noqa: PLW0108
    pipeline.put(0)
    pipeline.run_forever(background=True)
    with pytest.raises(ZeroDivisionError):
        pipeline.stop()
    with pytest.raises(ZeroDivisionError), pipeline:
        pipeline.put(0)


def test_results_that_were_interrupted_at_the_start_begin_anew() -> None:
    class Interrupted(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def initialize(self) -> None:
            if errors:
                raise errors.pop()

    errors: list[BaseException] = [KeyboardInterrupt(), KeyError()]
    pipeline = Pipeline((Interrupted, 1))
    results = pipeline.results([1])
    with pytest.raises(KeyError):
        next(results)
    assert next(results, None) is None
    results = pipeline.results([1])
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert list(results) == [1]
    assert pipeline.taken == pipeline.count == 1


def test_results_that_were_interrupted_behind_the_first_entries_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = PipelineRun._start_maps

    def interrupted(run: PipelineRun) -> None:
        begun(run)
        assert until(lambda: run.state.taken)
        raise KeyboardInterrupt

    pipeline = Pipeline((double, 1))
    results = pipeline.results([1])
    monkeypatch.setattr(PipelineRun, "_start_maps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(StateError, match="results: the run was interrupted at its start"):
            next(results)
    results.close()
    assert next(results, None) is None
    assert list(pipeline.results([1])) == [2]
    assert balanced(pipeline)


@pytest.mark.parametrize("ordered", [False, True])
def test_stop_ends_results(ordered: bool) -> None:
    pipeline = Pipeline((double, 2), (double, 1))
    results = pipeline.results(count(), ordered=ordered)
    next(results)
    stopper = threading.Thread(target=pipeline.stop)
    stopper.start()
    stopper.join(60)
    assert not pipeline.alive
    with pytest.raises(StateError, match="next: stop\\(\\) has ended the run before its end"):
        list(results)
    assert list(results) == []
    assert pipeline.count >= 1
    assert balanced(pipeline)
    results = pipeline.results(count())
    next(results)
    pipeline.stop()  # by the thread that reads
    assert balanced(pipeline)
    assert not pipeline.alive
    assert list(pipeline.results([1])) == [4]
    with pytest.raises(StateError, match="stop"):
        next(results)


def test_stop_in_a_hook_ends_results() -> None:
    class Step(AbstractStep):
        def initialize(self) -> None:
            pipeline.stop()

        def process(self, entry: int) -> int:
            return entry

    pipeline = Pipeline((Step, 1))
    with pytest.raises(StateError, match="stop"):
        list(pipeline.results(count()))
    assert balanced(pipeline)


def test_stop_in_a_signal_handler_ends_results() -> None:
    pipeline = Pipeline((double, 1))
    source: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    results = pipeline.results(iter(source.get, None))
    source.put(1)
    assert next(results) == 2
    before = signal.signal(signal.SIGALRM, lambda *_: pipeline.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(StateError, match="stop"):
            next(results)
    finally:
        signal.signal(signal.SIGALRM, before)
    source.put(None)
    assert balanced(pipeline)


def test_stop_ends_results_that_wait_for_their_source() -> None:
    source: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    pipeline = Pipeline((double, 1))
    results = pipeline.results(iter(source.get, None))
    source.put(1)
    assert next(results) == 2
    stopper = threading.Thread(target=pipeline.stop)
    stopper.start()
    with pytest.raises(StateError, match="stop"):
        next(results)
    stopper.join(60)
    source.put(None)


def test_results_are_for_their_own_entries_only() -> None:
    pipeline = Pipeline((double, 1))
    results = pipeline.results([1, 2])
    assert next(results) == 2
    for call in (lambda: pipeline.put(3), lambda: pipeline.put_iterable([3]), lambda: pipeline.put_meta(3)):
        with pytest.raises(StateError, match="not allowed while results\\(\\) of the pipeline are read"):
            call()
    with pytest.raises(StateError, match=r"results: .*, close\(\) them, or stop\(\) the pipeline first"):
        next(combine_pipeline(lambda: [5], [pipeline.results])())
    assert list(results) == [4]
    pipeline.put(3)
    pipeline.put_iterable([4])
    with pytest.raises(StateError, match=r"results: not allowed while entries wait .* \(1 entry and 1 iterable\)"):
        next(pipeline.results([5]))
    pipeline.run()
    assert pipeline.taken == pipeline.count == 4
    with pytest.raises(StateError, match="results: not allowed with an in_queue"):
        Pipeline((double, 1), in_queue=queue.Queue()).results([1])


def test_runs_leave_nothing_in_the_pipeline() -> None:
    pipeline = Pipeline((double, 1), in_queue=queue.Queue())
    lines = []
    for _ in range(5):
        with pipeline:
            lines.append(weakref.ref(pipeline._runs.last.state))  # type: ignore[union-attr]
    gc.collect()
    assert sum(line() is not None for line in lines) == 1


def test_an_interrupt_in_stop_ends_the_run() -> None:
    process = program("""
import threading, time
from papy import Pipeline
gate = threading.Event()
def work(n):
    if n == 0:
        print("at work", flush=True)
    gate.wait(60)
pipeline = Pipeline((work, 2))
try:
    with pipeline:
        pipeline.put_all(range(100))
except KeyboardInterrupt:
    print("interrupted", pipeline.alive)
gate.set()
pipeline.put_iterable([1])
pipeline.run()
print(pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed)
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    until_main_waits(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("interrupted False\nTrue\n", "")


@pytest.mark.skipif(not hasattr(queue, "ShutDown"), reason="queues can be shut down from Python 3.13 on")
def test_a_queue_that_is_shut_down_is_the_end() -> None:
    entries: Any = queue.Queue()
    pipeline = Pipeline((double, 1), in_queue=entries)
    entries.put(1)
    entries.shutdown()
    pipeline.run_forever()
    pipeline.stop()
    assert pipeline.count == 1


def test_a_queue_for_coroutines_is_refused() -> None:
    import asyncio

    with pytest.raises(TypeError, match="in_queue: must be a queue for threads"):
        Pipeline((double, 1), in_queue=asyncio.Queue())


def test_a_hook_that_fails_at_the_start_calls_back() -> None:
    class Fails(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def initialize(self) -> None:
            raise KeyError("at the start")

    called: list[int] = []
    pipeline = Pipeline((double, 1), (Fails, 1), fail_callback=lambda: called.append(1))
    with pytest.raises(KeyError, match="at the start"):
        pipeline.run_forever(background=True)
    assert called == [1]
    assert not pipeline.alive
    pipeline.stop()


def test_a_script_with_processes() -> None:
    process = program("""
from papy import AbstractStep, Pipeline, SkipEntry
base = 10
class Step(AbstractStep):
    def initialize(self, factor):
        self.factor = factor
    def process(self, n):
        if n % 2:
            raise SkipEntry
        return Result(base + self.factor * n)
class Result:
    def __init__(self, value):
        self.value = value
def check(result):
    assert isinstance(result, Result)
    return result.value
pipeline = Pipeline((Step, 2, {"factor": 2, "worker_type": "process"}), (check, 1), (lambda n: n + 1, 1), max_retries=1)
print(sorted(pipeline.results(range(5))), pipeline.skipped)
""")
    assert process.communicate(timeout=60) == ("[11, 15, 19] 2\n", "")


# ---------------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("in_queue", ["None", "multiprocessing.Queue()"])
def test_in_a_fork_a_running_pipeline_is_not_there(in_queue: str) -> None:
    code = f"""
import multiprocessing, os, sys, warnings
from numap import StateError
warnings.simplefilter("ignore")  # of Python 3.12 and later, about forks and threads
from papy import Pipeline
pipeline = Pipeline((lambda n: print("did", n, flush=True), 1), in_queue={in_queue})
with pipeline:
    pipeline.put(1)
    child = os.fork()
    if not child:
        assert not pipeline.alive
        for call in (lambda: pipeline.put(5), lambda: pipeline.put_iterable([5]), pipeline.run, lambda: list(pipeline.results([5])),
                     lambda: pipeline.run_forever(background=True)):
            try:
                call()
            except StateError as error:
                assert "in a fork" in str(error), error
            else:
                assert False, call
        pipeline.finish()
        pipeline.stop()
        assert list(Pipeline((abs, 1)).results([-1])) == [1]
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    pipeline.put(2)
results = pipeline.results([3, 4]) if {in_queue!r} == "None" else Pipeline((abs, 1)).results([3, 4])
next(results)
child = os.fork()
if not child:
    results.close()
    del results
    pipeline = None
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
list(results)
print(pipeline.taken, pipeline.count)
"""
    process = program(code)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (err, process.returncode) == ("", 0)
    assert out.split("\n")[:2] == ["did 1", "did 2"]
    assert out.split("\n")[-2] == ("4 4" if in_queue == "None" else "2 2")
