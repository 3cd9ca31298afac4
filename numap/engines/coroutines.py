"""The engine of worker threads for coroutine functions: one event loop, which runs as many items at once as there are workers.

An item that waits for a network takes no thread, so a thousand at once cost little. A worker is a place in the loop: it has one
item at a time. And a coroutine can be cancelled where it waits: so these items, unlike those of other threads, can have a time
limit, and are ended with the map.

Jobs, outcomes and what is taken back go the way of threads, by the same values; see `thread_worker`. Tasks of the same map whose
functions are no coroutine functions have threads as ever.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from time import monotonic, perf_counter
from typing import Any

from .._base.checks import is_coroutine_function, limited
from .._base.errors import TaskTimeout, WorkerStartError
from .._base.options import Options
from .._items.exceptions import trace_of
from .._items.failures import Failure
from .._items.finalizers import BEGUN, DONE, FINALIZER_TIMEOUT, ITEM_TIMEOUT, OWED, RUNS, overdue, raised, say
from .._items.retry_on import is_meant
from .._items.segments import FAILED, RAW, item_of
from .._sync.event_queue import EventQueue
from .._sync.threads import ContextThread, own_context
from .._system.forked_items import end_fork
from .._worker.run_item import failed
from .protocol import Job, Program, SideOutput, Slot, notice
from .thread_worker import Failed, Hooks, ThreadEvent, ThreadJob, know_loop
from .threads import ThreadEngine, ThreadSlot

#: Seconds that an item has to end after it was cancelled. One that goes on is left to itself, so that its worker can go on, too.
CANCEL_TIMEOUT = 1.0


class CoroutineEngine(ThreadEngine):
    """Items of coroutine functions run in the loop, those of others in threads.

    Args:
        programs: the functions.
        options: of the map.

    Raises:
        ValueError: an initializer or finalizer can't be awaited everywhere.
    """

    # What waits for a place in the loop is to wait in the queue of its task: nothing tells the loop that a place has two jobs.
    capabilities = ThreadEngine.capabilities._replace(prefetch_below_seconds=0.0)

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        super().__init__(programs, options)
        self._programs = programs
        self._in_loop = [is_coroutine_function(program.func) for program in programs]
        self._loop_thread = LoopThread(self._queue, self._hooks, [] if self._has_threads else self.slots)

    @property
    def _has_threads(self) -> bool:
        return not all(self._in_loop)

    def start(self) -> None:
        """See `Engine.start`."""
        try:
            self._loop_thread.start()
        except (OSError, RuntimeError) as error:
            raise WorkerStartError(f"no worker thread can be started: {error}") from error
        if self._has_threads:
            super().start()
        else:
            for slot in self.slots:
                slot.open = self._hooks.initializer is None

    def submit(self, slot: Slot, job: Job) -> None:
        """Gives a job to the loop, or to a thread."""
        if not self._in_loop[job.program]:
            super().submit(slot, job)
            return
        assert isinstance(slot, ThreadSlot)
        program = self._programs[job.program]
        work = self._jobs[job] = LoopJob(job, self._calls[job.program], program, slot, self._loop_thread)
        slot.jobs.append(job)
        if slot.check_at is None and job.count > 1:
            slot.seen = -1
            self._check_later(slot)
        self._loop_thread.submit(work)

    def stop(self) -> Sequence[SideOutput]:
        """Cancels the items that run, and waits for their ends and for the finalizer, not for ever."""
        began, worker = monotonic(), self._loop_thread
        worker.end()
        notices = list(super().stop())
        finalizes = self._hooks.finalizer is not None
        worker.join(began + ITEM_TIMEOUT)
        if finalizes and worker.state in (RUNS, DONE):
            worker.join(began + FINALIZER_TIMEOUT)
        worker.over = True
        if finalizes:
            text = overdue(worker.state, f"the event loop of {self._hooks.label}", "its thread is left to itself")
            notices += [notice(text)] if text is not None else []
        return notices


class LoopThread:
    """The thread with the event loop. It holds no engine: a map that nothing refers to can go.

    Args:
        events: is told what happens.
        hooks: initializer and finalizer, which run in the loop.
        slots: are open once the initializer is through.

    Attributes:
        context: what items see of context variables; each has a copy.
        state: of the finalizer, see `finalizers`.
        over: the map has ended, and waits no more for a finalizer that has not begun.
    """

    def __init__(self, events: EventQueue[ThreadEvent], hooks: Hooks, slots: Sequence[ThreadSlot]) -> None:
        self.context: Context = own_context()
        self.state = BEGUN
        self.over = False
        self.events = events
        self._hooks = hooks
        self._slots = slots
        self._thread: ContextThread | None = None
        self._waiting: deque[LoopJob] = deque()
        self._ready = self._ending = False

    # ------------------------------------------------------------------ by the engine

    def start(self) -> None:
        """Starts the thread.

        Raises:
            OSError, RuntimeError: there is no room for it.
        """
        self.loop = asyncio.new_event_loop()
        thread = ContextThread("numap-loop", self._serve)
        try:
            thread.start()
        except BaseException:
            self.loop.close()
            raise
        self._thread = thread

    def submit(self, work: LoopJob) -> None:
        """A job for the loop."""
        self._waiting.append(work)
        self._call(self._take)

    def end(self) -> None:
        """The map has ended."""
        if self._thread is not None:
            self._call(self._end)

    def join(self, until: float) -> None:
        """Waits for the end of the thread, up to that moment of the monotonic clock."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(max(0.0, until - monotonic()))

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the initializer has failed, or the map has ended
            self.loop.call_soon_threadsafe(function)

    # ------------------------------------------------------------------ in the loop

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the loop that sees the context variables of the map."""
        # A copy: we may be in the context itself.
        return self.context.copy().run(self.loop.create_task, coroutine)

    def _serve(self) -> None:
        pid, loop = os.getpid(), self.loop
        know_loop(loop)
        self._main = self._live_in_context()
        self._main.add_done_callback(lambda _: loop.stop())
        while not self._main.done():
            try:
                loop.run_forever()
            except BaseException:
                # asyncio lets a SystemExit or KeyboardInterrupt of an item through, which has become its outcome.
                if os.getpid() == pid:
                    continue
            if os.getpid() != pid:
                # An item has forked, and waits, or has ended: its process must not run the items of others.
                end_fork()
        if not self._main.cancelled() and self._main.exception() is not None:
            self.events.put(("failed", self._main.exception()))
        with suppress(Exception):
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        self.state = DONE

    def _live_in_context(self) -> asyncio.Task[None]:
        if sys.version_info >= (3, 11):
            # What the initializer sets is seen by items.
            return self.loop.create_task(self._live(), context=self.context)
        return self.create_task(self._live())

    async def _live(self) -> None:
        self._over = asyncio.Event()
        hooks = self._hooks
        if hooks.initializer is not None:
            try:
                await _done(hooks.initializer(*hooks.initargs))
            except BaseException as error:
                self.events.put(("failed", error))
                self.state = DONE
                return
            for slot in self._slots:
                self.events.put(("ready", slot))
        self._ready = True
        self.state = OWED
        self._take()
        if not self._ending:
            await self._over.wait()
        await self._cancel_all()
        if hooks.finalizer is not None and not self.over:
            self.state = RUNS
            await self._finalize(hooks.finalizer)

    def _take(self) -> None:
        while self._ready and self._waiting and not self._ending:
            self._waiting.popleft().begin()

    def _end(self) -> None:
        self._ending = True
        if self._ready:
            self._over.set()
        else:
            self._main.cancel()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ITEM_TIMEOUT)

    async def _finalize(self, finalizer: Callable[[], Any]) -> None:
        try:
            await _done(finalizer())
        except BaseException as error:
            say(raised(f"the event loop of {self._hooks.label}", trace_of(error)))


class LoopJob(ThreadJob):
    """A job in the loop: its items run one after the other, each as a task of its own.

    Args:
        job: the job.
        call: the function of one item.
        program: what is said about it.
        slot: that the job was given to.
        home: the thread of the loop.
    """

    __slots__ = ("_handle", "_home", "_overdue", "_program", "_slot", "_task", "_values")

    def __init__(
        self, job: Job, call: Callable[[Any], Any], program: Program, slot: ThreadSlot, home: LoopThread
    ) -> None:
        super().__init__(job, call)
        self._program = program
        self._slot = slot
        self._home = home
        self._values = self._all_values()
        self._task: asyncio.Task[Any] | None = None
        self._handle: asyncio.TimerHandle | None = None
        #: The item was cancelled, as it ran too long.
        self._overdue = False

    def _all_values(self) -> Iterator[Any]:
        for segment in self.job.segments:
            yield from segment[2] if segment[0] == RAW else (item_of(segment),)

    def begin(self) -> None:
        """Begins the first item."""
        self.since = perf_counter()
        self._next()

    def _next(self) -> None:
        """Begins the next item, if one may begin; else the job is done."""
        place = self.started
        # In this order; see `ThreadJob.run`.
        self.started = place + 1
        if place >= self.limit:
            self.started = place
            self._home.events.put(("done", (self._slot, self)))
            return
        self._overdue = False
        # Not a method of ours that awaits it: the item has no other frame below its own.
        task = self._task = self._home.create_task(self.call(next(self._values)))
        task.add_done_callback(self._on_end)
        limit = limited(self._program.settings.task_timeout)
        if limit is not None:
            self._handle = self._home.loop.call_later(limit, self._cancel)

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        if task is not self._task:
            # It was left to itself; what it says now is of no interest.
            if not task.cancelled():
                task.exception()
            return
        try:
            outcome = task.result()
        except BaseException as error:
            outcome = Failed(failed(error, False))
        self._tell(self._timed_out("was cancelled") if self._overdue else outcome)

    def _tell(self, outcome: Any) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._task = self._handle = None
        self.outcomes.append(outcome)
        self._next()

    def _cancel(self) -> None:
        """The item is over its limit."""
        assert self._task is not None, "the timer ends with the item"
        self._overdue = True
        self._task.cancel()
        self._handle = self._home.loop.call_later(CANCEL_TIMEOUT, self._leave)

    def _leave(self) -> None:
        """The item does not end though it was cancelled."""
        self._tell(self._timed_out("went on though it was cancelled, so it is left to itself"))

    def _timed_out(self, what: str) -> Failed:
        program, index = self._program, self.job.first + len(self.outcomes)
        settings = program.settings
        error = TaskTimeout(
            f"item {index} of task {self.job.program} ({program.label}) ran longer than task_timeout={settings.task_timeout} s "
            f"and {what}; the other items go on"
        )
        again = settings.retry_on is not None and is_meant(settings.retry_on, error)
        return Failed((FAILED, 1, Failure(error, again=again)))


async def _done(found: Any) -> None:
    """What a function of the user's gave is awaited, if it can be."""
    if inspect.isawaitable(found):
        await found
