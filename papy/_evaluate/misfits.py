"""What can be called, but gives a piper nothing to work with; and what to write instead.

A generator function, a coroutine or a step of a `papy.Pipeline` would run without an error and give useless results. They
are told by what they are (or what they are wrapped around), before anything runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import Any

# Wrapped is more than once, and around itself for ever.
_LAYERS = 100


def name_of(function: Any) -> str:
    """How a callable is called."""
    if isinstance(function, partial):
        return name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))


def step_text(thing: Any) -> str | None:
    """What to write instead of a step of a pipeline, a pipeline or a generator; None: it is none of these."""
    if inspect.isgenerator(thing):
        return f"{name_of(thing)} is a generator: that is data, for results([...]) or run([...]); give the function that is to work"
    said = declared(thing, "__papy_instead__")
    return said.format(name_of(thing)) if isinstance(said, str) else None


def declared(thing: Any, name: str) -> Any:
    """An attribute of an object or its class, or None; objects that have whatever attribute is asked for are not asked."""
    return None if inspect.getattr_static(thing, name, None) is None else getattr(thing, name)


def coroutine_text(function: Any) -> str | None:
    """What to write instead of a function with ``async``; None: it is none."""
    for it in _called(function):
        if inspect.iscoroutinefunction(it) or inspect.isasyncgenfunction(it):
            name = name_of(function)
            return f"{name} is a coroutine function, a plain function is needed: one that returns asyncio.run({name}(...)), perhaps"
    return None


def generator_text(function: Any) -> str | None:
    """What to write instead of a generator function, where its results are not asked for by ``produce``; None: it is none."""
    if not any(inspect.isgeneratorfunction(it) for it in _called(function)):
        return None
    return instead_of_generator(name_of(function))


def instead_of_generator(name: str) -> str:
    """What to write where a call would only make a generator."""
    return (
        f"{name} is a generator function: a call only makes a generator, and nothing is computed. Return one result, "
        f"which may be a list: return list(...); or say that each value is an item: flatten=True, "
        f"or how many results each call has: produce=n. "
        f"If it takes an iterator over all items, write Pipeline((iterstep({name}), 1))"
    )


def wraps_generator(function: Any) -> bool:
    """Whether there is a generator function behind a decorator, which may have made something else of it."""
    return any(inspect.isgeneratorfunction(it) for it in _layers(function))


def _called(function: Any) -> Iterator[Any]:
    """What is called in the end, as far as it is certain that what that returns is what comes out."""
    layers = list(_layers(function))
    for outer, inner in zip(layers, [*layers[1:], None], strict=True):
        yield outer
        if isinstance(outer, FunctionType) and (inner is None or not _passes_on(outer, inner)):
            return


def _layers(function: Any) -> Iterator[Any]:
    """A callable, what it is a method, partial or ``__call__`` of, and what that is wrapped around."""
    for _ in range(_LAYERS):
        yield function
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif declared(function, "__wrapped__") is not None:
            function = function.__wrapped__
        elif inspect.isroutine(function) or isinstance(function, type):
            return
        else:
            function = type(function).__call__


def _passes_on(wrapper: FunctionType, inner: Any) -> bool:
    """Whether what a call of the inner function returns is returned as it is: ``return inner(...)``."""
    import dis

    cells = zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True)
    names = {name for name, cell in cells if _content(cell) is inner}
    calls = -1
    for step in dis.get_instructions(wrapper):
        if step.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF") and step.argval in names:
            calls = 0
        elif step.opname.startswith("CALL") and not step.opname.startswith("CALL_INTRINSIC"):
            calls += calls >= 0
        elif step.opname.startswith("STORE_FAST"):
            kept = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            if calls == 1:
                return _returns(wrapper, kept[0])
        elif step.opname == "RETURN_VALUE" and calls >= 0:
            return calls == 1
    return False


def _returns(wrapper: FunctionType, name: str) -> bool:
    """Whether a local variable is used for nothing but to be returned."""
    import dis

    steps = list(dis.get_instructions(wrapper))
    used = [n for n, it in enumerate(steps) if it.opname.startswith("LOAD_FAST") and it.argval == name]
    return bool(used) and all(steps[n + 1].opname == "RETURN_VALUE" for n in used)


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None
