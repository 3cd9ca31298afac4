"""The engine of worker processes: a private socket and a progress page each, and the books of what each one holds."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

from .._channel import beside, outgoing
from .._crew import Crew, WorkerHandle
from .._errors import SerializationError, WorkerStartError
from .._mirror import Mirror, main_identity
from .._outcome import RAW, Segment, render
from .._page import EPOCH, STARTED
from .._platform import exit_text, umask
from .._serialize import pack, parts, serialization_error
from .._worker import NUDGE
from . import Capabilities, Died, Event, Job, Output, Program, Returned, Slot, StartFailed

#: Seconds without progress after which a worker counts as stuck in one item: what it holds is asked for.
PATIENCE = 0.010
#: Workers that may die in a row while they start: killed by others, for what is wrong with them all would kill every one.
STILLBORN = 4
#: Seconds for a write to shared memory to be seen by the other side, and more.
SETTLE = 0.001


class ProcessSlot(Slot):
    """A slot with its present worker."""

    __slots__ = ("check_at", "epoch", "handle", "known", "ready", "recalled_at", "seen", "seq")

    def __init__(self) -> None:
        super().__init__()
        self.handle: WorkerHandle | None = None
        self.fresh()

    def fresh(self) -> None:
        """The books of a worker that has just been asked for."""
        self.ready = False
        self.open = False
        self.stuck = False
        #: Number of the next item that is sent.
        self.seq = 0
        self.epoch = 0
        #: Definitions of the mirror that the worker knows.
        self.known = 0
        #: STARTED at the last look, and when to look again.
        self.seen = -1
        self.check_at: float | None = None
        #: When the last recall will have settled.
        self.recalled_at: float | None = None


class ProcessEngine:
    """Worker processes that are started by the clean starter.

    Args:
        programs: the functions, pickled here once for all workers.
        workers: how many.
        method: "forkserver" or "spawn".
        mirror: collects what workers must know of the caller's code.
        initializer: run once in each worker with ``initargs``.

    Raises:
        SerializationError: a function can't be pickled.
    """

    capabilities = Capabilities(pickles=True, kills=True, inline=False, describes="process")

    def __init__(
        self, programs: Sequence[Program], workers: int, method: str, mirror: Mirror, initializer: Any, initargs: tuple[Any, ...]
    ) -> None:
        self._mirror = mirror
        self._method = method
        mirror.exempt(initializer)
        self._setup = {
            "programs": [_encode(mirror, p.label, (p.func, p.args, p.kwargs)) for p in programs],
            "initializer": _encode(mirror, "the initializer", (initializer, initargs)),
            "main": main_identity(),
            "environ": dict(os.environ),
            "cwd": _cwd(),
            "path": list(sys.path),
            "argv": list(sys.argv),
            "umask": umask(),
            "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
            "warnings": _filters(),
        }
        self.slots: list[ProcessSlot] = [ProcessSlot() for _ in range(workers)]
        self._events: list[Event] = []
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._stopped = False
        #: Workers that died while they started, since the last that did start.
        self._stillborn = 0

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Asks for all workers; they come to life on their own.

        Raises:
            WorkerStartError: no process can be started.
        """
        try:
            self._crew = Crew(self._method)
            self._selector.register(self._wake_r, selectors.EVENT_READ, None)
            self._selector.register(self._crew.connection, selectors.EVENT_READ, self._crew)
            for slot in self.slots:
                self._fill(slot)
        except OSError as error:
            raise WorkerStartError(f"no worker process can be started: {error}") from error

    def _fill(self, slot: ProcessSlot) -> None:
        slot.fresh()
        handle = slot.handle = self._crew.spawn()
        setup = dict(self._setup, mirror=list(self._mirror.log))
        setup["programs"] = [beside(blob) for blob in self._setup["programs"]]
        slot.known = len(setup["mirror"])
        self._selector.register(handle.channel, selectors.EVENT_READ, slot)
        handle.channel.send(("setup", setup))
        self._watch_writes(slot)

    def stop(self) -> None:
        """Kills every worker with all that it started."""
        if self._stopped:
            return
        self._stopped = True
        self._selector.close()
        if hasattr(self, "_crew"):
            self._crew.close()
        for slot in self.slots:
            if slot.handle is not None:
                with contextlib.suppress(OSError, ValueError):
                    slot.handle.close()
            slot.open = False
        self._wake_r.close()
        self._wake_w.close()

    def wake(self) -> None:
        """Ends a `wait`."""
        with contextlib.suppress(OSError):
            self._wake_w.send(b"\0")

    # ------------------------------------------------------------------ jobs

    def submit(self, slot: Slot, job: Job) -> None:
        """Sends a job, after the definitions that its items may need."""
        assert isinstance(slot, ProcessSlot) and slot.handle is not None
        channel = slot.handle.channel
        log = self._mirror.log
        if slot.known < len(log):
            news = log[slot.known :]
            slot.known += len(news)
            channel.send(("mirror", news))
        job.seq = slot.seq
        slot.seq += job.count
        slot.jobs.append(job)
        job.segments = [pack(s[2]) if s[0] == RAW else s for s in job.segments]
        channel.send(("job", job.seq, slot.epoch, job.program, [outgoing(s) for s in job.segments]))
        self._watch_writes(slot)
        if slot.check_at is None and (job.count > 1 or len(slot.jobs) > 1):
            slot.seen = -1
            slot.check_at = monotonic() + PATIENCE

    def recall(self) -> None:
        """Asks every worker for what it has not begun."""
        for slot in self.slots:
            self._recall(slot)

    def _watch_writes(self, slot: ProcessSlot) -> None:
        """Hears of room in the socket as long as something waits for it."""
        assert slot.handle is not None
        wanted = selectors.EVENT_READ
        if not slot.handle.channel.flush():
            wanted |= selectors.EVENT_WRITE
        if self._selector.get_key(slot.handle.channel).events != wanted:
            self._selector.modify(slot.handle.channel, wanted, slot)

    # ------------------------------------------------------------------ events

    def wait(self, timeout: float | None) -> list[Event]:
        """Blocks until something happened; see `Engine.wait`."""
        if not self._events:
            for key, mask in self._selector.select(self._patience(timeout)):
                if key.data is None:
                    self._drain_wake()
                elif key.data is self._crew:
                    self._hear_exits()
                elif self._stopped:
                    break
                else:
                    if mask & selectors.EVENT_WRITE:
                        self._watch_writes(key.data)
                    if mask & selectors.EVENT_READ:
                        self._hear(key.data)
            if not self._stopped:
                self._look_at_pages()
        events, self._events = self._events, []
        return events

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(self._wake_r.recv(4096)) == 4096:
                pass

    def _hear(self, slot: ProcessSlot, all_of_it: bool = False) -> None:
        handle = slot.handle
        if handle is None:
            return
        for message in handle.channel.receive(all_of_it):
            kind = message[0]
            if kind == "out":
                self._output(slot, *message[1:])
            elif kind == "ready":
                slot.ready = slot.open = True
                self._stillborn = 0
            else:
                self._give_up(f"can't {message[1]} worker process {handle.pid}:\n{render(message[2])}")
                return
        if handle.channel.ended:
            # Its exit is reported by the starter; a descriptor says nothing for certain.
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(handle.channel)
            slot.open = False

    def _output(self, slot: ProcessSlot, seq: int, segments: list[Segment], last: bool, seconds: float) -> None:
        count = sum(segment[1] for segment in segments)
        if not slot.jobs or slot.jobs[0].seq != seq:
            # The end of a job that was taken back in the moment in which the worker began it.
            assert not count, "outcomes come in the order of the jobs"
            return
        job = slot.jobs[0]
        slot.stuck = False
        first = job.first + job.done
        job.done += count
        if last:
            slot.jobs.popleft()
            if job.done < job.count:
                self._return(job)
            slot.check_at = None if not slot.jobs else monotonic() + PATIENCE
            slot.seen = -1
        if count:
            self._events.append(Output(job, first, count, segments, seconds))

    def _return(self, job: Job, start: int | None = None) -> None:
        """Gives back the items of a job from its ``start``-th on."""
        start = job.done if start is None else start
        if start < job.count:
            segments = parts(job.segments, start, job.count)
            self._events.append(Returned(job.program, job.first + start, job.count - start, segments))
            job.count = start

    # ------------------------------------------------------------------ slow items

    def _patience(self, timeout: float | None) -> float | None:
        times = [slot.check_at for slot in self.slots if slot.check_at is not None]
        times += [slot.recalled_at for slot in self.slots if slot.recalled_at is not None]
        if not times:
            return timeout
        until = max(0.0, min(times) - monotonic())
        return until if timeout is None else min(timeout, until)

    def _look_at_pages(self) -> None:
        now = monotonic()
        for slot in self.slots:
            if slot.recalled_at is not None and now >= slot.recalled_at:
                self._take_back(slot)
            if slot.check_at is not None and now >= slot.check_at:
                self._look(slot, now)

    def _look(self, slot: ProcessSlot, now: float) -> None:
        """Is the worker in the same item as at the last look? Then others must not wait for that item."""
        assert slot.handle is not None
        started = slot.handle.page.words[STARTED]
        if not slot.jobs:
            slot.check_at = None
            return
        slot.check_at = now + PATIENCE
        if started != slot.seen:
            slot.seen = started
            return
        slot.check_at = None
        slot.stuck = True
        job = slot.jobs[0]
        if started > job.seq + job.done + 1 and NUDGE is not None and slot.handle.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot.handle.pid, NUDGE)
        if started < slot.seq:
            self._recall(slot)

    def _recall(self, slot: ProcessSlot) -> None:
        if slot.handle is None or not slot.jobs or slot.recalled_at is not None:
            return
        slot.epoch += 1
        slot.handle.page.words[EPOCH] = slot.epoch
        slot.open = False
        slot.recalled_at = monotonic() + SETTLE

    def _take_back(self, slot: ProcessSlot) -> None:
        """The worker has seen the new epoch: what it had not begun by now it never will.

        An item that it began and dropped in the same moment is still in its books, and comes back with the end of its job.
        """
        slot.recalled_at = None
        if slot.handle is None:
            return
        slot.open = slot.ready
        started = slot.handle.page.words[STARTED]
        kept: deque[Job] = deque()
        for job in slot.jobs:
            begun = min(max(started - job.seq, job.done), job.count)
            if begun < job.count:
                self._return(job, begun)
            if begun > 0 or job.done:
                kept.append(job)
        # A job whose first item has not begun is dropped by the worker without a word.
        slot.jobs = kept

    # ------------------------------------------------------------------ deaths

    def _hear_exits(self) -> None:
        connection = self._crew.connection
        try:
            exits = self._crew.reports()
        except OSError as error:
            self._give_up(f"the process that starts workers is gone, and no other can be started: {error}")
            return
        if self._crew.connection is not connection:
            self._selector.unregister(connection)
            self._selector.register(self._crew.connection, selectors.EVENT_READ, self._crew)
        for handle, exitcode in exits:
            slot = next((slot for slot in self.slots if slot.handle is handle), None)
            if slot is not None:
                self._bury(slot, handle, exitcode)
                if self._stopped:
                    return

    def _bury(self, slot: ProcessSlot, handle: WorkerHandle, exitcode: int | None) -> None:
        """The one procedure for every death: last words, blame, the rest given back, a successor."""
        self._hear(slot, all_of_it=True)
        if self._stopped:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(handle.channel)
        started = handle.page.words[STARTED]
        slot.handle = None
        jobs, slot.jobs = slot.jobs, deque()
        died = Died(None, None, [], handle.pid, exitcode)
        if not slot.ready:
            self._stillborn += 1
            if self._stillborn > STILLBORN:
                self._give_up(f"{self._stillborn} worker processes ended before they were ready ({exit_text(exitcode)})")
                return
        for job in jobs:
            if job.seq + job.done < started and job.done < job.count:
                # The first item without an outcome had begun or was about to: of those after it, which had an outcome
                # that did not get out, nothing is known but that it is lost, so they run again. The last one begun is
                # the one that was running.
                running = min(started - job.seq - 1, job.count - 1)
                blamed = parts(job.segments, running, running + 1)
                died = Died(job.program, job.first + running, blamed, handle.pid, exitcode)
                before, job_count = parts(job.segments, job.done, running), job.count
                if before:
                    first = job.first + job.done
                    self._events.append(Returned(job.program, first, running - job.done, before))
                job.count = job_count
                self._return(job, running + 1)
            else:
                self._return(job)
        self._events.append(died)
        handle.close()
        try:
            self._fill(slot)
        except OSError as error:
            self._give_up(f"a dead worker process can't be replaced: {error}")

    def _give_up(self, why: str) -> None:
        self._events.append(StartFailed(WorkerStartError(why)))
        self.stop()


def _encode(mirror: Mirror, label: str, obj: object) -> bytes:
    try:
        return mirror.encode(obj)
    except Exception as error:
        wrapped = serialization_error("function", obj, error)
        raise SerializationError(f"{label} can't be sent to worker processes: {wrapped}") from error


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.sep


def _filters() -> list[Any]:
    """The warning filters that workers can have: a category of somebody's module would have them import it."""
    import warnings

    return [entry for entry in warnings.filters if entry[2].__module__ == "builtins"]
