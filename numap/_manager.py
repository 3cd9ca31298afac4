"""The manager: the one thread that owns the state of a running map, between the pure decisions and the engine."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._delivery import Delivery, Pairing
from ._errors import SourceError, TaskTimeout, WorkerDied, WorkerStartError
from ._lane import Lane
from ._options import Options
from ._outcome import END, ENDING, FAILED, JOINED, SKIPPED, Failure, Segment
from ._outlet import Outlet
from ._pacing import Pacing
from ._platform import exit_text
from ._schedule import Schedule
from ._serialize import parts, singles, size_of
from ._source import Bell, Source
from .engines import Died, Engine, Event, Job, Output, Returned, Slot, StartFailed

#: Managers whose workers may be alive, for the end of the interpreter.
live: weakref.WeakSet[Manager] = weakref.WeakSet()

#: Seconds that `stop` waits for the manager's thread; it never waits for user code, so this is for a busy machine.
_PATIENCE = 10.0
#: Seconds that an interrupted consumer waits for the workers to be told.
_PAUSE = 0.5


class Manager:
    """One run of a map.

    Args:
        options: of the map.
        labels: names of the functions of the tasks.
        inputs: for each task the tasks it reads; none: it has a source.
        ordered: tasks whose outcomes come in order.
        engine: runs the items.

    Raises:
        ValueError: the buffer is too small for these tasks.
    """

    def __init__(
        self, options: Options, labels: Sequence[str], inputs: Sequence[Sequence[int]], ordered: Sequence[bool], engine: Engine
    ) -> None:
        self._engine = engine
        self._labels = labels
        self._pacing = Pacing(len(labels), options.workers)
        self._schedule = Schedule(inputs, options.stride, options.buffer, self._pacing.initial_bound())
        for root in self._schedule.roots:
            self._schedule.set_bound(root, self._pacing.initial_bound())
        self._skip = options.on_error == "skip"
        self._retries = options.retries
        self._task_timeout = options.task_timeout
        #: How often items that failed have been tried again, by task and place.
        self._tries: dict[tuple[int, int], int] = {}
        self._lanes = [Lane() for _ in labels]
        self._sources: dict[int, Source] = {}
        self._places = [0] * len(labels)
        self._pairings = {task: Pairing(list(members)) for task, members in enumerate(inputs) if len(members) > 1}
        self._deliveries = {end: Delivery(ordered[end]) for end in self._schedule.ends}
        self.outlets = {end: Outlet(end, labels[end], options.on_error, options.skip, self) for end in self._schedule.ends}
        self._seen_released = dict.fromkeys(self._schedule.ends, 0)
        self._seen_starved = dict.fromkeys(self._schedule.ends, 0)
        #: Places handed to the outlet of an end, and how many there will be once that is known.
        self._delivered = dict.fromkeys(self._schedule.ends, 0)
        self._limits: dict[int, int] = {}
        self._endings: dict[int, BaseException] = {}
        self._open_ends = set(self._schedule.ends)
        self._done = [0] * len(labels)
        self._failed = [0] * len(labels)
        self._replaced = 0
        self.bell = Bell(engine.wake)
        self.inline = engine.capabilities.inline
        self.paused = False
        self._pause_seen = threading.Event()
        self._stopping = False
        self._draining = False
        self._ended = False
        #: Re-entrant: an input that is read inline may be made of other tasks of this map.
        self._step_lock = threading.RLock()
        self._pid = os.getpid()
        #: "running", "finished", "failed" or "stopped".
        self.state = "running"
        self._thread = threading.Thread(target=_run, args=(self,), daemon=True, name="numap-manager")

    # ------------------------------------------------------------------ life; any thread

    def start(self, sources: Mapping[int, Source]) -> None:
        """Starts the workers, the readers of the inputs and the manager's thread.

        Raises:
            WorkerStartError: no worker can be started.
        """
        self._sources = dict(sources)
        live.add(self)
        try:
            self._engine.start()
            for source in self._sources.values():
                source.start()
            if not self.inline:
                self._thread.start()
        except BaseException:
            self._stopping = True
            self.end()
            raise

    def stop(self) -> None:
        """Ends the run, whatever its state; returns when nothing of it is left but what user code holds up."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        if self.inline:
            with self._step_lock:
                self.end()
        elif threading.current_thread() is not self._thread:
            self.wake()
            if self._thread.ident is not None:
                self._thread.join(_PATIENCE)
        for outlet in self.outlets.values():
            outlet.close("next: not allowed after stop(); its results are gone")
        self.state = "stopped"

    def abandon(self) -> None:
        """The map was dropped. Runs as a finalizer, anywhere: it takes no lock and waits for nothing."""
        if os.getpid() == self._pid:
            self._stopping = True
            self.wake()

    def drain(self) -> None:
        """Pulls nothing any more; what was pulled still gets its outcome."""
        self._draining = True
        self.wake()

    def wake(self) -> None:
        """Lets the manager look at what was changed here."""
        if not self._ended:
            self._engine.wake()

    def after_fork(self) -> None:
        """In a child of the user's: the run goes on in the parent; here it is over."""
        for outlet in self.outlets.values():
            outlet.after_fork()

    # ------------------------------------------------------------------ hooks of the outlets; consumers' threads

    def on_release(self) -> None:
        """See `Hooks.on_release`."""
        self.bell.ring()

    def on_interrupt(self) -> None:
        """See `Hooks.on_interrupt`."""
        if self.inline or self._ended:
            return
        self._pause_seen.clear()
        self.paused = True
        self.wake()
        self._pause_seen.wait(_PAUSE)

    def resume(self) -> None:
        """See `Hooks.resume`."""
        self.paused = False
        self.wake()

    def step(self, task: int) -> bool:
        """See `Hooks.step`."""
        with self._step_lock:
            return not self._ended and self.advance(task)

    # ------------------------------------------------------------------ the manager's own thread from here on

    def advance(self, end: int | None = None) -> bool:
        """Decides, waits for something to happen and deals with it; False: the run is over.

        With ``end`` only its inputs are read: those of others may be made of what is just being asked for.
        """
        self._take_releases()
        if self._draining:
            self._close_sources()
        self._draw(end)
        if self._stopping:
            self.end()
            return False
        if self.paused:
            self._engine.recall()
            self._pause_seen.set()
        else:
            self._submit_all()
        if not self._open_ends:
            self.end()
            return False
        self.bell.hungry = True
        news = self.inline or self._news()
        for event in self._engine.wait(0 if news else None):
            self._on(event)
        self.bell.hungry = False
        return True

    def _news(self) -> bool:
        """Whether something came between the last look and the moment from which on it would wake us."""
        ends = self._schedule.ends
        if self._stopping or any(self.outlets[end].released != self._seen_released[end] for end in ends):
            return True
        return self._draw()

    def end(self) -> None:
        """Ends workers and readers. What consumers have not taken stays with the outlets."""
        if self._ended:
            return
        self._ended = True
        for source in self._sources.values():
            source.stop()
        self._sources = {}
        self._engine.stop()
        self._lanes = []
        self._pause_seen.set()

    def crash(self, error: BaseException) -> None:
        """Something here is broken: nobody may be left waiting for it."""
        self._finish_all(error)

    def _finish_all(self, error: BaseException) -> None:
        self.state = "failed"
        for end in sorted(self._open_ends):
            self.outlets[end].put(0, (ENDING, 0, error))
            self.outlets[end].put(0, (END, 0, None))
        self._open_ends.clear()
        self.end()

    # ------------------------------------------------------------------ inputs

    def _take_releases(self) -> None:
        schedule = self._schedule
        for end in schedule.ends:
            outlet = self.outlets[end]
            released = outlet.released
            if released != self._seen_released[end]:
                schedule.release(end, released - self._seen_released[end])
                self._seen_released[end] = released
            if outlet.starved != self._seen_starved[end]:
                self._seen_starved[end] = outlet.starved
                self._grow(end)

    def _grow(self, end: int) -> None:
        """A consumer waited. If that is for want of items in flight, more may be."""
        schedule = self._schedule
        if schedule.buffer is not None:
            return
        tasks = [task for task in range(len(self._labels)) if schedule.end_of[task] == end]
        for root in schedule.roots_of[end]:
            if 2 * schedule.allowance(root) < schedule.bound(root):
                schedule.set_bound(root, self._pacing.grown_bound(schedule.bound(root), tasks))

    def _draw(self, end: int | None = None) -> bool:
        """Lets the sources pull what they may, and takes what they have pulled; returns whether anything came."""
        came = False
        schedule = self._schedule
        for root, source in list(self._sources.items()):
            if end is not None and schedule.end_of[root] != end:
                continue
            allowed = schedule.allowance(root)
            # Not each single place: a grant is a message to another thread.
            if allowed > 0 and (allowed * 8 >= schedule.bound(root) or self.inline):
                schedule.pull(root, allowed)
                source.grant(allowed)
            segments = source.collect()
            for segment in segments:
                self._enter(root, segment)
                came = True
            if source.ended and not segments:
                came = True
                self._close(root, source)
        return came

    def _enter(self, root: int, segment: Segment) -> None:
        first = self._places[root]
        self._places[root] = first + segment[1]
        if segment[0] == FAILED:
            self._fail(root, first, segment[2])
        else:
            self._lanes[root].append(first, segment)
            self._schedule.arrive(root, segment[1])

    def _close_sources(self) -> None:
        for root, source in list(self._sources.items()):
            for segment in source.collect():
                self._enter(root, segment)
            self._close(root, source)

    def _close(self, root: int, source: Source) -> None:
        """An input has ended."""
        schedule = self._schedule
        del self._sources[root]
        source.stop()
        schedule.unpull(root, schedule.pulled[root] - self._places[root])
        schedule.close(root)
        end = schedule.end_of[root]
        if source.error is not None:
            self._cut(end, self._places[root], source.error)
            return
        self._check_lengths(end)

    # ------------------------------------------------------------------ the ends

    def _total(self, task: int) -> int | None:
        """How many places a task will have, once that is certain."""
        members = self._schedule.inputs[task]
        if not members:
            return None if task in self._sources else self._places[task]
        totals = [self._total(member) for member in members]
        known = [total for total in totals if total is not None]
        return min(known) if len(known) == len(totals) else None

    def _check_lengths(self, end: int) -> None:
        """Ends that are complete get their limit; joined inputs of different lengths end in an error."""
        for task, members in enumerate(self._schedule.inputs):
            if len(members) > 1 and self._schedule.end_of[task] == end:
                self._check_join(end, task, members)
        total = self._total(end)
        if total is not None and end in self._open_ends:
            self.outlets[end].know_total(self._limits.setdefault(end, total))
            self._check_end(end)

    def _check_join(self, end: int, task: int, members: Sequence[int]) -> None:
        totals = {member: self._total(member) for member in members}
        known = {member: total for member, total in totals.items() if total is not None}
        if not known:
            return
        shortest = min(known, key=lambda member: known[member])
        limit = known[shortest]
        if max(known.values()) > limit or self._pairings[task].reaches(limit):
            error = SourceError(
                f"the inputs of the join that task {task} ({self._labels[task]}) reads have unequal lengths: "
                f"task {shortest} ({self._labels[shortest]}) ended first, after {limit} items"
            )
            self._cut(end, limit, error)

    def _cut(self, end: int, limit: int, error: BaseException) -> None:
        """An end will have ``limit`` places, then raise; what lies behind is forgotten."""
        schedule = self._schedule
        if end not in self._open_ends or self._limits.get(end, limit + 1) <= limit:
            return
        self._limits[end] = limit
        self._endings[end] = error
        for root in schedule.roots_of[end]:
            source = self._sources.pop(root, None)
            if source is not None:
                source.stop()
                schedule.unpull(root, schedule.pulled[root] - self._places[root])
                schedule.close(root)
        for task, lane in enumerate(self._lanes):
            if schedule.end_of[task] == end:
                schedule.arrive(task, -lane.drop_from(limit))
        self._check_end(end)

    def _check_end(self, end: int) -> None:
        if self._delivered[end] != self._limits.get(end) or end not in self._open_ends:
            return
        self._open_ends.discard(end)
        if not self._open_ends:
            # Before anybody can know from the results.
            self.state = "finished"
        outlet = self.outlets[end]
        error = self._endings.pop(end, None)
        if error is not None:
            outlet.put(self._delivered[end], (ENDING, 0, error))
        outlet.put(self._delivered[end], (END, 0, None))

    def _deliver(self, end: int, first: int, segment: Segment) -> None:
        if end not in self._open_ends or first >= self._limits.get(end, first + 1):
            return
        outlet = self.outlets[end]
        for place, part in self._deliveries[end].add(first, segment):
            self._delivered[end] += part[1]
            outlet.put(place, (SKIPPED, 1, None) if self._skip and part[0] == FAILED else part)
        if end in self._limits:
            self._check_end(end)

    # ------------------------------------------------------------------ workers

    def _submit_all(self) -> None:
        schedule = self._schedule
        while True:
            slot = self._opening()
            if slot is None:
                return
            turn = schedule.next_turn()
            if turn is None:
                return
            task, most = turn
            if slot.jobs and not self._pacing.ahead(task):
                return
            if self.inline:
                most = 1
            else:
                bound = sum(schedule.bound(root) for root in schedule.roots_of[schedule.end_of[task]])
                most = min(most, self._pacing.batch(task, bound), slot.room)
            first, count, segments = self._lanes[task].take(most)
            schedule.submit(task, count)
            self._engine.submit(slot, Job(task, first, count, segments))

    def _opening(self) -> Slot | None:
        """An idle slot, else one that can hold a second job."""
        second = None
        for slot in self._engine.slots:
            if slot.open:
                if not slot.jobs:
                    return slot
                if second is None and len(slot.jobs) == 1 and not slot.stuck:
                    second = slot
        return None if self.inline else second

    def _on(self, event: Event) -> None:
        if isinstance(event, Output):
            task = event.job.program
            self._pacing.observe(task, event.count, event.seconds, sum(map(size_of, event.segments)))
            if self._retries:
                self._route_or_retry(event)
            else:
                self._schedule.leave(task, event.count)
                self._route(task, event.first, event.segments)
        elif isinstance(event, Returned):
            self._again(event.program, event.first, event.count, event.segments)
        elif isinstance(event, Died):
            self._replaced += 1
            if event.program is not None and event.index is not None:
                if not self._retry(event.program, event.index, event.segments):
                    self._schedule.leave(event.program, 1)
                    self._fail(event.program, event.index, self._death(event, event.program, event.index))
        elif isinstance(event, StartFailed):
            self._finish_all(event.error)

    def _route_or_retry(self, event: Output) -> None:
        task, place = event.job.program, event.first
        for segment in event.segments:
            start = place - event.job.first
            failed = segment[0] == FAILED
            if not failed or not self._retry(task, place, parts(event.job.segments, start, start + 1)):
                self._schedule.leave(task, segment[1])
                self._route(task, place, [segment])
            place += segment[1]

    def _retry(self, task: int, index: int, item: list[Segment]) -> bool:
        """Gives a failed item out again, unless its tries are used up."""
        tries = self._tries.pop((task, index), 0)
        if tries >= self._retries:
            return False
        self._tries[task, index] = tries + 1
        self._again(task, index, 1, item)
        return True

    def _again(self, task: int, first: int, count: int, segments: list[Segment]) -> None:
        self._schedule.leave(task, count)
        if self._ended or self._schedule.end_of[task] not in self._open_ends:
            return
        self._schedule.arrive(task, count)
        self._lanes[task].put_back(first, segments)

    def _death(self, event: Died, task: int, index: int) -> Failure:
        item = f"item {index} of task {task} ({self._labels[task]})"
        goes_on = "a new worker has taken its place and the other items go on"
        if event.timed_out:
            text = f"{item} ran longer than task_timeout={self._task_timeout} s in worker process {event.pid}; {goes_on}"
            return Failure(TaskTimeout(text), None, event.pid)
        text = f"worker process {event.pid} died ({exit_text(event.exitcode)}) while it ran {item}; {goes_on}"
        return Failure(WorkerDied(text, task, index, event.pid, event.exitcode), None, event.pid)

    def _route(self, task: int, first: int, segments: list[Segment]) -> None:
        schedule = self._schedule
        reader = schedule.reader[task]
        for segment in segments:
            if segment[0] == FAILED:
                self._fail(task, first, segment[2])
            else:
                self._done[task] += segment[1]
                if reader < 0:
                    self._deliver(task, first, segment)
                elif reader in self._pairings:
                    self._pair(reader, task, first, segment)
                elif schedule.end_of[reader] in self._open_ends:
                    self._lanes[reader].append(first, segment)
                    schedule.arrive(reader, segment[1])
            first += segment[1]

    def _pair(self, join: int, member: int, first: int, segment: Segment) -> None:
        pairing = self._pairings[join]
        for index, single in enumerate(singles(segment, self._engine.capabilities.pickles), first):
            complete = pairing.add(member, index, single)
            if complete is not None and self._schedule.end_of[join] in self._open_ends:
                self._lanes[join].append(index, (JOINED, 1, complete))
                self._schedule.arrive(join, 1)
        end = self._schedule.end_of[join]
        if end in self._open_ends and len(self._sources) < len(self._schedule.roots):
            self._check_lengths(end)

    def _fail(self, task: int, index: int, failure: Failure) -> None:
        """An item has failed: its error comes out at its place at the end of the chain."""
        self._failed[task] += 1
        if failure.task < 0:
            failure = failure.at(task, index, self._labels[task])
        reader = self._schedule.reader
        node = task
        while reader[node] >= 0:
            node = reader[node]
            if node in self._pairings and not self._pairings[node].fail(index):
                return
        self._deliver(node, index, (FAILED, 1, failure))

    # ------------------------------------------------------------------ figures

    def figures(self) -> Callable[[str], Any]:
        """Numbers for `Statistics`, by name; read while the run goes on, each exact in itself."""
        schedule = self._schedule
        values = {
            "bound": schedule.total_bound(),
            "pulled": list(self._places),
            "yielded": {end: outlet.handed_over for end, outlet in self.outlets.items()},
            "done": list(self._done),
            "failed": list(self._failed),
            "waiting": list(schedule.waiting),
            "inside": list(schedule.inside),
            "replaced": self._replaced,
        }
        return values.__getitem__


def _run(manager: Manager) -> None:
    """The manager's thread."""
    try:
        while manager.advance():
            pass
    except BaseException as error:
        manager.crash(error if isinstance(error, WorkerStartError) else _broken(error))


def _broken(error: BaseException) -> BaseException:
    wrapped = RuntimeError("the manager of the map failed; this is a defect of numap")
    wrapped.__cause__ = error
    return wrapped


def shutdown() -> None:
    """Stops every map of this process, then the starter, in this order: a map that loses its starter gets a new one."""
    for manager in list(live):
        manager.stop()
    crew = sys.modules.get("numap._crew")
    if crew is not None:
        crew.shutdown_starter()


atexit.register(shutdown)


def _after_fork() -> None:
    for manager in list(live):
        manager.after_fork()
    live.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
