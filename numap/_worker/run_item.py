"""Runs one item: its function is called, and whatever comes of that is a result or a failure.

An item may raise anything, and may fork: then its function returns, or raises, in two processes, and only the one that was
given the item tells the outcome. The other one ends where it comes back.

Loops over many short items have the call in them, as one call more would cost these a fifth of their speed. What becomes of
an exception stands here for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .._items.exceptions import trace_of
from .._items.failures import Failure
from .._items.portable import portable
from .._items.retry_on import take_mark
from .._items.segments import FAILED, RAW, Segment
from .._system.forked_items import end_fork


def run_item(
    call: Callable[[Any], Any], value: Any, passes: Callable[[BaseException], bool] = lambda error: False
) -> Segment:
    """The outcome of an item.

    >>> run_item(abs, -3)
    (0, 1, [3])

    Args:
        call: the function.
        value: the item.
        passes: whether something that was raised is none of the item's, and goes on to the caller.
    """
    pid = os.getpid()
    try:
        result = call(value)
    except BaseException as error:
        forked = os.getpid() != pid
        if not forked and passes(error):
            raise
        return failed(error, forked)
    if os.getpid() != pid:
        end_fork()
    return RAW, 1, [result]


def _raised(error: BaseException) -> Failure:
    return Failure(error, trace_of(error), again=take_mark(error))


def failed(
    error: BaseException, forked: bool, failure: Callable[[BaseException], Failure] = _raised
) -> tuple[int, int, Failure]:
    """The outcome of an item that raised.

    Args:
        error: what was raised.
        forked: this is a process that the item has forked, and ends here.
        failure: makes a failure of the exception.
    """
    if forked:
        end_fork(error)
    return FAILED, 1, failure(error)


def for_caller(outcome: Segment, encode: Callable[[object], bytes]) -> Segment:
    """A failed outcome in a form that is sure to be rebuilt in another process. ``encode``: see `portable`."""
    failure: Failure = outcome[2]
    assert isinstance(failure.error, BaseException), "it was made in this process"
    return FAILED, 1, portable(failure, failure.error, encode)
