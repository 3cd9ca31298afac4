"""papy._streams.streams: streams of values, against plain lists; interrupted anywhere they lose nothing and double nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain as chained
from types import FrameType
from typing import Any

import pytest

from numap import IMap, NextTimeout
from papy._base.errors import DaggerError, PiperError
from papy._base.failures import failure
from papy._evaluate.call import PiperCall
from papy._evaluate.provenance import Provenance
from papy._evaluate.worker import Worker
from papy._streams.base import ResumableStream
from papy._streams.interleave import Blocks, deinterleave, interleave
from papy._streams.results import DaggerResults, RunReport
from papy._streams.source import Link, StreamSource
from papy._streams.streams import Chain, DeferredStream, InputStream, TaskStream, TimedTaskStream, items_of
from papy._streams.zip_streams import Column, ZipStrict
from tests.papy import work


def evaluator(started: bool = True) -> Provenance:
    event = threading.Event()
    if started:
        event.set()
    return Provenance(PiperCall(Worker(work.double, unpack=True), "piper", 1), event)


def everything(stream: Iterator[Any]) -> tuple[list[Any], int]:
    """Read all, and go on after each interrupt: real signals, which come wherever the interpreter looks for them."""
    out: list[Any] = []
    times = 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal times
        if frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] in ("papy", "numap"):
            times += 1
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while True:
            try:
                out.extend(stream)
                return out, times
            except KeyboardInterrupt:
                pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def chain(items: Iterator[int]) -> ResumableStream:
    return Chain(items, (Link(lambda x: x + 1), Link(lambda x: 2 * x)))


def rounds(items: Iterator[int]) -> ResumableStream:
    return Blocks(Chain(items, (Link(lambda x: (x, -x)),)), 3, partial(interleave, produce=2, stride=3))


def groups(items: Iterator[int]) -> ResumableStream:
    return Blocks(items, 4, partial(deinterleave, consume=2, stride=2))


def pairs(items: Iterator[int]) -> ResumableStream:
    return ZipStrict([chain(items), chain(iter(range(20_000)))], ["a", "b"], "here")


def kept(items: Iterator[int]) -> ResumableStream:
    failed = [failure("a", 1, ValueError(), "skip") if x % 7 == 3 else x for x in items]
    return DaggerResults(Chain(iter(failed), (Link(lambda x: x),)), False, RunReport())


@pytest.mark.parametrize("make", [chain, rounds, groups, pairs, kept, lambda items: InputStream(items, "data")])
def test_an_interrupt_loses_nothing(make: Callable[[Iterator[int]], ResumableStream]) -> None:
    size = 20_000
    expected = list(make(iter(range(size))))
    interrupted = 0
    while interrupted < 20:
        got, times = everything(make(iter(range(size))))
        interrupted += times
        assert got == expected


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_interrupt_loses_nothing_of_a_task(kind: str) -> None:
    interrupted = 0
    while interrupted < 20:
        imap: IMap[Any] = IMap(worker_type=kind, worker_num=2)
        task = imap.add_task(work.leave, range(3000))
        with imap:
            got, times = everything(DaggerResults(TaskStream(task, evaluator()), False, RunReport()))
        interrupted += times
        assert [item for item in got if not isinstance(item, PiperError)] == [x for x in range(3000) if x != 2]
        assert isinstance(got[2], PiperError) and got[2].index == 2


def test_the_item_that_was_interrupted_is_evaluated_again() -> None:
    calls: list[int] = []

    def once(x: int) -> int:
        calls.append(x)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return x

    stream = Chain(iter(range(4)), (Link(once),))
    assert next(stream) == 0
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert list(stream) == [1, 2, 3] and calls == [0, 1, 1, 2, 3]


def test_tracked_results_have_the_index_of_their_item() -> None:
    tracked: dict[int, Any] = {}
    stream = Chain(iter("abc"), (Link(str.upper, tracked), Link(ord)))
    assert next(stream) == 65 and tracked == {0: "A"}
    assert list(stream) == [66, 67] and tracked == {0: "A", 1: "B", 2: "C"}


def test_data_that_raises_names_itself() -> None:
    def data() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    stream = InputStream(data(), "the data of a")
    assert next(stream) == 1
    with pytest.raises(DaggerError, match="the data of a raised OSError: gone") as caught:
        next(stream)
    assert isinstance(caught.value.__cause__, OSError)


def test_streams_that_end_apart_are_named() -> None:
    stream = ZipStrict([iter([1, 2]), iter([1, 2, 3]), iter([1, 2])], ["a", "b", "c"], "here")
    assert [next(stream), next(stream)] == [[1, 1, 1], [2, 2, 2]]
    for _ in range(2):
        with pytest.raises(DaggerError, match="here: a and c ended after 2 items, b goes on"):
            next(stream)


def test_a_stream_of_an_imap_waits_for_its_start() -> None:
    maker = evaluator(started=False)
    imap: IMap[Any] = IMap(worker_type="serial")
    got: list[Any] = []
    values = TaskStream(imap.add_task(work.double, [1, 2]), maker)
    reader = threading.Thread(target=lambda: got.extend(values))
    reader.start()
    with imap:
        assert got == []
        maker.started.set()
        reader.join(30)
    assert got == [2, 4]


def test_a_tap_gives_what_is_there_after_the_start() -> None:
    started = threading.Event()
    tap = DeferredStream(started)
    tap.read_from(iter([1, 2]))
    started.set()
    assert list(tap) == [1, 2] and list(tap) == []


class Impatient:
    """A task whose second result is late."""

    def __init__(self, items: list[int]) -> None:
        self.items = items
        self.late = True

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self.items:
            raise StopIteration
        if len(self.items) == 2 and self.late:
            self.late = False
            raise NextTimeout("too late")
        return self.items.pop(0)


def test_a_late_result_is_given_up_where_places_count() -> None:
    items = [1, 2, 3]

    def patient() -> Iterator[int]:
        while items:
            yield items.pop(0)

    got = list(TimedTaskStream(Impatient(items), evaluator(), patient()))
    assert [got[0], got[2]] == [1, 3] and isinstance(got[1].exception, TimeoutError) and len(got) == 3
    again = list(TaskStream(Impatient([1, 2, 3]), evaluator()))
    assert [again[0], *again[2:]] == [1, 2, 3] and again[1].index == 1


def test_columns_of_rows() -> None:
    assert list(Column(iter([[1, 2], [3, 4]]), 1)) == [2, 4]


def test_plain_sequences_need_no_care() -> None:
    assert not isinstance(items_of(StreamSource([1, 2], "data")), ResumableStream)
    assert isinstance(items_of(StreamSource(iter([1, 2]), "data")), InputStream)


@pytest.mark.usefixtures("restless")
def test_results_may_be_read_in_several_threads() -> None:
    results = DaggerResults(Chain(iter(range(20_000)), (Link(lambda x: x),)), False, RunReport())
    found: list[list[int]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda part=part: part.extend(results)) for part in found]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(chained(*found)) == list(range(20_000))
    assert all(part == sorted(part) for part in found)
