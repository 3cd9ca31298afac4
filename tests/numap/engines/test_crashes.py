"""Guarantees 1, 2, 4, 6, 7 and 19 to 24: one item, one outcome, whatever it does to its worker."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, ItemError, NumapError, SerializationError, SourceError, WorkerDied, WorkerStartError, join
from tests.numap import work
from tests.numap.programs import ENGINES, SOON, STARTS, until

VICTIM = 7
COUNT = 100


@dataclass(frozen=True)
class Row:
    """One way in which item 7 of 100 goes wrong: number of the guarantee, function, and what comes at its place.

    ``traits`` are attributes of the error, ``text`` is part of it, ``remote`` is part of the remote traceback.
    """

    number: int
    name: str
    func: Any
    args: tuple[Any, ...]
    error: type[BaseException]
    traits: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    remote: str = ""
    original: type[BaseException] | None = None
    engines: tuple[str, ...] = tuple(ENGINES)


def died(number: int, name: str, func: Any, args: tuple[Any, ...], exitcode: int, text: str) -> Row:
    traits = {"task": 0, "index": VICTIM, "exitcode": exitcode}
    return Row(number, name, func, args, WorkerDied, traits, text, engines=STARTS)


def raised(number: int, kind: Any, *args: Any, text: str = "", **options: Any) -> Row:
    return Row(
        number, kind.__name__, work.fail_at, (kind, *args), kind, text=text, remote="raise kind(*args)", **options
    )


def wrapped(number: int, kind: type[BaseException], *args: Any) -> Row:
    return Row(
        number,
        kind.__name__,
        work.fail_at,
        (kind, *args),
        ItemError,
        text=kind.__name__,
        remote="raise kind(*args)",
        original=kind,
    )


ROWS = [
    died(1, "sigkill", work.kill_at, (), -signal.SIGKILL, "SIGKILL"),
    died(2, "os-exit-3", work.leave_at, (3,), 3, "exit code 3"),
    died(2, "os-exit-0", work.leave_at, (0,), 0, "exit code 0"),
    died(2, "segfault", work.segfault_at, (), -signal.SIGSEGV, "SIGSEGV"),
    raised(7, MemoryError, "no room", text="no room"),
    Row(7, "memory-really", work.hoard_at, (), MemoryError, remote="bytearray(1 << 62)"),
    Row(19, "sys-exit", work.exit_at, (3,), ItemError, text="SystemExit", remote="sys.exit(code)", original=SystemExit),
    wrapped(19, KeyboardInterrupt),
    wrapped(19, StopIteration, 5),
    wrapped(19, StopAsyncIteration),
    raised(20, work.TwoArguments, "this", "that", text="this and that"),
    raised(20, UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "invalid", text="invalid"),
    Row(
        20,
        "unspeakable",
        work.fail_at,
        (work.Unspeakable, "secret"),
        Exception,
        text="secret",
        remote="raise kind(*args)",
    ),
    Row(20, "mute", work.fail_at, (work.Mute,), work.Mute, remote="raise kind(*args)"),
    Row(21, "lock-result", work.lock_at, (), SerializationError, text="lock", engines=STARTS),
    Row(21, "trap-result", work.trap_at, (), SerializationError, text="sprung", engines=STARTS),
    Row(24, "recursion", work.recurse_at, (), RecursionError, remote="recurse_at(x, victim) + 1"),
    wrapped(24, GeneratorExit),
    raised(24, ValueError, "plain", text="plain"),
]
if sys.version_info >= (3, 11):
    ROWS.append(Row(24, "group", work.group_at, (), Exception, text="several (2 sub-exceptions)", remote="KeyError(2)"))

CASES = [pytest.param(row, engine, id=f"{row.number}-{row.name}-{engine}") for row in ROWS for engine in row.engines]


def outcomes(imap: IMap[Any]) -> list[tuple[str, Any]]:
    """All outcomes of the first task of a map that raises: the iteration goes on after each error."""
    found: list[tuple[str, Any]] = []
    while True:
        try:
            found.append(("value", next(imap)))
        except StopIteration:
            return found
        except Exception as error:
            found.append(("error", error))


@pytest.mark.parametrize(("row", "engine"), CASES)
def test_item_7_of_100(row: Row, engine: str) -> None:
    options = dict(ENGINES[engine], worker_num=4) if engine in STARTS else ENGINES[engine]
    with IMap(row.func, range(COUNT), (VICTIM, *row.args), **options) as imap:
        found = outcomes(imap)
        replaced = imap.statistics().replaced
    kind, error = found[VICTIM]
    assert [outcome for outcome in found if outcome[0] == "value"] == [
        ("value", x) for x in range(COUNT) if x != VICTIM
    ]
    assert len(found) == COUNT and kind == "error"
    assert isinstance(error, row.error)
    assert {name: getattr(error, name) for name in row.traits} == row.traits
    told = "" if row.name == "mute" else str(error)
    assert row.text in told
    where = told + "".join(getattr(error, "__notes__", []))
    assert f"item {VICTIM}" in where and "task 0" in where and row.func.__name__ in where
    assert row.remote in str(error.__cause__)
    if row.original is not None:
        assert type(error.original) is row.original
    if row.error is WorkerDied:
        assert error.pid != os.getpid() and str(error.pid) in str(error)
        assert replaced == 1
    else:
        assert replaced == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_20_a_type_of_its_own_is_kept(engine: str) -> None:
    with IMap(
        work.fail_at, range(3), (1, work.TwoArguments, "this", "that"), on_error="return", **ENGINES[engine]
    ) as imap:
        zero, error, two = imap
    assert (zero, type(error), error.args, two) == (0, work.TwoArguments, ("this and that",), 2)


def test_20_what_can_not_travel_is_told_in_words() -> None:
    with (
        IMap(work.fail_at, [1], (1, work.Unspeakable, "secret"), worker_num=1) as imap,
        pytest.raises(NumapError) as caught,
    ):
        next(imap)
    assert "Unspeakable" in str(caught.value) and "secret" in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_23_a_returned_exception_is_a_value(engine: str) -> None:
    with IMap(work.error_value, range(3), **ENGINES[engine]) as imap:
        assert [(type(error), error.args) for error in imap] == [(ValueError, (x,)) for x in range(3)]
        assert imap.statistics().failed == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [ValueError, StopIteration, SystemExit])
def test_22_a_source_that_raises_after_7(engine: str, kind: type[BaseException]) -> None:
    def source() -> Iterator[int]:
        yield from range(7)
        if kind is StopIteration:
            raise ValueError(7)  # a generator turns StopIteration into RuntimeError
        raise kind(7)

    with IMap(work.identity, source(), **ENGINES[engine]) as imap:
        assert [next(imap) for _ in range(7)] == list(range(7))
        expected = kind if not issubclass(kind, Exception) else SourceError
        with pytest.raises(expected) as caught:
            next(imap)
        if expected is SourceError:
            assert type(caught.value.__cause__) is ValueError and caught.value.__cause__.args == (7,)
        with pytest.raises(StopIteration):
            next(imap)


def test_21_items_that_can_not_be_pickled_at_their_places() -> None:
    items = [0, threading.Lock(), 2, (i for i in ()), 4]
    with IMap(work.identity, items, worker_num=2) as imap:
        found = outcomes(imap)
    assert [kind for kind, _ in found] == ["value", "error", "value", "error", "value"]
    assert [value for kind, value in found if kind == "value"] == [0, 2, 4]
    for index, name in ((1, "lock"), (3, "generator")):
        error = found[index][1]
        assert type(error) is SerializationError and name in str(error)
        assert f"item {index}" in "".join(error.__notes__) and "task 0" in "".join(error.__notes__)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", [ValueError, MemoryError, SystemExit, KeyboardInterrupt])
def test_7_and_21_items_that_can_not_be_unpickled_at_their_places(start: str, kind: type[BaseException]) -> None:
    items = [0, work.Trap(kind), 2, work.Trap(kind), 4]
    with IMap(work.identity, items, **ENGINES[start]) as imap:
        found = outcomes(imap)
        assert imap.statistics().replaced == 0
    assert [value for kind_, value in found if kind_ == "value"] == [0, 2, 4]
    for index in (1, 3):
        error = found[index][1]
        assert isinstance(error, NumapError) and kind.__name__ in str(error) and f"item {index}" in str(error.__notes__)


@pytest.mark.parametrize("start", STARTS)
def test_1_in_a_batch_only_the_running_item_is_blamed(start: str) -> None:
    with IMap(work.kill_at, range(5000), (2500,), **ENGINES[start]) as imap:
        found = outcomes(imap)
    assert [value for kind, value in found if kind == "value"] == [x for x in range(5000) if x != 2500]
    assert found[2500][0] == "error" and found[2500][1].index == 2500


def test_1_several_deaths_in_batches_unordered() -> None:
    victims = {100, 101, 2500, 4000, 4999}
    with IMap(work.kill_in, range(5000), (victims,), worker_num=2, ordered=False) as imap:
        found = outcomes(imap)
    assert sorted(value for kind, value in found if kind == "value") == [x for x in range(5000) if x not in victims]
    assert sorted(value.index for kind, value in found if kind == "error") == sorted(victims)


@pytest.mark.parametrize("policy", ["return", "skip"])
def test_1_the_policies_hold_for_deaths(policy: str) -> None:
    with IMap(work.kill_at, range(20), (VICTIM,), worker_num=2, on_error=policy) as imap:
        found = list(imap)
    if policy == "return":
        assert isinstance(found.pop(VICTIM), WorkerDied)
    assert found == [x for x in range(20) if x != VICTIM]


def test_1_in_a_chain_the_error_comes_out_at_the_end() -> None:
    imap: IMap[Any] = IMap(worker_num=2)
    first = imap.add_task(work.kill_at, range(20), (VICTIM,))
    second = imap.add_task(work.increment, first)
    with imap:
        found = []
        while True:
            try:
                found.append(next(second))
            except WorkerDied as error:
                assert (error.task, error.index, len(found)) == (0, VICTIM, VICTIM)
            except StopIteration:
                break
    assert found == [x + 1 for x in range(20) if x != VICTIM]


def test_1_in_a_join_that_place_fails_and_nothing_shifts() -> None:
    imap: IMap[Any] = IMap(worker_num=2, on_error="return")
    left = imap.add_task(work.kill_at, range(20), (VICTIM,))
    right = imap.add_task(work.increment, range(20))
    both = imap.add_task(work.identity, join(left, right))
    with imap:
        found = list(both)
    assert isinstance(found[VICTIM], WorkerDied)
    assert [pair for x, pair in enumerate(found) if x != VICTIM] == [(x, x + 1) for x in range(20) if x != VICTIM]


# ---------------------------------------------------------------------- workers that somebody else kills


def workers_of(imap: IMap[Any]) -> set[int]:
    """The pids that work for a map whose function is ``pid``; all of its workers, if items keep coming."""
    return {next(imap) for _ in range(50)}


@pytest.mark.parametrize("start", STARTS)
def test_3_a_worker_killed_while_idle_harms_nobody(start: str) -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield from range(50)
        gate.wait()
        yield from range(50)

    with IMap(work.pid, source(), **ENGINES[start]) as imap:
        pids = workers_of(imap)
        for victim in pids:
            os.kill(victim, signal.SIGKILL)
        assert until(lambda: imap.statistics().replaced == len(pids))
        gate.set()
        fresh = list(imap)
        assert len(fresh) == 50 and not pids & set(fresh)


@pytest.mark.parametrize("start", STARTS)
def test_4_all_workers_killed_at_once(start: str, tmp_path: Path) -> None:
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    marks.mkdir()
    with IMap(work.mark_and_wait, range(40), (str(marks), str(gate)), **dict(ENGINES[start], worker_num=4)) as imap:
        assert until(lambda: len(found := [mark.read_text() for mark in marks.iterdir()]) == 4 and all(found))
        pids = {int(mark.read_text()) for mark in marks.iterdir()}
        assert len(pids) == 4
        for victim in pids:
            os.kill(victim, signal.SIGKILL)
        assert until(lambda: imap.statistics().replaced == 4, SOON)
        gate.touch()
        found = outcomes(imap)
    assert [error.index for kind, error in found if kind == "error"] == [0, 1, 2, 3]
    assert {error.pid for kind, error in found if kind == "error"} == pids
    assert [value for kind, value in found if kind == "value"] == list(range(4, 40))


def test_3_a_worker_killed_at_any_moment() -> None:
    """200 rounds, while it gets an item, computes, sends 1 MB or does nothing: at most that item is an error."""
    errors = rounds = 0
    with IMap(work.megabytes, count(), worker_num=2, buffer=8) as imap:
        while rounds < 200:
            try:
                pid, data = next(imap)
            except WorkerDied as error:
                errors += 1
                assert error.exitcode == -signal.SIGKILL
                continue
            assert len(data) in (0, 1 << 19, 1 << 20)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            rounds += 1
    assert errors <= rounds


# ---------------------------------------------------------------------- workers that never get ready


STARTING = [
    pytest.param({"initializer": work.refuse}, ["LookupError", "no such luck", "refuse"], id="6-initializer-raises"),
    pytest.param({"initializer": work.refuse, "initargs": (1, 2)}, ["LookupError"], id="6-initializer-with-arguments"),
    pytest.param({"initializer": sys.exit, "initargs": (3,)}, ["SystemExit"], id="6-initializer-exits"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("options", "words"), STARTING)
def test_6_the_initializer_fails(engine: str, options: dict[str, Any], words: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(WorkerStartError) as caught, IMap(work.identity, range(5), **ENGINES[engine], **options) as imap:
        next(imap)
    text = str(caught.value) + str(caught.value.__cause__)
    assert all(word in text for word in words[:2])
    assert time.monotonic() - began < 2 * SOON


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("words", [(work.die, "exit code 7"), (work.kill_self, "SIGKILL")])
def test_6_a_worker_dies_in_its_initializer(start: str, words: tuple[Any, str]) -> None:
    with IMap(work.identity, range(5), initializer=words[0], **ENGINES[start]) as imap:
        began = time.monotonic()
        with pytest.raises(WorkerStartError, match=words[1]):
            next(imap)
        assert time.monotonic() - began < 2 * SOON
        with pytest.raises(StopIteration):
            next(imap)


@pytest.mark.parametrize("start", ["default", "spawn"])  # a fork has it already
def test_6_a_module_that_the_worker_can_not_import(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import os\nif os.getpid() != {}:\n    raise LookupError('not here')\ndef func(x):\n    return x\n"
    name = f"only_here_{start}"
    (tmp_path / f"{name}.py").write_text(source.format(os.getpid()))
    monkeypatch.syspath_prepend(tmp_path)
    func = importlib.import_module(name).func
    with (
        pytest.raises((WorkerStartError, SerializationError)) as caught,
        IMap(func, range(5), **ENGINES[start]) as imap,
    ):
        next(imap)
    assert "not here" in str(caught.value) and name in str(caught.value)
    monkeypatch.delitem(sys.modules, name)


def test_6_a_module_that_nobody_can_import_travels_by_value() -> None:
    space: dict[str, Any] = {"__name__": "nowhere_to_be_found"}
    exec("k = 5\ndef func(x):\n    return k * x", space)
    with IMap(space["func"], range(3), worker_num=1) as imap:
        assert list(imap) == [0, 5, 10]


LOCK = threading.Lock()


def uses_lock(x: int) -> int:
    with LOCK:
        return x


def test_21_a_function_with_a_global_that_can_not_be_pickled() -> None:
    uses_lock.__globals__["LOCK"]  # this module is importable, so a function of it goes by reference, and all is well
    with IMap(uses_lock, range(3), worker_num=1) as imap:
        assert list(imap) == [0, 1, 2]
    space: dict[str, Any] = {"__name__": "nowhere_either", "LOCK": threading.Lock()}
    exec("def func(x):\n    with LOCK:\n        return x", space)
    with pytest.raises(SerializationError) as caught:
        IMap(space["func"], range(3), worker_num=1)
    assert "func" in str(caught.value) and "lock" in str(caught.value)


def test_21_constant_arguments_that_can_not_be_pickled() -> None:
    with pytest.raises(SerializationError, match=r"identity.*lock"):
        IMap(work.identity, range(3), (threading.Lock(),), worker_num=1)
    with pytest.raises(SerializationError, match=r"initializer.*lock"):
        IMap(work.identity, range(3), initializer=print, initargs=(threading.Lock(),), worker_num=1)


def test_21_after_the_error_the_same_map_can_start() -> None:
    imap: IMap[Any] = IMap(worker_num=1)
    imap.add_task(work.identity, range(3), (threading.Lock(),))
    with pytest.raises(SerializationError):
        imap.start()
    imap.pop_task()
    imap.add_task(work.increment, range(3))
    with imap:
        assert list(imap) == [1, 2, 3]


def test_threads_that_can_not_be_started_end_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def start_three(thread: threading.Thread) -> None:
        if thread.name == "numap-worker":
            started.append(thread)
            if len(started) > 3:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with (
        pytest.raises(WorkerStartError, match="no worker thread can be started: can't start new thread"),
        IMap(work.identity, itertools.count(), worker_type="thread", worker_num=8) as imap,
    ):
        for _ in imap:
            pass
    assert len([thread for thread in started if thread.ident is not None]) == 3
