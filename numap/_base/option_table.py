"""The options of maps, graphs and pipelines: each word once, with its default, its check, its meaning and where it stands.

Each place that takes options could check them itself, and soon the same word would mean two things, or be refused in two ways. So a
word is a row here. Maps check through it, `numap.interop` offers it to libraries on top of maps, and a page of the manual is held
against it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from math import ldexp
from typing import Any, NamedTuple

from .capabilities import CAPABILITIES
from .checks import (
    exceptions,
    flag,
    function,
    module_names,
    one_of,
    progress_bar,
    seconds,
    shown,
    text,
    whole,
    wrong_type,
    wrong_value,
)

ON_ERROR = ("raise", "return", "skip")
#: More workers than any machine has room for: threads or processes, each has a stack and two pipes. A caller who asks for more
#: has mistaken the argument, and would wait for the memory to be full.
MOST_WORKERS = 10_000
#: Seconds that a pause between two runs of an item may last: 11 days. The calls of systems that wait take hardly more.
LONGEST_PAUSE = 10**6
#: More make no difference: a microsecond would be longer than any pause.
_DOUBLINGS = 100

#: Where a word may stand.
PLACES = ("IMap", "task", "Piper", "Dagger", "Pipeline", "step")
_MAPS = ("IMap", "Piper", "Dagger")
_STEPS = ("Pipeline", "step")
_ALL = PLACES

Check = Callable[[str, Any], None]


#: What the workers of an executor lack.
_OWN = "workers of the map's own"


class Option(NamedTuple):
    """One word.

    Attributes:
        name: the word.
        default: what counts where it is not given; a worker of any kind can do that.
        check: raises a TypeError or ValueError for a value that is not allowed; gets the name to show, and the value.
        meaning: one sentence.
        places: where it may stand, of `PLACES`.
        can: whether workers of a kind, a key of `CAPABILITIES`, can do it.
        needs: what the others lack, for messages.
        aliases: other names for it, by place.
    """

    name: str
    default: Any
    check: Check
    meaning: str
    places: tuple[str, ...] = _MAPS
    can: Callable[[str], bool] = lambda kind: True
    needs: str = "worker processes"
    aliases: Mapping[str, str] = {}


def _number(least: int, none: str | None) -> Check:
    return lambda name, value: whole(name, value, least, none, index=True)


def _workers(name: str, value: Any) -> None:
    whole(name, value, 1, "the default", index=True)
    if value is not None and value.__index__() > MOST_WORKERS:
        raise wrong_value(name, f"at most {MOST_WORKERS:,}, or None for the default", value)


def _worker_type(name: str, value: Any) -> None:
    if not is_executor(value):
        one_of(name, value, tuple(filter(_owned, CAPABILITIES)), ", or a concurrent.futures.Executor")


def _start_method(name: str, value: Any) -> None:
    if value is not None:
        one_of(name, value, CAPABILITIES["process"].start_methods)


def _limit(name: str, value: Any) -> None:
    seconds(name, value)
    if value is not None and not value > 0:
        raise wrong_value(name, "more than 0 seconds, or None for no limit", value)


def _pause(name: str, value: Any) -> None:
    seconds(name, value, or_none=False)
    if not 0 <= value <= LONGEST_PAUSE:
        raise wrong_value(name, f"from 0 to {LONGEST_PAUSE} seconds", value)


def _rate(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise wrong_type(name, "a number of items per second or None", value)
    if value is not None and not 0 < value <= 10**9:
        raise wrong_value(name, "more than 0 items per second, or None for no limit", value)


def _hook(name: str, value: Any) -> None:
    if value is not None:
        function(name, value, "callable or None", coroutines=True)


def _owned(kind: str) -> bool:
    """Whether the workers are a map's own."""
    return not kind.startswith("executor")


def _started(kind: str) -> bool:
    """Whether there is more than one way to start them."""
    return bool(CAPABILITIES[kind].start_methods)


def _killed(kind: str) -> bool:
    """Whether they can be killed."""
    return CAPABILITIES[kind].kills


def _any(name: str, value: Any) -> None:
    """Whatever it is: it has a check of its own where it is used."""


_ROWS = (
    Option(
        "worker_type",
        "process",
        _worker_type,
        "What runs the items: processes, threads, the caller, an executor.",
        (*_MAPS, *_STEPS),
    ),
    Option(
        *("worker_num", None, _workers, "The number of workers; None: as many as CPUs, for threads some more."),
        can=lambda kind: not kind.startswith("executor:"),
        needs=_OWN,
    ),
    Option(
        "worker_remote",
        None,
        _any,
        "The address of an engine that has one.",
        ("IMap",),
        lambda kind: False,
        "workers elsewhere",
    ),
    Option(
        *("start_method", None, _start_method, "How worker processes come to be; None: the best safe way here."),
        places=(*_MAPS, *_STEPS),
        can=_started,
    ),
    Option("initializer", None, _hook, "Called once in each worker.", can=_owned, needs=_OWN),
    Option("initargs", (), _any, "The arguments of the initializer.", can=_owned, needs=_OWN),
    Option(*("finalizer", None, _hook, "Called once in each worker at its orderly end."), can=_owned, needs=_OWN),
    Option(
        *("preload", (), module_names, "Modules that worker processes have from their start."),
        places=(*_MAPS, *_STEPS),
        can=_started,
        needs="worker processes that are forked from a clean one",
    ),
    Option(
        *("max_items_per_worker", None, _number(1, "the default"), "A worker is replaced after so many items."),
        places=(*_MAPS, *_STEPS),
        can=_owned,
        needs=_OWN,
    ),
    Option(
        *("task_timeout", None, _limit, "Seconds that one run of an item may take, from when its function begins."),
        places=("IMap", "task", "Piper", "Dagger", "Pipeline", "step"),
        can=_killed,
        needs="workers that can be killed",
    ),
    Option(
        *("retries", 0, _number(0, None), "How often an item that failed is run again."),
        places=_ALL,
        aliases={"Pipeline": "max_retries", "step": "max_retries"},
    ),
    Option(
        *(
            "backoff",
            0.0,
            _pause,
            "Seconds before an item is run again for the first time; twice as long each further time.",
        ),
        places=("IMap", "task", *_STEPS),
    ),
    Option(
        *("max_backoff", 60.0, _pause, "Seconds that such a pause lasts at most."), places=("IMap", "task", *_STEPS)
    ),
    Option(
        *("retry_on", None, exceptions, "The exceptions after which an item is run again; None: all."),
        places=("IMap", "task", *_STEPS),
    ),
    Option(
        *(
            "on_error",
            "raise",
            lambda name, value: one_of(name, value, ON_ERROR),
            "What becomes of an item that failed.",
        ),
        places=_ALL,
    ),
    Option(
        *("max_failures", None, _number(0, "no limit"), "How many items may fail; one more ends the run."),
        places=("IMap", "Dagger", "Pipeline"),
    ),
    Option("ordered", True, flag, "Results come in the order of the items; else as they are ready."),
    Option("skip", False, flag, "A result that was not there in time is given up.", ("IMap",)),
    Option("stride", None, _number(1, "the default"), "Items of one task inside the workers at most, and per turn."),
    Option(
        *("buffer", None, _number(1, "the default"), "Items that were taken and not handed over at most."),
        places=(*_MAPS, *_STEPS),
        aliases={"Pipeline": "threshold", "step": "threshold"},
    ),
    Option(
        *(
            "buffer_bytes",
            None,
            _number(1, "the default"),
            "Bytes of items and results that are on their way at most, about.",
        ),
        places=(*_MAPS, "Pipeline"),
    ),
    Option(
        *("rate", None, _rate, "How many items a second begin to run, in all workers together; None: no limit."),
        places=("IMap", "task"),
    ),
    Option("track", False, flag, "Every outcome is kept.", ("IMap", "task", "Piper")),
    Option("progress", None, progress_bar, "Shows how far each task is.", ("IMap",)),
    Option("name", None, text, "The name in messages.", ("IMap", "Piper")),
)

#: By their words.
OPTIONS: Mapping[str, Option] = {row.name: row for row in _ROWS}


def options_of(place: str) -> Iterator[Option]:
    """The options that may stand at a place, of `PLACES`."""
    return (row for row in _ROWS if place in row.places)


def check_option(name: str, value: Any, where: str = "") -> None:
    """Checks the value of an option.

    Args:
        name: the word.
        value: what was given.
        where: stands before the word in messages.

    Raises:
        TypeError, ValueError: the value is not allowed.

    >>> check_option("retries", -1, where="step 2: ")
    Traceback (most recent call last):
    ValueError: step 2: retries: -1 given; must be at least 0
    """
    OPTIONS[name].check(f"{where}{name}", value)


def check_worker(name: str, value: Any, kind: str, called: str = "", where: str = "", also: str = "") -> None:
    """Checks that workers of a kind can do what was asked for.

    Args:
        name: the word.
        value: what was given; the default is allowed for all.
        kind: of the workers, a key of `CAPABILITIES`.
        called: how to call these in the message.
        where: stands before the word.
        also: what else is allowed, for the message.

    Raises:
        ValueError: they can't.

    >>> check_worker("task_timeout", 3, "thread")
    Traceback (most recent call last):
    ValueError: task_timeout: needs workers that can be killed, and worker_type is 'thread'; 3 (int) given, allowed: ...
    """
    option = OPTIONS[name]
    if value is None or value == option.default or option.can(kind):
        return
    others = ", or worker_type='process'" if option.can("process") else ""
    raise ValueError(
        f"{where}{name}: needs {option.needs}, and worker_type is {called or kind!r}; {shown(value)} given, "
        f"allowed: {option.default!r}{others}{also}"
    )


def check_pauses(backoff: float, max_backoff: float, where: str = "") -> None:
    """ValueError if the first pause is longer than the longest."""
    if backoff > max_backoff:
        raise ValueError(f"{where}backoff: {backoff} given; must be at most max_backoff, which is {max_backoff}")


def pause(backoff: float, max_backoff: float, failures: int) -> float:
    """Seconds from the failure of an item to its next run, when it has failed so often.

    >>> [pause(0.5, 3.0, failures) for failures in (1, 2, 3, 4, 1000)]
    [0.5, 1.0, 2.0, 3.0, 3.0]
    """
    return min(ldexp(backoff, min(failures - 1, _DOUBLINGS)), max_backoff)


def is_executor(value: object) -> bool:
    """Whether it is a `concurrent.futures.Executor`; then the program has imported that module, and we need not."""
    futures = sys.modules.get("concurrent.futures._base")
    return futures is not None and isinstance(value, futures.Executor)
