"""Iterators over the results of a task: the consumer's face of an outlet, light enough to be imported at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from .._base.errors import NextTimeout
from .._items.segments import FAILED, RAW, SKIPPED

if TYPE_CHECKING:
    import asyncio

    from .._items.segments import Segment
    from .output_queue import OutputQueue

T = TypeVar("T")


class Reader(Generic[T]):
    """An iterator over the results of one task. Several readers of a task share its results."""

    #: Where the results come from; None before the start, and again after the end of the run.
    _outlet: OutputQueue | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        return AsyncReader(self._find_outlet)

    def __next__(self) -> T:
        outlet = self._outlet
        if outlet is None:
            outlet = self._find_outlet()
        # Whoever keeps an error that comes out of here must not keep the map with it. The caller holds us anyway.
        del self
        while True:
            # Between the step of the iterator and the return there is no call; see Outlet.
            for value in outlet.values:
                return value  # type: ignore[no-any-return]
            outlet.open()

    def _find_outlet(self) -> OutputQueue:
        """The outlet of the running map; raises StateError where there is none."""
        raise NotImplementedError

    def _returns(self) -> bool:
        """Whether who reads gets exceptions as results."""
        return self._find_outlet().returns

    def _next_outcome(self, apart: bool = False) -> Segment:
        """The next outcome, failures and skipped places included; how inputs read.

        ``apart``: failures are failures whatever ``on_error`` is; how `join` and `tee` read.
        """
        outlet = self._find_outlet()
        while True:
            # As in __next__: nothing is called between the step and the return.
            for value in outlet.values:
                return RAW, 1, [value]
            failure = outlet.failure
            if failure is not None:
                outlet.failure = None
                return FAILED, 1, failure
            if outlet.open_outcome(apart):
                return SKIPPED, 1, None


class AsyncReader(Generic[T]):
    """An asynchronous iterator over the results of one task. Cancelling a step loses nothing and stops nothing.

    Args:
        find: gives the outlet; it holds the map, so the map lives as long as somebody iterates.
    """

    def __init__(self, find: Callable[[], OutputQueue]) -> None:
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
