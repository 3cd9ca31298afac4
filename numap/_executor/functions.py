"""The functions of single calls: each is made ready for workers once, as long as what it refers to stays the same.

A program calls a few functions many times, and a notebook calls another function of the same name each time that its cell was run.
So a function is known by the object, and all that were made ready are forgotten as soon as a name that they refer to stands for
something else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._base.errors import SerializationError
from .._items.call import Spread
from .._items.failures import Failure
from .._items.segments import FAILED, RAW, RECORD
from .definitions import is_current
from .pool import Function, Pool

#: Functions that are kept, those that were made ready last: a program may make a new one for each call.
MOST = 64


class Functions:
    """The functions that were called. For any thread of the user.

    Args:
        pool: knows how functions go to workers.
        number: gives the number of another program.
        retire: is told of a program that is forgotten.
        limit: seconds that a call may run.
        copies: a call may run again.
    """

    def __init__(
        self, pool: Pool, number: Callable[[], int], retire: Callable[[int], None], limit: float | None, copies: bool
    ) -> None:
        self._pool = pool
        self._number = number
        self._retire = retire
        self._settings = limit, copies
        self._lock = threading.RLock()
        self._exporter: Any = None
        #: By identity: the function itself, and what was made of it.
        self._ready: dict[int, tuple[Any, int, Function]] = {}
        self._own = threading.local()

    def find(self, func: Any, label: str) -> tuple[int, Function]:
        """The program for a function.

        Raises:
            SerializationError: it can't be sent.
        """
        with self._lock:
            if self._exporter is None or not is_current(self._exporter):
                self._forget(len(self._ready))
                self._exporter = self._pool.exporter() or _NOTHING
            found = self._ready.get(id(func))
            if found is None:
                self._forget(len(self._ready) - MOST)
                settings = (self._exporter, *self._settings)
                function = self._pool.function(label, (Spread(func), (), None), settings)
                found = self._ready[id(func)] = func, self._number(), function
            return found[1], found[2]

    def _forget(self, count: int) -> None:
        for key in list(self._ready)[: max(0, count)]:
            self._retire(self._ready.pop(key)[1])

    def entry(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments of a call, in the form in which they wait.

        Raises:
            SerializationError: they can't be pickled.
        """
        item = args, kwargs or None
        exporter = function.exporter
        if exporter is _NOTHING or exporter is None:
            return RAW, 1, [item]
        own = self._own
        if getattr(own, "exporter", None) is not exporter:
            own.exporter, own.encode, own.names = exporter, self._pool.encoder_of(exporter), ()
        entry = own.encode(item, "item")
        if type(entry) is bytes:
            return RECORD, own.names, entry
        if entry[0] == RECORD:
            own.names = entry[1]
        elif entry[0] == FAILED:
            raise _refused(entry[2])
        return entry


class _Nothing:
    """Stands for an exporter where functions stay in this process."""

    def __init__(self) -> None:
        self.defined: dict[Any, Any] = {}


_NOTHING = _Nothing()


def _refused(failure: Failure) -> SerializationError:
    error = failure.error
    assert isinstance(error, SerializationError), "it was made here, of what pickling raised"
    text = str(error).replace("the item (a tuple) can't", "the arguments of the call can't")
    wrapped = SerializationError(text)
    wrapped.__cause__ = error.__cause__
    return wrapped
