"""`numap.Executor`: calls on workers that stay."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, as_completed, wait
from concurrent.futures import TimeoutError as OutOfTime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import Executor, ItemError, SerializationError, StateError, TaskTimeout, WorkerDied, WorkerStartError
from tests.numap.executor import executor_items as items
from tests.numap.programs import run
from tests.numap.tools import says


@pytest.fixture(params=["process", "thread"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(2, request.param) as made:
        yield made


@pytest.fixture
def processes() -> Iterator[Executor]:
    with Executor(2) as made:
        yield made


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)


# ---------------------------------------------------------------------- calls


def test_a_call(executor: Executor) -> None:
    assert executor.submit(pow, 7, 2).result() == 49
    assert executor.submit(pow, 7, 2, mod=10).result() == 9
    assert executor.submit(lambda x: x + 1, 2).result() == 3


def test_many_calls_go_together(executor: Executor) -> None:
    futures = [executor.submit(pow, n, 2) for n in range(3000)]
    assert [future.result() for future in futures] == [n * n for n in range(3000)]


def test_calls_of_several_functions_and_kinds_of_arguments(executor: Executor) -> None:
    futures = [executor.submit((str, repr, len)[n % 3], ("x" * (n % 7), b"y" * n)[n % 2]) for n in range(300)]
    expected = [(str, repr, len)[n % 3](("x" * (n % 7), b"y" * n)[n % 2]) for n in range(300)]  # type: ignore[operator]
    assert [future.result() for future in futures] == expected


def test_the_error_of_a_call_says_where_it_was_raised(processes: Executor) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        processes.submit(lambda: 1 / 0).result()
    assert "lambda: 1 / 0" in str(error.value.__cause__)
    assert "in a call of" in error.value.__notes__[0]  # type: ignore[attr-defined]  # of 3.11


def test_what_is_no_exception_is_an_item_error(executor: Executor) -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(ItemError) as error:
        executor.submit(leave).result()
    assert isinstance(error.value.original, SystemExit)


def test_what_cannot_be_sent_is_the_error_of_its_call(processes: Executor) -> None:
    with pytest.raises(SerializationError, match="the arguments of the call"):
        processes.submit(len, threading.Lock()).result()  # type: ignore[arg-type]
    with pytest.raises(SerializationError):
        processes.submit(threading.Lock).result()
    assert processes.submit(len, "abc").result() == 3


def test_what_cannot_be_called_is_refused_at_once(executor: Executor) -> None:
    with pytest.raises(TypeError, match="fn: must be callable"):
        executor.submit(3)  # type: ignore[arg-type]


def test_workers_come_when_there_is_something_to_do() -> None:
    with Executor(3) as executor:
        assert {executor.submit(os.getpid).result() for _ in range(5)}.__len__() == 1


def test_workers_keep_what_the_initializer_made() -> None:
    with Executor(1, initializer=items.set_up, initargs=(5,)) as executor:
        first = executor.submit(items.state).result()
        assert first[0] == 5
        assert executor.submit(items.state).result() == first


def test_an_initializer_that_fails_breaks_the_executor(kind: str = "process") -> None:
    with Executor(1, kind, initializer=lambda: 1 / 0) as executor:
        with pytest.raises(WorkerStartError, match="ZeroDivisionError"):
            executor.submit(len, "abc").result()
        with pytest.raises(BrokenExecutor):
            executor.submit(len, "abc")


def test_a_function_that_is_defined_again_runs_in_its_new_form(tmp_path: Path) -> None:
    text = """
from numap import Executor
with Executor(1) as executor:
    N = 1
    def helper(): return N
    def f(): return helper()
    first = executor.submit(f).result()
    N = 2
    second = executor.submit(f).result()
    def helper(): return 10 * N
    third = executor.submit(f).result()
    def f(): return -helper()
    print(first, second, third, executor.submit(f).result(), list(executor.map(lambda x: x + helper(), [1])))
"""
    program = run(tmp_path, text)
    assert program.stdout.strip() == "1 2 20 -20 [21]", program


def test_a_dropped_function_is_not_kept(executor: Executor) -> None:
    class Holder:
        def method(self) -> int:
            return 3

    holder = Holder()
    gone = threading.Event()
    ref = weakref.ref(holder, lambda _: gone.set())
    executor.submit(holder.method)
    del holder
    assert gone.wait(10)
    assert ref() is None


# ---------------------------------------------------------------------- deaths, limits, retries


def test_a_worker_that_dies_costs_its_call(processes: Executor) -> None:
    futures = [processes.submit(items.die_at, n, 57) for n in range(200)]
    done = [future.exception() for future in futures]
    assert [n for n, error in enumerate(done) if error is not None] == [57]
    assert isinstance(done[57], WorkerDied)
    assert not isinstance(done[57], BrokenExecutor)
    with pytest.raises(WorkerDied) as error:
        futures[57].result()
    assert says(error, "a call of die_at", "the other calls go on")
    assert processes.submit(len, "abc").result() == 3


def test_a_call_over_its_limit_is_ended() -> None:
    with Executor(1, task_timeout=0.05) as executor:
        with pytest.raises(TaskTimeout) as error:
            executor.submit(items.hours).result()
        assert says(error, "hours", "task_timeout=0.05 s")
        assert executor.submit(len, "abc").result() == 3


def test_retries(tmp_path: Path) -> None:
    with Executor(1, retries=1) as executor:
        assert executor.submit(items.once, str(tmp_path)).result() == "done"
        with pytest.raises(WorkerDied):
            executor.submit(items.die).result()


def test_workers_are_replaced_after_their_number_of_calls() -> None:
    with Executor(1, max_tasks_per_child=3) as executor:
        pids = [executor.submit(os.getpid).result() for _ in range(9)]
        assert len(set(pids)) == 3
        assert sum(executor.map(int, range(100))) == 4950


# ---------------------------------------------------------------------- futures


def test_a_call_that_has_not_begun_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    busy = [executor.submit(items.until, str(go), str(tmp_path / str(n))) for n in range(2)]
    for n in range(2):
        wait_for(tmp_path / str(n))
    waiting = [executor.submit(len, "abc") for _ in range(10)]
    assert all(future.running() for future in busy)
    assert not any(future.running() for future in waiting)
    assert not busy[0].cancel()
    assert waiting[3].cancel()
    assert waiting[3].cancelled()
    assert waiting[3] in wait(waiting, timeout=0).done
    go.touch()
    with pytest.raises(CancelledError):
        waiting[3].result()
    assert [future.result() for n, future in enumerate(waiting) if n != 3] == [3] * 9


def test_a_call_that_waits_in_a_worker_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    """Behind short calls one takes long, as nobody could know."""
    for _ in range(2):
        wait([executor.submit(items.until, os.devnull) for _ in range(500)])
    go = tmp_path / "go"
    futures = [executor.submit(items.until, str(go)) for _ in range(100)]
    while sum(future.running() for future in futures) < 2:
        time.sleep(0.001)
    cancelled = [future.cancel() for future in futures]
    assert cancelled.count(False) == 2
    assert [future.running() for future in futures] == [not it for it in cancelled]
    go.touch()
    assert [future.cancelled() for future in as_completed(futures)].count(True) == 98


def test_wait_and_as_completed(executor: Executor) -> None:
    futures = [executor.submit(pow, n, 2) for n in range(20)]
    assert {future.result() for future in as_completed(futures)} == {n * n for n in range(20)}
    assert wait([executor.submit(len, "abc")], return_when=FIRST_COMPLETED).done


def test_callbacks_may_use_the_executor(executor: Executor) -> None:
    seen: list[Any] = []
    over = threading.Event()

    def then(future: Any) -> None:
        later = executor.submit(pow, future.result(), 2)
        seen.append((future.result(), later.cancel() or later.result()))
        over.set()

    executor.submit(pow, 3, 2).add_done_callback(then)
    assert over.wait(10)
    assert seen[0] in ((9, True), (9, 81))


def test_a_callback_may_wait_for_other_calls(executor: Executor) -> None:
    seen: list[Any] = []
    over = threading.Event()

    def then(future: Any) -> None:
        others = [executor.submit(pow, future.result(), n) for n in range(5)]
        nested = executor.submit(len, "abc")
        nested.add_done_callback(lambda it: seen.append(executor.submit(abs, -it.result()).result()))
        seen.append([other.result() for other in others])
        seen.append(str(executor.submit(int, "x").exception())[:7])
        with pytest.raises(OutOfTime):
            executor.submit(time.sleep, 1).result(timeout=0.01)
        over.set()

    executor.submit(pow, 3, 1).add_done_callback(then)
    assert over.wait(60)
    assert sorted(map(str, seen)) == ["3", "[1, 3, 9, 27, 81]", "invalid"]


def test_asyncio(executor: Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, pow, n, 2) for n in range(10)))

    assert asyncio.run(main()) == [n * n for n in range(10)]


# ---------------------------------------------------------------------- map


def test_map(executor: Executor) -> None:
    assert list(executor.map(pow, range(5), range(9))) == [1, 1, 4, 27, 256]
    assert list(executor.map(pow, [], [])) == []
    assert sum(executor.map(abs, range(-500, 0), chunksize=50)) == 125250


def test_map_runs_though_nothing_asks_for_results(executor: Executor, tmp_path: Path) -> None:
    executor.map(lambda n: Path(tmp_path, str(n)).touch(), range(10))
    executor.shutdown()
    assert len(os.listdir(tmp_path)) == 10


def test_map_with_a_buffer_is_lazy(executor: Executor) -> None:
    numbers = count()
    results = executor.map(abs, numbers, buffersize=4)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert next(numbers) <= 15


def test_map_ends_with_its_first_error(executor: Executor) -> None:
    results = executor.map(lambda n: 1 // n, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_map_with_a_timeout(executor: Executor, tmp_path: Path) -> None:
    assert next(executor.map(items.until, [os.devnull], timeout=60)) > 0
    with pytest.raises(TimeoutError):
        next(executor.map(items.until, [str(tmp_path / "go")], timeout=0.02))
    (tmp_path / "go").touch()


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"chunksize": 0}, ValueError, "chunksize"),
        ({"buffersize": 0}, ValueError, "buffersize"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"buffersize": "2"}, TypeError, "buffersize"),
    ],
)
def test_wrong_arguments_of_map(wrong: Any, error: type[Exception], words: str) -> None:
    with Executor(1, "thread") as executor, pytest.raises(error, match=words):
        executor.map(abs, [1], **wrong)


# ---------------------------------------------------------------------- the end


def test_shutdown_finishes_what_was_submitted(executor: Executor) -> None:
    futures = [executor.submit(pow, n, 2) for n in range(100)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(StateError, match=r"submit: not allowed after shutdown\(\)"):
        executor.submit(len, "abc")
    with pytest.raises(RuntimeError):
        executor.map(len, ["abc"])
    executor.shutdown()


def test_shutdown_cancels(executor: Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    busy = [executor.submit(items.until, str(go), str(tmp_path / str(n))) for n in range(2)]
    for n in range(2):
        wait_for(tmp_path / str(n))
    waiting = [executor.submit(len, "abc") for _ in range(10)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert len(wait(waiting, timeout=10).done) == 10
    go.touch()
    executor.shutdown()
    assert all(future.cancelled() for future in waiting)
    assert all(future.result() for future in busy)


def test_a_dropped_executor_finishes_and_ends(tmp_path: Path) -> None:
    executor = Executor(1)
    future = executor.submit(items.until, os.devnull)
    thread = executor.hub.thread
    del executor
    gc.collect()
    assert future.result() > 0
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("end", ["kill_workers", "terminate_workers"])
def test_workers_can_be_ended(end: str, tmp_path: Path) -> None:
    executor = Executor(1)
    busy = executor.submit(items.until, str(tmp_path / "never"), str(tmp_path / "begun"))
    wait_for(tmp_path / "begun")
    waiting = executor.submit(len, "abc")
    getattr(executor, end)()
    assert waiting.cancelled()
    with pytest.raises(WorkerDied, match="were ended while a call of until ran"):
        busy.result()
    with pytest.raises(StateError):
        executor.submit(len, "abc")


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_calls_are_finished_at_the_end_of_the_interpreter(tmp_path: Path, kind: str) -> None:
    text = f"""
import time
from numap import Executor
def late(n):
    time.sleep(0.05)
    print(n, flush=True)
executor = Executor(2, {kind!r})
for n in range(5):
    executor.submit(late, n)
"""
    program = run(tmp_path, text)
    assert sorted(program.stdout.split()) == ["0", "1", "2", "3", "4"], program


def test_a_fork_has_no_executor(processes: Executor) -> None:
    assert processes.submit(len, "abc").result() == 3
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            processes.submit(len, "abc")
        except StateError as error:
            os.write(writer, str(error).encode())
        finally:
            processes.shutdown()
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        assert told.read() == (
            "submit: this executor belongs to the process that started it; make a new one in the child"
        )
    assert processes.submit(len, "abc").result() == 3


def test_arguments() -> None:
    with pytest.raises(TypeError, match="max_workers: given beside worker_num"):
        Executor(2, max_workers=2)
    with pytest.raises(ValueError, match="worker_type: 'serial' given; allowed: 'process', 'thread'"):
        Executor(2, "serial")
    with pytest.raises(ValueError, match="task_timeout"):
        Executor(2, "thread", task_timeout=3)
    with pytest.raises(TypeError, match="there is no argument 'mp_context'"):
        Executor(2, mp_context=None)  # type: ignore[call-arg]
    with Executor(max_workers=3, name="them") as executor:
        assert repr(executor) == "<Executor them: 3 process workers at most>"
