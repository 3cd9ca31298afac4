"""Failures that are sure to be rebuilt in another process."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

from .failures import Failure, trace_of


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
    for form in (error, _Rebuilt(error, error.__dict__), _Rebuilt(error, {})):
        try:
            raw = encode(form)
            if type(pickle.loads(raw)) is type(error):
                return Failure(raw, trace, os.getpid())
        except BaseException:  # whatever its own code raises: the next form is tried
            continue
    return Failure(None, trace, os.getpid())


class _Rebuilt:
    """Pickles an exception by its class and arguments without calling its ``__init__`` again."""

    def __init__(self, error: BaseException, state: dict[str, Any]) -> None:
        self._error = error
        self._state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self._error), self._error.args, self._state)


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    vars(BaseException)["args"].__set__(error, args)  # its class may refuse to have attributes set
    error.__dict__.update(state)
    return error
