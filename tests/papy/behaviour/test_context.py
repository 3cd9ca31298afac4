"""Guarantee 78 in pipelines: what runs in this process on behalf of a caller runs in the caller's context."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Pipeline, Piper, Plumber, SkipEntry, iterstep

request_id: ContextVar[str] = ContextVar("request_id", default="unset")


def look(*_: Any) -> tuple[str, int]:
    return request_id.get(), decimal.getcontext().prec


def source() -> Iterator[tuple[str, int]]:
    for _ in range(3):
        yield look()


def note(inbox: Any) -> list[Any]:
    """What came, and what is seen here."""
    return [*(inbox[0] if isinstance(inbox[0], list) else inbox), look()]


def graph(kind: type[Dagger], **options: Any) -> Dagger:
    """A linear piper before and behind one of an IMap."""
    made = kind()
    made.add_pipe((Piper(note), Piper(note, parallel=IMap(**options)) if options else Piper(note), Piper(note)))
    return made


def dagger(**options: Any) -> list[Any]:
    return list(graph(Dagger, **options).results([source()]))


def plumber(**options: Any) -> list[Any]:
    found: list[Any] = []
    made = graph(Plumber, **options)
    made.add_pipe((made.get_outputs()[0], Piper(lambda inbox: found.append(note(inbox)))))
    made.start([source()])
    made.run()
    made.wait()
    made.stop()
    return found


def step(entry: Any) -> list[Any]:
    return [*(entry if isinstance(entry, list) else [entry]), look()]


@iterstep
def each(entries: Iterator[Any]) -> Iterator[Any]:
    for entry in entries:
        yield step(entry)


def pipeline(**options: Any) -> list[Any]:
    return list(Pipeline((step, 2), (each, 1), (step, 2)).results(source()))


def continuous(**options: Any) -> list[Any]:
    found: list[Any] = []

    def last(entry: Any) -> None:
        found.append(step(entry))
        raise SkipEntry

    made = Pipeline((step, 2), (last, 1))
    made.run_forever(background=True)
    made.put_iterable(source())
    made.stop()
    return found


THREAD, SERIAL = {"worker_type": "thread"}, {"worker_type": "serial"}


@pytest.mark.parametrize(
    ("run", "options"),
    [
        *((run, options) for run in (dagger, plumber) for options in ({}, THREAD, SERIAL)),
        (pipeline, {}),
        (continuous, {}),
    ],
)
def test_78_all_that_runs_in_this_process_sees_the_callers_context(
    run: Callable[..., Any], options: dict[str, Any]
) -> None:
    token = request_id.set("7")
    try:
        with decimal.localcontext() as context:
            context.prec = 50
            found = run(**options)
    finally:
        request_id.reset(token)
    assert len(found) == 3
    assert {seen for item in found for seen in item} == {("7", 50)}
