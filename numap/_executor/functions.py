"""The functions of single calls: each is made ready for workers once, as long as what it refers to stays the same.

A program calls a few functions many times, and a notebook calls another function of the same name each time that its cell was run.
So a function is known by the object, and all that were made ready are forgotten as soon as a name that they refer to stands for
something else. Nothing here keeps a function, or what it holds. A bound method, or another object that can be called, is
made for one call, or changes between two; so it goes with its arguments, as they do.
"""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .._base.errors import SerializationError
from .._items.call import Spread, run
from .._items.failures import Failure
from .._items.segments import FAILED, RAW, RECORD
from .definitions import is_current
from .pool import Function, Pool

_KEPT = (types.FunctionType, types.BuiltinFunctionType, type)


class Ready(NamedTuple):
    """A function that is ready for workers; ``alone``: its items are the arguments alone."""

    func: Callable[[], Any]
    program: int
    made: Function
    alone: bool


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
        #: By identity.
        self._ready: dict[int, Ready] = {}
        self._own = threading.local()

    def find(self, func: Any, label: str) -> Ready:
        """The program for a function.

        Raises:
            SerializationError: it can't be sent.
        """
        with self._lock:
            if self._exporter is None or not is_current(self._exporter):
                for key in list(self._ready):
                    self._forget(key)
                self._exporter = self._pool.exporter() or _NOTHING
            alone = isinstance(func, _KEPT) and self._exporter is not _NOTHING
            kept = func if alone else run
            found = self._ready.get(id(kept))
            if found is None or found.func() is not kept:
                call = Spread(func) if alone else run
                made = self._pool.function(label, (call, (), None), (self._exporter, *self._settings))
                ref = weakref.ref(kept, partial(self._gone, id(kept)))
                found = self._ready[id(kept)] = Ready(ref, self._number(), made, alone)
            return found

    def _forget(self, key: int) -> None:
        found = self._ready.pop(key, None)
        if found is not None:
            self._retire(found.program)

    def _gone(self, key: int, ref: object) -> None:
        """Runs anywhere: it takes no lock."""
        found = self._ready.get(key)
        if found is not None and found.func is ref:
            self._forget(key)

    def entry(self, ready: Ready, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The item of a call, in the form in which it waits.

        Raises:
            SerializationError: it can't be pickled.
        """
        item = (args, kwargs or None) if ready.alone else (func, args, kwargs or None)
        exporter = ready.made.exporter
        if exporter is None:
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
