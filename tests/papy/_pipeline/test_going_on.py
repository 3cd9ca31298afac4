"""A run that goes on after errors: what becomes of entries that fail, and what is known of them afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import pytest

from numap import StateError, TaskTimeout, TooManyFailures, WorkerDied
from papy import AbstractStep, DeadLetter, Pipeline, PipelineRuntimeDebugger, SkipEntry, chunk, iterstep

WORKERS = ("thread", "process")


def picky(x: int) -> int:
    if x % 3 == 0:
        raise ValueError(f"{x} is no good")
    return 10 * x


def negative(x: int) -> int:
    return -x


def pipeline(worker_type: str, **options: Any) -> Pipeline:
    return Pipeline(
        (negative, 2), (negative, 1), (picky, 2), (negative, 2), worker_type=worker_type, quiet=True, **options
    )


def figures(of: Pipeline) -> tuple[int, int, int, int]:
    return of.taken, of.count, of.skipped, of.failed


# what comes out ------------------------------------------------------------


@pytest.mark.parametrize("worker_type", WORKERS)
def test_skip(worker_type: str) -> None:
    run = pipeline(worker_type, on_error="skip")
    assert sorted(run.results(range(10))) == [-80, -70, -50, -40, -20, -10]
    assert figures(run) == (10, 6, 0, 4)


@pytest.mark.parametrize("worker_type", WORKERS)
def test_return_in_the_place_of_the_entry(worker_type: str) -> None:
    run = pipeline(worker_type, on_error="return", ordered=True)
    found = list(run.results(range(7)))
    assert [it.source if isinstance(it, DeadLetter) else it for it in found] == [0, -10, -20, 3, -40, -50, 6]
    assert figures(run) == (7, 4, 0, 3)
    letter = found[3]
    assert (letter.entry, letter.step, letter.attempts, letter.number) == (3, "picky", 1, 3)
    assert isinstance(letter.error, ValueError)
    assert str(letter) == "step 'picky' failed for 3: ValueError: 3 is no good"
    assert 'raise ValueError(f"{x} is no good")' in str(letter.__cause__)
    assert letter.error.__traceback__ is None
    assert letter in run.dead_letters


@pytest.mark.parametrize("worker_type", WORKERS)
def test_dead_letters_can_be_run_again(worker_type: str) -> None:
    run = pipeline(worker_type, on_error="skip", retries=1)
    list(run.results(range(10)))
    assert {letter.attempts for letter in run.dead_letters} == {2}
    assert sorted(run.dead_letters.sources()) == [0, 3, 6, 9]
    again = Pipeline((negative, 1), quiet=True)
    assert sorted(again.results(run.dead_letters.sources())) == [-9, -6, -3, 0]


def test_only_one_step_goes_on() -> None:
    run = Pipeline((picky, 1, {"on_error": "skip"}), (lambda x: 1 // (x - 40), 1), quiet=True)
    run.put_iterable([1, 3, 4])
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert [letter.entry for letter in run.dead_letters] == [3]
    assert run.taken == run.count + run.skipped + run.failed


@pytest.mark.parametrize("worker_type", WORKERS)
def test_what_is_skipped_is_no_dead_letter(worker_type: str) -> None:
    run = Pipeline((skips_odd, 2), (picky, 1), worker_type=worker_type, on_error="return", ordered=True, quiet=True)
    assert [type(it) for it in run.results(range(7))] == [DeadLetter, int, int, DeadLetter]
    assert figures(run) == (7, 2, 3, 2)


def skips_odd(x: int) -> int:
    if x % 2:
        raise SkipEntry
    return x


def test_failures_pass_iterator_steps_and_queues() -> None:
    run = Pipeline((picky, 2), (iterstep(chunk(2)), 1), (len, 1), on_error="return", ordered=True, quiet=True)
    found = list(run.results(range(1, 9)))
    assert sum(it for it in found if not isinstance(it, DeadLetter)) == 6
    assert sorted(it.source for it in found if isinstance(it, DeadLetter)) == [3, 6]
    assert figures(run) == (8, 3, 3, 2)
    assert run.merged == 3


@pytest.mark.parametrize("worker_type", WORKERS)
def test_what_fails_behind_an_iterator_step_comes_from_all_that_it_took(worker_type: str) -> None:
    def sum_of(pair: list[int]) -> int:
        return sum(pair) // (pair[0] - 2)

    run = Pipeline(
        (negative, 1),
        (negative, 1),
        (iterstep(chunk(2)), 1),
        (sum_of, 1),
        on_error="skip",
        quiet=True,
        worker_type=worker_type,
    )
    assert len(list(run.results([0, 1, 2, 3, 4]))) == 2
    [letter] = run.dead_letters
    assert (letter.entry, letter.number, letter.source, letter.sources) == ([2, 3], None, None, (2, 3))
    assert run.dead_letters.sources() == [2, 3]
    assert (*figures(run), run.merged) == (5, 2, 2, 1, 2)


def test_what_an_iterator_step_makes_of_one_comes_from_that() -> None:
    def letters(words: Iterator[str]) -> Iterator[str]:
        for word in words:
            yield from word

    run = Pipeline((iterstep(letters), 1), (int, 1), on_error="skip", quiet=True)
    assert list(run.results(["12", "a3b"])) == [1, 2, 3]
    assert [(letter.entry, letter.source, letter.number) for letter in run.dead_letters] == [
        ("a", "a3b", 1),
        ("b", "a3b", 1),
    ]
    assert run.dead_letters.sources() == ["a3b"]


def test_a_step_that_makes_one_of_all_holds_not_all() -> None:
    def of_all(entries: Iterator[Any]) -> Iterator[int]:
        yield sum(1 for _ in entries)

    def fails(n: int) -> None:
        raise ValueError(n)

    run = Pipeline((iterstep(of_all), 1), (fails, 1), on_error="skip", quiet=True, buffer_bytes=1_000_000)
    list(run.results(bytes(50_000) for _ in range(200)))
    assert 1 <= len(run.dead_letters[0].sources) <= 20
    run = Pipeline((iterstep(of_all), 1), (fails, 1), on_error="skip", quiet=True)
    list(run.results(range(5000)))
    assert run.dead_letters[0].sources == tuple(range(4000, 5000))


class Unsendable:
    """What stays in its process."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.lock = threading.Lock()


def test_the_source_of_an_entry_is_not_sent_with_it() -> None:
    entries = [Unsendable(n) for n in range(4)]
    run = Pipeline((lambda it: it.n, 1), (picky, 1, {"worker_type": "process"}), on_error="skip", quiet=True)
    assert sorted(run.results(entries)) == [10, 20]
    assert run.dead_letters.sources() == [entries[0], entries[3]]


class Splits(AbstractStep):
    def process(self, n: int) -> int:
        if n < 10:
            self.reenqueue(n + 10)
            self.reenqueue(n + 20)
        return n


@pytest.mark.parametrize("worker_type", WORKERS)
def test_what_a_step_has_put_in_its_own_queue_comes_from_its_entry(worker_type: str) -> None:
    def small(n: int) -> int:
        if n >= 20:
            raise ValueError(n)
        return n

    run = Pipeline((Splits, 2), (small, 2, {"worker_type": worker_type}), on_error="skip", quiet=True)
    assert sorted(run.results(range(4))) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert sorted((letter.entry, letter.source) for letter in run.dead_letters) == [(n + 20, n) for n in range(4)]
    assert run.dead_letters.sources() == [0, 1, 2, 3]
    assert figures(run) == (12, 8, 0, 4)


@pytest.mark.parametrize("worker_type", WORKERS)
def test_failures_while_steps_are_measured(worker_type: str) -> None:
    steps = [(same_process, 1, {"worker_type": "process"}), (picky, 1, {"worker_type": worker_type})]
    run = Pipeline(steps, on_error="return", ordered=True, debugger=PipelineRuntimeDebugger([]))
    assert [it.source if isinstance(it, DeadLetter) else it for it in run.results(range(4))] == [0, 10, 20, 3]
    assert [letter.entry for letter in run.dead_letters] == [0, 3]
    assert isinstance(run.dead_letters[0].error, ValueError)


def same_process(n: int) -> int:
    return n


@pytest.mark.parametrize("worker_type", WORKERS)
@pytest.mark.parametrize("behind", [(), ((negative, 1),)])
@pytest.mark.parametrize("how", ["run", "results"])
def test_the_callback_may_stop_the_run(worker_type: str, behind: Any, how: str) -> None:
    run = Pipeline(
        (picky, 1, {"worker_type": worker_type}),
        *behind,
        on_error="skip",
        quiet=True,
        on_dead_letter=lambda letter: run.stop(),
    )
    if how == "run":
        run.put_iterable(range(5))
        worker = threading.Thread(target=run.run, daemon=True)
    else:
        worker = threading.Thread(target=lambda: drain(run.results(range(5))))
    worker.start()
    worker.join(60)
    assert not worker.is_alive()
    assert run.taken == run.count + run.skipped + run.failed


def drain(results: Iterator[Any]) -> None:
    with contextlib.suppress(StateError):  # it was stopped
        deque(results, maxlen=0)


class Ends(AbstractStep):
    """Notes that nothing waits for it."""

    empty = threading.Event()

    def process(self, n: int) -> int:
        return n

    def in_queue_empty(self) -> None:
        self.empty.set()


def test_a_failure_that_passes_is_no_entry_that_waits() -> None:
    with Pipeline((picky, 1), (iterstep(iter), 1), (Ends, 1), on_error="return", quiet=True) as run:
        run.put(3)
        run.put(4)
        assert Ends.empty.wait(60)


@pytest.mark.parametrize("policy", ["skip", "return"])
def test_a_worker_that_dies_and_one_that_takes_too_long(policy: str) -> None:
    run = Pipeline((awkward, 2), worker_type="process", task_timeout=0.5, on_error=policy, ordered=True, quiet=True)
    found = list(run.results(["fine", "dies", "hangs", "fine"]))
    assert [it for it in found if it == "fine"] == ["fine", "fine"]
    assert len(found) == (2 if policy == "skip" else 4)
    assert [(type(it.error), it.entry, it.source) for it in run.dead_letters] == [
        (WorkerDied, "dies", "dies"),
        (TaskTimeout, "hangs", "hangs"),
    ]


def awkward(what: str) -> str:
    if what == "dies":
        os._exit(3)
    if what == "hangs":
        time.sleep(60)
    return what


# what is told --------------------------------------------------------------


@pytest.mark.parametrize("worker_type", WORKERS)
def test_one_warning_at_the_end(worker_type: str, caplog: pytest.LogCaptureFixture) -> None:
    run = pipeline(worker_type, on_error="skip")
    run.put_iterable(range(10))
    run.run()
    [record] = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert record.name == "papy"
    assert "step 'picky': 4 of 10, first ValueError: " in record.getMessage()


@pytest.mark.parametrize("worker_type", WORKERS)
def test_each_letter_is_told(worker_type: str) -> None:
    told: list[DeadLetter] = []
    run = pipeline(worker_type, on_error="skip", on_dead_letter=told.append)
    list(run.results(range(10)))
    assert sorted(letter.source for letter in told) == [0, 3, 6, 9]


def test_an_error_of_the_callback_ends_the_run() -> None:
    def refuses(letter: DeadLetter) -> None:
        raise KeyError(letter.entry)

    run = pipeline("thread", on_error="skip", on_dead_letter=refuses)
    with pytest.raises(KeyError) as caught:
        list(run.results([1, 3, 4]))
    assert "raised by on_dead_letter for entry 1" in getattr(caught.value, "__notes__", [""])[0] or not hasattr(
        caught.value, "__notes__"
    )
    assert run.taken == run.count + run.skipped + run.failed


@pytest.mark.parametrize("worker_type", WORKERS)
def test_a_limit_of_failures(worker_type: str) -> None:
    run = pipeline(worker_type, on_error="skip", max_failures=2)
    with pytest.raises(TooManyFailures):
        list(run.results(range(1000)))
    assert run.failed >= 3
    assert run.taken == run.count + run.skipped + run.failed


def test_of_very_many_letters_the_last_are_kept() -> None:
    run = Pipeline((picky, 1), on_error="skip", quiet=True)
    list(run.results(range(0, 6000, 3)))
    assert run.failed == 2000
    assert [letter.entry for letter in run.dead_letters] == list(range(3000, 6000, 3))


def test_letters_keep_nothing_else_alive() -> None:
    class Large:
        pass

    alive: list[int] = []

    def fails(x: int) -> None:
        large = Large()
        alive.append(1)
        import weakref

        weakref.finalize(large, alive.pop)
        raise ValueError(x)

    run = Pipeline((fails, 1), on_error="skip", quiet=True)
    list(run.results([1, 2, 3]))
    assert len(run.dead_letters) == 3
    assert alive == []


def test_letters_of_a_run_in_the_background() -> None:
    seen = threading.Event()
    with Pipeline((picky, 1), on_error="skip", quiet=True, on_dead_letter=lambda letter: seen.set()) as run:
        run.put(3)
        assert seen.wait(30)
        assert [letter.entry for letter in run.dead_letters] == [3]
        run.put(4)
    assert figures(run) == (2, 1, 0, 1)


# options -------------------------------------------------------------------


def test_one_word_for_maps_and_steps() -> None:
    run = Pipeline((picky, 1, {"retries": 2, "buffer": 5}), quiet=True)
    [spec] = run._specs
    assert (spec.settings.max_retries, spec.settings.threshold) == (2, 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_error": "ignore"}, "on_error: 'ignore' is unknown; allowed: 'raise', 'skip', 'return'"),
        ({"retries": 1, "max_retries": 2}, "retries: 1 given, and max_retries=2, which is the same; give one"),
        ({"buffer": 1, "threshold": 2}, "buffer: 1 given, and threshold=2, which is the same; give one"),
        ({"task_timeout": 1}, "task_timeout: needs worker processes, and worker_type is 'thread'"),
        ({"task_timeout": 0, "worker_type": "process"}, "task_timeout: 0 given; must be more than 0 seconds"),
        ({"start_method": "magic", "worker_type": "process"}, "start_method: 'magic' is unknown"),
    ],
)
def test_what_can_not_be(options: dict[str, Any], said: str) -> None:
    for make, where in (
        (lambda: Pipeline((picky, 1), **options), ""),
        (lambda: Pipeline((picky, 1, options)), "step 0 (picky): "),
    ):
        with pytest.raises(ValueError) as caught:
            make()
        assert str(caught.value).startswith(where + said)


def test_an_iterator_step_can_not_go_on() -> None:
    with pytest.raises(ValueError, match="on_error: a generator that has raised is at its end"):
        Pipeline((iterstep(chunk(2)), 1, {"on_error": "skip"}))
    with pytest.raises(TypeError, match="on_dead_letter: must be callable or None"):
        Pipeline((picky, 1), on_dead_letter=1)  # type: ignore[arg-type]


def test_order_can_be_said_once() -> None:
    done: list[int] = []
    run = Pipeline((jittery, 4), (done.append, 1), ordered=True, quiet=True)
    run.put_iterable(range(50))
    run.run()
    assert done == list(range(50))
    with pytest.raises(ValueError, match="ordered: iterator step"):
        Pipeline((iterstep(chunk(2)), 2), ordered=True)


def jittery(x: int) -> int:
    time.sleep(0.003 * (x * 7 % 5 == 0))
    return x


# against a plain interpreter ------------------------------------------------


class Plan:
    """What happens to an entry in a step: by its number, always the same, whatever runs it."""

    def __init__(self, seed: int, place: int) -> None:
        self.seed = seed
        self.place = place

    def __call__(self, entry: tuple[int, int]) -> tuple[int, int]:
        number, value = entry
        fate = random.Random(f"{self.seed} {self.place} {number}").random()
        if fate < 0.15:
            raise ValueError(number)
        if fate < 0.25:
            raise SkipEntry
        return number, value + 1

    @property
    def __name__(self) -> str:
        return f"step{self.place}"


def plain(seed: int, steps: int, policies: list[str], size: int) -> Iterator[tuple[str, Any]]:
    for number in range(size):
        entry = (number, 0)
        fate: tuple[str, Any] = ("result", None)
        for place in range(steps):
            try:
                entry = Plan(seed, place)(entry)
            except SkipEntry:
                fate = ("skipped", number)
            except ValueError:
                fate = (policies[place], (number, f"step{place}"))
            if fate[1] is not None:
                break
        yield fate if fate[1] is not None else ("result", entry)


@pytest.mark.parametrize("seed", range(40))
def test_random_pipelines(seed: int) -> None:
    rng = random.Random(seed)
    steps, size = rng.randint(1, 4), rng.choice([0, 1, 30, 200])
    policies = [rng.choice(["skip", "return"]) for _ in range(steps)]
    ordered = rng.random() < 0.5
    made = [
        (
            Plan(seed, place),
            rng.randint(1, 3),
            {
                "on_error": policies[place],
                "retries": rng.randint(0, 2),
                "buffer": rng.randint(1, 20),
                "worker_type": "process" if seed % 8 == 0 else "thread",
            },
        )
        for place in range(steps)
    ]
    run = Pipeline(made, quiet=True, ordered=ordered)
    expected = list(plain(seed, steps, policies, size))
    found = [
        ("return", (it.entry[0], it.step)) if isinstance(it, DeadLetter) else ("result", it)
        for it in run.results((number, 0) for number in range(size))
    ]
    shown = [fate for fate in expected if fate[0] in ("return", "result")]
    assert (found if ordered else Counter(found)) == (shown if ordered else Counter(shown))
    kinds = Counter(kind for kind, _ in expected)
    assert figures(run) == (size, kinds["result"], kinds["skipped"], kinds["skip"] + kinds["return"])
    assert Counter((it.source[0], it.step) for it in run.dead_letters) == Counter(
        what for kind, what in expected if kind in ("skip", "return")
    )
