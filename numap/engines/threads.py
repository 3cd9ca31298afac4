"""The engine of worker threads: items and results go by reference.

A job goes to one thread as a whole, and its outcomes come back as a whole, as a queue entry for each item would cost more than
a short item does. So a slow item could hold back those before and behind it. The engine looks after a while whether a
thread has got on. It takes over what is done by then; and if the thread is still in the same item, it takes back what has not
begun. How that goes without a lock is said in `thread_worker`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any

from .._base.capabilities import CAPABILITIES
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._items.call import bound
from .._items.exceptions import safe_text, without_ours
from .._items.finalizers import FINALIZER_TIMEOUT, ITEM_TIMEOUT, end_timeout, overdue
from .._sync.event_queue import NEVER, EventQueue
from .protocol import UNLIMITED, Event, Job, Output, Program, SideOutput, Slot, StartFailed, notice
from .thread_worker import Hooks, ThreadEvent, ThreadJob, WorkerThread

#: Seconds in one item after which what was given to the same thread is taken back, and what it has done is handed over.
STUCK_AFTER = 0.010


class ThreadSlot(Slot):
    """A slot with its present thread.

    Attributes:
        inbox: jobs for the thread; None: it is to end.
        check_at: when to look whether it has got on; None: it has nothing that others could have.
        seen: items of its job that had begun at the last look.
    """

    __slots__ = ("check_at", "inbox", "seen")

    def __init__(self) -> None:
        super().__init__()
        self.inbox: SimpleQueue[ThreadJob | None] = SimpleQueue()
        self.check_at: float | None = None
        self.seen = -1


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
        self._hooks = Hooks(options.initializer, options.initargs, options.finalizer, label)
        self._room = options.max_items_per_worker or UNLIMITED
        self.slots: list[ThreadSlot] = [ThreadSlot() for _ in range(options.workers)]
        self._queue: EventQueue[ThreadEvent] = EventQueue()
        #: No thread is to be looked at before this moment.
        self._check_at = NEVER
        self._jobs: dict[Job, ThreadJob] = {}
        self._events: list[Event] = []
        self._workers: dict[ThreadSlot, WorkerThread] = {}
        #: Those that have had their number of items.
        self._retiring: list[WorkerThread] = []
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
            threads[place] = self._make_thread(self.slots[place], followers)
        try:
            threads[0].start()
        except RuntimeError as error:
            raise _exhausted(error) from error

    def _make_thread(self, slot: ThreadSlot, followers: list[threading.Thread]) -> threading.Thread:
        """A thread for a slot, to be started."""
        slot.open = self._hooks.initializer is None
        slot.room = self._room
        slot.inbox = SimpleQueue()
        worker = self._workers[slot] = WorkerThread(slot, slot.inbox)
        return worker.make(self._queue, self._hooks, followers)

    def _replace(self, slot: ThreadSlot) -> None:
        """Lets a thread end that has had its number of items, and starts another one."""
        slot.inbox.put(None)
        self._retiring = [it for it in self._retiring if it.thread.is_alive()] + [self._workers[slot]]
        try:
            self._make_thread(slot, []).start()
        except RuntimeError as error:
            self._on_event("exhausted", error)

    def stop(self) -> Sequence[SideOutput]:
        """Tells the threads to end after the item they are in, as a thread can't be killed; waits for finalizers, not for ever."""
        self._stopped = True
        for work in list(self._jobs.values()):
            work.limit = 0
        for slot in self.slots:
            slot.open = False
        # One after the other, lest they all want the interpreter at once, before the consumer that has waited for the last
        # result; but finalizers run side by side.
        if self._hooks.finalizer is not None:
            for slot in self.slots:
                slot.inbox.put(None)
            return self._end_in_order()
        for slot in self.slots:
            slot.inbox.put(None)
            worker = self._workers.get(slot)  # None: the start was interrupted before
            if not slot.jobs and worker is not None:
                worker.join(monotonic() + FINALIZER_TIMEOUT)
        return ()

    def _end_in_order(self) -> list[SideOutput]:
        """Waits for finalizers, not for ever; returns what is to be said of those that take longer."""
        began = monotonic()
        workers = [*self._retiring, *self._workers.values()]
        for until in (began + ITEM_TIMEOUT, began + FINALIZER_TIMEOUT):
            for worker in workers:
                if began + end_timeout(worker.state) >= until:
                    worker.join(until)
            for worker in workers:
                worker.over = True
        name = f"a worker thread of {self._hooks.label}"
        texts = [overdue(worker.state, name, "the thread is left to itself") for worker in workers]
        return [notice(text) for text in texts if text is not None]

    # ------------------------------------------------------------------ jobs

    def submit(self, slot: Slot, job: Job) -> None:
        """Gives a job to a thread."""
        assert isinstance(slot, ThreadSlot)
        work = self._jobs[job] = ThreadJob(job, self._calls[job.program])
        slot.jobs.append(job)
        if slot.check_at is None and (job.count > 1 or len(slot.jobs) > 1):
            slot.seen = -1
            self._check_later(slot)
        slot.inbox.put(work)
        slot.room -= job.count
        if slot.room <= 0:
            slot.open = False

    def recall(self) -> None:
        """Takes back all that has not begun."""
        for slot in self.slots:
            self._take_back(slot)

    def _take_back(self, slot: ThreadSlot) -> None:
        for job in list(slot.jobs):
            self._give_back(slot, job, self._jobs[job].take_back())

    def _give_back(self, slot: ThreadSlot, job: Job, start: int) -> None:
        """The items of a job from its ``start``-th on have not run: the thread has room for as many others."""
        for returned in job.give_back(start):
            self._events.append(returned)
            slot.room += returned.count
            slot.open = not self._stopped

    # ------------------------------------------------------------------ events

    def due(self) -> float:
        """See `Engine.due`."""
        return 0.0 if self._events else self._check_at

    def listen(self, until: float) -> None:
        """See `Engine.listen`."""
        self._queue.listen(until)

    def wake(self) -> None:
        """Ends a `listen`."""
        self._queue.wake()

    def events(self) -> list[Event]:
        """See `Engine.events`."""
        for event in self._queue.take():
            self._on_event(*event)
        self._check_threads()
        events, self._events = self._events, []
        return events

    def _on_event(self, kind: str, subject: Any) -> None:
        if kind == "done":
            slot, work = subject
            self._collect(slot, work)
            self._job_done(slot, work.job)
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

    def _collect(self, slot: ThreadSlot, work: ThreadJob) -> None:
        count, segments, seconds = work.take_new()
        if count:
            job = work.job
            first = job.first + job.done
            job.done += count
            self._events.append(Output(job, first, count, segments, seconds))
            slot.stuck = False

    def _job_done(self, slot: ThreadSlot, job: Job) -> None:
        slot.jobs.remove(job)
        del self._jobs[job]
        self._give_back(slot, job, job.done)
        slot.seen = -1
        slot.check_at = None
        if slot.jobs:
            self._check_later(slot)
        if slot.room <= 0 and not slot.jobs and not self._stopped:
            self._replace(slot)

    # ------------------------------------------------------------------ slow items

    def _check_later(self, slot: ThreadSlot) -> None:
        slot.check_at = monotonic() + STUCK_AFTER
        self._check_at = min(self._check_at, slot.check_at)

    def _check_threads(self) -> None:
        now = monotonic()
        if now < self._check_at:
            return
        self._check_at = NEVER
        for slot in self.slots:
            if slot.check_at is None:
                continue
            if now < slot.check_at:
                self._check_at = min(self._check_at, slot.check_at)
            elif not slot.jobs:
                slot.check_at = None
            else:
                self._check(slot, self._jobs[slot.jobs[0]])

    def _check(self, slot: ThreadSlot, work: ThreadJob) -> None:
        """Has a thread got on since the last look? If not, others must not wait for its item."""
        if work.started != slot.seen:
            self._check_later(slot)
            slot.seen = work.started
            # It takes longer than was thought: what it has done so far may be larger than was thought, too.
            if work.has_new():
                self._collect(slot, work)
            return
        slot.check_at = None
        slot.stuck = True
        self._take_back(slot)
        if work.has_new():
            self._collect(slot, work)
            slot.stuck = True


def _exhausted(error: RuntimeError) -> WorkerStartError:
    return WorkerStartError(f"no worker thread can be started: {error}")
