"""What a handler of signals raises while an item is computed: it is for whoever takes the results, whatever the handler is."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper
from tests.papy import work


class Alarm(Exception):
    """What a handler raises, that is no reason to leave the program."""


class Handler:
    """Raises the error, called in one of several ways."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __call__(self, number: int, frame: object) -> None:
        raise self.error("by the handler")

    def method(self, number: int, frame: object) -> None:
        del number, frame
        raise self.error("by the handler")


def logged(handler: Callable[..., None]) -> Callable[..., None]:
    @wraps(handler)
    def call(*args: object) -> None:
        handler(*args)

    return call


KINDS: dict[str, Callable[[Handler], Any]] = {
    "object": lambda handler: handler,
    "method": lambda handler: handler.method,
    "lambda": lambda handler: lambda *_: handler(0, None),
    "partial": lambda handler: partial(partial(Handler.method, handler)),
    "decorated": lambda handler: logged(handler.method),
}


@contextmanager
def handled(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def kill_at_two_once(done: list[int], x: int) -> int:
    done.append(x)
    if x == 2 and done.count(x) == 1:
        signal.raise_signal(signal.SIGTERM)
    return x


def engine_of(kind: str) -> IMap[Any] | None:
    return None if kind == "linear" else IMap(worker_type="serial")


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("error", [SystemExit, Alarm, RuntimeError])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["linear", "serial"])
def test_it_ends_the_run_and_no_item_fails(engine: str, kind: str, error: type[BaseException], retries: int) -> None:
    done: list[int] = []
    piper = Piper(partial(kill_at_two_once, done), engine_of(engine), unpack=True, retries=retries)
    results = Dagger([piper]).results([[1, 2, 3]])
    with handled(KINDS[kind](Handler(error))):
        assert next(results) == 1
        with pytest.raises(error, match="by the handler"):
            list(results)
    assert done == [1, 2]


@pytest.mark.parametrize("error", [SystemExit, Alarm])
@pytest.mark.parametrize("functions", [1, 2])
@pytest.mark.parametrize("engine", ["linear", "serial"])
def test_the_item_runs_again(engine: str, functions: int, error: type[BaseException]) -> None:
    done: list[int] = []
    steps = [partial(kill_at_two_once, done), work.double][:functions]
    piper = Piper([partial(step) for step in steps], engine_of(engine), unpack=True)
    with handled(Handler(error)), Dagger([piper]) as dagger:
        dagger.start([[1, 2, 3]])
        assert next(piper) == functions
        with pytest.raises(error, match="by the handler"):
            next(piper)
        assert list(piper) == [2 * functions, 3 * functions]
    assert done == [1, 2, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_serial_map(kind: str) -> None:
    done: list[int] = []
    with handled(KINDS[kind](Handler(Alarm))):
        results = IMap(partial(kill_at_two_once, done), [1, 2, 3], worker_type="serial", on_error="return")
        assert next(results) == 1
        with pytest.raises(Alarm, match="by the handler"):
            next(results)
        assert list(results) == [2, 3]
    assert done == [1, 2, 2, 3]


@pytest.mark.parametrize("engine", ["linear", "serial"])
def test_what_items_raise_is_theirs_also_where_they_run_what_a_handler_runs(engine: str) -> None:
    """A decorator that both have is not the handler."""

    def fail(x: int) -> None:
        raise Alarm(x)

    with handled(logged(Handler(Alarm))):
        (result,) = Dagger([Piper(logged(fail), engine_of(engine), unpack=True)]).results([[1]])
    assert isinstance(result.exception, Alarm)


def test_a_handler_in_a_worker_process_is_the_workers_own() -> None:
    imap: IMap[Any] = IMap(worker_type="process", worker_num=1, initializer=work.handle_sigterm)
    first, second = Dagger([Piper(work.terminate_at_two, imap, unpack=True)]).results([[1, 2]])
    assert first == 1 and isinstance(second.exception, TimeoutError)
