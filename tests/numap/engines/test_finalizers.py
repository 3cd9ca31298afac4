"""Finalizers: once for each worker that was initialised, at every orderly end, and heard of when they fail."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, WorkerStartError
from tests.numap.work import nap_a_little, note, stay

PROCESSES: list[dict[str, Any]] = [{}, {"start_method": "spawn"}, {"start_method": "fork"}]
ENGINES: list[dict[str, Any]] = [*PROCESSES, {"worker_type": "thread"}, {"worker_type": "serial"}]
WORKERS = [{**options, "worker_num": 2} for options in ENGINES[:-1]]


def named(options: dict[str, Any]) -> str:
    return str(options.get("start_method") or options.get("worker_type") or "default")


def to_the_end(**options: Any) -> None:
    with IMap(nap_a_little, range(20), **options) as imap:
        assert len(list(imap)) == 20


def behind_the_last_result(**options: Any) -> None:
    items: queue.Queue[int | None] = queue.Queue()
    imap = IMap(nap_a_little, iter(items.get, None), **options)
    for x in range(6):
        items.put(x)
    for _ in range(6):
        next(imap)
    imap.stop()
    items.put(None)


def in_the_middle(**options: Any) -> None:
    imap = IMap(nap_a_little, range(10**6), **options)
    for _ in range(10):
        next(imap)
    imap.stop()


def by_an_error(**options: Any) -> None:
    with pytest.raises(ZeroDivisionError), IMap(nap_a_little, range(10**6), **options) as imap:
        next(imap)
        raise ZeroDivisionError


def by_break(**options: Any) -> None:
    for x in IMap(nap_a_little, range(10**6), **options):
        if x == 10:
            break


def recycled(**options: Any) -> None:
    with IMap(nap_a_little, range(4), max_items_per_worker=1, **options) as imap:
        assert len(list(imap)) == 4


ENDS: list[Callable[..., None]] = [to_the_end, behind_the_last_result, in_the_middle, by_an_error, by_break, recycled]


def balance(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Which workers were initialised, and which finalized, each with how often."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(who for word, who in lines if word == "begin"), Counter(who for word, who in lines if word == "end")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("options", ENGINES, ids=named)
def test_60_a_finalizer_runs_once_for_each_worker_at_every_orderly_end(
    options: dict[str, Any], end: Callable[..., None], tmp_path: Path
) -> None:
    if options in ENGINES[:-1]:
        options = {**options, "worker_num": 2}
    elif end is recycled:
        pytest.skip("there is no worker to be replaced")
    for number in range(1 if options.get("start_method") == "spawn" else 2):
        path = tmp_path / str(number)
        end(initializer=partial(note, str(path), "begin"), finalizer=partial(note, str(path), "end"), **options)
        deadline = time.monotonic() + 60
        if end is by_break:  # a dropped map ends by itself
            while (found := balance(path))[0] != found[1] and time.monotonic() < deadline:
                time.sleep(0.005)
        begun, ended = balance(path)
        assert begun and begun == ended


def test_60_at_the_end_of_the_program(tmp_path: Path) -> None:
    script = """
import os, sys, threading, time
from functools import partial
from numap import IMap
def note(word):
    with open(sys.argv[1], "a") as file:
        file.write(f"{word} {os.getpid()}-{threading.get_native_id()}\\n")
def work(x):
    time.sleep(0.005)
    return x
begin, end = partial(note, "begin"), partial(note, "end")
processes = [{"worker_num": 2, "start_method": it} for it in (None, "spawn", "fork")]
maps = []
for options in [*processes, {"worker_num": 2, "worker_type": "thread"}, {"worker_type": "serial"}]:
    maps.append(IMap(work, range(10**6), initializer=begin, finalizer=end, **options))
    next(maps[-1])
"""
    path = tmp_path / "notes"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    begun, ended = balance(path)
    # A worker that was about to be initialised, and has not worked yet, need not be.
    assert len(begun) >= 5 and begun == ended


def fails() -> None:
    raise ValueError("commit failed")


@pytest.mark.parametrize("options", ENGINES, ids=named)
def test_60_a_finalizer_that_raises_is_heard_of(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with IMap(abs, [-1, -2], finalizer=fails, worker_num=1, **options) as imap:
        assert list(imap) == [1, 2]
    (record,) = caplog.records
    text = record.getMessage()
    assert (record.name, record.levelno) == ("numap", logging.WARNING)
    assert text.startswith("the finalizer raised in ") and "abs" in text
    assert text.endswith("ValueError: commit failed") and "in fails" in text


def test_60_a_program_without_logging_shows_it_on_stderr() -> None:
    script = """
from numap import IMap
def finish():
    raise ValueError("commit failed")
processes = [{"worker_num": 1, "start_method": it} for it in (None, "spawn", "fork")]
for options in [*processes, {"worker_num": 1, "worker_type": "thread"}, {"worker_type": "serial"}]:
    imap = IMap(abs, [1, 2, 3], finalizer=finish, **options)
    list(imap)
    if "thread" not in options.values():
        imap.stop()  # the other one is dropped
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert done.stderr.count("ValueError: commit failed") == 5, done.stderr


def test_60_a_finalizer_that_ends_its_process_is_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    with IMap(abs, [-1], worker_num=1, finalizer=partial(os._exit, 3)) as imap:
        assert list(imap) == [1]
    (record,) = caplog.records
    assert "died in its finalizer (exit code 3)" in record.getMessage()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert path.exists()


@pytest.fixture
def rest(request: pytest.FixtureRequest) -> Iterator[Callable[[str], object]]:
    """What tells by a file that it has begun, and does not end before the test does."""
    gate = threading.Event()
    yield (
        stay if "start_method" in request.getfixturevalue("options") else lambda path: (Path(path).touch(), gate.wait())
    )
    gate.set()


LASTING: list[dict[str, Any]] = [*PROCESSES[1:], {"start_method": "forkserver"}, {"worker_type": "thread"}]


@pytest.mark.parametrize("options", LASTING, ids=named)
def test_60_a_worker_in_a_long_item_is_waited_for_in_vain_and_that_is_said(
    options: dict[str, Any],
    rest: Callable[[str], object],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("numap._items.finalizers.ITEM_TIMEOUT", 0.05)
    monkeypatch.setattr("numap.engines.threads.ITEM_TIMEOUT", 0.05)
    imap = IMap(rest, [str(tmp_path / "begun")], finalizer=int, worker_num=1, **options)
    wait_for(tmp_path / "begun")
    imap.stop()
    (record,) = caplog.records
    assert "has not run: 0.05 s after the end of the map the worker was still in an item" in record.getMessage()


@pytest.mark.parametrize("options", LASTING, ids=named)
def test_60_a_finalizer_that_does_not_end_is_waited_for_in_vain_and_that_is_said(
    options: dict[str, Any],
    rest: Callable[[str], object],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The other way round than in life: it is to be found at its finalizer, however long it took to get there.
    monkeypatch.setattr("numap._items.finalizers.FINALIZER_TIMEOUT", 0.1)
    monkeypatch.setattr("numap.engines.threads.FINALIZER_TIMEOUT", 0.1)
    with IMap(abs, [-1], finalizer=partial(rest, str(tmp_path / "begun")), worker_num=1, **options) as imap:
        assert list(imap) == [1]
        wait_for(tmp_path / "begun")
    (record,) = caplog.records
    assert "of abs was not through 0.1 s after the end of the map" in record.getMessage()


def test_60_finalizers_of_recycled_workers_have_their_time(tmp_path: Path) -> None:
    path = str(tmp_path / "notes")

    def slow() -> None:
        time.sleep(0.1)
        note(path, "end")

    options: dict[str, Any] = {"worker_num": 1, "max_items_per_worker": 1}
    with IMap(abs, range(4), initializer=note, initargs=(path, "begin"), finalizer=slow, **options) as imap:
        assert len(list(imap)) == 4
    begun, ended = balance(Path(path))
    assert sum(begun.values()) >= 4 and begun == ended


def test_60_finalizers_of_recycled_workers_that_do_not_end_make_room(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numap.engines.processes.ending.RECYCLED_TIMEOUT", 0.05)
    monkeypatch.setattr("numap._items.finalizers.FINALIZER_TIMEOUT", 0.1)
    with IMap(abs, range(8), worker_num=1, max_items_per_worker=1, finalizer=partial(time.sleep, 10_000)) as imap:
        assert len(list(imap)) == 8
    texts = [record.getMessage() for record in caplog.records]
    assert any("was not through after 0.05 s; it is killed" in text for text in texts)
    assert all("the finalizer of worker process" in text for text in texts)


@pytest.mark.parametrize("options", [ENGINES[0], *ENGINES[3:]], ids=named)
def test_60_who_was_not_initialised_is_not_finalized(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "notes"

    def begin() -> None:
        note(str(path), "begin")
        raise ValueError("no")

    with pytest.raises(WorkerStartError):
        list(IMap(abs, [1], initializer=begin, finalizer=partial(note, str(path), "end"), **options))
    begun, ended = balance(path)
    assert begun and not ended
