"""Guarantee 78: what runs in this process on behalf of a caller runs in the caller's context, and a serial map in its thread."""

from __future__ import annotations

import decimal
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from numap import IMap, SourceError, join, tee
from tests.numap import work
from tests.numap.programs import ENGINES

request_id: ContextVar[str] = ContextVar("request_id", default="unset")
LOCAL = ("thread", "serial")


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    """The context of the caller."""
    token = request_id.set("7")
    with decimal.localcontext() as own:
        own.prec = 50
        yield
    request_id.reset(token)


def look(*_: Any) -> tuple[str, int]:
    return request_id.get(), decimal.getcontext().prec


def source() -> Iterator[tuple[str, int]]:
    for _ in range(5):
        yield look()


def run_elsewhere(imap: IMap[Any]) -> list[Any]:
    """What a map gives in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=found.extend, args=(imap,))
    thread.start()
    thread.join()
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_78_inputs_and_items_see_the_callers_context(engine: str) -> None:
    options = ENGINES[engine]
    assert set(IMap(work.identity, source(), **options)) == {("7", 50)}
    assert run_elsewhere(IMap(work.identity, source(), **options)) == [("7", 50)] * 5
    first, second = tee(source())
    assert set(IMap(work.identity, join(first, second), **options)) == {(("7", 50), ("7", 50))}
    if engine in LOCAL:
        assert set(IMap(look, range(5), **options)) == {("7", 50)}
        assert run_elsewhere(IMap(look, range(5), **options)) == [("7", 50)] * 5


def test_78_the_context_is_that_of_the_start_also_for_threads_that_come_later() -> None:
    imap = IMap(look, iter(range(6)), worker_type="thread", worker_num=1, max_items_per_worker=1, buffer=1)
    found = [next(imap)]
    request_id.set("8")
    decimal.getcontext().prec = 60
    assert [*found, *imap] == [("7", 50)] * 6


@pytest.mark.parametrize("engine", LOCAL)
def test_78_what_an_item_sets_stays_in_its_worker(engine: str) -> None:
    def change(x: int) -> tuple[str, int]:
        seen = look()
        request_id.set("another")
        decimal.getcontext().prec = 3
        return seen

    ends: list[Any] = []
    options = {**ENGINES[engine], "worker_num": 1, "initializer": request_id.set, "initargs": ("of the initializer",)}
    with IMap(change, range(3), finalizer=lambda: ends.append(look()), **options) as imap:
        assert list(imap) == [("of the initializer", 50), ("another", 3), ("another", 3)]
    assert ends == [("another", 3)]
    assert look() == ("7", 50)


def test_78_handlers_of_records_from_workers_see_it() -> None:
    seen: list[Any] = []
    log = logging.getLogger("numap.test.context")
    log.addFilter(lambda record: bool(seen.append(look())))
    list(IMap(log.warning, ["text"], worker_num=1))
    assert seen == [("7", 50)]


# ---------------------------------------------------------------------- a serial map reads where it is asked


def test_78_a_serial_map_reads_its_input_in_the_thread_that_asks() -> None:
    with sqlite3.connect(":memory:") as database:  # which is for its own thread only
        database.execute("create table t (n)")
        database.executemany("insert into t values (?)", [(n,) for n in range(100)])
        rows = IMap(lambda row: row[0], database.execute("select n from t order by n"), worker_type="serial")
        assert [next(rows), *rows] == list(range(100))
        imap: IMap[Any] = IMap(worker_type="serial", buffer=4)
        a = imap.add_task(work.identity, database.execute("select n from t order by n"))
        b = imap.add_task(
            work.identity, imap.add_task(work.identity, database.execute("select n + 1 from t order by n"))
        )
        with imap:
            assert [(x, y) for (x,), (y,) in zip(a, b, strict=True)] == [(n, n + 1) for n in range(100)]
    database.close()


def test_78_a_serial_map_reads_an_item_when_it_is_needed() -> None:
    pulled: list[int] = []

    def count() -> Iterator[int]:
        for n in range(10):
            pulled.append(n)
            yield n

    imap = IMap(work.identity, count(), worker_type="serial")
    assert pulled == []
    for n, _ in enumerate(imap):
        assert pulled == list(range(n + 1))


class Steady:
    """An iterator that goes on after it was interrupted, at every fifth step before the item is made."""

    def __init__(self) -> None:
        self.n = 0
        self.calls = 0

    def __iter__(self) -> Steady:
        return self

    def __next__(self) -> int:
        self.calls += 1
        if self.calls % 5 == 0 and self.n < 20:
            os.kill(os.getpid(), signal.SIGINT)
        if self.n == 20:
            raise StopIteration
        self.n += 1
        return self.n


def test_17_an_interrupt_of_the_input_of_a_serial_map() -> None:
    found, interrupts = [], 0
    imap = IMap(work.identity, Steady(), worker_type="serial")
    while True:
        try:
            while True:
                found.append(next(imap))
        except StopIteration:
            break
        except KeyboardInterrupt:
            interrupts += 1
    assert found == list(range(1, 21))
    assert interrupts == 4


def test_17_a_generator_that_an_interrupt_has_ended_is_no_end_without_a_word() -> None:
    def numbers() -> Iterator[int]:
        for n in range(5):
            if n == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield n

    imap = IMap(work.identity, numbers(), worker_type="serial")
    assert [next(imap), next(imap)] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(imap)
    with pytest.raises(SourceError, match="ended right after a KeyboardInterrupt had interrupted it"):
        next(imap)
    assert list(imap) == []
