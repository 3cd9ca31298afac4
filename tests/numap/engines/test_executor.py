"""Maps over a `concurrent.futures.Executor`: the rules of all maps, with the workers, pickles and limits of the executor."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any

import pytest

from numap import IMap, SerializationError, SourceError, StateError, WorkerStartError
from numap._items.segments import RAW
from numap.engines import executor as futures
from tests.numap import work
from tests.numap.programs import Program, run, until_main_waits
from tests.numap.tools import each_seed, says


class Inline(Executor):
    """Runs a call where it is submitted; an executor of somebody's own that knows nothing of workers."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def fail_once(x: int, folder: str) -> int:
    path = Path(folder, str(x))
    if not path.exists():
        path.touch()
        raise ValueError(x)
    return x


def fork_within(x: int) -> Any:
    child = os.fork()
    return "of the child" if child == 0 else (x, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


MAKERS: dict[str, Callable[[], Executor]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2),
    "inline": Inline,
}


@pytest.fixture(params=MAKERS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with MAKERS[request.param]() as made:
        yield made


def test_the_results_are_those_of_map(executor: Executor) -> None:
    assert list(IMap(work.increment, range(5000), worker_type=executor)) == list(range(1, 5001))
    assert sorted(IMap(work.increment, range(500), worker_type=executor, ordered=False)) == list(range(1, 501))
    assert list(IMap(abs, [], worker_type=executor)) == []
    assert list(IMap(pow, [2, 3], (3,), {"mod": 5}, worker_type=executor)) == [3, 2]


def test_the_executor_stays_its_makers(executor: Executor) -> None:
    with IMap(work.increment, itertools.count(), worker_type=executor) as imap:
        assert next(imap) == 1
    assert executor.submit(work.increment, 5).result() == 6


def test_several_tasks_chained_joined_and_interwoven(executor: Executor) -> None:
    imap = IMap(worker_type=executor)
    end = imap.add_task(work.increment, imap.add_task(work.increment, range(300)))
    other = imap.add_task(str, "abc")
    with imap:
        assert list(end) == list(range(2, 302))
        assert list(other) == ["a", "b", "c"]


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_results_that_are_items_of_the_next_task(executor: Executor) -> None:
    imap = IMap(worker_type=executor)
    end = imap.add_task(moved, imap.add_task(Point, range(20)))
    with imap:
        assert [(type(point) is Point, point.x) for point in end] == [(True, x + 1) for x in range(20)]


def moved(point: Point) -> Point:
    return Point(point.x + 1)


def test_an_error_is_that_of_its_item_with_its_place(executor: Executor) -> None:
    imap = IMap(work.fail_at, range(20), (7, KeyError, "seven"), worker_type=executor)
    assert [next(imap) for _ in range(7)] == list(range(7))
    with pytest.raises(KeyError) as found:
        next(imap)
    assert "item 7" in "".join(getattr(found.value, "__notes__", ["item 7"]))
    assert "seven" in str(found.value)
    assert list(imap) == list(range(8, 20))


def test_errors_as_results_skipped_and_tried_again(executor: Executor, tmp_path: Path) -> None:
    options: dict[str, Any] = {"worker_type": executor, "args": (7, KeyError, "seven")}
    found = list(IMap(work.fail_at, range(10), on_error="return", **options))
    assert [x for x in found if type(x) is not KeyError] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert list(IMap(work.fail_at, range(10), on_error="skip", **options)) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    imap = IMap(fail_once, range(5), (str(tmp_path),), worker_type=executor, retries=1)
    assert list(imap) == list(range(5))


def test_what_is_no_exception_is_an_item_error(executor: Executor) -> None:
    (found,) = IMap(work.exit_at, [1], (1, 3), worker_type=executor, on_error="return")
    assert (type(found.original), found.original.code) == (SystemExit, 3)


def test_pulled_minus_yielded_never_exceeds_the_bound(executor: Executor) -> None:
    pulled = itertools.count(1)
    most = 0

    def source() -> Iterator[int]:
        nonlocal most
        while True:
            most = next(pulled)
            yield most

    with IMap(work.increment, source(), worker_type=executor, buffer=5) as imap:
        for given, _ in zip(range(200), imap, strict=False):
            assert most - given <= 5
        assert imap.statistics().bound == 5


def test_a_source_that_raises(executor: Executor) -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise OSError("gone")

    imap = IMap(work.increment, source(), worker_type=executor)
    assert [next(imap) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(SourceError):
        next(imap)


def test_an_input_that_blocks_holds_back_no_result(executor: Executor) -> None:
    items: SimpleQueue[int] = SimpleQueue()
    with IMap(work.increment, iter(items.get, None), worker_type=executor) as imap:
        for n in range(5):
            items.put(n)
            assert next(imap) == n + 1
        items.put(None)  # type: ignore[arg-type]
        assert list(imap) == []


@pytest.mark.parametrize("kind", MAKERS)
def test_random_histories(kind: str) -> None:
    with MAKERS[kind]() as executor:

        @each_seed(15)
        def history(random: Random) -> None:
            stride = random.choice([None, 1, 2, 7])
            buffer = random.choice([None, (stride or 1) + random.randrange(20)])
            xs = [random.randrange(1000) for _ in range(random.randrange(300))]
            victim = random.choice(xs) if xs else 0
            imap = IMap(
                work.fail_at,
                iter(xs),
                (victim, ValueError, "x"),
                worker_type=executor,
                stride=stride,
                buffer=buffer,
                on_error="return",
                worker_num=random.choice([None, 1, 5]),
            )
            assert [x if type(x) is int else victim for x in imap] == xs

        history()


def test_a_chunk_ends_after_its_first_slow_item() -> None:
    times = iter([0.0, 0.001, 0.002, 0.1, 0.101])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(futures, "perf_counter", lambda: next(times))
        found = futures.run_chunk((abs, (), {}), [(RAW, 5, range(-5, 0))], futures._here())
    assert found == ([(RAW, 3, [5, 4, 3])], 0.1)


def test_pausing_gives_back_what_has_not_begun(tmp_path: Path) -> None:
    """A worker is busy with something else: what was sent behind that is run by nobody after stop."""
    gate: SimpleQueue[None] = SimpleQueue()
    ran: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        busy = executor.submit(gate.get)
        imap = IMap(ran.append, range(10), worker_type=executor)
        imap.stop()
        gate.put(None)
        busy.result()
    assert ran == []


def test_defaults_and_refusals(executor: Executor) -> None:
    workers = IMap(worker_type=executor).statistics().workers
    assert workers == (2 if not isinstance(executor, Inline) else IMap().statistics().workers)
    imap = IMap(worker_type=executor, worker_num=7)
    assert imap.statistics().workers == 7
    assert f"7 {type(executor).__name__} workers" in repr(imap)
    refused: list[dict[str, Any]] = [
        {"task_timeout": 1},
        {"initializer": print},
        {"finalizer": print},
        {"max_items_per_worker": 3},
        {"start_method": "spawn"},
        {"worker_remote": "tcp://host:1"},
    ]
    for options in refused:
        with pytest.raises(ValueError, match=next(iter(options))):
            IMap(worker_type=executor, **options)
    with pytest.raises(ValueError, match="worker_type"):
        IMap(worker_type=type(executor))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Executor"):
        IMap(worker_type="executor")


def test_an_executor_that_was_shut_down() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    imap = IMap(abs, [-1], worker_type=executor)
    with pytest.raises(WorkerStartError) as found:
        next(imap)
    assert says(found, "the executor takes no more work", "shutdown")
    with pytest.raises(StopIteration):
        next(imap)


def test_one_that_is_shut_down_meanwhile_ends_the_map_and_nobody_waits() -> None:
    executor = ThreadPoolExecutor(1)
    imap = IMap(abs, itertools.count(), worker_type=executor)
    assert next(imap) == 0
    executor.shutdown(wait=False)
    with pytest.raises(WorkerStartError, match="takes no more work"):
        for _ in imap:
            pass


def test_a_pool_that_breaks() -> None:
    with ProcessPoolExecutor(1) as executor:
        imap = IMap(work.leave_at, range(5000), (100, 3), worker_type=executor, on_error="return", buffer=300)
        found = []
        with pytest.raises(WorkerStartError, match="takes no more work"):
            found.extend(imap)
        found += [x for x in imap if x not in found]
    assert all(type(x) is int or isinstance(x, BrokenExecutor) for x in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_comes_back_through_the_function_is_no_second_worker() -> None:
    with ProcessPoolExecutor(1) as executor:
        assert list(IMap(fork_within, range(5), worker_type=executor)) == [(x, 0) for x in range(5)]


def test_a_function_or_item_that_the_executor_can_not_pickle() -> None:
    def local(x: int) -> int:
        return x

    with ProcessPoolExecutor(1) as executor:
        imap = IMap(local, [1], worker_type=executor)
        with pytest.raises(SerializationError) as error:
            next(imap)
        assert says(error, "local", "the executor can't pickle")
        found = list(IMap(type, [1, threading.Lock(), "a"], worker_type=executor, on_error="return"))
        assert (found[0], type(found[1]), found[2]) == (int, SerializationError, str)


def test_results_are_judged_one_by_one_and_nothing_runs_twice(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as executor:
        imap = IMap(work.lock_at, range(20), (7,), worker_type=executor, on_error="return")
        found = list(imap)
        assert [type(x) is SerializationError for x in found] == [x == 7 for x in range(20)]
        pids = set(IMap(work.mark, range(20), (str(tmp_path),), worker_type=executor))
    assert len(pids) == 20
    assert len(list(tmp_path.iterdir())) == 20


def test_large_results_and_exceptions_of_other_processes() -> None:
    with ProcessPoolExecutor(2) as executor:
        sizes = [len(data) for _, data in IMap(work.megabytes, range(5), worker_type=executor)]
        assert sizes == [len(work.megabytes(x)[1]) for x in range(5)]
        imap = IMap(work.fail_at, [1], (1, ZeroDivisionError, "there"), worker_type=executor)
        with pytest.raises(ZeroDivisionError) as found:
            next(imap)
    assert "fail_at" in str(found.value.__cause__)


def test_a_dropped_map_leaves_the_executor_idle(executor: Executor) -> None:
    def source() -> Iterator[int]:
        yield from itertools.count()

    items = source()
    imap = IMap(work.increment, items, worker_type=executor)
    assert next(imap) == 1
    ref = weakref.ref(imap)
    del imap
    gc.collect()
    assert ref() is None
    assert executor.submit(work.increment, 1).result() == 2


def test_wrong_order_of_calls(executor: Executor) -> None:
    imap = IMap(abs, [1], worker_type=executor)
    with pytest.raises(StateError):
        imap.add_task(abs, [1])
    imap.stop()
    imap.stop()
    with pytest.raises(StateError):
        next(imap)


def test_a_program_that_forgets_everything_ends(tmp_path: Path) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
imap = IMap(abs, itertools.count(), worker_type=ThreadPoolExecutor(2))
say(next(imap), next(imap))
"""
    assert run(tmp_path, code).stdout == "0 1\n"


def test_sigint(tmp_path: Path) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
done = threading.Event()
imap = IMap(lambda x: x if x < 3 else done.wait(), range(20), worker_type=ThreadPoolExecutor(1), buffer=4)
say(next(imap), next(imap), next(imap))
try:
    say("waits")
    next(imap)
except KeyboardInterrupt:
    done.set()
    say(len(list(imap)))
"""
    with Program(tmp_path, code) as program:
        program.wait_for("waits")
        until_main_waits(program.pid)
        program.send(2)
        program.check_clean_end()
        assert program.stdout.splitlines()[-1] == "17"


def test_pids_are_those_of_the_executor() -> None:
    with ProcessPoolExecutor(2) as executor:
        pids = set(IMap(work.pid, range(50), worker_type=executor))
        assert pids <= set(executor._processes)
    assert os.getpid() not in pids
