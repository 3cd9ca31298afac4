"""Guarantee 77 for maps: bounds count bytes, of whatever holds them; and how much memory an object takes."""

from __future__ import annotations

import io
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from timeit import repeat
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from numap import IMap, sizeof
from numap._schedule.batching import BOUND_BYTES, BatchSizer, Share
from numap._schedule.scheduler import Scheduler
from tests.numap.blocks import MB, Block

ARRAY = numpy.zeros(MB, dtype=numpy.uint8)
Pair = namedtuple("Pair", "left right")


def closing_over(value: Any) -> Any:
    return lambda: value


def with_default(value: Any = ARRAY, *, other: Any = None) -> None:
    """Holds an array, as its default."""


@dataclass
class Record:
    data: Any


@dataclass(slots=True)
class Slim:
    data: Any


class Sub(numpy.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        bytes(MB),
        bytearray(MB),
        memoryview(bytes(MB)),
        "x" * MB,
        "\u4e2d" * (MB // 2),
        io.BytesIO(bytes(MB)),
        ARRAY,
        ARRAY.view(Sub),
        (1, ARRAY),
        [ARRAY[: MB // 100]] * 100,
        {"a": [{"b": {"c": ARRAY}}]},
        Record(ARRAY),
        Slim(Record(ARRAY)),
        Pair(1, ARRAY),
        deque([ARRAY]),
        closing_over(ARRAY),
        [closing_over(closing_over(ARRAY))],
        with_default,
        partial(len, ARRAY),
        partial(len, values=[ARRAY]),
        Record(ARRAY).__eq__,
        OrderedDict(a=ARRAY),
        SimpleNamespace(a=ARRAY),
        {bytes(MB)},
        frozenset([bytes(MB)]),
        list(range(1000, 1000 + MB // 36)),
        {n: n for n in range(1000, 1000 + MB // 100)},
        numpy.array([bytes(1000)] * 1000, dtype=object),
    ],
    ids=lambda value: type(value).__name__,
)
def test_77_a_megabyte_is_one(value: object) -> None:
    assert 0.8 * MB < sizeof(value) < 1.6 * MB


def test_77_an_image_and_a_frame_tell_how_large_they_are() -> None:
    block = SimpleNamespace(values=ARRAY)
    frame = type("DataFrame", (), {"__module__": "pandas.core.frame"})()
    frame._mgr = SimpleNamespace(blocks=(block, block))
    assert 2 * MB <= sizeof((1, frame)) < 2.1 * MB
    members = {"__module__": "PIL.Image", "size": (1024, 1024), "getbands": lambda _: "RGB"}
    assert sizeof(type("Image", (), members)()) == 3 * MB
    tensor = type("Tensor", (), {"__module__": "torch", "nbytes": 5 * MB})
    assert sizeof([type("Own", (tensor,), {"__module__": "mine"})()]) > 5 * MB


def test_77_no_code_of_the_users_runs() -> None:
    class Trap:
        def __init__(self) -> None:
            self.data = bytes(MB)

        def trap(self, *_: object) -> Any:
            raise SystemExit("called")

        __sizeof__ = __len__ = __iter__ = __getattr__ = __eq__ = __hash__ = __repr__ = trap  # type: ignore[assignment]
        nbytes = property(trap)

    class List(list[Any]):
        __len__ = __iter__ = __getitem__ = Trap.trap  # type: ignore[assignment]

    assert MB < sizeof(Trap()) < 1.1 * MB
    trapped = List()
    list.append(trapped, bytes(MB))
    assert MB < sizeof(trapped) < 1.1 * MB


def test_77_what_has_no_end_and_what_is_no_data_is_small() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for value in (circle, test_77_a_megabyte_is_one, numpy, Record, lambda: ARRAY, (n for n in [ARRAY]), None, 7):
        assert sizeof(value) < 10_000


def test_77_measuring_costs_little() -> None:
    nest = {n: [{"a": n, "b": [n, (n, {n: [n] * 9})] * 9}] * 9 for n in range(99)}
    assert min(repeat(lambda: sizeof((7, "text")), number=1000, repeat=9)) / 1000 < 5e-6
    assert min(repeat(lambda: sizeof(nest), number=10, repeat=9)) / 10 < 2e-3


# ---------------------------------------------------------------------- decisions


def test_room_is_shared_and_workers_stay_busy() -> None:
    for share, size, fits in (
        (Share(), MB, BOUND_BYTES // MB),
        (Share(maps=4), MB, BOUND_BYTES // 4 // MB),
        (Share(inputs=2), MB, BOUND_BYTES // 2 // MB),
        (Share(), BOUND_BYTES, 5),
        (Share(10 * MB), MB, 10),
        (Share(1), MB, 1),
    ):
        pacing = BatchSizer(1, 4, 0.004, share=share)
        assert pacing.fits([0]) == pacing.initial_bound(), "nothing is known yet"
        pacing.observe(0, 1, 0.001, size)
        assert pacing.fits([0]) == fits


def test_nothing_begins_without_room_unless_there_is_nothing_to_take() -> None:
    schedule = Scheduler([[]], None, 100, 4)
    schedule.pull(0, 50)
    schedule.arrive(0, 50)
    schedule.set_fits(0, 100, 3)
    assert schedule.next_turn() == (0, 3)
    schedule.submit(0, 3)
    assert schedule.next_turn() is None
    assert schedule.holds_back(0)
    schedule.leave(0, 3)
    schedule.delivered[0] = 2
    assert schedule.next_turn() is None
    schedule.release(0, 2)
    assert schedule.next_turn() == (0, 2)
    schedule.set_fits(0, 100, 1)
    assert schedule.next_turn() == (0, 1), "the one that waits for another one to be delivered is no reason to wait"


def test_a_smaller_room_lets_nothing_more_come() -> None:
    schedule = Scheduler([[]], None, 100, 4)
    schedule.set_fits(0, 8, 8)
    assert (schedule.bound[0], schedule.grant(0)) == (8, 8)
    schedule.pull(0, 8)
    schedule.unpull(0, 3)
    schedule.set_fits(0, 5, 5)
    assert (schedule.allowance(0), schedule.total_bound()) == (0, 100)


# ---------------------------------------------------------------------- maps


@pytest.fixture(autouse=True)
def blocks() -> None:
    Block.forget()


def later(n: int, begin: int = 500) -> Any:
    return Block.make() if n >= begin else n


@pytest.mark.parametrize("buffer", [None, 2000])
@pytest.mark.parametrize("ordered", [True, False])
def test_77_results_that_become_large(buffer: int | None, ordered: bool) -> None:
    with IMap(later, count(), worker_type="thread", worker_num=3, buffer=buffer, ordered=ordered) as imap:
        for _ in range(600):
            next(imap)
        assert imap.statistics().bound_bytes == BOUND_BYTES
    assert Block.most < 120


@pytest.mark.parametrize("worker_type", ["thread", "serial"])
def test_77_items_that_become_large(worker_type: str) -> None:
    with IMap(type, (later(n) for n in count()), worker_type=worker_type, worker_num=3, buffer=2000) as imap:
        for _ in range(600):
            next(imap)
    assert Block.most < 120


@pytest.mark.parametrize("hidden", [lambda block: (1, block), lambda block: [{"x": block}], Record])
def test_77_a_bound_in_bytes_that_was_given(hidden: Any) -> None:
    def make(n: int) -> Any:
        return hidden(Block.make())

    with IMap(make, range(100), worker_type="thread", worker_num=2, buffer=50, buffer_bytes=10 * MB) as imap:
        for _ in imap:
            assert Block.alive <= 5 + 3, "those that run are not known yet"


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
@pytest.mark.parametrize("ordered", [True, False])
def test_77_one_item_always_has_room(worker_type: str, ordered: bool) -> None:
    imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=2, buffer_bytes=1, ordered=ordered, retries=1)
    tasks = imap.add_task(bytes, [100_000] * 20), imap.add_task(len, imap.add_task(bytes, iter([50_000] * 20)))
    with imap:
        assert [len(it) for it in tasks[0]] == [100_000] * 20
        assert list(tasks[1]) == [50_000] * 20


def test_77_results_of_processes_that_become_large(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.touch()

    def work(n: int) -> Any:
        if n < 500:
            return n
        with begun.open("ab") as file:
            file.write(b".")
        return bytes(2 * MB)

    def ahead(imap: Iterator[Any]) -> Iterator[int]:
        for taken in range(600):
            next(imap)
            yield begun.stat().st_size - max(0, taken - 500)

    with IMap(work, count(), worker_num=2, buffer=2000) as imap:
        assert max(ahead(imap)) < 150
