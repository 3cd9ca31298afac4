"""Iterators over the results of a task: the consumer's side of an output, light enough to be imported at once."""

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
    _output: OutputQueue | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        return AsyncReader(self._find_output)

    def __next__(self) -> T:
        output = self._output
        if output is None:
            output = self._find_output()
        # A caller that keeps an error from here must not keep the map with it. The caller holds us anyway.
        del self
        while True:
            # Between the step of the iterator and the return there is no call; see OutputQueue.
            for value in output.values:
                return value  # type: ignore[no-any-return]
            output.open()

    def _find_output(self) -> OutputQueue:
        """The output of the running map; raises StateError where there is none."""
        raise NotImplementedError

    def _returns(self) -> bool:
        """Whether a reader gets exceptions as results."""
        return self._find_output().returns

    def _next_outcome(self, apart: bool = False) -> Segment:
        """The next outcome, failures and skipped places included; how inputs read.

        ``apart``: failures are failures whatever ``on_error`` is; how `join` and `tee` read.
        """
        output = self._find_output()
        while True:
            # As in __next__: nothing is called between the step and the return.
            for value in output.values:
                return RAW, 1, [value]
            failure = output.failure
            if failure is not None:
                output.failure = None
                return FAILED, 1, failure
            if output.open_outcome(apart):
                return SKIPPED, 1, None


class AsyncReader(Generic[T]):
    """An asynchronous iterator over the results of one task. Cancelling a step loses nothing and stops nothing.

    Args:
        find: gives the output; it holds the map, so the map lives as long as a loop goes on.
    """

    def __init__(self, find: Callable[[], OutputQueue]) -> None:
        self._find = find

    def __aiter__(self) -> AsyncReader[T]:
        return self

    async def __anext__(self) -> T:
        import asyncio

        output = self._find()
        while True:
            try:
                return output.take(block=False)  # type: ignore[no-any-return]
            except StopIteration:
                raise StopAsyncIteration from None
            except NextTimeout:
                pass
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()

            def announce(loop: asyncio.AbstractEventLoop = loop, arrived: asyncio.Event = arrived) -> None:
                # In a loop that was closed meanwhile nothing waits.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(arrived.set)

            output.notify(announce)
            await arrived.wait()
