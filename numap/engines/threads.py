"""The engine of worker threads: items and results go by reference."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any, NamedTuple

from .._base.capabilities import CAPABILITIES
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.failures import Failure, safe_text, trace_of, without_ours
from .._items.finalizers import BEGUN, DONE, GRACE, ITEM_GRACE, OWED, RUNS, finalize, overdue, patience
from .._items.segments import FAILED, RAW, Segment, item_of, parts
from .._sync.event_queue import NEVER, EventQueue
from .._sync.threads import ContextThread
from .._system.forked_items import end_fork
from .protocol import UNLIMITED, Event, Job, Output, Program, Returned, SideOutput, Slot, StartFailed, notice

#: Seconds in one item after which what was given to the same thread is taken back, and what it has done is handed over.
PATIENCE = 0.010


class ThreadSlot(Slot):
    """One worker thread.

    The thread works on ``work``; what it has done is in ``outcomes``, a list that it only appends to and the manager
    only reads and cuts at a moment when both are known to agree: all steps are single operations under the interpreter
    lock.
    """

    __slots__ = ("check_at", "inbox", "seen")

    def __init__(self) -> None:
        super().__init__()
        self.inbox: SimpleQueue[_Work | None] = SimpleQueue()
        self.check_at: float | None = None
        self.seen = -1


class _Life:
    """One worker thread from its start to its end.

    Attributes:
        thread: the thread.
        state: of its finalizer, see `finalizers`.
        over: the map has ended, and waits for the thread no more if that has not begun.
    """

    __slots__ = ("over", "state", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.state = BEGUN  # as good as: a thread that the system has not let run yet is waited for like the others
        self.over = False


class _Hooks(NamedTuple):
    """What is called in each thread at its start and its end, and the name of the map."""

    initializer: Callable[..., Any] | None
    initargs: tuple[Any, ...]
    finalizer: Callable[..., Any] | None
    label: str


class _Work:
    """A job as its thread sees it."""

    __slots__ = ("began", "call", "collected", "forked", "job", "limit", "outcomes", "since", "started")

    def __init__(self, job: Job, call: Callable[[Any], Any]) -> None:
        self.job = job
        self.call = call
        self.outcomes: list[Any] = []
        self.started = 0
        #: No item from this place on may begin.
        self.limit = job.count
        #: This is a process that an item has forked: the outcome is told where the item was given.
        self.forked = False
        self.collected = 0
        self.began = 0.0
        self.since = 0.0


class _Failed:
    """Marks a failure among results; user code never sees this class."""

    __slots__ = ("failure",)

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class ThreadEngine:
    """Daemon threads, one per slot.

    Args:
        programs: the functions.
        options: of the map.
    """

    capabilities = CAPABILITIES["thread"]

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._calls = [bound(it.func, it.args, it.kwargs) for it in programs]
        label = ", ".join(it.label for it in programs)
        self._hooks = _Hooks(options.initializer, options.initargs, options.finalizer, label)
        self._room = options.max_items_per_worker or UNLIMITED
        self.slots: list[ThreadSlot] = [ThreadSlot() for _ in range(options.workers)]
        self._signals: EventQueue[tuple[str, Any]] = EventQueue()
        #: No thread is to be looked at before this moment.
        self._look_at = NEVER
        self._work: dict[Job, _Work] = {}
        self._events: list[Event] = []
        self._lives: dict[ThreadSlot, _Life] = {}
        #: Those that have had their number of items.
        self._retiring: list[_Life] = []
        self._stopped = False

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Starts the threads.

        Raises:
            WorkerStartError: no thread can be started.
        """
        # Each thread starts two others, then works. To start one takes as long as some dozens of items, and the first ones
        # need not wait for the last; most of that time goes by in waiting for the system, so two at a time go faster.
        threads: dict[int, threading.Thread] = {}
        for place in reversed(range(len(self.slots))):
            followers = [threads.pop(behind) for behind in (2 * place + 1, 2 * place + 2) if behind in threads]
            threads[place] = self._fill(self.slots[place], followers)
        try:
            threads[0].start()
        except RuntimeError as error:
            raise _exhausted(error) from error

    def _fill(self, slot: ThreadSlot, followers: list[threading.Thread]) -> threading.Thread:
        """A thread for a slot, to be started."""
        slot.open = self._hooks.initializer is None
        slot.room = self._room
        slot.inbox = SimpleQueue()
        life = self._lives[slot] = _Life()
        args = (life, slot, slot.inbox, self._signals, self._hooks, followers)
        life.thread = ContextThread("numap-worker", _serve, args)
        return life.thread

    def stop(self) -> Sequence[SideOutput]:
        """Tells the threads to end after the item they are in, as a thread can't be killed; waits for finalizers, not for ever."""
        self._stopped = True
        for work in list(self._work.values()):
            work.limit = 0
        for slot in self.slots:
            slot.open = False
        # One after the other, lest they all want the interpreter at once, before whoever has waited for the last result; but
        # finalizers run side by side.
        if self._hooks.finalizer is not None:
            for slot in self.slots:
                slot.inbox.put(None)
            return self._take_leave()
        for slot in self.slots:
            slot.inbox.put(None)
            life = self._lives.get(slot)  # None: the start was interrupted before
            if not slot.jobs and life is not None:
                _join(life, monotonic() + GRACE)
        return ()

    def _take_leave(self) -> list[SideOutput]:
        """Waits for finalizers, not for ever; returns what is to be said of those that take longer."""
        began = monotonic()
        lives = [*self._retiring, *self._lives.values()]
        for until in (began + ITEM_GRACE, began + GRACE):
            for life in lives:
                if began + patience(life.state) >= until:
                    _join(life, until)
            for life in lives:
                life.over = True
        texts = [
            overdue(life.state, f"a worker thread of {self._hooks.label}", "the thread is left to itself")
            for life in lives
        ]
        return [notice(text) for text in texts if text is not None]

    def wake(self) -> None:
        """Ends a `listen`."""
        self._signals.wake()

    # ------------------------------------------------------------------ jobs

    def submit(self, slot: Slot, job: Job) -> None:
        """Gives a job to a thread."""
        assert isinstance(slot, ThreadSlot)
        work = self._work[job] = _Work(job, self._calls[job.program])
        slot.jobs.append(job)
        if slot.check_at is None and (job.count > 1 or len(slot.jobs) > 1):
            slot.seen = -1
            self._watch(slot)
        slot.inbox.put(work)
        slot.room -= job.count
        if slot.room <= 0:
            slot.open = False

    def _watch(self, slot: ThreadSlot) -> None:
        """Has the thread looked at in a while."""
        slot.check_at = monotonic() + PATIENCE
        self._look_at = min(self._look_at, slot.check_at)

    def recall(self) -> None:
        """Takes back all that has not begun."""
        for slot in self.slots:
            self._take_back(slot)

    def _take_back(self, slot: ThreadSlot) -> None:
        for job in list(slot.jobs):
            work = self._work[job]
            # The thread first says that it begins, then looks at the limit; we set the limit, then look.
            work.limit = work.started
            begun = max(work.limit, work.started)
            if begun < job.count:
                segments = parts(job.segments, begun, job.count)
                self._give_back(slot, job, begun, segments)

    def _give_back(self, slot: ThreadSlot, job: Job, start: int, segments: list[Segment]) -> None:
        """The items of a job from its ``start``-th on have not run: the thread has room for as many others."""
        count = job.count - start
        self._events.append(Returned(job.program, job.first + start, count, segments))
        job.count = start
        slot.room += count
        slot.open = not self._stopped

    # ------------------------------------------------------------------ events

    def due(self) -> float:
        """See `Engine.due`."""
        return 0.0 if self._events else self._look_at

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._signals.listen(until)

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        for signal in self._signals.take():
            self._on_signal(*signal)
        self._look()
        events, self._events = self._events, []
        return events

    def _on_signal(self, kind: str, subject: Any) -> None:
        if kind == "done":
            slot, work = subject
            self._collect(slot, work, last=True)
        elif kind == "ready":
            subject.open = True
        elif not self._stopped:
            error = subject
            wrapped = _exhausted(error)
            if kind == "failed":
                what = f"{type(error).__name__}: {safe_text(error)}"
                wrapped = WorkerStartError(f"the initializer raised in a worker thread: {what}")
            wrapped.__cause__ = without_ours(error)
            self._events.append(StartFailed(wrapped))
            self.stop()

    def _collect(self, slot: ThreadSlot, work: _Work, last: bool = False) -> None:
        job = work.job
        ready = work.outcomes[work.collected :]
        work.collected += len(ready)
        now = perf_counter()
        if ready:
            first = job.first + job.done
            job.done += len(ready)
            self._events.append(Output(job, first, len(ready), _segments(ready), now - work.since))
            work.since = now
            slot.stuck = False
        if last:
            slot.jobs.remove(job)
            del self._work[job]
            if job.done < job.count:
                self._give_back(slot, job, job.done, parts(job.segments, job.done, job.count))
            slot.seen = -1
            slot.check_at = None
            if slot.jobs:
                self._watch(slot)
            if slot.room <= 0 and not slot.jobs and not self._stopped:
                slot.inbox.put(None)
                self._retiring = [it for it in self._retiring if it.thread.is_alive()] + [self._lives[slot]]
                try:
                    self._fill(slot, []).start()
                except RuntimeError as error:
                    self._on_signal("exhausted", error)

    def _look(self) -> None:
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = NEVER
        for slot in self.slots:
            if slot.check_at is None:
                continue
            if now < slot.check_at:
                self._look_at = min(self._look_at, slot.check_at)
                continue
            if not slot.jobs:
                slot.check_at = None
                continue
            self._watch(slot)
            work = self._work[slot.jobs[0]]
            if work.started != slot.seen:
                slot.seen = work.started
                # It takes longer than was thought: what it has done so far may be larger than was thought, too.
                if work.collected < len(work.outcomes):
                    self._collect(slot, work)
                continue
            slot.check_at = None
            slot.stuck = True
            self._take_back(slot)
            if work.collected < len(work.outcomes):
                self._collect(slot, work)
                slot.stuck = True


def _exhausted(error: RuntimeError) -> WorkerStartError:
    return WorkerStartError(f"no worker thread can be started: {error}")


def _segments(outcomes: list[Any]) -> list[Segment]:
    """Results as segments; failures stand alone."""
    segments: list[Segment] = []
    run: list[Any] = []
    for outcome in outcomes:
        if type(outcome) is _Failed:
            if run:
                segments.append((RAW, len(run), run))
                run = []
            segments.append((FAILED, 1, outcome.failure))
        else:
            run.append(outcome)
    if run:
        segments.append((RAW, len(run), run))
    return segments


def _join(life: _Life, until: float) -> None:
    if life.thread.is_alive() and life.thread is not threading.current_thread():
        life.thread.join(max(0.0, until - monotonic()))


def _serve(
    life: _Life,
    slot: ThreadSlot,
    inbox: SimpleQueue[_Work | None],
    signals: EventQueue[tuple[str, Any]],
    hooks: _Hooks,
    followers: list[threading.Thread],
) -> None:
    """The life of a worker thread. It holds no reference to the engine, so a dropped map can go."""
    while followers:
        try:
            followers.pop(0).start()
        except RuntimeError as error:
            signals.put(("exhausted", error))
    if life.over:
        return
    if hooks.initializer is not None:
        try:
            hooks.initializer(*hooks.initargs)
        except BaseException as error:
            signals.put(("failed", error))
            return
        signals.put(("ready", slot))
    life.state = OWED
    while (work := inbox.get()) is not None:
        work.since = perf_counter()
        _serving.work = work
        _run(work)
        _serving.work = None
        if work.forked:
            end_fork()
        signals.put(("done", (slot, work)))
        del work
    if hooks.finalizer is not None:
        life.state = RUNS
        finalize(hooks.finalizer, f"a worker thread of {hooks.label}")
    life.state = DONE


def _run(work: _Work) -> None:
    call, outcomes, place = work.call, work.outcomes, 0
    for segment in work.job.segments:
        kind, _, data = segment
        for value in data if kind == RAW else (item_of(segment),):
            work.started = place + 1
            if place >= work.limit:
                work.started = place
                return
            place += 1
            try:
                outcomes.append(call(value))
            except BaseException as error:
                if work.forked:
                    end_fork(error)
                outcomes.append(_Failed(Failure(error, trace_of(error))))


class _Serving(threading.local):
    """What each thread works on."""

    work: _Work | None = None


_serving = _Serving()


def _after_fork() -> None:
    """In the child, in the thread that has forked: it begins no other item."""
    work = _serving.work
    if work is not None:
        work.forked = True
        work.limit = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
