"""Results that are done while their worker is in C code that takes long; and C code that no signal of ours ends early."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from numap._system.thread_signals import Nudge
from numap._worker import results as _results
from tests.numap.work import poll_in_c, read_in_c, select_in_c, sleep_in_c

METHODS = ["forkserver", "spawn", "fork"]


@pytest.mark.parametrize(("method", "ordered"), [("forkserver", False), *((it, True) for it in METHODS)])
def test_67_results_come_out_of_a_worker_that_is_in_c_code(method: str, ordered: bool, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def work(x: int) -> int:
        return read_in_c(str(pipe)) if x == 40 else 100 + x

    with IMap(work, range(60), worker_num=1, start_method=method, ordered=ordered, name="c") as imap:
        # Those behind it wait for the worker, as there is no other.
        assert [imap.next(timeout=100) for _ in range(40)] == list(range(100, 140))
        with open(pipe, "wb", buffering=0) as end:
            # Once more than it takes to find it stuck: it is not signalled now, either.
            time.sleep(0.05)
            end.write(b"x")
        assert sorted(imap) == [1, *range(141, 160)]


@pytest.mark.parametrize("method", METHODS)
def test_67_no_signal_ends_what_c_code_waits_for(method: str) -> None:
    waits: list[Callable[[], int]] = [poll_in_c, sleep_in_c, select_in_c]

    def work(x: int) -> int | None:
        return waits[x % 10 - 7]() if x % 10 >= 7 else None

    found = list(IMap(work, range(20), worker_num=1, start_method=method))
    assert [value for value in found if value is not None] == [0] * 6


@pytest.mark.parametrize("method", METHODS)
def test_67_what_c_code_that_keeps_the_interpreter_does_not_hold_back(method: str) -> None:
    def work(x: int) -> int:
        return pow(3, 10**9) if x == 40 else x  # it looks for signals, but lets no other thread run

    with IMap(work, range(60), worker_num=1, start_method=method) as imap:
        assert [imap.next(timeout=100) for _ in range(40)] == list(range(40))


@pytest.mark.parametrize("method", METHODS)
def test_67_items_find_no_thread_of_ours_and_may_fork(method: str) -> None:
    def work(x: int) -> Any:
        if x % 10 != 5:
            return threading.active_count()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            child = os.fork()
            if child == 0:
                os._exit(7)
            status = os.waitpid(child, 0)[1]
        return os.waitstatus_to_exitcode(status), [str(it.message) for it in seen if "thread" in str(it.message)]

    found = list(IMap(work, range(60), worker_num=2, start_method=method))
    assert found == [(7, []) if x % 10 == 5 else 1 for x in range(60)]


def test_67_after_a_fork_results_come_out_again(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def work(x: int) -> int:
        if x == 3:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        return read_in_c(str(pipe)) if x == 90 else x

    with IMap(work, range(100), worker_num=1) as imap:
        assert [imap.next(timeout=100) for _ in range(90)] == list(range(90))
        pipe_end = os.open(pipe, os.O_WRONLY)
        os.write(pipe_end, b"x")
        os.close(pipe_end)
        assert list(imap) == [1, *range(91, 100)]


def test_67_a_nudge_wakes_once_and_leaving_is_for_good() -> None:
    mine = Nudge()
    other = Nudge(os.dup(mine.fd))
    mine.handed_on()
    mine.give()
    mine.give()
    assert other.wait()
    mine.give()
    assert other.leave()
    assert not other.wait()
    other.close()
    mine.give()  # into a pipe that nobody reads any more
    for _ in range(2):
        mine.close()
        other.close()


def test_67_a_second_thread_that_never_begins_holds_up_no_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory for its first call a thread ends before that."""
    started: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
    monkeypatch.setattr(_results, "start_new_thread", lambda func, args: started.append((func, args)))
    monkeypatch.setattr(_results, "_START_TIMEOUT", 0.01)
    monkeypatch.setattr(_results, "_SIGNAL", None)
    monkeypatch.setattr(_results, "_with_thread", None)
    nudge = Nudge()
    results = _results.Results(None, nudge)  # type: ignore[arg-type]  # nothing is told
    for _ in range(2):
        results.begin(0, 0, several=True)
        results.end_thread()
    assert len(started) == 2
    func, args = started[0]
    func(*args)  # too late: it does nothing
    nudge.close()
