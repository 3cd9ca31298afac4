"""The errors: what they carry, how they read, and that they survive the way between processes."""

from __future__ import annotations

import pickle
import threading
import traceback
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Worker, WorkerError
from papy._base.errors import is_failure
from papy._base.failures import failure, origins, passed_on, place
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


def test_an_exception_that_is_false_keeps_its_type() -> None:
    assert type(pickle.loads(pickle.dumps(failed(work.empty, 1))).exception) is work.Empty


def test_an_inbox_that_can_not_travel_arrives_as_its_text() -> None:
    error = Worker([work.lambda_in_hand, work.call_and_fail])([1])
    again = pickle.loads(pickle.dumps(error))
    assert str(again.exception) == "no use for it" and again.inbox[0].startswith("<function")


@pytest.mark.parametrize("there", [True, False])
def test_classes_and_functions_of_a_function_reach_and_leave_processes(there: bool) -> None:
    """A map carries their code; pickle alone can't."""

    class Local(Exception):
        pass

    class Item:
        def __init__(self, call: Any) -> None:
            self.call = call

    def fail(item: Item) -> None:
        raise Local("no", [ValueError(item.call(1))])

    imap = IMap(worker_num=1)
    first, last = Piper(fail, imap if there else None, unpack=True), Piper(work.same, imap, unpack=True)
    (error,) = Dagger(pipes=[(first, last)]).results([[Item(lambda x: x + 1)]])
    assert (
        type(error.exception) is Local and error.exception.args[0] == "no" and error.exception.args[1][0].args == (2,)
    )
    assert type(error.inbox[0]) is Item and error.inbox[0].call(2) == 3


def test_what_no_map_can_carry_is_not_carried_with_a_failure() -> None:
    lock = threading.Lock()

    def fail(item: Any) -> None:
        raise KeyError("no", item)

    dagger = Dagger(pipes=[(Piper(fail, unpack=True), Piper(work.same, IMap(worker_num=1), unpack=True))])
    (error,) = dagger.results([[lambda: lock]])
    assert type(error.exception) is Exception and str(error.exception).startswith("KeyError: ('no', <function")
    assert error.function == "fail" and error.inbox[0].startswith("<function")


@pytest.mark.parametrize("kind", [None, "serial", "thread", "process"])
@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_what_ends_an_iteration_is_the_exception_of_a_failure(kind: str | None, error: type[Exception]) -> None:
    def fail(x: int) -> None:
        raise error(x)

    parallel: IMap[Any] | None = kind and IMap(worker_type=kind, worker_num=1)
    (failed,) = Dagger([Piper(fail, parallel, unpack=True)]).results([[1]])
    assert (type(failed.exception), failed.exception.args, failed.inbox) == (error, (1,), [1])


def test_pickle_alone_gets_a_failure_with_what_it_can_carry() -> None:
    class Local(Exception):
        pass

    def fail(_: Any) -> None:
        raise Local("no")

    error = pickle.loads(pickle.dumps(failed(fail, 1)))
    assert str(error.exception) == "Local: no" and error.inbox == [1]


def test_a_failure_is_pickled_and_shown_however_long_its_way_was() -> None:
    error = inner = failure("invert", 7, failed(work.inverse, 0))
    for _ in range(5000):
        error = passed_on([error])
    place(error, 3)
    again = pickle.loads(pickle.dumps(error))
    assert (again.piper, again.number, again.index, again.inbox) == ("invert", 7, 3, [0])
    assert type(again.exception) is ZeroDivisionError and "return 1 / x" in str(again.__cause__.__cause__)
    assert repr(error) == "PiperError(" * 5000 + repr(inner) + ")" * 5000
    assert repr(inner) == "PiperError(WorkerError(ZeroDivisionError('division by zero'), 'inverse', (0,)))"


def test_a_failure_of_several_is_pickled_and_shown_once_each() -> None:
    left, right = failure("a", 1, ValueError("left")), failure("b", 2, ValueError("right"))
    error = passed_on([left, right])
    for _ in range(100):
        error = passed_on([error, error])
    again = pickle.loads(pickle.dumps(error))
    assert [it.number for it in origins(again)] == [1, 2]
    assert repr(again) == repr(error) and repr(error).count("PiperError(...)") == 100
    assert (
        repr(passed_on([left, right])) == "PiperError(PiperError(ValueError('left')), PiperError(ValueError('right')))"
    )
