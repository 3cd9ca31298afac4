"""Failures whose exceptions are sure to be made again in another process.

What can't be made again there would fail where no item is known any more. So each exception is tried here, where it was raised.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable

from .exceptions import forms_of, trace_of
from .failures import Failure


def portable(failure: Failure, error: BaseException, encode: Callable[[object], bytes]) -> Failure:
    """The failure with its exception in a form that is sure to be rebuilt over there, or without it.

    Args:
        failure: made in this process.
        error: what is told about if the failure has no exception itself.
        encode: pickles, also code.
    """
    found = failure.error
    error = found if isinstance(found, BaseException) else error
    trace = failure.trace
    if trace is None:
        # An error of ours has no story of its own; the one behind it has, if any of it is the user's.
        behind = trace_of(error.__cause__ or error)
        trace = behind if behind.frames else None
    for form in forms_of(error):
        try:
            raw = encode(form)
            if type(pickle.loads(raw)) is type(error):
                return Failure(raw, trace, os.getpid(), again=failure.again)
        except BaseException:  # whatever its own code raises: the next form is tried
            continue
    return Failure(None, trace, os.getpid(), again=failure.again)
