"""papy.Worker: what it is made of, what it returns, when it equals another."""

from __future__ import annotations

import functools
import operator
import pickle
from typing import Any

import pytest

from papy import Piper, PiperError, Worker, WorkerError
from papy._base.failures import failure
from tests.papy import work


def power(inbox: list[int], exponent: int = 2) -> int:
    return inbox[0] ** exponent


def double(inbox: list[int], times: int = 2) -> int:
    return inbox[0] * times


class Adder:
    """A callable object, with a method that is one, too."""

    def __init__(self, summand: int) -> None:
        self.summand = summand

    def __call__(self, inbox: list[int]) -> int:
        return inbox[0] + self.summand

    def method(self, inbox: list[int]) -> int:
        return inbox[0] + self.summand


def test_one_function() -> None:
    assert Worker(power)([3]) == 9


def test_constant_arguments() -> None:
    assert Worker(power, (3,))([2]) == 8
    assert Worker(power, [3])([2]) == 8
    assert Worker(power, (), {"exponent": 3})([2]) == 8
    assert Worker(power, kwargs={"exponent": 3})([2]) == 8


def test_functions_are_composed_from_left_to_right() -> None:
    assert Worker((power, double))([3]) == 18
    assert Worker([power, double], [(3,), (5,)])([2]) == 40
    assert Worker([power, double], kwargs=[{}, {"times": 5}])([2]) == 20


def test_workers_are_copied_and_concatenated() -> None:
    first, second = Worker(power, (3,)), Worker([double, double], kwargs=[{}, {"times": 3}])
    assert Worker(first) == first
    both = Worker([first, second])
    assert both([2]) == 48
    assert both.task == (power, double, double)
    assert both.args == ((3,), (), ()) and both.kwargs == ({}, {}, {"times": 3})
    assert Worker([first, double]) == Worker([power, double], [(3,), ()])


@pytest.mark.parametrize(
    "function", [Adder(1), Adder(1).method, functools.partial(double, times=1), lambda inbox: inbox[0] + 1, sum]
)
def test_any_callable_is_a_worker(function: Any) -> None:
    assert isinstance(Worker(function)([2]), int)


def test_classes_are_callables() -> None:
    assert Worker(complex, unpack=True)([1, 2]) == 1 + 2j


def test_unpack_gives_the_items() -> None:
    assert Worker(operator.sub, unpack=True)([5, 3]) == 2
    assert Worker([operator.sub, abs], unpack=True)([3, 5]) == 2
    assert Worker(int, (8,), unpack=True)(["17"]) == 15
    assert Worker([Worker(operator.sub, unpack=True), power])([5, 3]) == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((1,), "functions"),
        (([1],), "functions"),
        (("abc",), "functions"),
        ((None,), "functions"),
        (([],), "at least one"),
        ((Piper(power),), "functions"),
        ((power, 3), "arguments"),
        ((power, "ab"), "arguments"),
        ((power, (), (1,)), "kwargs"),
        (([power, double], [(1,)]), "arguments: 1 given; must be 2"),
        (([power, double], 3), "arguments"),
        (([power, double], [1, 2]), "arguments"),
        (([power, double], None, [{}]), "kwargs: 1 given; must be 2"),
        (([power, double], None, {}), "kwargs"),
        ((Worker(power), (3,)), "brings its own"),
        (([Worker(power), double], [(), ()]), "brings its own"),
    ],
)
def test_what_a_worker_can_not_be_made_of(args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Worker(*args)


def test_coroutine_functions_are_refused() -> None:
    async def later(inbox: list[int]) -> int:
        return 0

    with pytest.raises(TypeError, match="coroutine"):
        Worker(later)


def test_an_exception_is_returned() -> None:
    error = Worker((power, functools.partial(operator.truediv, 1)))([3])
    assert isinstance(error, WorkerError)
    exception, function, inbox = error.args
    assert isinstance(exception, TypeError)
    assert (function, inbox) == ("truediv", (9,))
    assert (error.exception, error.function, error.inbox) == error.args
    assert str(error).startswith("truediv raised TypeError: ")


def test_the_traceback_survives_as_text() -> None:
    def outer(inbox: list[int]) -> int:
        return inner(inbox[0])

    def inner(x: int) -> int:
        try:
            return x // 0
        except ZeroDivisionError as error:
            raise LookupError("wrapped") from error

    error = Worker(outer)([1])
    for it in (error, pickle.loads(pickle.dumps(error))):
        text = str(it.__cause__)
        assert "in inner" in text and "x // 0" in text and "LookupError: wrapped" in text
        assert "in evaluate" not in text
    assert error.exception.__traceback__ is None and error.exception.__cause__.__traceback__ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_escapes(error: type[BaseException]) -> None:
    def fail(inbox: list[int]) -> None:
        raise error

    with pytest.raises(error):
        Worker(fail)([1])


@pytest.mark.parametrize("error", [StopIteration, RecursionError, StopAsyncIteration])
def test_every_exception_is_returned(error: type[Exception]) -> None:
    def fail(inbox: list[int]) -> None:
        raise error

    assert type(Worker(fail)([1]).exception) is error


def test_nothing_is_evaluated_on_a_failed_item() -> None:
    calls: list[Any] = []
    errors = [failure("first", 1, ValueError("a")), failure("second", 2, ValueError("b"))]
    result = Worker(calls.append)([errors[0], 1, errors[1]])
    assert isinstance(result, PiperError)
    assert list(result.args) == errors and calls == []


@pytest.mark.parametrize("value", [WorkerError(ValueError(), "f", []), PiperError("by hand"), ValueError("v")])
def test_exception_objects_are_values(value: Exception) -> None:
    worker = Worker([lambda x: x, lambda x: x], unpack=True)
    assert worker([value]) is value


def test_equality_is_structural() -> None:
    assert Worker(power, (3,)) == Worker([power], [(3,)])
    assert Worker(power) != Worker(power, (3,))
    assert Worker(power) != Worker(power, kwargs={"exponent": 3})
    assert Worker(power) != Worker(power, unpack=True)
    assert Worker(power) != Worker([power, power])
    assert Worker(power) != Worker(double)
    assert Worker(power) != power
    assert Worker(Adder.method) == Worker(Adder.method)
    assert Worker(functools.partial(power, exponent=3)) == Worker(functools.partial(power, exponent=3))
    assert Worker(functools.partial(power, exponent=3)) != Worker(functools.partial(power, exponent=4))


def test_workers_have_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(Worker(power))


def test_names() -> None:
    worker = Worker([power, functools.partial(double), Adder(1)])
    assert worker.name == worker.__name__ == "power>double>Adder"
    assert repr(worker) == "Worker(power>double>Adder)"
    assert repr(Worker(power, name="square")) == "Worker(square)"


def test_workers_can_be_pickled() -> None:
    worker = Worker([functools.partial(work.tagged, tag="a"), work.total], [(), ()], unpack=False)
    again = pickle.loads(pickle.dumps(worker))
    assert again == worker and again.name == worker.name


def test_later_changes_of_the_arguments_do_not_matter() -> None:
    kwargs = {"exponent": 2}
    worker = Worker(power, kwargs=kwargs)
    kwargs["exponent"] = 3
    assert worker([3]) == 9


@pytest.mark.parametrize("args", [(), ("w",), ("one", "two"), ("one", "two", "three"), (1, 2, 3, 4)])
def test_75_a_worker_error_of_a_program_is_an_exception_like_others(args: tuple[Any, ...]) -> None:
    """As in PaPy, where it has no constructor of its own."""
    error = pickle.loads(pickle.dumps(WorkerError(*args)))
    assert type(error) is WorkerError and error.args == args and str(error) == str(Exception(*args))
    assert (error.exception, error.function, error.inbox) == (None, None, ())

    def fails(inbox: Any) -> None:
        raise WorkerError(*args)

    failed = Worker(fails)([1])
    assert (
        isinstance(failed, WorkerError) and isinstance(failed.exception, WorkerError) and failed.exception.args == args
    )
