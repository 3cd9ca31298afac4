"""The errors: what they carry, how they read, and that they survive the way between processes."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from papy import DaggerError, PiperError, Worker, WorkerError
from papy._errors import failure, is_failure, origins, passed_on, place
from tests.papy import work


def failed(function: Any, *inbox: Any) -> WorkerError:
    error = Worker(function, unpack=True)(inbox)
    assert isinstance(error, WorkerError)
    return error


@pytest.mark.parametrize("error", [DaggerError, PiperError, WorkerError])
def test_the_errors_are_direct_exceptions(error: type[Exception]) -> None:
    assert error.__bases__ == (Exception,)


@pytest.mark.parametrize("again", [lambda it: it, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_failure_leads_to_its_origin(again: Any) -> None:
    inner = failure("invert", 7, failed(work.inverse, 0))
    place(inner, 3)
    outer = again(passed_on([passed_on([inner])]))
    assert outer.args[0].args[0].args[0].args[0].__class__ is ZeroDivisionError
    assert type(outer.exception) is ZeroDivisionError
    assert (outer.function, list(outer.inbox)) == ("inverse", [0])
    assert (outer.piper, outer.number, outer.index) == ("invert", 7, 3)
    assert str(outer) == "invert (inverse) failed on item 3: ZeroDivisionError: division by zero"
    shown = "".join(traceback.format_exception(outer))
    assert "return 1 / x" in shown and "inverse raised ZeroDivisionError" in shown


def test_the_function_is_named_only_where_the_piper_does_not() -> None:
    assert str(failure("inverse", 7, failed(work.inverse, 0))) == "inverse failed: ZeroDivisionError: division by zero"
    assert str(passed_on([failure("a", 1, KeyError())])) == "a failed: KeyError"


def test_an_error_by_hand_is_no_failure() -> None:
    error = PiperError("misuse", 3)
    assert not is_failure(error) and str(error) == "('misuse', 3)" and str(PiperError("misuse")) == "misuse"
    assert [error.exception, error.function, error.inbox, error.piper, error.number, error.index] == [None] * 6


def test_a_place_is_given_once() -> None:
    before = failure("b", 2, ValueError())
    place(before, 5)
    error = passed_on([failure("a", 1, ValueError()), before])
    place(error, 7)
    place(error, 8)
    assert [origin.index for origin in origins(error)] == [7, 5]


def test_origins_of_many_diamonds_are_found_at_once() -> None:
    origin = error = failure("a", 1, ValueError())
    for _ in range(200):
        error = passed_on([passed_on([error]), passed_on([error])])
    assert list(origins(error)) == [origin] and error.piper == "a"


def test_an_exception_whose_constructor_takes_other_arguments_keeps_its_type() -> None:
    error = pickle.loads(pickle.dumps(failed(work.two_arguments, 1)))
    assert type(error.exception) is work.TwoArguments and str(error.exception) == "this and that"
    assert "in two_arguments" in str(error.__cause__)


def test_an_inbox_that_can_not_travel_arrives_as_its_text() -> None:
    error = Worker([work.lambda_in_hand, work.call_and_fail])([1])
    again = pickle.loads(pickle.dumps(error))
    assert str(again.exception) == "no use for it" and again.inbox[0].startswith("<function")
