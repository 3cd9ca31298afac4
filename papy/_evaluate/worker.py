"""Worker: one or several functions with their constant arguments, as one picklable callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from numap.interop import checks
from papy._base.checks import check_flag
from papy._base.errors import WorkerError, failures_in
from papy._base.failures import passed_on
from papy._base.public import public
from papy._evaluate.current_item import Folder
from papy._evaluate.misfits import coroutine_text, declared, name_of, step_text


class Uncallable:
    """Base of what can be called, but is no function of an inbox."""


class BoundFunction(NamedTuple):
    """One function with its constant arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    unpack: bool


@public
class Worker:
    """One function, or several composed from left to right, called with an inbox; what they raise is returned.

    An inbox is a sequence with one item for each upstream piper. The first function is given the inbox, each further
    one a tuple with what the one before it returned; constant arguments follow::

        function(inbox, *args, **kwargs)
        function(*inbox, *args, **kwargs)        # unpack=True

    Workers are equal if their functions and arguments are; they have no hash. A worker can be pickled as far as its
    functions and arguments can.

    Args:
        functions: A callable, a Worker, or a list or tuple of callables and Workers.
        arguments: The constant positional arguments: a list or tuple; for a list of functions one for each of them.
        kwargs: The constant keyword arguments: a dictionary; for a list of functions one for each of them.
        name: Shown instead of the functions' names.
        unpack: Call the functions with the items of the inbox instead of the inbox.

    Raises:
        TypeError: If anything is not of these kinds, or the lengths don't agree.

    >>> def power(inbox, exponent):
    ...     return inbox[0] ** exponent
    >>> def negative(inbox):
    ...     return -inbox[0]
    >>> worker = Worker([power, negative], [(2,), ()])
    >>> worker
    Worker(power>negative)
    >>> worker([3])
    -9
    >>> worker(["three"])
    WorkerError(TypeError(...), 'power', ['three'])
    >>> Worker(max, kwargs={"key": abs}, unpack=True)([-7, 5])
    -7
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        functions: Any,
        arguments: Sequence[Any] | None = None,
        kwargs: Any = None,
        name: str | None = None,
        *,
        unpack: bool = False,
    ) -> None:
        checks.text("name", name)
        check_flag("unpack", unpack)
        if not isinstance(functions, (list, tuple)):
            functions = [functions]
            arguments = None if arguments is None else [arguments]
            kwargs = None if kwargs is None else [kwargs]
        self._steps = _steps(functions, arguments, kwargs, unpack)
        self.named = name
        self.name = name or ">".join(name_of(step.function) for step in self._steps)
        self.__name__ = self.name

    @property
    def steps(self) -> tuple[BoundFunction, ...]:
        """The functions with their arguments."""
        return self._steps

    @property
    def task(self) -> tuple[Callable[..., Any], ...]:
        """The functions."""
        return tuple(step.function for step in self._steps)

    @property
    def args(self) -> tuple[tuple[Any, ...], ...]:
        """The constant positional arguments of each function."""
        return tuple(step.args for step in self._steps)

    @property
    def kwargs(self) -> tuple[dict[str, Any], ...]:
        """The constant keyword arguments of each function."""
        return tuple(step.kwargs for step in self._steps)

    def parameters(self) -> Iterator[str]:
        """The names of the parameters of its functions, as far as an argument can be given by name and none is."""
        for step in self._steps:
            yield from _parameters(step)

    def given(self, constants: Mapping[str, Any]) -> Worker:
        """A worker whose functions get these as constant arguments, where they have parameters of these names."""
        if not constants:
            return self
        made = Worker.__new__(Worker)
        made.__dict__.update(self.__dict__)
        made._steps = tuple(
            step._replace(kwargs={**step.kwargs, **{it: constants[it] for it in _parameters(step) if it in constants}})
            for step in self._steps
        )
        return made

    def owners(self) -> Iterator[object]:
        """What a program that runs for this worker may be known by: its functions and their constant arguments."""
        for step in self._steps:
            yield step.function
            yield from step.args
            yield from step.kwargs.values()

    def folders(self) -> Iterator[Folder]:
        """Where its functions put files, as far as they say it."""
        for step in self._steps:
            function: Any = step.function
            kwargs = step.kwargs
            while isinstance(function, partial):
                function, kwargs = function.func, {**function.keywords, **kwargs}
            folder = declared(function, "__papy_folder__")
            if folder is not None:
                yield folder(*step.args, **kwargs)

    def __call__(self, inbox: Sequence[Any]) -> Any:
        """Evaluate the functions on an inbox.

        Returns:
            What the last function returns; a `WorkerError` if one raised an Exception; a `PiperError` that wraps the
            failed items, if there are any in the inbox: then no function is called.
        """
        if not hasattr(inbox, "__iter__") and not hasattr(inbox, "__getitem__"):
            raise checks.wrong_type("inbox", "a list with one item of each input", inbox)
        failures = failures_in(inbox)
        if failures:
            return passed_on(failures)
        try:
            return self.evaluate(inbox)
        except WorkerError as error:
            return error.with_traceback(None)

    def evaluate(self, inbox: Sequence[Any], passes: Callable[[BaseException], bool] = lambda error: False) -> Any:
        """Return what the last function returns, or raise a `WorkerError` if one raised an Exception that does not pass.

        Unlike in a call no item of the inbox is looked at, and there is no doubt whether an exception object that is
        returned is a value.
        """
        for function, args, kwargs, unpack in self._steps:
            try:
                value = function(*inbox, *args, **kwargs) if unpack else function(inbox, *args, **kwargs)
            except Exception as error:  # a failed item must not end the run
                if passes(error):
                    raise
                failed = WorkerError(error, name_of(function), inbox)
                raise failed from failed.__cause__
            inbox = (value,)
        return value

    @staticmethod
    def name_of(function: Any) -> str:
        """How a function is called in errors."""
        return name_of(function)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Worker):
            return NotImplemented
        if len(self._steps) != len(other._steps):
            return False
        return all(
            _same(own.function, its.function) and own[1:] == its[1:]
            for own, its in zip(self._steps, other._steps, strict=True)
        )

    def __repr__(self) -> str:
        return f"Worker({self.name})"


def _parameters(step: BoundFunction) -> list[str]:
    """The parameters of a function that no argument is given for yet, other than those of the inbox."""
    try:
        found = list(inspect.signature(step.function).parameters.values())
    except (TypeError, ValueError):  # many functions in C tell nothing
        return []
    taken = 0 if step.unpack else 1
    positional = [it.name for it in found if it.kind is it.POSITIONAL_OR_KEYWORD]
    inbox = set(positional[:taken] if not any(it.kind is it.POSITIONAL_ONLY for it in found) else ())
    by_name = [it.name for it in found if it.kind in (it.POSITIONAL_OR_KEYWORD, it.KEYWORD_ONLY)]
    return [name for name in by_name if name not in inbox and name not in step.kwargs]


def _steps(functions: Sequence[Any], arguments: Any, kwargs: Any, unpack: bool) -> tuple[BoundFunction, ...]:
    """Check what a Worker is made of, and put together what belongs together."""
    if not functions:
        raise TypeError("functions: none given; must be at least one function")
    many = any(isinstance(function, Worker) for function in functions)
    if many and not (arguments is None and kwargs is None):
        raise TypeError("arguments and kwargs: not allowed for a Worker, which brings its own")
    each_args = _one_each("arguments", arguments, len(functions), (list, tuple), ())
    each_kwargs = _one_each("kwargs", kwargs, len(functions), (Mapping,), {})
    steps: list[BoundFunction] = []
    for function, args, keywords in zip(functions, each_args, each_kwargs, strict=True):
        if isinstance(function, Worker):
            steps += [step._replace(unpack=step.unpack or unpack) for step in function._steps]
        elif text := step_text(function) or (callable(function) and coroutine_text(function)):
            raise TypeError(f"functions: {text}")
        elif not callable(function) or isinstance(function, Uncallable):
            raise checks.wrong_type("functions", "a callable or a Worker", function)
        else:
            steps.append(BoundFunction(function, tuple(args), dict(keywords), unpack))
    return tuple(steps)


def _one_each(what: str, given: Any, count: int, kinds: tuple[type, ...], default: Any) -> Sequence[Any]:
    """Check that there is one collection of constant arguments for each function."""
    if given is None:
        return [default] * count
    wanted = " or ".join(kind.__name__.lower() for kind in kinds)
    if not isinstance(given, (list, tuple)):
        raise checks.wrong_type(what, f"one {wanted} for each of {count} functions", given)
    if len(given) != count:
        raise TypeError(f"{what}: {len(given)} given; must be {count}, one for each function")
    for one in given:
        if not isinstance(one, kinds):
            raise checks.wrong_type(what, f"a {wanted}", one)
        if isinstance(one, Mapping) and not all(isinstance(key, str) for key in one):
            raise checks.wrong_type(what, "a mapping with names as keys", one)
    return given


def _same(left: Any, right: Any) -> bool:
    """Whether two callables do the same; partials are compared by what they are made of."""
    if isinstance(left, partial) and isinstance(right, partial):
        same = left.args == right.args and left.keywords == right.keywords
        return same and _same(left.func, right.func)
    return bool(left == right)
