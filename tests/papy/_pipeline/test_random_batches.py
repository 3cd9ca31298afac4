"""Random pipelines of functions, batches and flatteners, with failures, skips and retries, against a plain serial interpreter."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from papy import DeadLetter, Pipeline, SkipEntry, iterstep

#: Which entries of the input it is made of, and a number that tells it from others of these.
Made = tuple[tuple[int, ...], int]


class Fails:
    """A function that fails for some entries, and skips others: always the same ones, or ``flaky`` only the first times."""

    def __init__(self, seed: int, place: int, flaky: bool) -> None:
        self.seed = seed
        self.place = place
        self.flaky = flaky
        self.calls: Counter[Made] = Counter()
        self.__name__ = f"step{place}"

    def __call__(self, entry: Made) -> Made:
        fate = random.Random(f"{self.seed} {self.place} {entry}")
        bad = fate.random() < 0.15
        if self.flaky:
            self.calls[entry] += 1
            bad = bad and self.calls[entry] <= fate.randint(1, 3)
        if bad:
            raise ValueError(entry)
        if fate.random() < 0.1:
            raise SkipEntry
        return entry[0], entry[1] + 1


def batches(size: int) -> Callable[[Iterable[Made]], Iterator[Made]]:
    def batch(entries: Iterable[Made]) -> Iterator[Made]:
        held: list[Made] = []
        for entry in entries:
            held.append(entry)
            if len(held) == size:
                yield together(held)
                held = []
        if held:
            yield together(held)

    return batch


def together(held: list[Made]) -> Made:
    return tuple(one for entry in held for one in entry[0]), held[0][1]


def flat(entries: Iterable[Made]) -> Iterator[Made]:
    for entry in entries:
        for n in range(sum(entry[0]) % 4):
            yield entry[0], 7 * entry[1] + n


class Plan(NamedTuple):
    """One step."""

    place: int
    kind: str
    size: int
    policy: str
    retries: int
    workers: int
    worker_type: str

    def made(self, seed: int) -> Any:
        if self.kind == "batch":
            return iterstep(batches(self.size)), 1, {"threshold": self.size}
        if self.kind == "flat":
            return iterstep(flat), 1
        options = {
            "on_error": self.policy,
            "retries": self.retries,
            "buffer": self.size,
            "worker_type": self.worker_type,
        }
        if self.size % 3 == 0:
            options["backoff"] = 1e-6
        return Fails(seed, self.place, self.kind == "flaky"), self.workers, options


class Serial:
    """What is to come out."""

    def __init__(self, seed: int, plans: list[Plan], size: int) -> None:
        self.entries: list[Made] = [((n,), 0) for n in range(size)]
        self.letters: Counter[Any] = Counter()
        self.returned: Counter[Any] = Counter()
        self.failed = self.more = 0
        for plan in plans:
            before, self.entries = self.entries, []
            if plan.kind in ("batch", "flat"):
                self.entries += batches(plan.size)(before) if plan.kind == "batch" else flat(before)
                self.more += len(self.entries) - len(before)
            else:
                func = Fails(seed, plan.place, plan.kind == "flaky")
                for entry in before:
                    self._call(func, entry, plan)

    def _call(self, func: Fails, entry: Made, plan: Plan) -> None:
        for attempt in range(1, plan.retries + 2):
            try:
                self.entries.append(func(entry))
            except SkipEntry:
                pass
            except ValueError:
                if attempt <= plan.retries:
                    continue
                self.failed += 1
                self.letters[entry, func.__name__, attempt] += 1
                self.returned[entry, func.__name__] += plan.policy == "return"
            return


def plans_of(rng: random.Random, ordered: bool, processes: bool) -> list[Plan]:
    plans: list[Plan] = []
    for place in range(rng.randint(1, 5)):
        kind = rng.choice(["plain", "plain", "flaky", "batch", "flat"])
        if kind == "batch" and not ordered and any(plan.workers > 1 for plan in plans):
            kind = "plain"  # what is in a batch would be anybody's guess
        type_ = "process" if processes and kind == "plain" and rng.random() < 0.5 else "thread"
        workers = rng.randint(1, 3) if kind in ("plain", "flaky") else 1
        plans.append(
            Plan(place, kind, rng.randint(1, 9), rng.choice(["skip", "return"]), rng.randint(0, 3), workers, type_)
        )
    return plans


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_batches_failures_and_counts(part: int) -> None:
    for seed in range(30 * part, 30 * part + 30):
        check(seed, processes=seed % 15 == 0)


def check(seed: int, processes: bool) -> None:
    rng = random.Random(seed)
    size, ordered = rng.choice([0, 1, 7, 60, 150]), rng.random() < 0.6
    plans = plans_of(rng, ordered, processes)
    pipeline = Pipeline([plan.made(seed) for plan in plans], quiet=True, ordered=ordered)
    expected = Serial(seed, plans, size)
    entries = [((n,), 0) for n in range(size)]
    how = rng.choice(["results", "run", "with"])
    if how == "results":
        found = list(pipeline.results(iter(entries)))
        results = [it for it in found if not isinstance(it, DeadLetter)]
        if ordered:
            assert results == expected.entries, seed
        assert Counter(results) == Counter(expected.entries), seed
        returned = Counter((it.entry, it.step) for it in found if isinstance(it, DeadLetter))
        assert returned == +expected.returned, seed
    elif how == "run":
        pipeline.put_iterable(entry for entry in entries)
        pipeline.run()
    else:
        with pipeline:
            pipeline.put_all(entries)
    figures = pipeline.taken, pipeline.count, pipeline.failed
    assert figures == (size + max(0, expected.more), len(expected.entries), expected.failed), seed
    assert pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed, seed
    assert 0 <= pipeline.merged <= pipeline.skipped, seed
    letters = pipeline.dead_letters
    assert Counter((it.entry, it.step, it.attempts) for it in letters) == expected.letters, seed
    for letter in letters:
        assert set(letter.entry[0]) <= {source[0][0] for source in letter.sources}, seed
