"""Failures on their way: what is kept of an exception, and what it becomes for the caller."""

from __future__ import annotations

import builtins
import pickle
import sys
import traceback
from typing import Any

import pytest

from numap import (
    IMap,
    ItemError,
    NumapError,
    SerializationError,
    SourceError,
    StateError,
    TooManyFailures,
    WorkerDied,
    WorkerStartError,
)
from numap._base.checks import function
from numap._base.errors import RemoteTraceback
from numap._flow.sources import source_error
from numap._items.exceptions import Trace, render, safe_text, trace_of
from numap._items.failures import Failure, exception_of, place, unpickle_failure


class Broken(Exception):
    """Can't say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class TwoArguments(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left}, {right}")


class Slotted(Exception):
    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name != "__cause__":
            raise AttributeError(name)
        super().__setattr__(name, value)


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception after it was raised and caught."""

    def raise_it() -> None:
        if cause is None:
            raise error
        raise error from cause

    try:
        raise_it()
    except BaseException as found:
        return found
    raise AssertionError


def failure(error: BaseException | bytes | None, trace: Trace | None = None, **kwargs: Any) -> Failure:
    return Failure(error, trace, **{"task": 2, "index": 7, "label": "work", **kwargs})


# ---------------------------------------------------------------------- traces


def test_a_trace_has_the_frames_of_the_users_code() -> None:
    trace = trace_of(caught(ValueError("bad")))
    assert (trace.name, trace.text) == ("ValueError", "bad")
    assert [frame[2] for frame in trace.frames] == ["caught", "raise_it"]
    assert trace.frames[0][0] == __file__


def test_a_trace_has_no_frames_of_this_package() -> None:
    try:
        function(3)
    except TypeError as error:
        assert [frame[2] for frame in trace_of(error).frames] == ["test_a_trace_has_no_frames_of_this_package"]


def test_76_nor_of_modules_that_hide_theirs() -> None:
    names: dict[str, Any] = {"__tracebackhide__": True}
    exec("def between(call): call()", names)

    def fail() -> None:
        raise ValueError

    try:
        names["between"](fail)
    except ValueError as error:
        assert [frame[2] for frame in trace_of(error).frames] == ["test_76_nor_of_modules_that_hide_theirs", "fail"]


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert trace_of(ValueError("bad")) == Trace("ValueError", "bad", (), None, None)


def test_causes_and_contexts_are_kept() -> None:
    trace = trace_of(caught(ValueError("bad"), caught(KeyError("missing"))))
    assert trace.cause is not None and trace.context is None
    assert (trace.cause.name, trace.cause.text) == ("KeyError", "'missing'")
    try:
        try:
            raise KeyError("missing")
        except KeyError:
            raise ValueError("bad")  # noqa: B904
    except ValueError as error:
        trace = trace_of(error)
    assert trace.cause is None and trace.context is not None
    assert trace.context.name == "KeyError"


def test_a_suppressed_context_is_not_kept() -> None:
    try:
        try:
            raise KeyError("missing")
        except KeyError:
            raise ValueError("bad") from None
    except ValueError as error:
        assert trace_of(error)[3:] == (None, None)


def test_a_cause_that_is_itself_or_a_ring_ends() -> None:
    error, other = ValueError("a"), ValueError("b")
    error.__cause__ = error
    assert trace_of(error).cause is None
    error.__cause__, other.__cause__ = other, error
    depth, trace = 0, trace_of(error)
    while trace.cause is not None:
        depth, trace = depth + 1, trace.cause
    assert depth < 50


def test_deep_recursion_is_cut_in_the_middle() -> None:
    def down(n: int) -> None:
        if n == 0:
            raise ValueError("bottom")
        down(n - 1)

    try:
        down(500)
    except ValueError as error:
        trace = trace_of(error)
    assert len(trace.frames) == 61
    assert "more frames" in render(trace)
    assert trace.frames[-1][2] == "down"


def test_a_trace_can_be_pickled() -> None:
    trace = trace_of(caught(ValueError("bad"), caught(KeyError(1))))
    assert pickle.loads(pickle.dumps(trace)) == trace


def test_the_text_of_an_exception_that_has_none() -> None:
    assert safe_text(Broken()) == "<its __str__ raised RuntimeError>"
    assert trace_of(Broken()).text == "<its __str__ raised RuntimeError>"


# ---------------------------------------------------------------------- rendering


def test_a_rendered_trace_is_what_python_prints() -> None:
    error = caught(ValueError("bad"), caught(KeyError("missing")))
    expected = "".join(traceback.format_exception(error))
    assert render(trace_of(error)) == expected.rstrip("\n")


def test_rendering_shows_contexts() -> None:
    inner = Trace("KeyError", "1", (), None, None)
    text = render(Trace("ValueError", "", (("nowhere.py", 3, "f"),), None, inner))
    assert text == (
        "Traceback (most recent call last):\nKeyError: 1\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "nowhere.py", line 3, in f\nValueError'
    )


# ---------------------------------------------------------------------- the exception for the caller


def test_an_exception_keeps_its_identity_and_gets_a_note() -> None:
    error = ValueError("bad")
    found = exception_of(failure(error, pid=12))
    assert found is error
    assert str(error) == "bad"
    assert error.__notes__ == ["in task 2 (work), item 7, worker process 12"]


def test_a_note_is_added_once() -> None:
    error = ValueError("bad")
    for _ in range(3):
        exception_of(failure(error))
    assert error.__notes__ == ["in task 2 (work), item 7"]


def test_the_same_exception_at_two_places_has_both_notes() -> None:
    error = ValueError("bad")
    exception_of(failure(error, index=1))
    exception_of(failure(error, index=2))
    assert [note[-6:] for note in error.__notes__] == ["item 1", "item 2"]


def test_notes_of_the_function_stay() -> None:
    error = ValueError("bad")
    error.__notes__ = ["while reading"]
    assert exception_of(failure(error)).__notes__ == ["while reading", "in task 2 (work), item 7"]


def test_an_exception_that_takes_no_note_passes_without() -> None:
    error = Slotted()
    assert exception_of(failure(error)) is error


def test_the_remote_traceback_is_the_cause() -> None:
    found = exception_of(failure(pickle.dumps(ValueError("bad")), trace_of(caught(ValueError("bad")))))
    assert type(found) is ValueError
    assert isinstance(found.__cause__, RemoteTraceback)
    assert "in raise_it" in str(found.__cause__)
    assert "raise error" in str(found.__cause__), "with its source line"
    printed = "".join(traceback.format_exception(found))
    assert "in raise_it" in printed and "direct cause" in printed


def test_a_cause_that_is_there_stays() -> None:
    cause = KeyError(1)
    error = ValueError("bad")
    error.__cause__ = cause
    found = exception_of(failure(error, trace_of(error)))
    assert found.__cause__ is cause


def test_a_remote_cause_is_in_the_text() -> None:
    error = caught(ValueError("bad"), caught(KeyError("missing")))
    found = exception_of(failure(pickle.dumps(error), trace_of(error)))
    assert "KeyError: 'missing'" in str(found.__cause__)


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(5), StopAsyncIteration(), BaseException("x")],
)
@pytest.mark.parametrize("remote", [True, False])
def test_what_must_not_fly_through_the_caller_is_an_item_error(error: BaseException, remote: bool) -> None:
    found = exception_of(failure(pickle.dumps(error) if remote else error, trace_of(caught(error))))
    assert type(found) is ItemError
    assert type(found.original) is type(error)
    assert found.original.args == error.args
    assert type(error).__name__ in str(found)
    assert "in task 2 (work), item 7" in str(found)
    assert isinstance(found.__cause__, RemoteTraceback)


def test_subclasses_of_stop_iteration_too() -> None:
    class Stop(StopIteration):
        pass

    assert type(exception_of(failure(Stop()))) is ItemError


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_exception_groups() -> None:
    group = builtins.ExceptionGroup("several", [ValueError(1), KeyError(2)])
    found: Any = exception_of(failure(pickle.dumps(group)))
    assert type(found) is builtins.ExceptionGroup
    assert [type(error) for error in found.exceptions] == [ValueError, KeyError]
    assert type(exception_of(failure(builtins.BaseExceptionGroup("several", [SystemExit(1)])))) is ItemError


@pytest.mark.parametrize(
    "raw", [b"", b"no pickle", pickle.dumps(3), pickle.dumps(ValueError), pickle.dumps(TwoArguments(1, 2))]
)
def test_bytes_that_are_no_exception(raw: bytes) -> None:
    found = exception_of(failure(raw, Trace("app.Odd", "what happened", (("app.py", 3, "f"),), None, None)))
    assert type(found) is ItemError
    assert found.original is None
    assert "app.Odd: what happened" in str(found)
    assert "item 7" in str(found)
    assert 'File "app.py", line 3, in f' in str(found.__cause__)


def test_nothing_at_all_is_still_an_error() -> None:
    found = exception_of(failure(None))
    assert type(found) is ItemError
    assert "item 7" in str(found)


def test_broken_exceptions_of_the_users_own_thread() -> None:
    found = exception_of(failure(Broken(), trace_of(Broken())))
    assert type(found) is Broken
    assert "__str__ raised RuntimeError" in str(found.__cause__)


def test_a_broken_one_that_is_no_exception() -> None:
    class Loud(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    found = exception_of(failure(Loud()))
    assert type(found) is ItemError
    assert "Loud" in str(found) and "__str__ raised" in str(found)


def test_places() -> None:
    assert place(failure(None)) == "in task 2 (work), item 7"
    assert place(failure(None, pid=5)) == "in task 2 (work), item 7, worker process 5"


def test_unpickling_errors_name_the_reason() -> None:
    reason = AttributeError("no such class")
    found = unpickle_failure(reason)
    assert isinstance(found.error, SerializationError)
    assert "AttributeError: no such class" in str(found.error)
    assert found.error.__cause__ is reason


def test_failures_can_be_pickled() -> None:
    one = failure(b"raw", trace_of(caught(ValueError())), pid=3)
    copy = pickle.loads(pickle.dumps(one))
    for name in ("error", "trace", "pid", "task", "index", "label"):
        assert getattr(copy, name) == getattr(one, name)


# ---------------------------------------------------------------------- errors of ours


@pytest.mark.parametrize(
    "error",
    [
        ItemError("text", SystemExit(3)),
        ItemError("text"),
        WorkerDied("text", 1, 2, 3, -9),
        TooManyFailures("text", 3, 2),
        StateError("text"),
        SourceError("text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel(error: NumapError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error) == "text"
    assert repr(vars(copy)) == repr(vars(error))


def test_errors_of_inputs() -> None:
    cause = ValueError("bad line")
    error = source_error(cause)
    assert type(error) is SourceError
    assert error.__cause__ is cause
    assert "ValueError: bad line" in str(error)


@pytest.mark.parametrize("worker_type", ["process", "thread", "serial"])
def test_76_the_traceback_of_an_input_begins_with_its_own_frames(worker_type: str) -> None:
    def broken() -> Any:
        yield 1
        raise OSError("disk")

    with pytest.raises(SourceError) as caught:
        list(IMap(abs, broken(), worker_type=worker_type, worker_num=1))
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["broken"]


@pytest.mark.parametrize("worker_type", ["thread", "serial"])
def test_76_so_does_that_of_an_initializer(worker_type: str) -> None:
    def broken() -> None:
        raise OSError("disk")

    with pytest.raises(WorkerStartError) as caught:
        list(IMap(abs, [1], worker_type=worker_type, worker_num=1, initializer=broken))
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["broken"]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), SourceError("once"), StateError("stopped")])
def test_errors_of_inputs_that_pass_as_they_are(error: BaseException) -> None:
    assert source_error(error) is error
