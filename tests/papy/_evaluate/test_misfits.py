"""What belongs elsewhere, given to a piper: refused when that is made, with what to write instead."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from numap import IMap
from papy import (
    AbstractIterStep,
    AbstractStep,
    Dagger,
    DaggerError,
    Pipeline,
    PipelineStep,
    Piper,
    PiperError,
    TimedChunk,
    Worker,
    chunk,
    flatten,
    funcstep,
    iterstep,
    recursive_flatten,
)
from papy.util.func import load_stream, make_lines


def words(text: str, more: int = 0) -> Iterator[str]:
    yield from text.split()


def through(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def kept(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        len(args)
        result = function(*args, **kwargs)
        len(kwargs)
        return result

    return wrapper


def as_list(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> list[Any]:
        return list(function(*args))

    return wrapper


def collected(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> list[Any]:
        found = function(*args)
        return [it.upper() for it in found]

    return wrapper


def held(function: Any) -> Any:
    """What comes out can't be seen from the code."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return (lambda it: it)(function(*args))

    return wrapper


def hidden(function: Any) -> Any:
    """Nothing tells that there is another function behind it."""
    return lambda *args: [function(*args)][0]


class Words:
    def __call__(self, text: str) -> Iterator[str]:
        yield from text.split()

    def method(self, text: str) -> Iterator[str]:
        yield from text.split()

    @classmethod
    def of_class(cls, text: str) -> Iterator[str]:
        yield from text.split()

    @staticmethod
    def static(text: str) -> Iterator[str]:
        yield from text.split()


GENERATORS = [
    words,
    partial(words, more=1),
    partial(partial(words), more=2),
    through(words),
    kept(words),
    through(through(words)),
    functools.lru_cache(words),
    Words(),
    Words().method,
    Words.of_class,
    Words.static,
    chunk(2),
    flatten,
    recursive_flatten,
    partial(through(words), more=1),
    lambda text: (yield text),
]


@pytest.mark.parametrize("function", GENERATORS)
@pytest.mark.parametrize("options", [{}, {"repeat": True, "produce": 2}])
def test_76_a_generator_function(function: Any, options: dict[str, Any]) -> None:
    for given in (function, [abs, function], Worker(function)):
        with pytest.raises(
            TypeError, match=r"is a generator function: .*return list\(.*produce=n.*Pipeline\(\(iter"
        ) as error:
            Piper(given, unpack=True, **options)
        assert isinstance(error.value, PiperError) and "PiperTypeError" not in f"{type(error.value)}{error.value!r}"
    with pytest.raises(DaggerError, match="is a generator function"):
        Dagger([function])


def test_76_where_a_generator_is_of_use_it_is_welcome() -> None:
    assert list(Dagger([Piper(words, produce=2, unpack=True)]).results([["a b", "c d"]])) == ["a", "b", "c", "d"]
    for function in (as_list(words), lambda text: list(words(text))):
        assert list(Dagger([Piper(function, unpack=True)]).results([["a b"]])) == [["a", "b"]]
    assert list(Dagger([Piper(collected(words), unpack=True)]).results([["a b"]])) == [["A", "B"]]
    lazily = Dagger(pipes=[(Piper(lambda text: (it for it in text), unpack=True), Piper(list, unpack=True))])
    assert list(lazily.results([["ab"]])) == [["a", "b"]]
    assert Worker([words, lambda inbox: list(inbox[0])], unpack=False).steps
    for function in (load_stream, make_lines):
        Piper(function, unpack=True)


@pytest.mark.parametrize("decorated", [held(words), hidden(words), hidden(Words().method)])
@pytest.mark.parametrize("kind", [None, "thread", "process"])
def test_76_a_generator_that_comes_out_of_a_decorator(kind: str | None, decorated: Any) -> None:
    pool: IMap[Any] | None = None if kind is None else IMap(worker_type=kind, worker_num=1)
    for result in Dagger([Piper(decorated, pool, unpack=True)]).results([["a b", "c"]]):
        assert isinstance(result, PiperError) and isinstance(result.exception, TypeError)
        assert re.search("(words|method) is a generator function: .*return list", str(result))


class Step(AbstractStep):
    def process(self, entry: Any) -> Any:
        return entry


class IterStep(AbstractIterStep):
    def process(self, iterator: Any) -> Any:
        yield from iterator


class Coroutine(PipelineStep):
    pass


async def fetch(inbox: Any) -> Any:
    await asyncio.sleep(0)


async def pages(inbox: Any) -> Any:
    yield inbox


class Fetch:
    async def __call__(self, inbox: Any) -> Any: ...

    async def method(self, inbox: Any) -> Any: ...


MISFITS: list[tuple[Any, str]] = [
    (Step, r"Step is a step of a Pipeline: write Pipeline\(\(Step, 1\)\)"),
    (Step(), "Step is a step of a Pipeline"),
    (IterStep, "IterStep is a step of a Pipeline"),
    (TimedChunk, "TimedChunk is a step of a Pipeline"),
    (iterstep(words), r"words is a step of a Pipeline: write Pipeline\(\(words, 1\)\)"),
    (funcstep(len), "len is a step"),
    (IterStep(), "IterStep is a step"),
    (Coroutine, "combine_pipeline"),
    (Coroutine(), "combine_pipeline"),
    (Pipeline((abs, 1)), "a Pipeline is no function"),
    ((n for n in "ab"), r"<genexpr> is a generator: that is data, for results\("),
    (fetch, r"fetch is a coroutine function, .*asyncio\.run\(fetch\("),
    (pages, "coroutine function"),
    (partial(fetch), "coroutine function"),
    (Fetch(), "coroutine function"),
    (Fetch().method, "coroutine function"),
    (through(fetch), "coroutine function"),
    (partial(through(pages)), "coroutine function"),
]


@pytest.mark.parametrize(("thing", "message"), MISFITS)
def test_76_what_belongs_elsewhere(thing: Any, message: str) -> None:
    for make in (Worker, Piper, lambda it: Piper([abs, it]), lambda it: Piper(it, produce=2)):
        with pytest.raises(TypeError, match=message):
            make(thing)
    with pytest.raises(DaggerError, match=message):
        Dagger().add_pipe([thing])


def test_76_an_object_that_has_any_attribute() -> None:
    class Remote:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *args: Any) -> Any:
            return args

    assert list(Dagger([Piper(Remote())]).results([[1]])) == [([1],)]
