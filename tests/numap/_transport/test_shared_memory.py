"""Guarantees 27, 41 to 43: large buffers in shared memory, lent, passed on, given back."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from numap import IMap, WorkerDied
from numap._items.segments import encode_item
from numap._transport.allocator import layout
from numap._transport.shared_memory import SHARE, SharedMemoryFile
from numap._transport.shared_objects import BorrowedBuffers, ObjectWriter, SharedObject, incoming
from tests.numap import work
from tests.numap.programs import ENGINES, SOON, STARTS, Program, run, until

numpy = pytest.importorskip("numpy", reason="arrays are the users of shared memory; numpy is in the test extra")

MB = 1 << 20


class Pair:
    """The caller's arena and that of one worker, in one process."""

    def __init__(self, budget: int = 64 * MB) -> None:
        division = layout(1, budget)
        assert division is not None
        self.caller = SharedMemoryFile(division, 0, 0)
        self.worker = SharedMemoryFile(division, 1, 1, os.dup(self.caller.fd))

    def send(self, value: Any) -> Any:
        """A value as the caller packs it, as it comes out of the worker's socket."""
        self.packed = ObjectWriter(_plain, self.caller).write(value)
        assert isinstance(self.packed, SharedObject)
        return SharedObject.of_wire(self.worker, pickle.loads(pickle.dumps(self.packed.wire())))

    def answer(self, values: list[Any], loan: BorrowedBuffers) -> SharedObject:
        """A result, taken out of the list, as the worker packs it, as the caller sees it."""
        packed = ObjectWriter(_plain, self.worker).write(values.pop(), loan)
        assert isinstance(packed, SharedObject)
        if loan.is_kept():
            packed.part_from(loan)
        packed.hand_over()
        return SharedObject.of_wire(self.caller, pickle.loads(pickle.dumps(packed.wire())))

    def room(self) -> bool:
        """Whether nothing is in use in either region."""
        for arena, (_, size) in zip((self.caller, self.worker), self.caller.layout.regions, strict=True):
            ref = arena.put(bytes(size))
            if ref is None:
                return False
        return True


def _plain(obj: object, callback: Any = None) -> bytes:
    return pickle.dumps(obj, 5, buffer_callback=callback)


def array(size: int = MB) -> Any:
    return numpy.arange(size // 8, dtype="float64")


VALUES = [
    pytest.param(lambda: bytes(range(256)) * 1000, id="bytes"),
    pytest.param(lambda: bytearray(b"ab" * 100_000), id="bytearray"),
    pytest.param(lambda: "aé€\U0001f600\udc80" * 50_000, id="text"),
    pytest.param(array, id="array"),
    pytest.param(lambda: numpy.asfortranarray(array().reshape(256, -1)), id="fortran"),
    pytest.param(lambda: array().reshape(256, -1)[:, ::2], id="strided"),
    pytest.param(lambda: {"a": array(), "b": [array(2 * MB), b"x" * MB], "c": 5}, id="nested"),
    pytest.param(lambda: ["word"] * 100_000, id="large-pickle"),
    pytest.param(lambda: numpy.array([f"{n}" * 9000 for n in range(40)], dtype=object), id="objects"),
    pytest.param(lambda: numpy.zeros(SHARE, "u1"), id="just-large"),
]


@pytest.mark.parametrize("make", VALUES)
def test_everything_large_arrives_and_leaves_no_trace(make: Any) -> None:
    pair = Pair()
    loan = BorrowedBuffers(copies=False)
    came = pair.send(make()).open(loan)
    assert type(came) is type(make()) and pickle.dumps(came) == pickle.dumps(make())
    values = [came]
    del came
    back = pair.answer(values, loan)
    del pair.packed
    result = back.open()
    assert pickle.dumps(result) == pickle.dumps(make())
    del result, back, loan
    assert pair.room()


def test_small_values_stay_out() -> None:
    packer = ObjectWriter(_plain, Pair().caller).write
    for value in (b"x" * (SHARE - 1), "x" * (SHARE - 1), numpy.zeros(SHARE - 1, "u1")[: SHARE // 2], [1, 2]):
        assert type(packer(value)) is bytes


def test_43_a_lent_array_is_the_memory_itself_and_passes_on_by_its_place() -> None:
    pair = Pair()
    loan = BorrowedBuffers(copies=False)
    came = pair.send(array()).open(loan)
    came += 1
    where = came.ctypes.data - pair.worker._base
    values = [came[1000:]]
    del came
    back = pair.answer(values, loan)
    result = back.open()
    # Nothing was copied: the same bytes of the file.
    assert result.ctypes.data - pair.caller._base == where + 8000
    assert result.flags.writeable and (result == array()[1000:] + 1).all()


def test_43_what_the_item_keeps_is_copied() -> None:
    pair = Pair()
    loan = BorrowedBuffers(copies=False)
    kept = pair.send(array()).open(loan)
    result = pair.answer([kept], loan).open()
    kept[:] = 0
    assert (result == array()).all()


def test_43_two_results_of_one_memory_are_two() -> None:
    pair = Pair()
    loan = BorrowedBuffers(copies=False)
    came = pair.send(array()).open(loan)
    values = [[came, came[: MB // 16]]]
    del came
    parcel = pair.answer(values, loan)
    one, other = parcel.open()
    one[:] = 0
    assert (other == array()[: MB // 16]).all()


def test_43_who_may_run_again_gets_a_copy() -> None:
    pair = Pair()
    parcel = pair.send(array())
    first = parcel.open(BorrowedBuffers(copies=True))
    first[:] = 0
    assert (parcel.open(BorrowedBuffers(copies=True)) == array()).all()
    parcel.several = True
    parcel.open(BorrowedBuffers(copies=False))[:] = 0
    assert (parcel.open(BorrowedBuffers(copies=False)) == array()).all()


def test_43_room_comes_back_when_the_last_view_goes() -> None:
    pair = Pair()
    part = pair.send(array()).open(BorrowedBuffers(copies=False)).reshape(8, -1)[3:5]
    del pair.packed
    gc.collect()
    assert not pair.room()
    del part
    assert pair.room()


def test_41_a_dead_worker_keeps_nothing() -> None:
    pair = Pair()
    views = [pair.send(array()).open(BorrowedBuffers(copies=False)) for _ in range(3)]
    ObjectWriter(_plain, pair.worker).write(array()).hand_over()  # type: ignore[union-attr]
    kept = pair.answer([array()], BorrowedBuffers(copies=False)).open()
    del pair.packed
    # What it held it never gives back, as it is dead; what it gave to the caller stays.
    pair.worker.pid = -1
    pair.caller.forget(1, 1)
    del views
    assert (kept == array()).all()
    del kept
    successor = SharedMemoryFile(pair.caller.layout, 2, 1, os.dup(pair.caller.fd))
    assert successor.put(bytes(pair.caller.layout.regions[1][1])) is not None


def test_42_no_room_is_no_parcel() -> None:
    division = layout(1, 4 * MB)
    assert division is not None
    arena = SharedMemoryFile(division, 0, 0)
    packer = ObjectWriter(_plain, arena).write
    parcels = [packer(array()) for _ in range(5)]
    assert [type(parcel) for parcel in parcels] == [SharedObject, SharedObject, bytes, bytes, bytes]
    assert packer(b"x" * 3 * MB) == _plain(b"x" * 3 * MB)
    del parcels
    assert type(packer(array())) is SharedObject


def test_a_failure_to_pickle_leaves_no_trace() -> None:
    pair = Pair()
    with pytest.raises(TypeError):
        ObjectWriter(_plain, pair.caller).write([array(), threading.Lock()])
    gc.collect()
    assert pair.room()


def test_joined_items_are_parcels_within_a_segment() -> None:
    pair = Pair()
    packer = ObjectWriter(_plain, pair.caller).write
    segments = tuple(encode_item(value, packer, "item") for value in (array(), [5]))
    from numap._items.segments import JOINED, is_lent, item_of
    from numap._transport.channel import outgoing

    there = incoming(pickle.loads(pickle.dumps(outgoing((JOINED, 1, segments)))), pair.worker)
    assert is_lent(there)
    one, other = item_of(there, BorrowedBuffers(copies=False))
    assert (one == array()).all() and other == [5]


# ---------------------------------------------------------------------- through a map


@pytest.mark.parametrize("engine", ENGINES)
def test_arrays_there_and_back(engine: str) -> None:
    with IMap(work.double, (array() + n for n in range(50)), **ENGINES[engine]) as imap:
        for n, result in enumerate(imap):
            assert (result == 2 * (array() + n)).all()
            result[:] = 0
        assert n == 49 and imap.statistics().replaced == 0


def test_several_threads_read_one_map() -> None:
    found: list[int] = []
    with IMap(work.double, (array(SHARE) * 0 + n for n in range(2000)), worker_num=2) as imap:

        def consume() -> None:
            kept = []
            for result in imap:
                found.append(int(result[0]))
                kept.append(result)
                if len(kept) > 20:
                    kept.clear()

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == [2 * n for n in range(2000)]


@pytest.mark.parametrize("start", STARTS)
def test_43_keeping_all_results_works_and_they_outlive_the_map(start: str) -> None:
    results = list(IMap(work.double, (array() + n for n in range(100)), **ENGINES[start]))
    gc.collect()
    assert all((result == 2 * (array() + n)).all() for n, result in enumerate(results))
    results[7][:] = 0
    assert (results[8] == 2 * (array() + 8)).all()


def test_43_items_changed_in_place_arrive_once_changed() -> None:
    """Also those that a death made run again: what was lent is never lent twice."""
    bumps: IMap[Any] = IMap(worker_num=2, on_error="return")
    a = bumps.add_task(work.bump_or_die, (array(4 * SHARE) * 0 + n for n in range(200)), (17,))
    b = bumps.add_task(work.bump_or_die, a, (1_000_000,))
    with bumps:
        results = list(b)
    died = [n for n, result in enumerate(results) if isinstance(result, WorkerDied)]
    assert died == [n for n in range(200) if n % 17 == 16]
    assert all((result == n + 2).all() for n, result in enumerate(results) if n not in died)


def test_43_retried_items_begin_with_what_was_sent(tmp_path: Path) -> None:
    items = (array() * 0 + n for n in range(10))
    with IMap(work.bump_then_fail_once, items, (str(tmp_path),), worker_num=2, retries=1) as imap:
        assert [float(result[0]) for result in imap] == [n + 1.0 for n in range(10)]


def test_43_a_tracked_result_is_not_changed_by_who_reads_it() -> None:
    imap: IMap[Any] = IMap(worker_num=2)
    first = imap.add_task(work.double, (array() for _ in range(5)), track=True)
    last = imap.add_task(work.bump_or_die, first, (1_000_000,), track=True)
    with imap:
        for result in last:
            assert (result == 2 * array() + 1).all()
            result[:] = 0
        assert all((result == 2 * array()).all() for result in first.tracked.values())
        assert all((result == 2 * array() + 1).all() for result in last.tracked.values())


@pytest.mark.parametrize("start", STARTS)
def test_constants_are_in_memory_once_and_each_worker_may_change_its_own(start: str) -> None:
    constant = array(8 * MB)
    with IMap(work.change_constant, range(40), (constant,), **ENGINES[start]) as imap:
        found = list(imap)
    by_worker: dict[int, list[float]] = {}
    for pid, value in found:
        by_worker.setdefault(pid, []).append(value)
    assert all(values == list(range(1, len(values) + 1)) for values in by_worker.values())
    assert constant[0] == 0


def test_a_constant_is_one_memory_for_all_workers() -> None:
    with IMap(work.own_memory_with, [None] * 20, (array(64 * MB),), worker_num=2) as imap:
        assert max(imap) < 32 * MB


def test_27_results_much_larger_than_items_stay_within_the_bound() -> None:
    own = psutil.Process()
    with IMap(work.zeros, [8 * MB] * 200, worker_num=2) as imap:
        assert next(imap).nbytes == 8 * MB
        before = own.memory_full_info().uss
        peak = 0
        for result in imap:
            assert result.nbytes == 8 * MB
            peak = max(peak, own.memory_full_info().uss - before)
            bound = imap.statistics().bound
            assert bound <= 16
        assert peak < 100 * MB


def test_42_no_room_for_shared_buffers(tmp_path: Path) -> None:
    code = """
import resource, warnings
import numpy
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n, y in enumerate(IMap(lambda x: x + 1, (numpy.full(1 << 18, n) for n in range(20)), **OPTIONS)):
        assert (y == n + 1).all()
say(n, [(w.category.__name__, w.filename, "shared memory" in str(w.message)) for w in caught])
"""
    with Program(tmp_path, code) as program:
        program.check_clean_end()
        assert program.stdout == "19 [('RuntimeWarning', '<string>', True)]\n"


def test_42_the_warning_as_an_error_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numap.engines.processes.memory.memory_budget", lambda: 0)
    with IMap(work.double, (array() for _ in range(5)), worker_num=2) as imap:
        with pytest.raises(RuntimeWarning, match="shared memory"):
            next(imap)
        assert len(list(imap)) == 5


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_41_the_parent_is_killed_during_transfers(start: str, number: int, tmp_path: Path) -> None:
    code = """
import numpy
for n, y in enumerate(IMap(lambda x: x + 1, (numpy.zeros(1 << 20) for _ in itertools.count()), **OPTIONS)):
    if n == 5: say("ready")
"""
    before = set(os.listdir("/dev/shm"))
    with Program(tmp_path, code, start) as program:
        program.wait_for("ready")
        program.send(number)
        program.check_clean_end(-number, within=SOON)
        mine = {name for name in set(os.listdir("/dev/shm")) - before if "numap" in name}
        assert mine == set()


def test_workers_without_a_column_read_copies_and_answer_by_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many may be ending, each in a finalizer of its own, as there are columns."""
    monkeypatch.setattr("numap.engines.processes.memory.Memory.assign", _assign_nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(IMap(work.double, (array() + n for n in range(20)), worker_num=2, max_items_per_worker=3))
    assert all((result == 2 * (array() + n)).all() for n, result in enumerate(found))


def _assign_nothing(memory: Any, handle: Any, slot: int) -> Any:
    return memory.shared.layout, None, slot + 1


def test_43_forks_of_the_caller_have_their_own(tmp_path: Path) -> None:
    """Both ways, and whatever becomes of the caller's; also of forks that a map makes."""
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
import numpy
tables = list(IMap(numpy.full, [100_000] * 3, args=(7.0,), worker_num=1))
read, write = os.pipe()
back, go = os.pipe()
if os.fork() == 0:
    tables[0][:] = 1
    os.read(back, 1)
    os.write(write, repr([float(t.min()) for t in tables] + [float(t.max()) for t in tables]).encode())
    os._exit(0)
time.sleep(0.1)
assert tables[0].min() == 7
tables[1][:] = 2
mine = tables[1]
tables = None
# The room of the others is used again by other maps, and by this one.
list(IMap(numpy.full, [100_000] * 30, args=(3.0,), worker_num=1))
os.write(go, b"!")
os.wait()
say(os.read(read, 1000).decode(), mine.min())
table = next(IMap(numpy.ones, [100_000], worker_num=1))
def change(_):
    table[0] = 42
    return float(table[0])
say(list(IMap(change, [0], worker_num=1, start_method="fork")), table[0])
"""
    assert run(tmp_path, code).stdout == "[1.0, 7.0, 7.0, 1.0, 7.0, 7.0] 2.0\n[42.0] 1.0\n"


def test_43_a_map_that_forks_goes_on_using_its_memory(tmp_path: Path) -> None:
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
import numpy
kept = []
results = IMap(lambda x: x + 1, (numpy.full(20_000, n) for n in range(400)), worker_num=2)
for n, y in enumerate(results):
    assert (y == n + 1).all()
    if n % 40 == 5:
        kept.append(y)
        if os.fork() == 0:
            y[:] = -1
            os._exit(0)
        os.wait()
    if n % 100 == 99:
        assert all((y == y[0]).all() and y[0] > 0 for y in kept)
        kept.clear()
say(n)
"""
    assert run(tmp_path, code).stdout == "399\n"


def test_41_workers_killed_during_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room must not leak: 60 deaths with 8 MB of each would fill the regions many times over."""
    monkeypatch.setattr("numap.engines.processes.memory.memory_budget", lambda: 192 * MB)
    results = died = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that there is no room
        with IMap(work.double_or_die, (array(8 * MB) + n for n in range(180)), (3,), worker_num=2) as imap:
            while True:
                try:
                    result = next(imap)
                except StopIteration:
                    break
                except WorkerDied:
                    died += 1
                else:
                    assert (result == 2 * (array(8 * MB) + results + died)).all()
                    results += 1
    assert (results, died) == (120, 60)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_tables(library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is no dependency, nor of the tests")
    import importlib

    module = importlib.import_module(library)
    make = module.DataFrame if library == "pandas" else module.table
    tables = [make({"a": array(), "b": array() * n}) for n in range(10)]
    assert all(a.equals(b) for a, b in zip(tables, IMap(work.identity, tables, worker_num=2), strict=True))


def test_memoryviews_and_pickle_buffers() -> None:
    data = bytes(range(256)) * 1024
    items = [
        memoryview(data),
        memoryview(bytearray(data)).cast("i", (256, 256)),
        memoryview(b"short"),
        pickle.PickleBuffer(bytearray(data)),
    ]
    found = list(IMap(work.identity, items, worker_num=1))
    assert [bytes(memoryview(item)) for item in found] == [data, data, b"short", data]
    assert found[0].readonly and not found[1].readonly
    assert (found[1].format, found[1].shape) == ("i", (256, 256))


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="only Linux tells what a mapping holds")
def test_the_memory_of_the_map_goes_back_to_the_system() -> None:
    def mapped() -> int:
        total, ours = 0, False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if line[0] in "0123456789abcdef":
                ours = "memfd:numap" in line
            elif ours and line.startswith("Rss:"):
                total += int(line.split()[1]) << 10
        return total

    def used_by(keep: int) -> int:
        results = IMap(work.double, (array(8 * MB) for _ in range(40)), worker_num=2)
        kept = list(islice(results, keep))
        for _ in islice(results, 20):
            assert mapped() > 8 * MB
        for _ in results:
            pass
        del _, results
        until(lambda: mapped() <= (8 * keep + 1) * MB, SOON)
        # What this process has not read is not in its part of the memory.
        assert all(result.sum() > 0 for result in kept)
        return mapped()

    assert used_by(0) < MB
    assert 16 * MB <= used_by(2) <= 17 * MB


def test_a_stream_of_arrays_keeps_memory_flat() -> None:
    def source() -> Iterator[Any]:
        for n in count():
            yield array() + n

    own = psutil.Process()
    with IMap(work.double, source(), worker_num=2) as imap:
        for _ in range(100):
            next(imap)
        before = own.memory_full_info().uss
        for _ in range(400):
            next(imap)
        assert own.memory_full_info().uss - before < 32 * MB
