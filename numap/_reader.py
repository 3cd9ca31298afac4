"""Iterators over the results of a task: the consumer's face of an outlet, light enough to be imported at once."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from ._errors import NextTimeout, StateError
from ._outcome import FAILED, RAW, SKIPPED

if TYPE_CHECKING:
    import asyncio

    from ._outcome import Segment
    from ._outlet import Outlet

T = TypeVar("T")


class Reader(Generic[T]):
    """An iterator over the results of one task. Several readers of a task share its results."""

    __slots__ = ("__next__", "_opening", "_outlet")

    #: What `next` calls. A place in each instance, as the quick way out has no code of ours in it: see `_Opener`.
    __next__: Callable[[], T]
    #: A part of it.
    _opening: Iterator[Any]

    #: Where the results come from; None before the start.
    _outlet: Outlet | None

    def __init__(self) -> None:
        self._attach(None)

    def _attach(self, outlet: Outlet | None) -> None:
        """Reads from this outlet from now on; None: asks for one with the next `next`."""
        self._outlet = outlet
        me = weakref.ref(self)
        if outlet is None:
            self.__next__ = partial(_ask, me)
        else:
            results, self._opening = _Opener(outlet, me).iterator()
            self.__next__ = results.__next__

    def __iter__(self) -> Iterator[T]:
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        return AsyncReader(self._find_outlet)

    def _find_outlet(self) -> Outlet:
        """The outlet of the running map; raises StateError where there is none."""
        raise NotImplementedError

    def _next_outcome(self) -> Segment:
        """The next outcome, failures and skipped places included; how `join`, `tee` and inputs read."""
        outlet = self._find_outlet()
        while True:
            # Between the step of the iterator and the return there is no call; see Outlet.
            for value in outlet.values:
                return RAW, 1, [value]
            failure = outlet.failure
            if failure is not None:
                outlet.failure = None
                return FAILED, 1, failure
            if outlet.open_outcome():
                return SKIPPED, 1, None


def _ask(ref: weakref.ref[Reader[T]]) -> T:
    """``next`` of a reader that has no outlet yet, or has seen the end."""
    reader = ref()
    if reader is None:
        raise StateError("next: the map was dropped; keep it as long as its results are wanted")
    outlet = reader._outlet
    if outlet is None:
        outlet = reader._find_outlet()
    # Whoever keeps an error that comes out of here must not keep the map with it.
    del reader
    while True:
        for value in outlet.values:
            return value  # type: ignore[no-any-return]
        outlet.open()


#: Says that there is nothing behind it.
_OVER: Iterator[Any] = iter(())


class _Opener:
    """``next`` of a reader, made of iterators of C: open values, then a call of `open`, then what that has opened...

    A function of ours costs three times as much as all of this. Only `open` is code of ours, and an error in it leaves the
    iterators as they are: the next call of ``next`` begins there again. An error in what says which iterator comes next, were
    it but a Ctrl-C, would end them all.
    """

    __slots__ = ("_outlet", "_reader", "values")

    def __init__(self, outlet: Outlet, reader: weakref.ref[Reader[Any]]) -> None:
        self._outlet = outlet
        self._reader = reader
        #: What to take from, shared with all who read the same outlet; `_OVER` at the end.
        self.values: Iterator[Any] = outlet.values

    def iterator(self) -> tuple[chain[Any], Iterator[Any]]:
        """What gives the results, and the part of it that calls us.

        The latter is to be kept as long as the former: `chain` lets go of it while other threads may be in it.
        """
        opening = map(self.open, repeat(None))
        values = iter(partial(getattr, self, "values"), _OVER)
        return chain.from_iterable(chain.from_iterable(zip(values, repeat(opening)))), opening

    def open(self, _: None) -> NoReturn:
        """Changes ``values`` and raises StopIteration, for those who iterate to look there; or what `Outlet.open` raises."""
        try:
            self._outlet.open()
        except StopIteration:
            reader = self._reader()
            if reader is not None:
                # From now on it is told what is the matter: the end, or a stop since.
                reader.__next__ = partial(_ask, self._reader)
            self.values = _OVER
            raise
        self.values = self._outlet.values
        raise StopIteration


class AsyncReader(Generic[T]):
    """An asynchronous iterator over the results of one task. Cancelling a step loses nothing and stops nothing.

    Args:
        find: gives the outlet; it holds the map, so the map lives as long as somebody iterates.
    """

    def __init__(self, find: Callable[[], Outlet]) -> None:
        self._find = find

    def __aiter__(self) -> AsyncReader[T]:
        return self

    async def __anext__(self) -> T:
        import asyncio

        outlet = self._find()
        while True:
            try:
                return outlet.take(block=False)  # type: ignore[no-any-return]
            except StopIteration:
                raise StopAsyncIteration from None
            except NextTimeout:
                pass
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()

            def announce(loop: asyncio.AbstractEventLoop = loop, arrived: asyncio.Event = arrived) -> None:
                # A loop that was closed meanwhile has nobody waiting.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(arrived.set)

            outlet.notify(announce)
            await arrived.wait()
