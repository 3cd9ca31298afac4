"""Where items and outcomes go: into the queues of the tasks, through joins, down the chains, to the ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .._base.errors import SourceError
from .._items.failures import Failure, Overrun
from .._items.segments import END, ENDING, FAILED, JOINED, SHARED, SKIPPED, Segment, part, singles
from .._results.output_queue import OutputQueue
from .._results.tracking import Track
from .._schedule.failure_limit import Tolerance
from .._schedule.ordering import JoinBuffer, ReorderBuffer
from .._schedule.scheduler import Scheduler
from .._schedule.task_queue import TaskQueue


class Router:
    """The items of one run that are in no worker. All methods are called by the manager's thread.

    Args:
        schedule: is told what becomes ready, and that roots are closed.
        labels: names of the functions of the tasks.
        ordered: tasks whose outcomes come in order.
        skip: failures are dropped.
        pickled: items are in their pickled form.
        outputs: where the outcomes of the ends leave.
        tracks: tasks whose outcomes are kept, with what keeps them.
        tolerance: says when too many items failed.
    """

    def __init__(
        self,
        schedule: Scheduler,
        labels: Sequence[str],
        ordered: Sequence[bool],
        skip: bool,
        pickled: bool,
        outputs: Mapping[int, OutputQueue],
        tracks: Mapping[int, Track],
        tolerance: Tolerance,
    ) -> None:
        self._schedule = schedule
        self._labels = labels
        self._skip = skip
        self._pickled = pickled
        self._outputs = outputs
        self._tracks = tracks
        self._tolerance = tolerance
        #: Roots that read tasks of this run by a stream: what failed in those was counted there.
        self._inner: set[int] = set()
        #: By task, what is ready to run.
        self.queues = [TaskQueue() for _ in labels]
        self._joins = {task: JoinBuffer(list(m)) for task, m in enumerate(schedule.inputs) if len(m) > 1}
        self._reorder = {end: ReorderBuffer(ordered[end]) for end in schedule.ends}
        #: By end, the places that were handed over as given up, and whose items are still on their way.
        self.late = {end: buffer.late for end, buffer in self._reorder.items()}
        #: Items that came in at a root.
        self.places = [0] * len(labels)
        #: Items of a task that gave a result, and an error.
        self.done = [0] * len(labels)
        self.failed = [0] * len(labels)
        #: Ends that have not come to their end.
        self.open_ends = set(schedule.ends)
        #: Places handed to the output of an end, how many there will be once that is known, and what is raised then.
        self._delivered = dict.fromkeys(schedule.ends, 0)
        self._limits: dict[int, int] = {}
        self._endings: dict[int, BaseException | Overrun] = {}
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
        if self._schedule.end_of[task] in self.open_ends:
            self._schedule.arrive(task, count)
            self.queues[task].put_back(first, segments, ran)

    def _wait(self, task: int, first: int, segment: Segment) -> None:
        if self._schedule.end_of[task] in self.open_ends:
            self.queues[task].append(first, segment)
            self._schedule.arrive(task, segment[1])

    # ------------------------------------------------------------------ on

    def route(self, task: int, first: int, segments: list[Segment]) -> None:
        """Outcomes of a task go to who reads it."""
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
                    self._deliver(task, first, segment)
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
        if end in self.open_ends and not all(map(self._schedule.is_open.__getitem__, self._schedule.roots_of[end])):
            self._check_lengths(end)

    def fail(self, task: int, index: int, failure: Failure, counts: bool = True) -> None:
        """An item has failed: its error comes out at its place at the end of the chain, unless too many have (``counts``)."""
        self.failed[task] += 1
        if failure.task < 0:
            failure = failure.at(task, index, self._labels[task])
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
        self._deliver(node, index, (FAILED, 1, failure))

    def _tolerate(self, end: int, place: int, failure: Failure) -> None:
        results = sum(map(self.done.__getitem__, self._delivered))
        for over, limit in self._tolerance.count(end, place, failure, results).items():
            assert self._tolerance.overrun is not None, "that is why"
            self._cut(over, max(limit or 0, self._delivered[over]), self._tolerance.overrun, now=limit is None)

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
        if total is not None and end in self.open_ends:
            self._outputs[end].know_total(self._limits.setdefault(end, total))
            self._check_end(end)

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
                f"task {shortest} ({self._labels[shortest]}) ended first, after {limit} items"
            )
            self._cut(end, limit, error)

    def _cut(self, end: int, limit: int, error: BaseException | Overrun, now: bool = False) -> None:
        """An end will have ``limit`` places, then raise; what lies behind is forgotten, and everything if that is ``now``."""
        schedule = self._schedule
        if end not in self.open_ends or self._limits.get(end, limit + 1) <= limit:
            return
        self._limits[end] = self._outputs[end].expected = limit
        self._endings[end] = error
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
        self._check_end(end)

    def _check_end(self, end: int) -> None:
        if self._delivered[end] != self._limits.get(end) or end not in self.open_ends:
            return
        # Before the end is put: whoever sees it may look at the state of the map.
        self.open_ends.discard(end)
        output = self._outputs[end]
        error = self._endings.pop(end, None)
        if error is not None:
            output.put(self._delivered[end], (ENDING, 0, error))
        output.put(self._delivered[end], (END, 0, None))

    def _deliver(self, end: int, first: int, segment: Segment) -> None:
        if end not in self.open_ends or first >= self._limits.get(end, first + 1):
            return
        self._hand_over(end, self._reorder[end].add(first, segment))

    def _hand_over(self, end: int, ready: list[tuple[int, Segment]]) -> None:
        limit = self._limits.get(end)
        for place, segment in ready:
            if limit is not None and place >= limit:
                break  # it came before the end was cut there
            self._delivered[end] += segment[1]
            self._outputs[end].put(place, (SKIPPED, 1, None) if self._skip and segment[0] == FAILED else segment)
        self._schedule.delivered[end] = self._delivered[end] - len(self.late[end])
        if limit is not None:
            self._check_end(end)

    def give_up(self, end: int, place: int) -> None:
        """A consumer gave up the outcome of a place; it holds back nothing any more."""
        if end in self.open_ends:
            self._hand_over(end, self._reorder[end].give_up(place))

    def fail_all(self, error: BaseException) -> None:
        """Nothing goes on: every end that is open raises ``error``, once."""
        ends, self.open_ends = sorted(self.open_ends), set()
        for end in ends:
            self._outputs[end].expected = self._delivered[end]
            self._outputs[end].put(self._delivered[end], (ENDING, 0, error))
            self._outputs[end].put(self._delivered[end], (END, 0, None))
