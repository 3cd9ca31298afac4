"""Coroutine pipelines, the functions that are their steps, and the way between both kinds of pipelines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

import pytest

from papy import (
    Counter,
    Pipeline,
    PipelineStep,
    chunk,
    combine_pipeline,
    consume,
    entry_counter,
    flatten,
    identity_step,
    is_iterable,
    iterstep,
    recursive_flatten,
)


def remove_odd(entries: Iterable[int]) -> Iterator[int]:
    for entry in entries:
        if entry % 2 == 0:
            yield entry


class Add(PipelineStep):
    def __init__(self, n: int) -> None:
        self.n = n

    def process(self, iterator: Iterable[int]) -> Iterator[int]:
        return (entry + self.n for entry in iterator)


def test_steps_around_a_source() -> None:
    assert len(list(combine_pipeline(range(1000), [remove_odd]))) == 500
    assert list(combine_pipeline([1, 2], [Add(1), Add(10)])) == [12, 13]
    assert list(combine_pipeline([1, 2], [])) == [1, 2]


def test_nested_steps() -> None:
    steps = [Add(1), [remove_odd, (Add(1), [PipelineStep()]), iter([Add(2)])], identity_step]
    assert list(combine_pipeline([1, 2, 3], steps)) == [5, 7]


def test_nothing_runs_before_it_is_asked_for() -> None:
    pulled = []

    def source() -> Iterator[int]:
        for n in count():
            pulled.append(n)
            yield n

    pipeline = combine_pipeline(source(), [remove_odd, Add(1)])
    assert pulled == []
    assert next(pipeline) == 1
    assert pulled == [0]


def test_a_callable_source_makes_a_callable() -> None:
    for steps in ([remove_odd, Add(1)], [remove_odd, PipelineStep(), Add(1)]):
        pipeline = combine_pipeline(range, steps)
        assert list(pipeline(4)) == list(pipeline(4)) == [1, 3]
        assert list(pipeline(4, 6)) == [5]
    assert list(combine_pipeline(partial(range, 2), [])(4)) == [2, 3]


def test_a_callable_that_is_an_iterator_counts_as_callable() -> None:
    class Both:
        def __call__(self) -> list[int]:
            return [1]

        def __iter__(self) -> Iterator[int]:
            return iter([2])

    assert list(combine_pipeline(Both(), [])()) == [1]


def test_what_is_no_source_and_no_step() -> None:
    with pytest.raises(TypeError, match="source"):
        combine_pipeline(1, [])
    for steps in ([1], ["ab"], [[None]]):
        with pytest.raises(TypeError, match="steps: must be callable"):
            combine_pipeline([], steps)
    for no_list in (None, 1, identity_step):
        with pytest.raises(TypeError, match="steps: must be a list of steps"):
            combine_pipeline([], no_list)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"steps: must be objects; Add is a class, so write Add\(...\)"):
        combine_pipeline([], [Add])


def test_errors_pass_as_in_any_generator() -> None:
    with pytest.raises(TypeError):
        list(combine_pipeline(["a"], [Add(1)]))


def test_chunk_and_flatten() -> None:
    assert list(chunk(3)([])) == []
    assert list(chunk(3)(range(7))) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(next(chunk()(count()))) == 32
    assert list(islice(flatten(chunk(2)(count())), 5)) == [0, 1, 2, 3, 4]
    for size, error in ((0, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(error, match="size"):
            chunk(size)  # type: ignore[arg-type]


def test_recursive_flatten() -> None:
    assert list(recursive_flatten([1, [[2], (3, {4})], "five", [b"\x06"], []])) == [1, 2, 3, 4, "five", 6]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep, 1]
    assert list(recursive_flatten(deep)) == [1] * 5000


def test_is_iterable_and_consume() -> None:
    assert [is_iterable(it) for it in ([], "", iter([]), range(1), 1, None)] == [True] * 4 + [False] * 2
    entries = iter(range(10))
    consume(entries, 3)
    assert next(entries) == 3
    consume(entries)
    assert list(entries) == []
    consume(entries, 5)


def test_entry_counter(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter(show_every=None)
    assert list(combine_pipeline("abc", [partial(entry_counter, counter=counter)])) == ["a", "b", "c"]
    assert counter.counts == {"entries": 3}
    with caplog.at_level("INFO", "papy.counter"):
        assert list(entry_counter([1], "one", Counter(show_every=-1))) == [1]
        assert list(entry_counter([1], "never", Counter(show_every=None))) == [1]
        assert list(entry_counter([1], "quiet", Counter(show_every=-1, quiet=True))) == [1]
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["one: 1"]
    assert counter.rate("entries") > 0
    counter.init("begun")
    counter.init("entries")
    assert counter.counts == {"entries": 3, "begun": 0}


@pytest.mark.parametrize("options", [(), (None, 10, True), (None, None, False)])
def test_a_counter_as_paipa_makes_it(caplog: pytest.LogCaptureFixture, options: tuple[Any, ...]) -> None:
    for logger in (logging.getLogger("mine"), "mine"):
        counter = Counter(logger, *options)
        counter.count("reads")
        counter.count("writes", 2)
        counter.count()
        caplog.clear()
        with caplog.at_level("INFO", "mine"):
            counter.show()
        lines = [record.getMessage().split(",")[0] for record in caplog.records if record.name == "mine"]
        assert lines == ["reads: 1", "writes: 2", "default: 1"]


def test_a_counter_tells_of_a_session(caplog: pytest.LogCaptureFixture) -> None:
    session = SimpleNamespace(new=[1], dirty=[], deleted=[1, 2], identity_map={1: 1, 2: 2, 3: 3})
    counter = Counter(None, session)
    counter.count("reads")
    with caplog.at_level("INFO", "papy.counter"):
        counter.show()
        counter.show("reads")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["reads", "session", "reads"]
    assert "new 1, dirty 0, deleted 2, identity map 3" in caplog.text


def test_wrong_arguments_of_a_counter() -> None:
    for options in ({"logger": 1}, {"session": 1}, {"show_every": "5"}, {"quiet": "no"}):
        with pytest.raises(TypeError, match=next(iter(options))):
            Counter(**options)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        Counter().show("never")


def test_a_step_pipeline_as_source_and_as_step() -> None:
    pipeline = Pipeline((lambda n: n + 1, 2))
    assert sorted(combine_pipeline(pipeline.results(range(4)), [remove_odd])) == [2, 4]
    assert sorted(combine_pipeline(range(4), [remove_odd, pipeline.results, Add(10)])) == [11, 13]


def test_coroutine_steps_as_a_step_of_threads() -> None:
    def both(entries: Iterable[int]) -> Iterable[int]:
        found: Iterable[int] = combine_pipeline(entries, [remove_odd, Add(1)])
        return found

    assert sorted(Pipeline((iterstep(both), 2)).results(range(6))) == [1, 3, 5]


def test_the_names_of_paipa() -> None:
    import papy

    names = """combine_pipeline identity_step consume chunk AbstractStep AbstractIterStep SkipEntry Pipeline funcstep iterstep
    PipelineRuntimeDebugger""".split()
    assert set(names) <= set(papy.__all__)
