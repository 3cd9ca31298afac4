"""A slot with its worker process: its ledger, its progress page, and the moments at which they are looked at.

A worker gets more items than one, so a slow item would hold back those behind it. And an item that is over its time limit
can't say so. The slot looks at the progress page for both, at moments that it knows beforehand, so nothing polls. After a
while without progress it takes back what has not begun, and at the limit it says that the worker is to be killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from ..._items.segments import RAW, pack
from ..._sync.event_queue import NEVER
from ..._transport.channel import outgoing
from ..._transport.messages import Definition, Definitions, RunJob, SideMessage
from ..._transport.progress_page import CLOCK, EPOCH, STARTED
from ..protocol import UNLIMITED, Job, Returned, SideOutput, Slot
from .ledger import JobLedger
from .supervisor import WorkerHandle

#: Seconds without progress after which a worker counts as stuck in one item: what it holds is asked for.
STUCK_AFTER = 0.010
#: Seconds beyond its time limit that an item may take to be unpickled: what that imports is not its time, but nothing may wait
#: for ever. Modules that take longer can be imported by an initializer.
UNPICKLING_TIMEOUT = 60.0
#: Seconds for a write to shared memory to be seen by the other side, and more.
SETTLE = 0.001


class ProcessSlot(Slot):
    """A slot with its present worker.

    Args:
        limits: by program, the seconds that an item may run; None: no limit.
    """

    __slots__ = (
        "check_at",
        "epoch",
        "expired",
        "handle",
        "known",
        "ledger",
        "limit_at",
        "limits",
        "ready",
        "recalled_at",
        "seen",
        "unpickling",
        "write_blocked",
    )

    def __init__(self, limits: Sequence[float | None]) -> None:
        super().__init__()
        self.limits = limits
        self.handle: WorkerHandle | None = None
        self.reset(UNLIMITED)

    def reset(self, room: int) -> None:
        """For a worker that has just been asked for."""
        self.ledger = JobLedger(self.jobs)
        self.room = room
        self.ready = self.open = self.stuck = False
        #: Something waits for room in the socket of the worker.
        self.write_blocked = False
        self.epoch = 0
        #: So many of the exporter's definitions the worker knows.
        self.known = 0
        #: STARTED at the last look, and when to look again.
        self.seen = -1
        self.check_at: float | None = None
        #: When the last recall will have settled.
        self.recalled_at: float | None = None
        #: When the time limit of the running item is to be looked at, and STARTED when it was found over it.
        self.limit_at: float | None = None
        self.expired = -1
        #: Then it was still being unpickled.
        self.unpickling = False

    # ------------------------------------------------------------------ jobs

    def send(self, job: Job, log: list[Definition]) -> None:
        """Sends a job, after the definitions that its items may need."""
        assert self.handle is not None, "an open slot has a worker"
        self.tell(log)
        job.segments = [pack(s[2]) if s[0] == RAW else s for s in job.segments]
        self.ledger.add(job)
        segments = [outgoing(s) for s in job.segments]
        self.handle.send(RunJob(job.seq, self.epoch, (job.program, *job.behind), segments))
        if self.check_at is None and (job.count > 1 or len(self.jobs) > 1):
            self.seen = -1
            self.check_at = monotonic() + STUCK_AFTER
        limit = self.limit_of(job)
        if limit is not None:
            self.limit_at = min(monotonic() + limit, NEVER if self.limit_at is None else self.limit_at)
        self.room -= job.count
        if self.room <= 0:
            self.open = False

    def tell(self, log: list[Definition]) -> None:
        """Sends the definitions that the worker does not know."""
        if self.known < len(log) and self.handle is not None:
            news = log[self.known :]
            self.known += len(news)
            self.handle.send(Definitions(news))

    def limit_of(self, job: Job) -> float | None:
        """Seconds that an item of a job may run; None: no limit."""
        return self.limits[job.program]

    def take_room_back(self, returned: list[Returned]) -> None:
        """Items came back without having run: the worker has room for as many others."""
        for back in returned:
            self.room += back.count

    def outcomes_told(self, last: bool) -> None:
        """The worker told outcomes, with ``last`` those of the last items of a job."""
        self.stuck = False
        if last:
            self.seen = -1
            self.check_at = monotonic() + STUCK_AFTER if self.jobs else None

    def recall(self) -> None:
        """Asks for all that has not begun; it is known a moment later what that is."""
        if self.handle is None or not self.jobs or self.recalled_at is not None:
            return
        self.epoch += 1
        self.handle.page.words[EPOCH] = self.epoch
        self.open = False
        self.recalled_at = monotonic() + SETTLE

    def close(self) -> WorkerHandle | None:
        """The worker begins nothing more, neither an item nor its initializer; returns it, if there is one."""
        handle, self.handle = self.handle, None
        self.open = False
        if handle is not None:
            handle.page.words[EPOCH] = self.epoch + 1
        return handle

    # ------------------------------------------------------------------ looks at the page

    def next_look(self) -> float:
        """When to `look` again."""
        soonest = NEVER
        for time in (self.check_at, self.recalled_at, self.limit_at):
            if time is not None and time < soonest:
                soonest = time
        return soonest

    def look(self, now: float) -> tuple[list[Returned], bool]:
        """Looks at whatever is due; returns what was taken back, and whether the running item is over its limit."""
        returned: list[Returned] = []
        if self.handle is None:
            return returned, False
        if self.recalled_at is not None and now >= self.recalled_at:
            self.recalled_at = None
            returned = self.ledger.take_back(self.handle.page.words[STARTED])
            self.take_room_back(returned)
            self.open = self.ready and self.room > 0
        if self.check_at is not None and now >= self.check_at:
            self._look_for_progress(self.handle, now)
        return returned, self.limit_at is not None and now >= self.limit_at and self._over_limit(self.handle, now)

    def _look_for_progress(self, handle: WorkerHandle, now: float) -> None:
        """Is the worker in the same item as at the last look? Then others must not wait for that item."""
        if not self.jobs:
            self.check_at = None
            return
        started = handle.page.words[STARTED]
        self.check_at = now + STUCK_AFTER
        if started != self.seen:
            self.seen = started
            return
        self.check_at = None
        self.stuck = True
        job = self.jobs[0]
        if started > job.seq + job.done + 1:
            handle.nudge.give()
        if started < self.ledger.sent:
            self.recall()

    def _over_limit(self, handle: WorkerHandle, now: float) -> bool:
        """Whether the running item is over its time limit, for the first time; else when to look again."""
        words = handle.page.words
        self.limit_at = None
        limits = [limit for limit in map(self.limit_of, self.jobs) if limit is not None]
        if not limits or self.expired >= 0:
            return False
        started, began = words[STARTED], words[CLOCK]
        running = self.ledger.running(started)
        limit = None if running is None else self.limit_of(running[0])
        if limit is None or not began or words[STARTED] != started:
            self.limit_at = now + min(limits)
            return False
        deadline = began / 1e9 + limit + (UNPICKLING_TIMEOUT if began & 1 else 0)
        if now < deadline:
            # Its function may begin at any moment, and then has its own time.
            self.limit_at = min(deadline, now + limit)
            return False
        self.expired = started
        self.unpickling = bool(began & 1)
        return True


def side_output(handle: WorkerHandle, slot: ProcessSlot | None, message: SideMessage) -> SideOutput:
    """What a worker said, with the item that it was in."""
    found = None if slot is None else slot.ledger.running(message.started)
    if found is None:
        return SideOutput(None, None, handle.pid, message.kind, message.content)
    job, place = found
    program = (job.program, *job.behind)[message.stage]
    return SideOutput(program, job.first + place, handle.pid, message.kind, message.content)
