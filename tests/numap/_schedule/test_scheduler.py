"""The schedule alone: turns, strides, and the buffer with its shares."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from numap._schedule.scheduler import Scheduler
from tests.numap.tools import each_seed, says

Inputs = list[list[int]]


def drained(schedule: Scheduler, task: int) -> bool:
    """No item of the task is waiting or running."""
    return not schedule.waiting[task] and not schedule.inside[task]


def chain(length: int) -> Inputs:
    """Task 0 reads an input, each other one the one before it."""
    return [[task - 1] if task else [] for task in range(length)]


def turns(schedule: Scheduler, number: int) -> list[int]:
    """Submits one item at a time; the tasks that got the turns."""
    found = []
    for _ in range(number):
        turn = schedule.next_turn()
        if turn is None:
            break
        found.append(turn[0])
        schedule.submit(turn[0], 1)
    return found


# ---------------------------------------------------------------------- the shape


def test_reader_depth_roots_and_ends() -> None:
    # 0 -> 1 -> 4 joins with 2 -> 4; 3 is alone
    schedule = Scheduler([[], [0], [], [], [1, 2]], None, None, 1)
    assert schedule.roots == [0, 2, 3]
    assert schedule.ends == [3, 4]
    assert schedule.reader == [1, 4, 4, -1, -1]
    assert schedule.depth == [0, 1, 0, 0, 2]
    assert schedule.end_of == [4, 4, 4, 3, 4]
    assert schedule.roots_of == {3: [3], 4: [0, 2]}


# ---------------------------------------------------------------------- turns


def test_nobody_can_go_without_items() -> None:
    assert Scheduler([[], []], 2, None, 4).next_turn() is None


def test_tasks_take_turns_by_strides() -> None:
    schedule = Scheduler([[], [], []], 2, None, 8)
    for task in range(3):
        schedule.arrive(task, 4)
    order = []
    while (turn := schedule.next_turn()) is not None:
        order.append(turn[0])
        schedule.submit(turn[0], 1)
        schedule.leave(turn[0], 1)
    assert order == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]


def test_without_a_stride_each_submission_is_a_turn() -> None:
    schedule = Scheduler([[], []], None, None, 8)
    schedule.arrive(0, 6)
    schedule.arrive(1, 3)
    assert turns(schedule, 9) == [0, 1, 0, 1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_stride_limits_what_is_inside(stride: int) -> None:
    schedule = Scheduler([[]], stride, None, 100)
    schedule.arrive(0, 50)
    assert turns(schedule, 50) == [0] * stride
    assert schedule.inside == [stride]
    schedule.leave(0, 1)
    assert turns(schedule, 50) == [0]


def test_a_turn_says_how_many_may_go() -> None:
    schedule = Scheduler([[], []], 3, None, 100)
    schedule.arrive(0, 2)
    schedule.arrive(1, 50)
    assert schedule.next_turn() == (0, 2)
    schedule.submit(0, 2)
    assert schedule.next_turn() == (1, 3)
    schedule.submit(1, 2)
    assert schedule.next_turn() == (1, 1)
    schedule.submit(1, 1)
    schedule.arrive(0, 5)
    assert schedule.next_turn() == (0, 1)


def test_without_a_stride_all_that_waits_may_go() -> None:
    schedule = Scheduler([[]], None, None, 100)
    schedule.arrive(0, 37)
    assert schedule.next_turn() == (0, 37)


def test_asking_is_free() -> None:
    """Whose turn it is does not change by asking: who asked may find that no worker is there for it."""
    schedule = Scheduler([[], []], None, None, 8)
    schedule.arrive(0, 5)
    schedule.arrive(1, 5)
    assert [schedule.next_turn() for _ in range(4)] == [(0, 5)] * 4


def test_further_down_goes_first() -> None:
    schedule = Scheduler(chain(3), None, None, 8)
    for task in range(3):
        schedule.arrive(task, 2)
    assert turns(schedule, 6) == [2, 2, 1, 1, 0, 0]


def test_further_down_goes_first_as_far_as_its_stride_allows() -> None:
    schedule = Scheduler(chain(2), 2, None, 8)
    schedule.arrive(0, 4)
    schedule.arrive(1, 4)
    assert turns(schedule, 8) == [1, 1, 0, 0]
    schedule.leave(0, 1)
    schedule.leave(1, 1)
    assert turns(schedule, 8) == [1, 0]


def test_of_equals_who_has_less_inside_goes_first() -> None:
    schedule = Scheduler([[], [], [0, 1]], None, None, 8)
    schedule.arrive(0, 4)
    assert turns(schedule, 2) == [0, 0]
    schedule.arrive(1, 3)
    assert turns(schedule, 3) == [1, 1, 0]


def test_a_group_that_comes_late_gets_the_next_turn() -> None:
    schedule = Scheduler([[], []], 4, None, 8)
    schedule.arrive(0, 100)
    for _ in range(10):
        schedule.submit(*_one(schedule))
        schedule.leave(0, 1)
    schedule.arrive(1, 1)
    got = []
    while not schedule.inside[1]:
        task, count = _one(schedule)
        schedule.submit(task, count)
        got.append(task)
    assert len(got) <= 5, got


def _one(schedule: Scheduler) -> tuple[int, int]:
    turn = schedule.next_turn()
    assert turn is not None
    return turn[0], 1


# ---------------------------------------------------------------------- the buffer


@pytest.mark.parametrize(
    ("inputs", "buffer", "shares"),
    [
        ([[]], 7, [7]),
        ([[], []], 8, [4, 4]),
        ([[], [], []], 8, [3, 3, 2]),
        ([[], [], []], 3, [1, 1, 1]),
        ([[], [0], []], 5, [3, 2]),
        ([[], [], [0, 1]], 5, [3, 2]),
        ([[], [], [0, 1], []], 9, [3, 3, 3]),
    ],
)
def test_shares_are_even(inputs: Inputs, buffer: int, shares: list[int]) -> None:
    schedule = Scheduler(inputs, None, buffer, 1)
    assert [schedule.bound[root] for root in schedule.roots] == shares
    assert [schedule.allowance(root) for root in schedule.roots] == shares
    assert schedule.total_bound() == buffer


def test_a_chain_is_one_group() -> None:
    assert Scheduler(chain(5), None, 1, 1).allowance(0) == 1


@pytest.mark.parametrize(
    ("inputs", "buffer", "least"), [([[], []], 1, 2), ([[], [], [0, 1]], 1, 2), ([[], [], [], []], 3, 4)]
)
def test_fewer_than_one_each_is_an_error_that_names_the_least(inputs: Inputs, buffer: int, least: int) -> None:
    with pytest.raises(ValueError, match="buffer") as error:
        Scheduler(inputs, None, buffer, 1)
    assert says(error, buffer, f"at least {least}")
    Scheduler(inputs, None, least, 1)


def test_an_item_counts_until_it_is_released() -> None:
    schedule = Scheduler(chain(2), None, 3, 1)
    schedule.pull(0, 3)
    assert schedule.allowance(0) == 0
    schedule.arrive(0, 3)
    assert turns(schedule, 3) == [0, 0, 0]
    schedule.leave(0, 3)
    schedule.arrive(1, 3)
    assert schedule.allowance(0) == 0
    schedule.release(1, 2)
    assert (schedule.in_flight(0), schedule.allowance(0)) == (1, 2)


def test_a_release_frees_a_place_at_every_root_of_a_join() -> None:
    schedule = Scheduler([[], [], [0, 1]], None, 4, 1)
    schedule.pull(0, 2)
    schedule.pull(1, 2)
    schedule.release(2, 1)
    assert [schedule.allowance(root) for root in (0, 1)] == [1, 1]


def test_a_promise_that_was_not_used_is_taken_back() -> None:
    schedule = Scheduler([[]], None, 5, 1)
    schedule.pull(0, 5)
    schedule.unpull(0, 3)
    assert (schedule.in_flight(0), schedule.allowance(0)) == (2, 3)


def test_an_ended_group_gives_its_share_back() -> None:
    schedule = Scheduler([[], []], None, 6, 1)
    schedule.pull(0, 3)
    schedule.close(0)
    assert [schedule.allowance(root) for root in (0, 1)] == [0, 3]  # its items are still in flight
    schedule.release(0, 2)
    assert schedule.allowance(1) == 5
    schedule.release(0, 1)
    assert schedule.allowance(1) == 6
    assert schedule.total_bound() == 6


def test_the_last_group_may_end() -> None:
    schedule = Scheduler([[]], None, 6, 1)
    schedule.close(0)
    assert schedule.allowance(0) == 0


def test_automatic_bounds() -> None:
    schedule = Scheduler([[], []], 3, None, 4)
    assert (schedule.bound[0], schedule.total_bound()) == (4, 8)
    schedule.set_bound(0, 20)
    assert (schedule.bound[0], schedule.bound[1], schedule.total_bound()) == (20, 4, 24)
    schedule.set_bound(1, 1)
    assert schedule.bound[1] == 3, "never below the stride"


def test_a_given_buffer_can_not_be_grown() -> None:
    schedule = Scheduler([[]], None, 4, 1)
    schedule.set_bound(0, 100)
    assert schedule.bound[0] == schedule.total_bound() == 4


def test_drained() -> None:
    schedule = Scheduler([[]], None, 4, 1)
    assert drained(schedule, 0)
    schedule.arrive(0, 1)
    assert not drained(schedule, 0)
    schedule.submit(0, 1)
    assert not drained(schedule, 0)
    schedule.leave(0, 1)
    assert drained(schedule, 0)


# ---------------------------------------------------------------------- random histories


def random_inputs(random: Random, most: int = 6) -> Inputs:
    """Independent, chained and joined tasks; no task is read twice."""
    inputs: Inputs = []
    unread: list[int] = []
    for task in range(random.randint(1, most)):
        members: list[int] = []
        if unread and random.random() < 0.6:
            members = random.sample(unread, random.randint(1, min(3, len(unread))))
        for member in members:
            unread.remove(member)
        inputs.append(members)
        unread.append(task)
    return inputs


class History:
    """A world around a schedule: inputs, workers without number, joins by place, and readers."""

    def __init__(self, random: Random, reads: Iterable[int] | None = None) -> None:
        self.random = random
        self.inputs = random_inputs(random)
        self.stride = random.choice([None, 1, 2, 3, 5])
        roots = sum(not members for members in self.inputs)
        buffer = random.choice([None, roots, roots + random.randint(0, 12)])
        self.schedule = schedule = Scheduler(self.inputs, self.stride, buffer, random.randint(1, 4))
        self.length = {end: random.randint(0, 25) for end in schedule.ends}
        self.pulled = dict.fromkeys(schedule.roots, 0)
        self.open = set(schedule.roots)
        self.ready: list[list[int]] = [[] for _ in self.inputs]
        self.inside: list[list[int]] = [[] for _ in self.inputs]
        self.parts: dict[tuple[int, int], int] = {}
        self.arrived = dict.fromkeys(schedule.ends, 0)
        self.released = dict.fromkeys(schedule.ends, 0)
        self.waits = dict.fromkeys(schedule.ends, 0)
        self.steps = 0

    def check(self) -> None:
        schedule = self.schedule
        flying = {root: self.pulled[root] - self.released[schedule.end_of[root]] for root in schedule.roots}
        assert flying == {root: schedule.in_flight(root) for root in schedule.roots}
        assert sum(flying.values()) <= schedule.total_bound()
        for root in schedule.roots:
            assert schedule.allowance(root) >= 0
            if root in self.open:
                assert schedule.bound[root] >= 1
                assert schedule.allowance(root) == schedule.bound[root] - flying[root]
            else:
                assert schedule.allowance(root) == 0
        # Whoever pulls all that is allowed now must still be within the bound.
        assert sum(flying[r] + schedule.allowance(r) for r in schedule.roots) <= schedule.total_bound()
        assert schedule.waiting == [len(items) for items in self.ready]
        assert schedule.inside == [len(items) for items in self.inside]
        if self.stride is not None:
            assert max(schedule.inside) <= self.stride

    # ------------------------------------------------------------------ moves; each returns whether it did something

    def pull(self) -> bool:
        schedule = self.schedule
        able = [root for root in self.open if schedule.allowance(root)]
        if not able:
            return False
        root = self.random.choice(able)
        left = self.length[schedule.end_of[root]] - self.pulled[root]
        promised = self.random.randint(1, schedule.allowance(root))
        schedule.pull(root, promised)
        count = min(promised, left)
        schedule.unpull(root, promised - count)
        self.ready[root] += range(self.pulled[root], self.pulled[root] + count)
        self.pulled[root] += count
        schedule.arrive(root, count)
        if count < promised or (self.random.random() < 0.5 and count == left):
            schedule.close(root)
            self.open.discard(root)
        return True

    def submit(self) -> bool:
        schedule = self.schedule
        able = {end for end in schedule.ends if any(self._able(task) for task in self._group(end))}
        turn = schedule.next_turn()
        if turn is None:
            assert not able, "somebody could go"
            return False
        task, most = turn
        assert self._able(task) and 1 <= most <= len(self.ready[task])
        end = schedule.end_of[task]
        deeper = [t for t in self._group(end) if schedule.depth[t] > schedule.depth[task] and self._able(t)]
        assert not deeper, "somebody further down could go"
        count = self.random.randint(1, most)
        schedule.submit(task, count)
        for _ in range(count):
            self.inside[task].append(self.ready[task].pop(0))
        for other in schedule.ends:
            self.waits[other] = self.waits[other] + count if other in able and other != end else 0
            turn_size = self.stride if self.stride is not None else 25
            assert self.waits[other] <= len(schedule.ends) * turn_size, f"{other} starves"
        return True

    def _group(self, end: int) -> list[int]:
        return [task for task in range(len(self.inputs)) if self.schedule.end_of[task] == end]

    def _able(self, task: int) -> bool:
        return bool(self.ready[task]) and (self.stride is None or len(self.inside[task]) < self.stride)

    def leave(self) -> bool:
        busy = [task for task, items in enumerate(self.inside) if items]
        if not busy:
            return False
        task = self.random.choice(busy)
        place = self.inside[task].pop(self.random.randrange(len(self.inside[task])))
        self.schedule.leave(task, 1)
        reader = self.schedule.reader[task]
        if self.random.random() < 0.1:
            self._arrive(task, place)  # it was given back
        elif reader < 0:
            self.arrived[task] += 1
        else:
            self.parts[reader, place] = self.parts.get((reader, place), 0) + 1
            if self.parts[reader, place] == len(self.inputs[reader]):
                self._arrive(reader, place)
        return True

    def _arrive(self, task: int, place: int) -> None:
        self.ready[task].append(place)
        self.schedule.arrive(task, 1)

    def release(self, ends: Iterable[int] | None = None) -> bool:
        able = [end for end in (self.schedule.ends if ends is None else ends) if self.arrived[end] > self.released[end]]
        if not able:
            return False
        end = self.random.choice(able)
        count = self.random.randint(1, self.arrived[end] - self.released[end])
        self.released[end] += count
        self.schedule.release(end, count)
        return True

    def grow(self) -> bool:
        root = self.random.choice(self.schedule.roots)
        self.schedule.set_bound(root, self.schedule.bound[root] + self.random.randint(0, 3))
        return False

    # ------------------------------------------------------------------ whole runs

    def play(self, ends: list[int]) -> None:
        """Moves at random until all of ``ends`` have been read; the others are not read at all."""

        def done() -> bool:
            return all(self.released[end] == self.length[end] for end in ends)

        while not done():
            moves = [self.pull, self.submit, self.leave, lambda: self.release(ends), self.grow]
            self.random.shuffle(moves)
            did_something = [move() for move in moves]
            assert any(did_something), "nothing can go on"
            self.check()
            self.steps += 1
            assert self.steps < 20_000, "it does not end"


@each_seed(1000)
def test_all_items_end(random: Random) -> None:
    history = History(random)
    history.play(history.schedule.ends)
    while history.open:
        assert history.pull()  # an input whose end has not been seen yet
    history.check()
    assert all(drained(history.schedule, task) for task in range(len(history.inputs)))
    assert all(history.schedule.in_flight(root) == 0 for root in history.schedule.roots)


@each_seed(500)
def test_who_is_not_read_holds_up_nobody(random: Random) -> None:
    history = History(random)
    first = random.sample(history.schedule.ends, random.randint(1, len(history.schedule.ends)))
    history.play(first)
    history.play(history.schedule.ends)
