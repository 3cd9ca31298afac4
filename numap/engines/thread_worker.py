"""A worker thread: what runs in it, and the few values by which it and its engine agree without a lock.

A lock for each item would cost more than many items do. Instead each value has one writer, and each step is one operation
under the interpreter lock. The thread says that it begins an item before it looks at the limit; the engine sets the limit
before it looks what has begun. So the one or the other sees it, and no item is both run and given to another thread.

The thread holds no reference to its engine: a map that nothing refers to any more can go while its threads wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any, Literal, NamedTuple

from .._items.finalizers import BEGUN, DONE, OWED, RUNS, finalize
from .._items.segments import RAW, Segment, item_of
from .._sync.event_queue import EventQueue
from .._sync.threads import ContextThread
from .._system.forked_items import end_fork
from .._worker.run_item import failed
from .protocol import Job, Slot


class ThreadJob:
    """A job as its thread sees it.

    Attributes:
        started: items that have begun, by the thread.
        outcomes: of the first items, by the thread, which only appends.
        limit: no item from this place on may begin, by the engine.
        collected: outcomes that the engine has taken.
        since: when the first of the others was begun.
        forked: this is a process that an item has forked: the outcome is told where the item was given.
    """

    __slots__ = ("call", "collected", "forked", "job", "limit", "outcomes", "since", "started")

    def __init__(self, job: Job, call: Callable[[Any], Any]) -> None:
        self.job = job
        self.call = call
        self.outcomes: list[Any] = []
        self.started = 0
        self.limit = job.count
        self.forked = False
        self.collected = 0
        self.since = 0.0

    # ------------------------------------------------------------------ by the engine

    def take_back(self) -> int:
        """Lets no other item begin; returns how many have."""
        self.limit = self.started
        return max(self.limit, self.started)

    def has_new(self) -> bool:
        """Whether there are outcomes that the engine has not taken."""
        return self.collected < len(self.outcomes)

    def take_new(self) -> tuple[int, list[Segment], float]:
        """The outcomes since the last call: how many, as segments, and the seconds for them."""
        new = self.outcomes[self.collected :]
        self.collected += len(new)
        now = perf_counter()
        began, self.since = self.since, now if new else self.since
        return len(new), _segments(new), now - began

    # ------------------------------------------------------------------ by the thread

    def run(self) -> None:
        """Runs the items until one must not begin any more."""
        call, outcomes, place = self.call, self.outcomes, 0
        for segment in self.job.segments:
            kind, _, data = segment
            for value in data if kind == RAW else (item_of(segment),):
                self.started = place + 1
                if place >= self.limit:
                    self.started = place
                    return
                place += 1
                try:
                    outcomes.append(call(value))
                except BaseException as error:
                    outcomes.append(Failed(failed(error, self.forked)))


class Failed:
    """Marks a failure among results; user code never sees this class."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: Segment) -> None:
        self.outcome = outcome


def _segments(outcomes: list[Any]) -> list[Segment]:
    """Results as segments; failures stand alone."""
    segments: list[Segment] = []
    run: list[Any] = []
    for outcome in outcomes:
        if type(outcome) is Failed:
            if run:
                segments.append((RAW, len(run), run))
                run = []
            segments.append(outcome.outcome)
        else:
            run.append(outcome)
    if run:
        segments.append((RAW, len(run), run))
    return segments


# ---------------------------------------------------------------------- the thread


class Hooks(NamedTuple):
    """What is called in each thread at its start and its end, and the name of the map."""

    initializer: Callable[..., Any] | None
    initargs: tuple[Any, ...]
    finalizer: Callable[..., Any] | None
    label: str


#: What a thread tells: a job (with its slot) is done, the initializer of a slot's thread is through or has raised, or a thread
#: could not be started.
ThreadEvent = tuple[Literal["done", "ready", "failed", "exhausted"], Any]


class WorkerThread:
    """One worker thread from its start to its end.

    Args:
        slot: whose jobs it runs.
        inbox: gives them; None: the thread is to end.

    Attributes:
        thread: the thread, once `make` has made it.
        state: of its finalizer, see `finalizers`.
        over: the map has ended, and waits for the thread no more if that has not begun.
    """

    __slots__ = ("inbox", "over", "slot", "state", "thread")

    def __init__(self, slot: Slot, inbox: SimpleQueue[ThreadJob | None]) -> None:
        self.slot = slot
        self.inbox = inbox
        self.thread = threading.current_thread()
        self.state = BEGUN  # as good as: a thread that the system has not let run yet is waited for like the others
        self.over = False

    def make(
        self, events: EventQueue[ThreadEvent], hooks: Hooks, followers: list[threading.Thread]
    ) -> threading.Thread:
        """The thread, to be started; it starts the ``followers`` first."""
        self.thread = ContextThread("numap-worker", serve, (self, events, hooks, followers))
        return self.thread

    def join(self, until: float) -> None:
        """Waits for its end, up to that moment of the monotonic clock."""
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join(max(0.0, until - monotonic()))


def serve(
    worker: WorkerThread, events: EventQueue[ThreadEvent], hooks: Hooks, followers: list[threading.Thread]
) -> None:
    """The life of a worker thread."""
    while followers:
        try:
            followers.pop(0).start()
        except RuntimeError as error:
            events.put(("exhausted", error))
    if worker.over:
        return
    slot, inbox = worker.slot, worker.inbox
    if hooks.initializer is not None:
        try:
            hooks.initializer(*hooks.initargs)
        except BaseException as error:
            events.put(("failed", error))
            return
        events.put(("ready", slot))
    worker.state = OWED
    while (job := inbox.get()) is not None:
        job.since = perf_counter()
        _current.job = job
        job.run()
        _current.job = None
        if job.forked:
            end_fork()
        events.put(("done", (slot, job)))
        del job
    if hooks.finalizer is not None:
        worker.state = RUNS
        finalize(hooks.finalizer, f"a worker thread of {hooks.label}")
    worker.state = DONE


class _Current(threading.local):
    """What each thread works on."""

    job: ThreadJob | None = None
    #: The event loop that it runs.
    loop: Any = None


_current = _Current()


def _after_fork() -> None:
    """In the child, in the thread that has forked: it begins no other item."""
    job = _current.job
    if job is not None:
        job.forked = True
        job.limit = 0
    loop = _current.loop
    if loop is not None:
        loop.stop()
        # Not even what the loop was about to run in this round: that belongs to the parent.
        getattr(loop, "_ready", []).clear()


def know_loop(loop: Any) -> None:
    """This thread runs an event loop, in which an item may fork."""
    _current.loop = loop


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
