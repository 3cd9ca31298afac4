"""Objects whose own code misbehaves on the way: only the item that has them fails, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, ItemError, SerializationError, WorkerDied, join, tee
from tests.numap import work
from tests.numap.programs import ENGINES, STARTS, run

KINDS = [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit, BaseException, RuntimeError]


@dataclass(frozen=True)
class NotFound(Exception):
    key: str


class Sealed(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Burdened(Exception):
    """Its attribute can't travel."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock: Any = (x for x in ())


class RefusesDump:
    """Raises while it is pickled."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("dump")


def fail_at_one(x: int, kind: type[Exception]) -> int:
    if x == 1:
        raise kind("one")
    return x


def refuse_at_one(x: int, refuses: Any, kind: type[BaseException]) -> Any:
    return refuses(kind) if x == 1 else x


@pytest.mark.parametrize("engine", [*STARTS, "thread", "serial"])
@pytest.mark.parametrize("kind", [NotFound, Sealed, Burdened])
def test_exceptions_that_can_not_be_changed_or_not_travel_whole(engine: str, kind: type[Exception]) -> None:
    imap = IMap(fail_at_one, range(4), (kind,), **ENGINES[engine])
    assert next(imap) == 0
    with pytest.raises(kind) as found:
        next(imap)
    assert found.value.args == ("one",)
    assert found.value.__cause__ is not None
    assert list(imap) == [2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_raises_while_it_is_pickled(kind: type[BaseException]) -> None:
    found = list(IMap(refuse_at_one, range(3), (RefusesDump, kind), worker_num=1, on_error="return"))
    assert (found[0], type(found[1]), found[2]) == (0, SerializationError, 2)


@pytest.mark.parametrize("kind", set(KINDS) - {KeyboardInterrupt})
def test_a_result_that_raises_while_it_is_unpickled(kind: type[BaseException]) -> None:
    found = list(IMap(refuse_at_one, range(3), (work.Trap, kind), worker_num=1, on_error="return"))
    assert (found[0], type(found[1]), found[2]) == (0, SerializationError, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refuses", [RefusesDump, work.Trap])
def test_an_item_that_raises_on_its_way(kind: type[BaseException], refuses: Any) -> None:
    found = list(IMap(type, [1, refuses(kind), 2], worker_num=1, on_error="return"))
    assert (found[0], type(found[1]), found[2]) == (int, SerializationError, int)


def test_what_is_no_exception_in_a_function_is_still_an_item_error() -> None:
    (found,) = IMap(work.spring, [SystemExit], worker_num=1, on_error="return")
    assert isinstance(found, ItemError)


@pytest.mark.parametrize("start", STARTS)
def test_an_item_that_takes_modules_and_path_from_its_worker_harms_no_other(start: str, tmp_path: Path) -> None:
    code = """
def wreck(x):
    sys.path.clear()
    sys.modules.clear()
    return x
say(list(IMap(wreck, range(40), **OPTIONS)) == list(range(40)))
"""
    assert run(tmp_path, code, start).stdout == "True\n"


@pytest.mark.parametrize("start", STARTS)
def test_an_item_may_delete_the_standard_streams(start: str, tmp_path: Path) -> None:
    code = """
def delete(x):
    for name in ("stdout", "stderr"):
        if hasattr(sys, name): delattr(sys, name)
    return x
say(list(IMap(delete, range(40), **OPTIONS)) == list(range(40)))
"""
    assert run(tmp_path, code, start).stdout == "True\n"


def test_views_of_memory_do_not_kill_the_interpreter(tmp_path: Path) -> None:
    """Some versions crash when they collect a cycle that holds a view, as a pickler's memo did."""
    code = """
import gc
for _ in range(40):
    say(next(IMap(len, [memoryview(b"0123456789")], **{**OPTIONS, "worker_num": 1})))
    gc.collect()
"""
    assert run(tmp_path, code).stdout == "10\n" * 40


# ---------------------------------------------------------------------- failures and streams


@pytest.mark.parametrize("engine", ["default", "thread", "serial"])
def test_with_return_no_function_behind_a_tee_gets_a_failure(engine: str) -> None:
    def got(x: Any) -> Any:
        return "got", x

    imap = IMap(on_error="return", **ENGINES[engine])
    left, right = tee(imap.add_task(fail_at_one, range(3), (ValueError,)))
    ends = imap.add_task(got, left), imap.add_task(got, right)
    with imap:
        for first, error, last in (list(ends[0]), list(ends[1])):
            assert (first, last) == (("got", 0), ("got", 2))
            assert type(error) is ValueError


@pytest.mark.parametrize("engine", ["default", "thread", "serial"])
def test_with_return_a_failed_member_makes_its_place_of_a_mixed_join_fail(engine: str) -> None:
    def members() -> Iterator[Any]:
        yield from "abc"

    imap = IMap(on_error="return", **ENGINES[engine])
    end = imap.add_task(type, join(imap.add_task(fail_at_one, range(3), (ValueError,)), members()))
    with imap:
        first, error, last = end
    assert (first, type(error), last) == (tuple, ValueError, tuple)


def test_with_return_who_reads_a_stream_gets_the_failure_as_its_result() -> None:
    imap = IMap(on_error="return", worker_type="thread")
    left, right = tee(imap.add_task(fail_at_one, range(3), (ValueError,)))
    with imap:
        assert [x if type(x) is int else type(x) for x in left] == [0, ValueError, 2]
        assert [x if type(x) is tuple else type(x) for x in join(right, "abc")] == [(0, "a"), ValueError, (2, "c")]


def test_the_death_of_an_inner_map_has_the_place_of_the_outer_item_in_its_note() -> None:
    def outer(x: int) -> Any:
        return list(IMap(work.die, [x], worker_num=1))

    (found,) = IMap(outer, [7], worker_num=1, on_error="return")
    assert isinstance(found, WorkerDied)
    assert (found.task, found.index) == (0, 0)  # of the inner map, as its text says
    (note,) = found.__notes__
    assert note.startswith("in task 0 (")
    assert "outer), item 0, worker process" in note
