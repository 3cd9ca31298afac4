"""Misuse: what was meant by an argument that is none here, in words: what to write instead.

Users come from other libraries, and write what is right there. An error that names the right word costs them no search.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, wraps
from typing import Final, ParamSpec, TypeVar

from numap import IMap
from numap.interop import checks
from papy._base.checks import did_you_mean, type_error

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# What others call the number of workers, and other options of an IMap.
_MEANT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("max_workers", "n_jobs", "n_workers", "njobs", "nproc", "num_workers", "processes", "threads"), "worker_num"
    ),
    **dict.fromkeys(("jobs", "pool_size", "poolsize", "workers"), "worker_num"),
    **dict.fromkeys(("backend", "mode"), "worker_type"),
    **dict.fromkeys(("maxtasksperchild", "max_tasks_per_child", "worker_lifespan"), "max_items_per_worker"),
    **dict.fromkeys(("chunk_size", "chunksize", "batch_size"), ""),
    **dict.fromkeys(("time_limit", "timeout"), "task_timeout"),
}
_NO_CHUNKS: Final = "items travel in batches of a suitable size by themselves; leave it out"


def known_options(error: type[Exception], more: Iterable[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function refuse keywords that it doesn't know with what was meant, as a TypeError of this kind.

    Args:
        error: As for `papy._base.checks.type_error`.
        more: What it knows beyond its parameters.
    """

    def refuses(function: Callable[P, R]) -> Callable[P, R]:
        known = list(inspect.signature(function).parameters.values())[1:]
        names = [*(it.name for it in known if it.kind is not it.VAR_KEYWORD), *more]

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            unknown = [name for name in kwargs if name not in names]
            if unknown:
                raise unknown_option(error, function.__qualname__, unknown[0], kwargs[unknown[0]], names)
            return function(*args, **kwargs)

        return called

    return refuses


def takes_no_data(instead: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a method without arguments refuse data, with what to write instead, where ``{0}`` stands for the data."""

    def refuses(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) > 1:
                text = f"{args[1]!r}"
                advice = instead.format(text if len(text) < 80 and text[0] != "<" else "items")
                raise TypeError(f"{function.__name__}: takes no data, got {checks.shown(args[1])}; write {advice}")
            return function(*args, **kwargs)

        return called

    return refuses


def entries_of(iterable: Iterable[T]) -> Iterator[T]:
    """An iterator over what ``results`` was given; a TypeError that says what to write if it gives none."""
    try:
        return iter(iterable)
    except TypeError:
        if hasattr(iterable, "__iter__"):
            raise  # its own
    number = isinstance(iterable, int) and not isinstance(iterable, bool) and iterable > 0
    advice = "; write results([...]), with the entries" + f", or results(range({iterable!r}))" * number
    error = checks.wrong_type("iterable", "an iterable of entries", iterable)
    raise TypeError(f"{error}{advice}")


def unknown_option(error: type[Exception], function: str, name: str, value: object, names: list[str]) -> Exception:
    """The error for a keyword that a function doesn't know; see `known_options`."""
    meant = _MEANT.get(name, name if name in _options_of_imaps() else None)
    if meant == "":
        hint = f"; {_NO_CHUNKS}"
    elif meant in names:
        hint = f"; write {meant}={value!r:.40}"
    elif meant is not None:
        hint = f"; it is said to the IMap of a piper: parallel=IMap({meant}={value!r:.40})"
    else:
        hint = did_you_mean(name, names)
    return type_error(error, f"{function}() got an unexpected keyword argument {name!r}{hint}")


def parallel_text(given: object) -> str:
    """What to write instead of something that says no map, after what is wrong; nothing if that can't be guessed."""
    if isinstance(given, str):
        kinds = {kind: kind for kind in ("process", "thread", "serial", "dask", "ray")}
        kinds |= {"threading": "thread", "multiprocessing": "process", "loky": "process", "sequential": "serial"}
        meant = next(
            (kind for name, kind in kinds.items() if name == given or repr(name) in did_you_mean(given, kinds)), None
        )
        return f"; write parallel={meant!r}" if meant else ""
    return "; write parallel=IMap()" if given is IMap else ""


def datas_text(call: str, datas: object, inputs: int) -> str:
    """What to write where the data of the inputs were given in another form, after what is wrong.

    Args:
        call: The method.
        datas: What it was given.
        inputs: How many inputs there are.
    """
    shown = f"{datas!r}"
    if isinstance(datas, (str, bytes)) or not hasattr(datas, "__iter__"):
        shown = f"[{shown}]"
    if inputs == 1:
        return f"; write {call}([{shown if len(shown) < 80 else 'items'}])"
    return f"; each input needs a list of its items: {call}([{', '.join(f'items_{n}' for n in range(min(inputs, 3)))}])"


@cache
def _options_of_imaps() -> frozenset[str]:
    return frozenset(inspect.signature(IMap.__init__).parameters) - {"self", "name"}
