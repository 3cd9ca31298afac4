"""Maps on the workers of a `numap.Executor`: the rules of all maps, on workers that others use, too."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import Executor, IMap, TaskTimeout, WorkerDied, WorkerStartError, join
from papy import Dagger, Piper
from tests.numap import work
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


def test_a_map(executor: Executor) -> None:
    assert list(IMap(lambda x: x * 2, range(5000), worker_type=executor)) == list(range(0, 10000, 2))
    assert list(IMap(str, range(500), worker_type=executor)) == list(map(str, range(500)))


def test_the_workers_stay(processes: Executor) -> None:
    found = set(IMap(work.pid, range(200), worker_type=processes))
    found |= set(IMap(work.pid, range(200), worker_type=processes))
    found.add(processes.submit(os.getpid).result())
    assert len(found) <= 2, "the first map may have been done by one alone"


def test_what_the_initializer_made_is_seen(tmp_path: Path) -> None:
    text = """
from numap import Executor, IMap
def set_up(n):
    global model
    model = [n]
def use(x):
    model.append(x)
    return model[0] + x
with Executor(1, initializer=set_up, initargs=(100,)) as executor:
    first = list(IMap(use, range(3), worker_type=executor))
    print(first, list(IMap(lambda x: len(model), [0], worker_type=executor)), executor.submit(use, 1).result())
"""
    assert run(tmp_path, text).stdout.strip() == "[100, 101, 102] [4] 101"


def test_state_of_the_main_module_stays_and_what_changed_is_sent(tmp_path: Path) -> None:
    text = """
from numap import Executor, IMap
class Thing: pass
kept = {}
limit = [1]
def keep(x):
    kept.setdefault("thing", Thing())
    return isinstance(kept["thing"], Thing), limit[0]
with Executor(1) as executor:
    print(list(IMap(keep, [1], worker_type=executor)), end=" ")
    limit[0] = 2
    print(list(IMap(keep, [1], worker_type=executor)), end=" ")
    def keep(x): return "new", len(kept)
    print(list(IMap(keep, [1], worker_type=executor)))
"""
    assert run(tmp_path, text).stdout.strip() == "[(True, 1)] [(True, 2)] [('new', 1)]"


def test_chains_joins_and_records(executor: Executor) -> None:
    imap: IMap[Any] = IMap(worker_type=executor)
    first = imap.add_task(lambda n: {"n": n, "t": str(n)}, range(300))
    second = imap.add_task(lambda it: (it["n"], it["t"] * 2), first)
    other = imap.add_task(abs, range(0, -300, -1))
    last = imap.add_task(lambda pair: (*pair[0], pair[1]), join(second, other))
    with imap:
        assert list(last) == [(n, str(n) * 2, n) for n in range(300)]


def test_a_killed_worker_costs_its_record(processes: Executor) -> None:
    results = list(IMap(items.die_at, range(500), args=(321,), worker_type=processes, on_error="return"))
    assert [n for n, it in enumerate(results) if not isinstance(it, int)] == [321]
    assert isinstance(results[321], WorkerDied)
    assert (results[321].task, results[321].index) == (0, 321)


def test_limits_and_retries_of_a_map(processes: Executor, tmp_path: Path) -> None:
    hours = IMap(lambda x: x or items.hours(), [1, 0, 2], worker_type=processes, task_timeout=0.05, on_error="return")
    found = list(hours)
    assert (found[0], found[2]) == (1, 2)
    assert isinstance(found[1], TaskTimeout)
    assert list(IMap(lambda _: items.once(str(tmp_path)), [0], worker_type=processes, retries=1)) == ["done"]


def test_the_limit_of_the_executor_counts_for_maps() -> None:
    with Executor(1, task_timeout=0.05) as executor:
        imap: IMap[Any] = IMap(lambda x: x or items.hours(), [0, 1], worker_type=executor, on_error="return")
        found = list(imap)
        assert isinstance(found[0], TaskTimeout)
        assert found[1] == 1
        assert imap.options["task_timeout"] == 0.05


def test_laziness_and_bounds(executor: Executor) -> None:
    numbers = count()
    imap = IMap(abs, numbers, worker_type=executor, buffer=5)
    assert [next(imap) for _ in range(20)] == list(range(20))
    imap.stop()
    assert next(numbers) <= 25


def test_arrays_go_through_shared_memory() -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.full(200_000, n) for n in range(20)]
    with Executor(2) as executor:
        for _ in range(3):
            found = list(IMap(lambda a: a * 2, arrays, worker_type=executor))
            assert [int(a[7]) for a in found] == [2 * n for n in range(20)]
        assert int(executor.submit(numpy.sum, arrays[3]).result()) == 600_000


def test_maps_and_calls_at_the_same_time(executor: Executor, tmp_path: Path) -> None:
    results: dict[int, list[int]] = {}

    def one(k: int) -> None:
        results[k] = list(IMap(lambda x: x * k, range(400), worker_type=executor))

    threads = [threading.Thread(target=one, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    futures = [executor.submit(pow, n, 2) for n in range(200)]
    assert [future.result() for future in futures] == [n * n for n in range(200)]
    for thread in threads:
        thread.join()
    assert results == {k: [x * k for x in range(400)] for k in range(4)}


def test_a_map_of_slow_items_leaves_room_for_others(executor: Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow: IMap[Any] = IMap(lambda n: items.until(str(go)) if n == 0 else n, range(100), worker_type=executor)
    assert list(IMap(abs, range(50), worker_type=executor)) == list(range(50))
    go.touch()
    assert len(list(slow)) == 100


def test_a_stopped_map_leaves_the_workers_to_others(executor: Executor) -> None:
    for result in IMap(abs, count(), worker_type=executor):
        if result == 100:
            break
    assert executor.submit(len, "abc").result() == 3
    assert list(IMap(abs, range(50), worker_type=executor)) == list(range(50))


def test_a_map_ends_with_its_executor() -> None:
    executor = Executor(1)
    imap = IMap(abs, count(), worker_type=executor)
    assert next(imap) == 0
    executor.shutdown()
    with pytest.raises(WorkerStartError, match="the executor was shut down while this map ran on its workers"):
        list(imap)
    with pytest.raises(RuntimeError, match="shutdown"):
        IMap(abs, [1], worker_type=executor)


def test_a_function_that_cannot_be_loaded_ends_its_map_alone(processes: Executor) -> None:
    with pytest.raises(WorkerStartError, match="can't load"):
        list(IMap(Unloadable(), range(10), worker_type=processes))
    assert list(IMap(abs, range(50), worker_type=processes)) == list(range(50))


class Unloadable:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return work.spring, (ValueError,)


def test_workers_are_replaced_in_the_middle_of_a_map() -> None:
    with Executor(2, max_items_per_worker=7) as executor:
        assert list(IMap(abs, range(200), worker_type=executor)) == list(range(200))


def test_pipers_run_on_it(executor: Executor) -> None:
    pool: IMap[Any] = IMap(worker_type=executor)
    dagger = Dagger()
    dagger.add_pipe((Piper(add_one, parallel=pool), Piper(add_one, parallel=pool)))
    assert [out for (out,) in map(as_tuple, dagger.results([range(20)]))] == list(range(2, 22))


def add_one(inbox: Any) -> Any:
    return inbox[0] + 1


def as_tuple(out: Any) -> Any:
    return out if isinstance(out, tuple) else (out,)


def test_a_task_may_have_a_limit_of_its_own(processes: Executor) -> None:
    imap: IMap[Any] = IMap(worker_type=processes, on_error="return")
    limited = imap.add_task(lambda _: items.hours(), [1], task_timeout=0.05)
    free = imap.add_task(len, ["abc"])
    with imap:
        assert list(free) == [3]
        [error] = limited
    assert isinstance(error, TaskTimeout)
    assert "task_timeout=0.05 s" in str(error)


@pytest.mark.parametrize(
    "given",
    [
        {"worker_num": 2},
        {"start_method": "spawn"},
        {"initializer": len},
        {"finalizer": len},
        {"preload": ("json",)},
        {"max_items_per_worker": 3},
    ],
)
def test_what_is_a_matter_of_the_executor_is_refused(executor: Executor, given: Any) -> None:
    (name,) = given
    with pytest.raises(ValueError) as error:
        IMap(abs, [1], worker_type=executor, **given)
    assert says(error, f"{name}: needs ", ", and worker_type is 'Executor'; ", "allowed: ")


def test_records_of_logging_come_with_their_map(processes: Executor, caplog: pytest.LogCaptureFixture) -> None:
    list(IMap(warn, [1], worker_type=processes))
    processes.submit(warn, 2).result()
    deadline = time.monotonic() + 10
    while len(caplog.messages) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert caplog.messages == ["item 1", "item 2"]


def warn(x: int) -> None:
    import logging

    logging.getLogger("items").warning("item %d", x)
