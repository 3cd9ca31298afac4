"""The planner alone: what is started where, when bounds grow, and what is news to a manager that sleeps."""

from __future__ import annotations

from collections import deque
from typing import Any

from numap._schedule.batching import BatchSizer, Share
from numap._schedule.planner import Planner
from numap._schedule.scheduler import Scheduler

LIMIT = 0.004


class Slot:
    """Room for one worker."""

    def __init__(self, *jobs: int, is_open: bool = True, stuck: bool = False, room: int = 1 << 30) -> None:
        self.jobs: deque[int] = deque(jobs)
        self.open = is_open
        self.stuck = stuck
        self.room = room


class Case:
    """A planner with what it decides from, and the jobs that it started."""

    def __init__(self, inputs: list[list[int]], workers: int = 2, buffer: int | None = None, **options: Any) -> None:
        share = Share(options.pop("nbytes", None))
        self.sizer = BatchSizer(len(inputs), workers, LIMIT, share=share)
        self.schedule = Scheduler(inputs, None, buffer, self.sizer.initial_bound())
        self.planner = Planner(self.schedule, self.sizer, **{"grows": True, **options})
        self.started: list[tuple[Slot, int, int]] = []

    def arrive(self, task: int, count: int) -> None:
        self.schedule.pull(task, count)
        self.schedule.arrive(task, count)

    def know(self, seconds: float = 1e-6) -> None:
        """An item has come, and has been run."""
        self.planner.pulled(0, 1, 1)
        self.planner.done(0, 1, seconds, 1)

    def assign(self, *slots: Slot) -> bool:
        def start(slot: Slot, task: int, count: int) -> None:
            slot.jobs.append(task)
            self.started.append((slot, task, count))
            self.planner.sent(task, count, count)

        return self.planner.assign(slots, start)


def test_idle_workers_come_first_and_those_with_cheap_items_get_a_second_job() -> None:
    case = Case([[]])
    case.arrive(0, 6)
    busy, first, second, closed, stuck = Slot(0), Slot(), Slot(), Slot(is_open=False), Slot(0, stuck=True)
    assert case.assign(busy, first, second, closed, stuck)
    assert [slot for slot, _, _ in case.started] == [first, second], "nothing is known of the cost"
    case.planner.done(0, 2, 2e-6, 2)
    assert case.assign(busy, first, second, closed, stuck)
    assert [slot for slot, _, _ in case.started[2:]] == [busy, first, second]


def test_what_takes_long_waits_for_an_idle_worker() -> None:
    case = Case([[]])
    case.know(1.0)
    case.arrive(0, 4)
    slots = Slot(0), Slot(0)
    assert not case.assign(*slots)
    slots[1].jobs.clear()
    assert case.assign(*slots)
    assert [(slot, count) for slot, _, count in case.started] == [(slots[1], 1)]


def test_a_map_without_workers_has_one_job_of_one_item() -> None:
    case = Case([[]], single=True)
    case.planner.done(0, 1, 1e-6, 1)
    case.arrive(0, 4)
    slot = Slot()
    assert case.assign(slot)
    assert not case.assign(slot)
    assert case.started == [(slot, 0, 1)]


def test_a_batch_is_no_larger_than_the_room_in_its_slot() -> None:
    case = Case([[]], workers=1)
    for _ in range(4):
        case.know()
    case.schedule.set_bound(0, 1000)
    case.arrive(0, 100)
    assert case.assign(Slot(room=3))
    assert case.started[0][2] == 3


def test_bounds_grow_only_for_want_of_items_in_flight() -> None:
    case = Case([[]])
    case.know()
    bound = case.schedule.bound[0]
    case.planner.grow(0)
    assert case.schedule.bound[0] == bound, "there is room"
    case.schedule.pull(0, bound)
    assert case.planner.news(0) == (1, True)
    case.planner.grow(0)
    assert case.schedule.bound[0] > bound


def test_what_is_news() -> None:
    case = Case([[]], grows=False)
    case.know()
    case.schedule.set_bound(0, 80)
    case.schedule.pull(0, 80)
    assert case.planner.news(0) == (10, False), "an eighth makes a grant"
    case.schedule.arrive(0, 1)
    case.schedule.set_fits(0, 80, 0)
    case.schedule.delivered[0] = 1
    assert case.planner.news(0) == (1, False), "an item waits for room"
    case.schedule.close(0)
    assert case.planner.news(0) == (0, True)
    assert Case([[]], buffer=5).planner.news(0) == (0, True)


def test_workers_that_hold_far_too_much_are_told_of() -> None:
    case = Case([[]], nbytes=1000)
    case.planner.done(0, 1, 1e-6, 1)
    case.schedule.set_bound(0, 1000)
    case.arrive(0, 400)
    case.planner.sent(0, 400, 400)
    assert not case.planner.done(0, 1, 1e-6, 1)
    assert case.planner.done(0, 1, 1e-6, 100), "ten have room, and forty times that are there"
