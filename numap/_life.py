"""The life of a map: its state, and its run, as long as there is one."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ._base.errors import StateError, WorkerStartError
from ._base.lifecycle import IDLE, STOPPED, move
from ._base.options import Options
from ._base.statistics import Statistics
from ._system.processes import fill_standard_streams
from ._tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._runtime.manager import Manager

Self = TypeVar("Self", bound="WithBlock")


class Life:
    """The states of one map, and its runs, one after the other.

    Attributes:
        state: as far as was looked last, see `current`.
        manager: of the present run; None: there is none.
    """

    def __init__(self) -> None:
        self.state = IDLE
        self.manager: Manager | None = None
        self._finalizer: Any = None
        #: The figures of the last run, once it was stopped.
        self._last: Statistics | None = None

    def current(self) -> str:
        """The state, with what the manager knows."""
        if self.manager is not None:
            self.state = self.manager.state
        return self.state

    def after(self, call: str) -> str:
        """The state after a call; a StateError if that is not allowed now."""
        return move(self.current(), call)

    def run_for(self, call: str) -> Manager:
        """The manager of the present run; a StateError if the call is not allowed now."""
        while True:
            self.after(call)
            # None: another thread has just stopped the map, and the next look refuses the call.
            if self.manager is not None:
                return self.manager

    def start(self, imap: Any, options: Options, tasks: Tasks) -> Manager | None:
        """Begins a run of the map ``imap``, if there is none; returns its manager."""
        state = self.after("start")
        if self.manager is not None:
            return None
        if not tasks.specs:
            gone = "its tasks went with stop(), or at the end of its `with` block; make a new map, or add tasks again"
            raise StateError(
                f"start: the map has no task; {gone if self.state == STOPPED else 'call add_task() first'}"
            )
        if options.worker_type not in ("thread", "serial") and inside_worker(loading=True):
            raise StateError("start: not allowed while a worker imports or unpickles code; start the map in a function")
        tasks.check_free()
        _prepare(options)
        from ._runtime.build import build

        manager, sources = build(options, tasks.specs, tasks.inputs, tasks.ordered(), tasks.tracks)
        # Before its threads start: an input that is made of other tasks of this map asks it for their results. And before
        # anything else may stop it.
        self._finalizer = _when_dropped(imap, manager.abandon)
        self.manager, self.state = manager, state
        manager.know_streams(tasks.detach(imap))
        try:
            manager.start(sources)
        except BaseException:
            manager.abandon()  # it may have been started just before an interrupt
            self._finalizer.detach()
            self.manager, self.state = None, STOPPED
            tasks.forget()
            raise
        if options.progress is not None:
            from ._runtime.progress import show

            show(manager, options.progress, tasks.inputs, tasks.lengths)
        return manager

    def stop(self) -> None:
        """Ends the run, if there is one."""
        manager = self.manager
        if manager is not None:
            manager.stop()
            self._last = manager.statistics(STOPPED)
            self._finalizer.detach()
            self.state = STOPPED
            self.manager = None

    def statistics(self, options: Options, tasks: Tasks) -> Statistics:
        """The figures at this moment."""
        manager, state = self.manager, self.current()
        if manager is not None:
            return manager.statistics(state)
        if self._last is not None and not tasks.specs:
            return self._last
        return Statistics(state, options.workers, options.buffer or 0, 0, 0, 0, 0, 0, tasks.statistics())


def _prepare(options: Options) -> None:
    """Has the starter of worker processes come up while the caller imports the rest."""
    if options.worker_type != "process":
        return
    fill_standard_streams()
    if options.start_method != "fork":
        from .engines.processes.starter_client import prepare

        # What can't be started now is reported when workers are asked for.
        with suppress(OSError, WorkerStartError):
            prepare()


def _when_dropped(imap: Any, call: Callable[[], None]) -> weakref.finalize[[], Any]:
    """Calls when the map is dropped, but not at the end of the interpreter, which has a way of its own."""
    finalizer = weakref.finalize(imap, call)
    finalizer.atexit = False
    return finalizer


def inside_worker(loading: bool = False) -> bool:
    """Whether this process is a worker of ours (with ``loading``: one that imports or unpickles its caller's code)."""
    worker = sys.modules.get("numap._worker.loop")
    if worker is None:
        return False
    return bool(worker.loading if loading else worker.serving == os.getpid())


class WithBlock:
    """A base class: ``with`` and ``async with`` for what has a start and a stop."""

    def __enter__(self: Self) -> Self:
        self._start_unless_started()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def __aenter__(self: Self) -> Self:
        self._start_unless_started()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """`stop`, without holding up the event loop."""
        import asyncio

        await asyncio.to_thread(self.stop)

    def _start_unless_started(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Ends it."""
        raise NotImplementedError
