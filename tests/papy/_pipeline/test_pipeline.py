"""Step pipelines: their definition, entries, counts, order, and the two types of workers."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter as Multiset
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from operator import neg
from typing import Any

import pytest

from numap import StateError
from papy import AbstractIterStep, AbstractStep, Pipeline, Piper, SkipEntry, chunk, flatten, funcstep, iterstep

BOTH = pytest.mark.parametrize("worker_type", ["thread", "process"])


def double(n: int) -> int:
    return 2 * n


def odd(n: int) -> int:
    if n % 2 == 0:
        raise SkipEntry
    return n


class Scale(AbstractStep):
    def initialize(self, factor: int = 10) -> None:
        self.factor = factor

    def process(self, entry: int) -> int:
        return entry * self.factor


class Twice(AbstractIterStep):
    def process(self, iterator: Any) -> Any:
        for entry in iterator:
            yield entry
            yield entry


def balance(pipeline: Pipeline) -> tuple[int, int, int, int]:
    """The four counts, once it is certain that they fit."""
    assert pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed
    return pipeline.taken, pipeline.count, pipeline.skipped, pipeline.failed


# ---------------------------------------------------------------------- definition


def test_both_spellings() -> None:
    for pipeline in (Pipeline((double, 2), (Scale, 1)), Pipeline([(double, 2), (Scale, 1)])):
        assert sorted(pipeline.results([1, 2])) == [20, 40]
    assert list(Pipeline((double, 1)).results([1])) == [2]
    assert list(Pipeline(((double, 1), (Scale, 1, {"factor": 3}))).results([1])) == [6]


@pytest.mark.parametrize(
    ("steps", "error", "text"),
    [
        ([], ValueError, "at least one"),
        ([double], TypeError, "step 0: must be a tuple"),
        ([(double,)], ValueError, "step 0"),
        ([(double, 1), (double, 1, {}, 2)], ValueError, "step 1"),
        ([(double, 0)], ValueError, r"workers: 0 given"),
        ([(double, -1)], ValueError, r"workers: -1 given"),
        ([(double, "2")], TypeError, r"workers: must be a whole number"),
        ([(double, True)], TypeError, r"workers: must be a whole number"),
        ([("double", 1)], ValueError, "step class or a callable"),
        ([(AbstractStep, 1)], TypeError, "is abstract: it has no method process"),
        ([(Scale(), 1)], TypeError, "give the class Scale"),
        ([(chunk, 1)], TypeError, r"step 0: chunk makes steps, and is none itself; give iterstep\(chunk\(size\)\)"),
        ([(Scale, 1, ["factor"])], TypeError, "options: must be a dictionary"),
        ([(double, 1, {"factor": 1})], TypeError, r"options: a function takes none, so \['factor'\] would be lost"),
        ([(double, 1, {"max_retries": -1})], ValueError, "max_retries"),
        ([(double, 1, {"threshold": 0})], ValueError, "threshold"),
        ([(double, 1, {"worker_type": "dask"})], ValueError, "worker_type"),
        ([(double, 1, {"tracker": 1})], TypeError, "tracker"),
        ([(Twice, 1, {"worker_type": "process"})], ValueError, "runs in threads"),
        ([(Twice, 1, {"max_retries": 1})], ValueError, "can't be tried again"),
    ],
)
def test_a_wrong_definition_is_found_when_it_is_made(steps: list[Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Pipeline(steps)


def test_coroutine_and_generator_functions_are_refused() -> None:
    async def coroutine(n: int) -> int:
        return n

    def generator(entries: Any) -> Any:
        yield from entries

    with pytest.raises(TypeError, match="coroutine"):
        Pipeline((coroutine, 1))
    with pytest.raises(TypeError, match=r"iterstep\(generator\)"):
        Pipeline((generator, 1))
    with pytest.raises(TypeError, match="generator"):
        Pipeline((partial(generator), 1))


@pytest.mark.parametrize(
    "options", [{"max_retry": 1}, {"in_queue": []}, {"fail_callback": 1}, {"debugger": print}, {"tracker": object()}]
)
def test_unknown_and_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        Pipeline((double, 1), **options)


def test_the_callers_list_stays_as_it_is() -> None:
    steps = [(double, 1)]
    for _ in range(2):
        pipeline = Pipeline(steps)
        pipeline.put_iterable([1, 2])
        pipeline.run()
        assert balance(pipeline) == (2, 2, 0, 0)
    assert steps == [(double, 1)]


def test_any_callable_is_a_step() -> None:
    class Callable:
        def __call__(self, n: int) -> int:
            return n + 1

    steps = [double, neg, str, Callable(), partial(pow, 2), "-".join, lambda n: n]
    entries = [1, 1, 1, 1, 1, "ab", 1]
    found = [list(Pipeline((step, 1)).results([entry])) for step, entry in zip(steps, entries, strict=True)]
    assert found == [[2], [-1], ["1"], [2], [2], ["a-b"], [1]]


# ---------------------------------------------------------------------- results


@BOTH
def test_results_in_any_order_and_in_that_of_the_entries(worker_type: str) -> None:
    pipeline = Pipeline((double, 2), (odd, 1), (Scale, 2), worker_type=worker_type)
    assert list(pipeline.results([])) == []
    entries = range(1, 101)
    pipeline = Pipeline((Scale, 2), (double, 2, {"worker_type": "thread"}), worker_type=worker_type)
    assert Multiset(pipeline.results(entries)) == Multiset(20 * n for n in entries)
    assert list(pipeline.results(entries, ordered=True)) == [20 * n for n in entries]
    assert balance(pipeline) == (200, 200, 0, 0)


def test_one_worker_each_keeps_the_order() -> None:
    assert list(Pipeline((double, 1), (Twice, 1), (Scale, 1)).results(range(50))) == [
        20 * n for n in range(50) for _ in range(2)
    ]


def test_order_is_kept_by_workers_that_overtake_each_other() -> None:
    later = threading.Event()

    def first_waits_for_second(n: int) -> int:
        later.wait(60) if n == 0 else later.set()
        return n

    assert list(Pipeline((first_waits_for_second, 2)).results(range(5), ordered=True)) == [0, 1, 2, 3, 4]


def test_order_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match="'Twice' has 2 workers"):
        Pipeline((Twice, 2)).results([1], ordered=True)


def test_processes_where_asked() -> None:
    pipeline = Pipeline(
        (lambda _: [os.getpid()], 1),
        (lambda pids: [*pids, os.getpid()], 2, {"worker_type": "process"}),
        (lambda pids: [*pids, os.getpid()], 1),
    )
    for first, second, third in pipeline.results(range(4)):
        assert first == third == os.getpid() != second


def test_threads_by_default() -> None:
    together = threading.Barrier(3)
    assert sorted(Pipeline((lambda n: together.wait(60), 3)).results(range(3))) == [0, 1, 2]


def test_results_are_lazy_and_bounded() -> None:
    pulled = count()
    results = Pipeline((double, 2), (double, 1), threshold=4).results(pulled)
    assert next(pulled) == 0
    assert len(list(islice(results, 100))) == 100
    del results
    # What waits in the steps, what their workers hold, and what is in between.
    assert next(pulled) < 100 + (4 + 2) + (4 + 1) + 2


def test_leaving_results_ends_the_run() -> None:
    pipeline = Pipeline((double, 2), (Twice, 2))
    for _ in pipeline.results(count()):
        break
    assert not pipeline.alive
    taken, counted, _, failed = balance(pipeline)
    assert (counted, failed) == (1, 0)
    assert taken > 0
    results = pipeline.results(count())
    next(results)
    assert pipeline.alive
    with pytest.raises(StateError, match="results: not allowed while the pipeline runs"):
        next(pipeline.results([1]))
    results.close()
    results.close()
    assert list(results) == []
    assert sorted(pipeline.results([1])) == [2, 2]


def test_results_need_an_iterable() -> None:
    with pytest.raises(TypeError):
        Pipeline((double, 1)).results(1)  # type: ignore[arg-type]


def test_a_step_of_a_step_pipeline_can_be_another_pipeline() -> None:
    inner = Pipeline((double, 2))
    assert sorted(Pipeline((iterstep(inner.results), 1)).results([1, 2])) == [2, 4]


# ---------------------------------------------------------------------- counts


@BOTH
def test_skipped_entries_are_counted(worker_type: str) -> None:
    pipeline = Pipeline((odd, 2), (double, 1), worker_type=worker_type)
    assert sorted(pipeline.results(range(10))) == [2, 6, 10, 14, 18]
    assert balance(pipeline) == (10, 5, 5, 0)
    assert list(pipeline.results([0, 1], ordered=True)) == [2]
    pipeline.put_iterable(range(4))
    pipeline.run()
    assert balance(pipeline) == (16, 8, 8, 0)


def test_a_step_that_skips_everything_at_the_end() -> None:
    pipeline = Pipeline((double, 2), (odd, 2))
    assert list(pipeline.results(range(10))) == []
    assert balance(pipeline) == (10, 0, 10, 0)


def test_counts_where_steps_make_more_or_fewer() -> None:
    pipeline = Pipeline((iterstep(chunk(10)), 1))
    assert len(list(pipeline.results(range(100)))) == 10
    assert balance(pipeline) == (100, 10, 90, 0)
    pipeline = Pipeline((Twice, 1))
    assert len(list(pipeline.results(range(10)))) == 20
    assert balance(pipeline) == (20, 20, 0, 0)


def test_chunk_then_flatten_is_nothing() -> None:
    pipeline = Pipeline((iterstep(chunk(10)), 3), (double, 2), (lambda pieces: pieces, 1), (iterstep(flatten), 2))
    pipeline = Pipeline((iterstep(chunk(10)), 3), (iterstep(flatten), 2))
    assert sorted(pipeline.results(range(1000))) == list(range(1000))
    assert balance(pipeline) == (1000, 1000, 0, 0)


def test_counter_of_each_step() -> None:
    pipeline = Pipeline((odd, 4), (lambda n: n, 1), (lambda n: n, 2))
    assert pipeline.counter.counts == {}
    assert len(list(pipeline.results(range(100)))) == 50
    assert pipeline.counter.counts == {
        "odd": 50,
        "odd in": 0,
        "<lambda>": 50,
        "<lambda> in": 0,
        "<lambda>-2": 50,
        "<lambda>-2 in": 0,
    }


def test_counts_are_exact_with_many_threads() -> None:
    pipeline = Pipeline((double, 16), (odd, 16), (double, 16))
    pipeline.put_iterable(range(5000))
    pipeline.run()
    assert balance(pipeline) == (5000, 0, 5000, 0)


# ---------------------------------------------------------------------- entries


def test_put_before_and_in_a_run() -> None:
    seen: list[int] = []
    pipeline = Pipeline((double, 1), (seen.append, 1))
    pipeline.put(1)
    pipeline.put_all([2, 3])
    with pytest.raises(ValueError, match="must be filled with entries"):
        pipeline.run()
    with pipeline:
        pipeline.put(4)
        pipeline.put_iterable(iter([5]))
    assert seen == [2, 4, 6, 8, 10]
    assert balance(pipeline) == (5, 5, 0, 0)


def test_finish_and_run_again() -> None:
    pipeline = Pipeline((double, 1))
    for turn in range(1, 3):
        pipeline.put(1)
        pipeline.finish()
        pipeline.finish()
        with pytest.raises(StateError, match=r"put: not allowed after finish\(\)"):
            pipeline.put(2)
        with pytest.raises(StateError, match="put_meta"):
            pipeline.put_meta(2)
        with pytest.raises(StateError, match="put_iterable"):
            pipeline.put_iterable([2])
        pipeline.run()
        assert balance(pipeline) == (turn, turn, 0, 0)


def test_many_puts_never_block() -> None:
    pipeline = Pipeline((double, 1), threshold=1)
    pipeline.put_all(range(10_000))
    pipeline.finish()
    pipeline.run()
    assert balance(pipeline) == (10_000, 10_000, 0, 0)


def test_several_iterables_and_what_is_put_between_them() -> None:
    seen: list[int] = []
    pipeline = Pipeline((seen.append, 1))
    pipeline.put_iterable(range(3))
    pipeline.put_iterable(iter([10]))
    pipeline.put(20)
    pipeline.run()
    assert sorted(seen) == [0, 1, 2, 10, 20]


def test_put_from_many_threads() -> None:
    pipeline = Pipeline((double, 2))
    with pipeline:
        threads = [threading.Thread(target=pipeline.put_all, args=(range(500),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert balance(pipeline) == (2000, 2000, 0, 0)


def test_put_by_a_step() -> None:
    pipeline = Pipeline((lambda n: pipeline.put(n - 1) if n else pipeline.finish(), 1))
    pipeline.put(5)
    pipeline.run_forever()
    assert balance(pipeline) == (6, 6, 0, 0)


def test_meta_entries() -> None:
    class Remember(AbstractStep):
        def process(self, entry: int) -> int:
            return entry

        def process_meta(self, entry: list[str]) -> list[str]:
            return [*entry, self.name]

    seen: list[Any] = []

    class Last(Remember):
        def process_meta(self, entry: Any) -> Any:
            seen.append(entry)
            if entry[0] == "drop":
                raise SkipEntry
            return entry

    for worker_type in ("thread", "process"):
        seen.clear()
        pipeline = Pipeline(
            (Remember, 2, {"worker_type": worker_type}),
            (double, 2, {"worker_type": worker_type}),
            (Twice, 1),
            (Last, 1),
        )
        pipeline.put(1)
        pipeline.put_meta(["a"])
        pipeline.put_meta(["drop"])
        pipeline.finish()
        pipeline.run()
        assert sorted(seen) == [["a", "Remember"], ["drop", "Remember"]]
        assert pipeline.count == 3
        assert balance(pipeline)[0] == 4


def test_retries_are_attempts_after_the_first() -> None:
    attempts: Multiset[int] = Multiset()

    def flaky(n: int) -> int:
        attempts[n] += 1
        if attempts[n] <= 2:
            raise ConnectionError(n)
        return n

    pipeline = Pipeline((flaky, 3), max_retries=2)
    assert sorted(pipeline.results(range(10))) == list(range(10))  # also the last one
    assert set(attempts.values()) == {3}
    attempts.clear()
    pipeline = Pipeline((flaky, 1, {"max_retries": 1}), max_retries=5)
    with pytest.raises(ConnectionError):
        list(pipeline.results([7]))
    assert attempts == {7: 2}
    assert balance(pipeline) == (1, 0, 0, 1)


@pytest.mark.parametrize("dies", [False, True])
def test_retries_in_processes(dies: bool, tmp_path: Any) -> None:
    def flaky(n: int) -> int:
        path = tmp_path / str(n)
        with path.open("a") as file:
            file.write("x")
        if path.stat().st_size <= 2:
            os._exit(1) if dies and n == 1 else 1 / 0
        return n

    pipeline = Pipeline((flaky, 2), max_retries=2, worker_type="process")
    assert sorted(pipeline.results(range(3))) == [0, 1, 2]
    runs = [(tmp_path / str(n)).stat().st_size for n in range(3)]
    if dies:
        # Of what the dead worker had done and not told the others are run again: execution is at least once.
        assert runs[1] == 3 and min(runs) == 3
    else:
        assert runs == [3, 3, 3]


def test_threshold_holds_the_source_back() -> None:
    pulled: list[int] = []
    gate, reached = threading.Event(), threading.Event()

    def source() -> Any:
        for n in range(1000):
            pulled.append(n)
            yield n

    def slow(n: int) -> None:
        reached.set()
        gate.wait(60)

    pipeline = Pipeline((double, 4), (slow, 1), threshold=16)
    pipeline.put_iterable(source())
    runner = threading.Thread(target=pipeline.run)
    runner.start()
    assert reached.wait(60)
    assert len(pulled) <= (16 + 4) + (16 + 1) + 1
    gate.set()
    runner.join()
    assert balance(pipeline) == (1000, 1000, 0, 0)


@pytest.mark.parametrize("workers", [1, 20, 500])
def test_one_to_hundreds_of_threads(workers: int) -> None:
    pipeline = Pipeline((double, workers), (Twice, workers), (funcstep(double), workers))
    assert Multiset(pipeline.results(range(600))) == Multiset(4 * n for n in range(600) for _ in range(2))


def test_memory_stays_flat() -> None:
    import psutil

    process = psutil.Process()
    pipeline = Pipeline((double, 1), (iterstep(chunk(100)), 1), (len, 1))
    seen = []
    for number, _ in enumerate(pipeline.results(range(400_000))):
        if number % 400 == 200:
            seen.append(process.memory_info().rss)
    assert balance(pipeline) == (400_000, 4000, 396_000, 0)
    assert max(seen[2:]) - seen[1] < 8 * 2**20


def test_a_piper_is_no_step() -> None:
    with pytest.raises(ValueError, match=r"step 0: must be a step class or a callable, not Piper\('len'"):
        Pipeline((Piper(len, name="len"), 1))


def one(entry: Any) -> Any:
    return entry


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pipeline((one, 1), n_jobs=4), "each step has workers of its own: Pipeline((step, 4)"),
        (lambda: Pipeline((one, 1), workers=4), "each step has workers of its own: Pipeline((step, 4)"),
        (lambda: Pipeline((one, 1), max_workers=4), "each step has workers of its own: Pipeline((step, 4)"),
        (lambda: Pipeline((one, 1), maxsize=4), "buffer=n"),
        (lambda: Pipeline((one, 1), timeout=4), "task_timeout=seconds"),
        (lambda: Pipeline((one, 1), chunksize=4), "iterstep(chunk(n))"),
        (lambda: Pipeline((one, 1), deamon=True), "did you mean 'daemon'?"),
        (lambda: Pipeline((one, 1, {"max_retry": 4})), "did you mean 'max_retries'?"),
        (lambda: Pipeline([one]), "write (one, 1)"),
        (lambda: Pipeline(one), "write (one, 1)"),
        (lambda: Pipeline(one, 4), "write Pipeline((one, 4))"),
        (lambda: Pipeline([[one, 4]]), "write it in round brackets"),
        (lambda: Pipeline((one, "4")), "write 4"),
        (lambda: Pipeline((one, "process")), "write (step, 4, {'worker_type': 'process'})"),
        (lambda: Pipeline((4, one)), "write (one, 4)"),
        (lambda: Pipeline([(one, 4)], queue.Queue()), "in_queue="),
        (lambda: Pipeline((one, 4), queue.Queue()), "in_queue="),
        (lambda: Pipeline((one, 1), buffer_bytes="1GB"), "buffer_bytes: must be a whole number"),
        (lambda: Pipeline((one, 1), max_failures=0.5), "max_failures: must be a whole number"),
    ],
)
def test_76_what_is_wrong_says_what_to_write(make: Callable[[], object], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert said in str(caught.value)
