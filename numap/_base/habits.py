"""What is written by habit, as other libraries have it, and what to write here. Looked at only when a call is about to fail."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from .checks import nearest, shown

P = ParamSpec("P")
R = TypeVar("R")

_WORKERS = "write worker_num={value} for the number of workers"
_BATCHES = (
    "leave it out: items that take little time travel in batches by themselves; "
    "stride and buffer limit how many are on the way"
)
_FUNCTION = "write func={value}"
_INPUT = "write iterable={value}"
_BUFFER = "write buffer={value} for the items that are on the way at most"
_RECYCLE = "write max_items_per_worker={value}"
_METHOD = "write start_method='fork', 'forkserver' or 'spawn'"

#: Arguments of multiprocessing, concurrent.futures, joblib, mpire, pebble and their like.
MAP_HABITS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "parallel",
            "n_jobs",
            "njobs",
            "jobs",
            "workers",
            "max_workers",
            "num_workers",
            "n_workers",
            "nworkers",
            "processes",
            "num_processes",
            "nprocs",
            "num_proc",
            "threads",
            "cpus",
            "ncpus",
            "num_cpus",
            "cores",
            "n_cores",
        ),
        _WORKERS,
    ),
    **dict.fromkeys(
        ("chunksize", "chunk_size", "chunks", "batch_size", "batchsize", "iterable_len", "n_splits"), _BATCHES
    ),
    **dict.fromkeys(("function", "fn", "f", "target", "callable"), _FUNCTION),
    **dict.fromkeys(("iterables", "items", "data", "inputs", "xs", "seq", "sequence"), _INPUT),
    **dict.fromkeys(
        ("buffersize", "buffer_size", "queue_size", "maxsize", "max_queue", "pre_dispatch", "prefetch"), _BUFFER
    ),
    **dict.fromkeys(("maxtasksperchild", "max_tasks_per_child", "max_tasks", "worker_lifespan"), _RECYCLE),
    **dict.fromkeys(("mp_context", "context", "method"), _METHOD),
    **dict.fromkeys(
        ("backend", "executor", "prefer", "pool"), "write worker_type='process', 'thread', 'serial', or an Executor"
    ),
    **dict.fromkeys(
        ("max_retries", "n_retries", "tries", "attempts"), "write retries={value}: how often an item is run again"
    ),
    "timeout": "write task_timeout={value} to limit the seconds that an item may run, or next(timeout={value}) to limit one wait",
    "return_exceptions": "write on_error='return'",
    **dict.fromkeys(
        ("verbose", "progress_bar", "pbar", "show_progress", "desc"), "write progress=True, or progress='a title'"
    ),
}

TASK_HABITS: Mapping[str, str] = {
    name: text if text in (_FUNCTION, _INPUT, _BATCHES) else "it is an argument of the whole map: IMap(...)"
    for name, text in MAP_HABITS.items()
}

NEXT_HABITS: Mapping[str, str] = {
    **dict.fromkeys(("seconds", "wait", "task_timeout"), "write timeout={value}"),
    "default": "catch StopIteration: the built-in next(iterator, default) takes one, too",
}


def unknown(call: str, name: str, value: object, allowed: Iterable[str], habits: Mapping[str, str]) -> TypeError:
    """The error for an argument that there isn't; it says what to write."""
    names = [it for it in allowed if it != "self"]
    text = shown(value).removesuffix(f" ({type(value).__name__})")
    advice = habits[name].format(value=text) if name in habits else nearest(name, names).strip()
    return TypeError(f"{call}: there is no argument {name!r}; {advice or 'allowed: ' + ', '.join(names)}")


def checked(
    call: str, habits: Mapping[str, str], constants: int | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: keywords that the function doesn't know are refused with what to write.

    Args:
        call: what to call the function in messages.
        habits: by name, what to write for an argument that there isn't.
        constants: the place of ``args``. What stands there by position has to be a tuple: other maps take further inputs there.
    """

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        code = func.__code__
        allowed = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        @functools.wraps(func)
        def checking(*given: P.args, **named: P.kwargs) -> R:
            try:
                for name in named:
                    if name not in allowed:
                        raise unknown(call, name, named[name], allowed, habits)
                if (
                    constants is not None
                    and len(given) > constants
                    and not isinstance(given[constants], (tuple, type(None)))
                ):
                    raise _several_inputs(call, given[constants])
                return func(*given, **named)
            finally:
                # Frames of an error must not keep the map, as in those of the function itself.
                del given, named

        return checking

    return decorate


def _several_inputs(call: str, value: object) -> TypeError:
    return TypeError(
        f"{call}: args, the constant arguments after each item, must be a tuple where it is given by position, not {shown(value)}; "
        f"write args=(...) for constants, and for several inputs, as the built-in map takes them, give a function of one argument "
        f"and zip(...), or numap.join(...) where tasks are among them"
    )
