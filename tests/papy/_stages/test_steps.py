"""Step classes: their hooks and in which order, what they know, and the steps that are made of functions."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from numap.engines import thread_worker
from papy import (
    AbstractIterStep,
    AbstractStep,
    Pipeline,
    SiblingInfo,
    SkipEntry,
    TimedChunk,
    chunk,
    flatten,
    funcstep,
    is_step,
    iterstep,
)


class Recorder:
    """Hooks that write down what was called where. The thread itself: its number may be another one's when it has ended."""

    log: list[tuple[str, int, threading.Thread]]
    sibling: SiblingInfo

    def note(self, what: str) -> None:
        self.log.append((what, self.sibling.index, threading.current_thread()))

    def step_initialize(self) -> None:
        self.note("step_initialize")

    def initialize(self, **options: Any) -> None:
        self.note(f"initialize {options}")

    def thread_initialize(self) -> None:
        self.note("thread_initialize")

    def thread_shutdown(self) -> None:
        self.note("thread_shutdown")

    def step_shutdown(self) -> None:
        self.note("step_shutdown")


@pytest.mark.parametrize("kind", [AbstractStep, AbstractIterStep])
def test_hooks_in_their_order_and_threads(kind: Any) -> None:
    class Step(Recorder, kind):  # type: ignore[misc]
        log: list[Any] = []  # noqa: RUF012

        def process(self, entry: Any) -> Any:
            self.note("process")
            return entry

    assert len(list(Pipeline([(Step, 3, {"a": 1, "max_retries": 0})]).results(range(9)))) == 9
    here = threading.current_thread()
    log = Step.log
    assert log[:4] == [("step_initialize", 0, here), *(("initialize {'a': 1}", n, here) for n in range(3))]
    threads = {index: thread for what, index, thread in log if what == "thread_initialize"}
    assert len(set(threads.values()) | {here}) == 4
    for what, index, thread in log[4:]:
        assert thread == threads[index], what
    for index in range(3):
        own = [what for what, number, _ in log if number == index and what not in ("step_initialize", "step_shutdown")]
        assert own[:2] == ["initialize {'a': 1}", "thread_initialize"]
        assert own[-1] == "thread_shutdown"
        assert set(own[2:-1]) <= {"process"}
    assert log[-1][0] == "step_shutdown"
    assert [what for what, _, _ in log].count("step_shutdown") == 1


@pytest.mark.parametrize("kind", [AbstractStep, AbstractIterStep])
@pytest.mark.parametrize(("late", "begun"), [(0.3, 2), (1.5, 1)])
def test_a_thread_that_the_system_lets_run_late(
    kind: Any, late: float, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for; where that is in vain, the end of the run does not need it."""

    class Step(Recorder, kind):  # type: ignore[misc]
        log: list[Any] = []  # noqa: RUF012

        def process(self, entry: Any) -> Any:
            return entry

    serve = thread_worker.serve

    def serve_late(worker: Any, events: Any, hooks: Any, followers: list[threading.Thread]) -> None:
        # The second thread of the step: the first one has it to start, and other maps of the pipeline have one thread each.
        if hooks.initializer is not None and not followers:
            time.sleep(late)
        serve(worker, events, hooks, followers)

    monkeypatch.setattr(thread_worker, "serve", serve_late)
    assert sorted(Pipeline([(Step, 2)]).results(range(50))) == list(range(50))
    calls = Counter(what for what, _, _ in Step.log)
    assert calls["thread_initialize"] == calls["thread_shutdown"] == begun
    assert calls["step_shutdown"] == 1
    assert Step.log[-1][0] == "step_shutdown"


def test_hooks_with_processes(tmp_path: Any) -> None:
    class Step(AbstractStep):
        def initialize(self, factor: int) -> None:
            self.factor = factor
            self.note("initialize")

        def note(self, what: str) -> None:
            with (tmp_path / what).open("a") as file:
                file.write("x")

        def step_initialize(self) -> None:
            self.note("step_initialize")

        def thread_initialize(self) -> None:
            self.sibling.storage["base"] = 100

        def thread_shutdown(self) -> None:
            self.note("thread_shutdown")

        def step_shutdown(self) -> None:
            self.note("step_shutdown")

        def process(self, entry: int) -> int:
            return int(self.sibling.storage["base"]) + self.factor * entry

    pipeline = Pipeline([(Step, 2, {"factor": 3, "worker_type": "process"})])
    assert sorted(pipeline.results(range(4))) == [100, 103, 106, 109]
    calls = {path.name: len(path.read_text()) for path in tmp_path.iterdir()}
    # A process that is still beginning when the work is done is ended without its hooks.
    assert 1 <= calls["thread_shutdown"] <= calls["initialize"] <= 2
    assert calls["step_initialize"] == calls["step_shutdown"] == 1


def test_what_a_step_knows_in_a_process() -> None:
    class Step(AbstractStep):
        def process(self, entry: int) -> tuple[int, int, int]:
            storage = self.sibling.storage
            storage["seen"] = storage.get("seen", 0) + 1
            return self.sibling.index, len(self.sibling.threads), os.getpid()

        def step_shutdown(self) -> None:
            shut.append(dict(self.sibling.storage))

    shut: list[Any] = []
    found = list(Pipeline([(Step, 2)], worker_type="process").results(range(4)))
    assert {(index, siblings) for index, siblings, _ in found} == {(0, 1)}
    assert os.getpid() not in {pid for _, _, pid in found}
    assert shut == [{}]


def test_what_a_step_knows() -> None:
    seen = []

    class Step(AbstractStep):
        def process(self, entry: int) -> int:
            self.sibling.storage.setdefault("entries", []).append(entry)
            seen.append((self.name, self.options, self.sibling, self.ident))
            return entry

    assert sorted(Pipeline([(Step, 3, {"key": "value"})]).results(range(20))) == list(range(20))
    for name, options, sibling, ident in seen:
        assert (name, options) == ("Step", {"key": "value"})
        assert sibling.storage is seen[0][2].storage
        assert ident != threading.get_ident()
        assert sibling.threads[sibling.index].sibling is sibling
        assert len(sibling.threads) == 3
    assert sorted(seen[0][2].storage["entries"]) == list(range(20))


def test_a_step_needs_process() -> None:
    for kind in (AbstractStep, AbstractIterStep):
        with pytest.raises(TypeError, match="abstract"):
            kind()


def test_in_queue_empty_when_the_queue_has_run_empty() -> None:
    empty: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Step(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def in_queue_empty(self) -> None:
            empty.put(self.name)

    class IterStep(AbstractIterStep):
        def process(self, iterator: Any) -> Any:
            return iterator

        def in_queue_empty(self) -> None:
            empty.put(self.name)

    with Pipeline((Step, 2)) as pipeline:
        for n in range(3):
            pipeline.put(n)
            assert empty.get(timeout=60) == "Step"
    with Pipeline((IterStep, 1)) as pipeline:
        assert empty.get(timeout=60) == "IterStep"


def test_reenqueue_gives_work_to_all_workers() -> None:
    together = threading.Barrier(4)

    class Tree(AbstractStep):
        def process(self, depth: int) -> int:
            if depth:
                for _ in range(4):
                    self.reenqueue(depth - 1)
            else:
                together.wait(60)
            return depth

    pipeline = Pipeline((Tree, 4), (lambda n: n, 1))
    assert sorted(pipeline.results([1, 1])) == [0] * 8 + [1, 1]
    assert (pipeline.taken, pipeline.count) == (10, 10)
    assert list(Pipeline((Tree, 4)).results([])) == []


def test_reenqueue_more_than_fits() -> None:
    class Burst(AbstractStep):
        def process(self, entry: int) -> int:
            for _ in range(entry):
                self.reenqueue(0)
            return entry

    pipeline = Pipeline((iterstep(iter), 1), (Burst, 2), threshold=2)
    assert len(list(pipeline.results([100, 100]))) == 202


def test_reenqueue_behind_an_error() -> None:
    class Fails(AbstractStep):
        def process(self, entry: int) -> int:
            self.reenqueue(0)
            return 1 // entry

    pipeline = Pipeline((Fails, 2))
    with pytest.raises(ZeroDivisionError):
        list(pipeline.results([1] * 10))
    assert pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed


def test_reenqueue_where_there_is_no_queue() -> None:
    class Step(AbstractStep):
        def process(self, entry: int) -> int:
            self.reenqueue(entry)
            return entry

    with pytest.raises(RuntimeError, match="reenqueue: step 'Step' has no queue here"):
        Step().reenqueue(1)
    with pytest.raises(RuntimeError, match="its workers are processes"):
        list(Pipeline((Step, 1), worker_type="process").results([1]))


def test_skip_entry_in_process_meta() -> None:
    class Step(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def process_meta(self, entry: Any) -> Any:
            raise SkipEntry

    pipeline = Pipeline((Step, 1))
    pipeline.put_meta(1)
    pipeline.finish()
    pipeline.run()
    assert (pipeline.taken, pipeline.count, pipeline.skipped) == (1, 0, 1)


def again(step: AbstractStep, entry: int) -> None:
    step.reenqueue(entry)


def test_reenqueue_by_a_function_that_the_step_calls() -> None:
    class Counts(AbstractStep):
        def process(self, entry: int) -> int:
            if entry < 5:
                again(self, entry + 1)
            return entry

    class Says(Counts):
        reenqueue = AbstractStep.reenqueue

    for step in (Counts, Says):
        pipeline = Pipeline((step, 2))
        assert sorted(pipeline.results([1])) == [1, 2, 3, 4, 5]
        assert pipeline.taken == pipeline.count == 5


def test_reenqueue_by_a_hook_around_a_function() -> None:
    class Twice(AbstractStep):
        def in_queue_empty(self) -> None:
            if self.sibling.storage.setdefault("left", 1):
                self.sibling.storage["left"] = 0
                self.reenqueue(7)

    assert sorted(Pipeline((funcstep(abs, Twice), 1)).results([-1])) == [1, 7]  # type: ignore[type-abstract]


def test_a_step_says_whether_it_has_a_queue() -> None:
    class Says(AbstractStep):
        reenqueues = True

        def process(self, entry: int) -> int:
            if entry < 5:
                again(self, entry + 1)
            return entry

    class Denies(Says):
        reenqueues = False

        def process(self, entry: int) -> int:
            self.reenqueue(entry)
            return entry

    class Counts(AbstractStep):
        reenqueues = 0  # type: ignore[assignment]  # a name of the user's own

        def process(self, entry: int) -> int:
            if entry < 5:
                self.reenqueue(entry + 1)
            return entry

    for step in (Says, Counts):
        assert sorted(Pipeline((step, 2)).results([1])) == [1, 2, 3, 4, 5]
    with pytest.raises(RuntimeError, match="its class says 'reenqueues = False'"):
        list(Pipeline((Denies, 2)).results([1]))


@pytest.mark.parametrize("workers", [1, 3])
def test_reenqueue_at_the_very_end(workers: int) -> None:
    class Closing(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def in_queue_empty(self) -> None:
            before = self.sibling.storage.setdefault("entry", 0)
            if before < 20:
                self.sibling.storage["entry"] = before + 1
                time.sleep(0.001)  # time enough for a queue that takes itself for ended
                self.reenqueue(100 + before)

    for steps in ([(Closing, workers)], [(abs, 2), (Closing, workers), (abs, 1)]):
        pipeline = Pipeline(steps)
        found = list(pipeline.results([1, 2]))
        assert {*range(100, 120)} <= {*found}
        assert pipeline.taken == pipeline.count == len(found)


def test_funcstep_and_iterstep() -> None:
    class Object:
        def __call__(self, entry: int) -> int:
            return entry + 1

    class Base(AbstractStep):
        def initialize(self, **options: Any) -> None:
            seen.append(options)

    seen: list[Any] = []
    assert funcstep(len).__name__ == "len"
    assert funcstep(Object()).__name__ == "Object"
    assert funcstep(partial(pow, 2)).__name__ == "partial"
    assert issubclass(funcstep(len, Base), Base)
    assert list(Pipeline([(funcstep(Object(), Base), 1, {"x": 1})]).results([1])) == [2]
    assert seen == [{"x": 1}]
    assert iterstep(flatten).__name__ == "flatten"
    assert issubclass(iterstep(flatten), AbstractIterStep)
    for make in (funcstep, iterstep):
        with pytest.raises(TypeError, match="func: must be callable"):
            make(1)  # type: ignore[operator]
    assert [is_step(it) for it in (funcstep(len), iterstep(iter), TimedChunk, len, object, 1)] == [True] * 3 + [
        False
    ] * 3


def test_state_of_an_iterator_step_is_that_of_a_thread() -> None:
    everybody = threading.Barrier(3)

    def number(entries: Iterator[int]) -> Iterator[tuple[int, int]]:
        everybody.wait(60)
        for place, _ in enumerate(entries):
            yield threading.get_ident(), place

    found = list(Pipeline((iterstep(number), 3)).results(range(300)))
    threads = {thread for thread, _ in found}
    for thread in threads:
        places = [place for owner, place in found if owner == thread]
        assert places == list(range(len(places)))
    assert len(found) == 300


def test_a_coroutine_step_is_an_iterator_step() -> None:
    pipeline = Pipeline((iterstep(chunk(10)), 2), (iterstep(flatten), 3))
    assert sorted(pipeline.results(range(95))) == list(range(95))


def test_timed_chunk_by_size_time_meta_and_end() -> None:
    seen: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    with Pipeline([(TimedChunk, 1, {"size": 3, "timeout": 1000}), (seen.put, 1)]) as pipeline:
        pipeline.put_all([1, 2, 3, 4])
        assert seen.get(timeout=60) == [1, 2, 3]
        pipeline.put_meta("now")
        assert seen.get(timeout=60) == [4]
        pipeline.put(5)
    assert seen.get() == [5]
    with Pipeline([(TimedChunk, 1, {"size": 100, "timeout": 0.05}), (seen.put, 1)]) as pipeline:
        pipeline.put(6)
        assert seen.get(timeout=60) == [6]
        pipeline.put(7)
        assert seen.get(timeout=60) == [7]
    with pytest.raises(ValueError, match="size: 0 given"):
        list(Pipeline([(TimedChunk, 1, {"size": 0})]).results([1]))
    with pytest.raises(ValueError, match="timeout: 0 given"):
        list(Pipeline([(TimedChunk, 1, {"timeout": 0})]).results([1]))
    wrong: list[dict[str, Any]] = [{"size": "x"}, {"size": 1.5}, {"timeout": None}, {"timeout": "x"}]
    for options in wrong:
        with pytest.raises(
            TypeError, match=f"{next(iter(options))}: must be a .*, not {next(iter(options.values()))!r}"
        ):
            list(Pipeline([(TimedChunk, 1, options)]).results([1]))


def test_timed_chunk_has_its_time_from_the_first_entry() -> None:
    # Each entry comes long before the chunk's time is over, and that of the first counts.
    seen: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    stop = threading.Event()

    def trickle() -> Iterator[int]:
        n = 0
        while not stop.wait(0.01):
            yield n
            n += 1

    pipeline = Pipeline([(lambda n: n, 1), (TimedChunk, 1, {"size": 10**6, "timeout": 0.1}), (seen.put, 1)])
    pipeline.put_iterable(trickle())
    with pipeline:
        assert seen.get(timeout=60)[0] == 0
        stop.set()


def test_entries_with_a_time_limit() -> None:
    def pairs(entries: Any) -> Iterator[Any]:
        with pytest.raises(TimeoutError):
            entries.next(0.01)
        go.set()
        yield entries.next()
        yield entries.next(60)
        with pytest.raises(StopIteration):
            entries.next(60)

    go = threading.Event()

    def source() -> Iterator[int]:
        go.wait(60)
        yield from (1, 2)

    for steps in ([(iterstep(pairs), 1)], [(iterstep(iter), 1), (iterstep(pairs), 1)]):
        go.clear()
        assert list(Pipeline(steps).results(source())) == [1, 2]
