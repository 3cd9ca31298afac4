"""Random histories of whole maps: the results are those of `map`, and no more is pulled than the buffer allows.

A `Plan` is a set of tasks with options, and knows what must come out. A `Ledger` is kept by the inputs and the
consumer: at each pull the input itself checks the bound.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from numap import IMap, WorkerDied, join, tee
from numap.testing import ScriptedEngine
from tests.numap import work
from tests.numap._schedule.test_scheduler import random_inputs
from tests.numap.tools import each_seed

#: What comes out at a place: a value, or the task at which its item failed.
Outcome = tuple[str, Any]


class Plan:
    """Tasks, their inputs, and the options of the map."""

    def __init__(
        self, random: Random, *, most: int = 5, longest: int = 30, deaths: bool = False, slow: bool = False
    ) -> None:
        self.inputs = random_inputs(random, most)
        tasks = range(len(self.inputs))
        self.roots = [task for task in tasks if not self.inputs[task]]
        read = {member for members in self.inputs for member in members}
        self.ends = [task for task in tasks if task not in read]
        self.lengths = {end: random.choice([0, 1, random.randint(0, longest)]) for end in self.ends}
        self.end_of = {task: self._end_of(task) for task in tasks}
        self.roots_of = {end: [root for root in self.roots if self.end_of[root] == end] for end in self.ends}
        self.fails = [random.choice([0, 0, 5]) for _ in tasks]
        self.dies = [random.choice([0, 0, 40]) if deaths else 0 for _ in tasks]
        self.dawdles = [random.choice([0, 50]) if slow else 0 for _ in tasks]
        self.watched = {root: random.random() < 0.8 for root in self.roots}
        self.stride = random.choice([None, None, 1, 2, 5])
        least = max(len(self.roots), self.stride or 1)
        self.buffer = random.choice([None, least, least + random.randint(0, 20)])
        self.ordered = random.random() < 0.7
        self.on_error = random.choice(["raise", "return", "skip"])
        self.retries = random.choice([0, 0, 1, 3])
        #: Deaths of workers that were not the function's, by task and place.
        self.accidents: Counter[tuple[int, int]] = Counter()

    def _end_of(self, task: int) -> int:
        readers = [reader for reader, members in enumerate(self.inputs) if task in members]
        return self._end_of(readers[0]) if readers else task

    def __repr__(self) -> str:
        return f"<plan {vars(self)}>"

    # ------------------------------------------------------------------ what must come out

    def outcome(self, task: int, place: int) -> Outcome:
        """What comes out of a task at a place."""
        members = self.inputs[task]
        parts = [self.outcome(member, place) for member in members] if members else [("value", self.item(task, place))]
        failed = [part for part in parts if part[0] == "failed"]
        if failed:
            return "failed", {at for part in failed for at in part[1]}
        value = parts[0][1] if len(parts) == 1 else tuple(part[1] for part in parts)
        fails, dies = self.fails[task], self.dies[task]
        number = (31 * work.number(value) + 7 * task + 1) % 10007
        if (
            self.accidents[task, place] > self.retries
            or (fails and number % fails == 0)
            or (dies and number % dies == 1)
        ):
            return "failed", {task}
        return "value", work.step(value, task)

    @staticmethod
    def item(root: int, place: int) -> int:
        return place * 17 + root

    def expected(self, end: int) -> list[tuple[int, Outcome]]:
        """The outcomes that a consumer of an end gets, in order, with their places."""
        found = [(place, self.outcome(end, place)) for place in range(self.lengths[end])]
        return [one for one in found if self.on_error != "skip" or one[1][0] == "value"]

    def may_be_released(self, end: int, asked: int) -> int:
        """Places that may be handed over for good when a consumer asks for the ``asked``-th time."""
        if self.on_error != "skip":
            return max(0, asked - 1)
        good = [place for place, _ in self.expected(end)]
        if not self.ordered:
            return max(0, asked - 1) + self.lengths[end] - len(good)
        if asked > len(good):
            return self.lengths[end]
        return good[asked - 1] if asked else (good[0] if good else self.lengths[end])


class Ledger:
    """Counts what inputs gave and what consumers asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pulled = dict.fromkeys(plan.roots, 0)
        self.asked = dict.fromkeys(plan.ends, 0)
        self.started = False
        self.most = 0
        self.broken: str | None = None
        self._lock = threading.Lock()

    def in_flight(self) -> int:
        """Items of watched inputs that were pulled and not handed over."""
        plan = self.plan
        return sum(
            self.pulled[root] - plan.may_be_released(plan.end_of[root], self.asked[plan.end_of[root]])
            for root in plan.roots
            if plan.watched[root]
        )

    def input(self, root: int) -> Any:
        """The input of a root: one that counts, or a list."""
        length = self.plan.lengths[self.plan.end_of[root]]
        if not self.plan.watched[root]:
            return [self.plan.item(root, place) for place in range(length)]
        return self._counting(root, length)

    def _counting(self, root: int, length: int) -> Iterator[int]:
        for place in range(length):
            with self._lock:
                self.pulled[root] += 1
                flying = self.in_flight()
                self.most = max(self.most, flying)
                if not self.started:
                    self.broken = "pulled before the start"
                if self.plan.buffer is not None and flying > self.plan.buffer:
                    self.broken = f"{flying} in flight at item {place} of task {root}, asked {self.asked}"
            yield self.plan.item(root, place)


class History:
    """A map that runs a plan, and a consumer that reads its ends in random order."""

    def __init__(self, random: Random, plan: Plan, **options: Any) -> None:
        self.random = random
        self.plan = plan
        self.ledger = Ledger(plan)
        self.imap: IMap[Any] = IMap(
            stride=plan.stride,
            buffer=plan.buffer,
            ordered=plan.ordered,
            on_error=plan.on_error,
            retries=plan.retries,
            **options,
        )
        self.tasks: list[Any] = []
        for task, members in enumerate(plan.inputs):
            parents = [self.tasks[member] for member in members]
            source = self.ledger.input(task) if not parents else parents[0] if len(parents) == 1 else join(*parents)
            self.tasks.append(
                self.imap.add_task(work.step, source, (task, plan.fails[task], plan.dies[task], plan.dawdles[task]))
            )
        self.ledger.started = True
        self.found: dict[int, list[Outcome]] = {end: [] for end in plan.ends}

    def run(self) -> None:
        try:
            with self.imap:
                self._read()
                figures = self.imap.statistics()
            self._check(figures)
        except BaseException as error:
            error.args = (*error.args, repr(self.plan))
            raise
        finally:
            self.imap.stop()

    def _read(self) -> None:
        """One way of many to read all ends to their ends."""
        random, ends = self.random, list(self.plan.ends)
        if len(ends) == 1 and random.random() < 0.2:
            self._read_branches(ends[0])
            return
        random.shuffle(ends)
        habit = random.choice(["one by one", "in turn", "at random"])
        while ends:
            end = ends[0] if habit != "at random" else random.choice(ends)
            if not self._take(end):
                ends.remove(end)
            elif habit == "in turn":
                ends.append(ends.pop(0))

    def _take(self, end: int) -> bool:
        way = self.random.randrange(3)
        reader = self.tasks[end] if way else self.imap.get_task(end)
        self.ledger.asked[end] += 1
        try:
            result = self.imap.next(task=end) if way == 1 else next(reader)
        except StopIteration:
            return False
        except Exception as error:
            assert self.plan.on_error == "raise", f"{error!r}"
            self.found[end].append(blame(error))
        else:
            self.found[end].append(blame(result) if isinstance(result, Exception) else ("value", result))
        return True

    def _read_branches(self, end: int) -> None:
        """Through a tee: each branch gives everything."""
        branches = dict(enumerate(tee(self.tasks[end], self.random.randint(1, 3), limit=1000)))
        found: dict[int, list[Outcome]] = {number: [] for number in branches}
        asked: Counter[int] = Counter()
        while branches:
            number = self.random.choice(list(branches))
            asked[number] += 1
            self.ledger.asked[end] = max(asked.values())
            try:
                result = next(branches[number])
            except StopIteration:
                del branches[number]
            except Exception as error:
                found[number].append(blame(error))
            else:
                found[number].append(blame(result) if isinstance(result, Exception) else ("value", result))
        assert all(outcomes == found[0] for outcomes in found.values())
        self.found[end] = found[0]

    def _check(self, figures: Any) -> None:
        plan, ledger = self.plan, self.ledger
        assert ledger.broken is None, ledger.broken
        for end in plan.ends:
            expected = [outcome for _, outcome in plan.expected(end)]
            found = self.found[end]
            assert len(found) == len(expected)
            if not plan.ordered:
                expected, found = sorted(expected, key=key), sorted(found, key=key)
                anywhere = {at for kind, where in expected if kind == "failed" for at in where}
                expected = [(kind, anywhere if kind == "failed" else value) for kind, value in expected]
            for place, (have, want) in enumerate(zip(found, expected, strict=True)):
                assert matches(have, want), f"end {end}, result {place}: {have} in place of {want}"
        assert figures.state == "finished"
        assert ledger.most <= figures.bound
        assert figures.pulled == sum(plan.lengths[plan.end_of[root]] for root in plan.roots)
        assert figures.yielded == sum(plan.lengths.values())
        assert ledger.pulled == {
            root: plan.lengths[plan.end_of[root]] if plan.watched[root] else 0 for root in plan.roots
        }


def blame(error: Exception) -> Outcome:
    """Where an error says that it comes from."""
    if isinstance(error, WorkerDied):
        return "failed", error.task
    assert type(error) is ValueError, repr(error)
    notes = error.__notes__ if hasattr(error, "__notes__") else []
    places = [note for note in notes if note.startswith("in task ")]
    assert len(places) == 1, notes
    return "failed", int(places[0].split()[2])


def matches(have: Outcome, want: Outcome) -> bool:
    return have[0] == want[0] and (have[1] in want[1] if have[0] == "failed" else have[1] == want[1])


def key(outcome: Outcome) -> tuple[str, str]:
    """For comparing what came in no order; failures can only be counted then."""
    return outcome[0], "" if outcome[0] == "failed" else repr(outcome[1])


# ---------------------------------------------------------------------- engines


@each_seed(500)
def test_serial(random: Random) -> None:
    History(random, Plan(random), worker_type="serial").run()


def chaos(random: Random, plan: Plan) -> ScriptedEngine:
    """An engine on which items end in random order, workers die and give back what they hold."""
    workers = random.randint(1, 4)
    deadly = random.random() < 0.5

    def script(engine: ScriptedEngine) -> None:
        running = engine.running()
        idle = set(range(workers)) - {one.worker for one in running}
        if not running:
            return
        worker, task, place = random.choice(running)
        what = random.random()
        if deadly and what < 0.05:
            plan.accidents[task, place] += 1
            engine.die(place, task)
        elif what < 0.1:
            engine.give_back(worker)
        elif idle and what < 0.12:
            engine.die(worker=idle.pop())
        else:
            engine.finish(place, task, count=random.choice([1, 1, 3, 50]))

    cost = random.choice([0.0, 1e-5, 1e-3, 0.1])
    return ScriptedEngine(workers, script=script, seconds=cost)


def scripted(random: Random) -> None:
    plan = Plan(random)
    engine = chaos(random, plan)
    with engine.installed():
        History(random, plan, worker_type="thread", worker_num=len(engine.slots)).run()
    assert engine.stopped
    assert not engine.running()


@each_seed(1500)
def test_scripted(random: Random) -> None:
    scripted(random)


@each_seed(100)
def test_thread(random: Random) -> None:
    plan = Plan(random, longest=random.choice([20, 300]))
    History(random, plan, worker_type="thread", worker_num=random.randint(1, 4)).run()


@each_seed(12)
def test_thread_with_slow_items(random: Random) -> None:
    plan = Plan(random, longest=100, slow=True)
    History(random, plan, worker_type="thread", worker_num=random.randint(1, 4)).run()


@each_seed(25)
def test_process(random: Random) -> None:
    plan = Plan(random, longest=random.choice([20, 300]))
    History(random, plan, worker_type="process", worker_num=random.randint(1, 3)).run()


@each_seed(12)
def test_process_with_deaths_and_slow_items(random: Random) -> None:
    plan = Plan(random, longest=100, deaths=True, slow=True)
    History(random, plan, worker_type="process", worker_num=random.randint(1, 3)).run()


# ---------------------------------------------------------------------- one task, all options


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
@pytest.mark.parametrize("ordered", [True, False])
def test_the_results_are_those_of_map(worker_type: str, ordered: bool) -> None:
    for stride, buffer in [(None, None), (1, 1), (1, 3), (4, 4), (3, 100), (None, 2)]:
        imap = IMap(
            work.increment,
            range(500),
            worker_type=worker_type,
            worker_num=2,
            stride=stride,
            buffer=buffer,
            ordered=ordered,
        )
        results = list(imap)
        assert (results if ordered else sorted(results)) == list(range(1, 501))
        imap.stop()


def test_maps_in_quick_succession() -> None:
    """What is left of the workers of one map is no business of the next."""
    for _ in range(40):
        imap = IMap(work.identity, range(8), worker_num=4)
        assert list(imap) == list(range(8))
        assert imap.statistics().replaced == 0
        imap.stop()


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
def test_an_infinite_input(worker_type: str) -> None:
    imap = IMap(work.increment, count(), worker_type=worker_type, worker_num=2)
    assert [next(imap) for _ in range(2000)] == list(range(1, 2001))
    imap.stop()


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
@pytest.mark.parametrize("buffer", [1, 2, 7])
def test_the_bound_at_every_single_step(worker_type: str, buffer: int) -> None:
    """An item counts until the next `next`: with one in hand, ``buffer`` - 1 more may have been pulled."""
    pulled = 0
    excess = []

    def watched() -> Iterator[int]:
        nonlocal pulled
        for x in range(60):
            pulled += 1
            if pulled - max(0, asked - 1) > buffer:
                excess.append((pulled, asked))
            yield x

    asked = 0
    imap = IMap(work.identity, watched(), worker_type=worker_type, worker_num=2, buffer=buffer)
    for x in range(60):
        asked += 1
        assert next(imap) == x
    asked += 1
    assert next(imap, None) is None
    assert (excess, pulled) == ([], 60)
    imap.stop()
