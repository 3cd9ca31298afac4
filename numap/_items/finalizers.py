"""How workers end in order: the states of a finalizer, how long it may take, and what is said of one that fails.

A finalizer closes what an initializer has opened, so it should run; and `stop` is to return soon, whatever it does. Both
hold as far as the time limits here go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exceptions import Trace, render, trace_of

#: The initializer may be running. 0, before that: none has begun, or there is no finalizer; the worker owes nothing.
BEGUN = 1
#: The worker was initialised, so its finalizer is to run.
OWED = 2
#: The finalizer runs.
RUNS = 3
#: The finalizer is through.
DONE = 4

#: Seconds that a worker has at the end of a map for the item, or the initializer, that it is in.
ITEM_TIMEOUT = 1.0
#: Seconds after the end of a map in which finalizers have to be through: `stop` is to return soon.
FINALIZER_TIMEOUT = 2.0
#: Seconds for the finalizer of a worker that has had its number of items, where others wait to take its place.
RECYCLED_TIMEOUT = 10.0


def end_timeout(state: int) -> float:
    """Seconds after the end of a map for which a worker in this state is waited for."""
    if state in (BEGUN, OWED):
        return ITEM_TIMEOUT
    return FINALIZER_TIMEOUT if state in (RUNS, DONE) else 0.0


def overdue(state: int, worker: str, what_now: str) -> str | None:
    """What is said of a worker that did not end in time; None: it had nothing more to do.

    Args:
        state: of its finalizer.
        worker: which one.
        what_now: what becomes of the worker.
    """
    if state == OWED:
        why = f"has not run: {ITEM_TIMEOUT:g} s after the end of the map the worker was still in an item"
    elif state == RUNS:
        why = f"was not through {FINALIZER_TIMEOUT:g} s after the end of the map"
    else:
        return None
    return f"the finalizer of {worker} {why}; {what_now}"


def raised(worker: str, trace: Trace) -> str:
    """What is said of a finalizer that raised."""
    return f"the finalizer raised in {worker}:\n{render(trace)}"


def finalize(
    finalizer: Callable[[], Any], worker: str, passes: Callable[[BaseException], bool] = lambda error: False
) -> None:
    """Runs a finalizer in this process, and says what it raised.

    Args:
        finalizer: of the user.
        worker: where it runs.
        passes: whether something that was raised is none of the finalizer's.
    """
    try:
        finalizer()
    except BaseException as error:
        if passes(error):
            raise
        say(raised(worker, trace_of(error)))


def say(text: str) -> None:
    """One warning to the user, by the logger ``numap``: with no logging set up it goes to stderr."""
    import logging

    logging.getLogger("numap").warning("%s", text)
