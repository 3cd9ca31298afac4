"""Where items and outcomes go: into the queues of the tasks, through joins, down the chains, to the ends.

Each item keeps the place that it came in with, whatever it becomes. So a failure can leave the chain at once, a join can pair
by place, and order is restored at the end alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .._base.checks import counted
from .._base.errors import SourceError
from .._items.failures import Failure, Overrun
from .._items.segments import FAILED, JOINED, SHARED, SKIPPED, Segment, part, singles
from .._results.tracking import Track
from .._schedule.failure_limit import Tolerance
from .._schedule.ordering import JoinBuffer
from .._schedule.scheduler import Scheduler
from .._schedule.task_queue import TaskQueue
from .ends import Ends


class Router:
    """The items of one run that are in no worker. All methods are called by the manager's thread.

    Args:
        schedule: is told what becomes ready, and that roots are closed.
        labels: names of the functions of the tasks.
        ends: take outcomes that leave.
        pickled: items are in their pickled form.
        tracks: tasks whose outcomes are kept, with what keeps them.
        tolerance: says when too many items failed.
        policies: by task, what becomes of items that failed in it.
    """

    def __init__(
        self,
        schedule: Scheduler,
        labels: Sequence[str],
        ends: Ends,
        pickled: bool,
        tracks: Mapping[int, Track],
        tolerance: Tolerance,
        policies: Sequence[str],
    ) -> None:
        self._schedule = schedule
        self._labels = labels
        self._ends = ends
        self._pickled = pickled
        self._tracks = tracks
        self._tolerance, self._policies = tolerance, policies
        #: Roots that read tasks of this run by a stream: what failed in those was counted there.
        self._inner: set[int] = set()
        #: By task, what is ready to run.
        self.queues = [TaskQueue() for _ in labels]
        self._joins = {task: JoinBuffer(list(m)) for task, m in enumerate(schedule.inputs) if len(m) > 1}
        #: Items that came in at a root.
        self.places = [0] * len(labels)
        #: Items of a task that gave a result, and an error.
        self.done = [0] * len(labels)
        self.failed = [0] * len(labels)
        #: Places that a root gives at most, where its end was cut.
        self._caps: dict[int, int] = {}

    def know_streams(self, tasks_of: Mapping[int, Iterable[int]]) -> None:
        """By root, the tasks of this run that its input is made of."""
        for root, tasks in tasks_of.items():
            self._inner.add(root)
            for task in tasks:
                self._tolerance.readers.setdefault(task, set()).add(self._schedule.end_of[root])

    # ------------------------------------------------------------------ in

    def enter(self, root: int, segment: Segment) -> None:
        """Items were pulled at a root."""
        first = self.places[root]
        cap = self._caps.get(root)
        if cap is not None:
            if first >= cap:
                return
            segment = part(segment, 0, min(segment[1], cap - first))
        self.places[root] = first + segment[1]
        if segment[0] == FAILED:
            self._schedule.begun[root] += 1
            self.fail(root, first, segment[2], counts=root not in self._inner)
        else:
            self._wait(root, first, segment)
        if self.places[root] == cap:
            self._close_root(root)

    def close(self, root: int, error: BaseException | None) -> None:
        """The input of a root has ended, for good or by an error that is to be raised behind its last item."""
        self._close_root(root)
        end = self._schedule.end_of[root]
        if error is not None:
            self._cut(end, self.places[root], error)
        else:
            self._check_lengths(end)

    def _close_root(self, root: int) -> None:
        schedule = self._schedule
        schedule.unpull(root, schedule.pulled[root] - self.places[root])
        schedule.close(root)

    def again(self, task: int, first: int, count: int, segments: list[Segment], ran: bool = True) -> None:
        """Items come back from a worker, to run (again, if they ``ran``) before the others."""
        self._schedule.again(task, count)
        self.rejoin(task, first, count, segments, ran)

    def rejoin(self, task: int, first: int, count: int, segments: list[Segment], ran: bool = True) -> None:
        """The same for items that have waited since they came back."""
        if self._schedule.end_of[task] in self._ends.open:
            self._schedule.arrive(task, count)
            self.queues[task].put_back(first, segments, ran)

    def _wait(self, task: int, first: int, segment: Segment) -> None:
        if self._schedule.end_of[task] in self._ends.open:
            self.queues[task].append(first, segment)
            self._schedule.arrive(task, segment[1])

    # ------------------------------------------------------------------ on

    def route(self, task: int, first: int, segments: list[Segment]) -> None:
        """Outcomes of a task go to the task that reads it, or to their end."""
        reader = self._schedule.reader[task]
        for segment in segments:
            if segment[0] == FAILED:
                self.fail(task, first, segment[2])
            else:
                self.done[task] += segment[1]
                if task in self._tracks:
                    if segment[0] == SHARED:
                        segment[2].several = True
                    self._tracks[task].add(first, segment)
                if reader < 0:
                    self._ends.deliver(task, first, segment)
                elif reader in self._joins:
                    self._pair(reader, task, first, segment)
                else:
                    self._wait(reader, first, segment)
            first += segment[1]

    def route_stages(self, chain: Sequence[int], first: int, segments: list[Segment], stages: Sequence[int]) -> None:
        """Outcomes of tasks of a chain, for each segment the place in the chain of the last task that it went through."""
        for segment, stage in zip(segments, stages, strict=True):
            self.pass_through(chain[:stage], segment[1])
            self.route(chain[stage], first, [segment])
            first += segment[1]

    def pass_through(self, tasks: Sequence[int], count: int) -> None:
        """``count`` items were done by tasks that handed them on themselves."""
        for task in tasks:
            self.done[task] += count

    def _pair(self, join: int, member: int, first: int, segment: Segment) -> None:
        buffer = self._joins[join]
        for index, single in enumerate(singles(segment, self._pickled), first):
            complete = buffer.add(member, index, single)
            if complete is not None:
                self._wait(join, index, (JOINED, 1, complete))
        end = self._schedule.end_of[join]
        if end in self._ends.open and not all(map(self._schedule.is_open.__getitem__, self._schedule.roots_of[end])):
            self._check_lengths(end)

    def fail(self, task: int, index: int, failure: Failure, counts: bool = True) -> None:
        """An item has failed: its error comes out at its place at the end of the chain, unless too many have (``counts``)."""
        self.failed[task] += 1
        if failure.task < 0:
            failure = failure.at(task, index, self._labels[task])
        policy = self._policies[task]
        if policy != self._policies[self._schedule.end_of[task]]:
            failure = failure.at(failure.task, failure.index, failure.label, policy == "return")
        if task in self._tracks:
            self._tracks[task].add(index, (FAILED, 1, failure))
        reader = self._schedule.reader
        node = task
        while reader[node] >= 0:
            node = reader[node]
            if node in self._joins and not self._joins[node].fail(index):
                return
        if counts:
            self._tolerate(node, index, failure)
        self._ends.deliver(node, index, (SKIPPED, 1, None) if policy == "skip" else (FAILED, 1, failure))

    def _tolerate(self, end: int, place: int, failure: Failure) -> None:
        results = sum(map(self.done.__getitem__, self._ends.delivered))
        for over, limit in self._tolerance.count(end, place, failure, results).items():
            assert self._tolerance.overrun is not None, "that is why"
            self._cut(over, max(limit or 0, self._ends.delivered[over]), self._tolerance.overrun, now=limit is None)

    # ------------------------------------------------------------------ the ends

    def _total(self, task: int) -> int | None:
        """How many places a task will have, once that is certain."""
        totals = []
        ahead = [task]  # it grows as we go; calls of this one within each other would be too deep for a long chain
        for here in ahead:
            members = self._schedule.inputs[here]
            ahead += members
            # A root that was closed at its cap might have gone on.
            if not members and (self._schedule.is_open[here] or self.places[here] == self._caps.get(here)):
                return None
            if not members:
                totals.append(self.places[here])
        return min(totals)

    def _check_lengths(self, end: int) -> None:
        """Ends that are complete get their limit; joined inputs of different lengths end in an error."""
        for task, members in enumerate(self._schedule.inputs):
            if len(members) > 1 and self._schedule.end_of[task] == end:
                self._check_join(end, task, members)
        total = self._total(end)
        if total is not None:
            self._ends.complete(end, total)

    def _check_join(self, end: int, task: int, members: Sequence[int]) -> None:
        totals = {member: self._total(member) for member in members}
        known = {member: total for member, total in totals.items() if total is not None}
        if not known:
            return
        shortest = min(known, key=lambda member: known[member])
        limit = known[shortest]
        if max(known.values()) > limit or self._joins[task].reaches(limit):
            error = SourceError(
                f"the inputs of the join that task {task} ({self._labels[task]}) reads have unequal lengths: "
                f"task {shortest} ({self._labels[shortest]}) ended first, after {counted(limit, 'item')}"
            )
            self._cut(end, limit, error)

    def _cut(self, end: int, limit: int, error: BaseException | Overrun, now: bool = False) -> None:
        """An end will have ``limit`` places, then raise; what lies behind is forgotten, and everything if that is ``now``."""
        schedule = self._schedule
        if not self._ends.cut(end, limit, error):
            return
        for root in schedule.roots_of[end]:
            if schedule.is_open[root]:
                # The places before the limit are still owed, by inputs that may be slow to give them.
                self._caps[root] = limit
                schedule.cap(root, limit)
                if self.places[root] >= limit:
                    self._close_root(root)
        for task, queue in enumerate(self.queues):
            if schedule.end_of[task] == end:
                schedule.arrive(task, -queue.drop_from(0 if now else limit))
        self._ends.check(end)
