"""Pairs the results of several tasks by their place.

`zip` over tasks ends at the first error, and would pair wrong items behind a skipped one. A join reads outcomes in place of
results, so that a failure takes its place and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from .._base.checks import counted, shown
from .._base.detaching import detach
from .._base.errors import SourceError
from .._base.public import public
from .._items.segments import FAILED, RAW, SKIPPED, Segment
from .._sync.interrupt_lock import InterruptSafeLock
from .stream import Puller, Stream, _Box, _outcomes, _returns, least, length_of
from .tee import Branch


class _Pairs(Puller):
    """Pulls from each member of a join in turn."""

    def __init__(self, members: tuple[Iterator[Any], ...]) -> None:
        super().__init__()
        self._members = members
        self._pulls = [_outcomes(member) for member in members]
        self._parts: list[list[Segment]] = [[] for _ in members]
        self._count = 0
        self._over = False
        self._lock = InterruptSafeLock()

    def pull_into(self, box: _Box) -> None:
        """See `Puller.pull_into`."""
        self._lock.run_locked(partial(self._fill, box))

    def returns(self) -> bool:
        """See `Puller.returns`."""
        return any(map(_returns, self._members))

    def _fill(self, box: _Box) -> None:
        if self._over:
            raise StopIteration
        for pull, part in zip(self._pulls, self._parts, strict=True):
            # A part that is here already was pulled before an interrupt.
            if not part:
                part.extend(islice(pull, 1))
        ended = [place for place, part in enumerate(self._parts) if not part]
        if ended:
            self._over = True
            if len(ended) == len(self._parts):
                raise StopIteration
            raise SourceError(
                f"the inputs of a join have unequal lengths: input {ended[0]} ended first, after {counted(self._count, 'item')}"
            )
        given = _joined([part[0] for part in self._parts])
        fresh: list[list[Segment]] = [[] for _ in self._parts]
        self._parts, self._count, box.segment = fresh, self._count + 1, given


class Join(Stream):
    """See `join`."""

    def __init__(self, members: tuple[Iterator[Any], ...]) -> None:
        super().__init__(_Pairs(members))
        #: The joined iterators. A map that gets this as an input pairs its own tasks without unpickling them.
        self.members = members

    def __numap_detach__(self, owner: object) -> None:
        for member in self.members:
            detach(member, owner)

    def __length_hint__(self) -> int:
        """How many items are still to come; NotImplemented unless all members say it of themselves."""
        length = least(map(length_of, self.members))
        return NotImplemented if length is None else length

    def __repr__(self) -> str:
        return f"<join of {counted(len(self.members), 'input')}>"


def _joined(members: list[Segment]) -> Segment:
    """The outcome of a place: the first member that has no value speaks for it."""
    for segment in members:
        if segment[0] in (FAILED, SKIPPED):
            return segment
    return RAW, 1, [tuple(segment[2][0] for segment in members)]


def made_of(stream: object) -> Iterator[object]:
    """What a stream reads in the end, through all joins and branches; of anything else the thing itself."""
    ahead = [stream]
    for it in ahead:
        if isinstance(it, Join):
            ahead.extend(it.members)
        elif isinstance(it, Branch):
            ahead.append(it.source)
        else:
            yield it


@public
def join(*tasks: Iterable[Any]) -> Join:
    """Pairs tasks by place: an iterator of tuples, to be read or to be the input of a task.

    A place with a failed member fails (with the error of the first such member), one with a skipped member falls out; no
    other place shifts. Where a member's map has ``on_error="return"``, a consumer of the join gets that error as the result of the
    place; a task that reads it does not. Members of unequal length end in a SourceError that names which ended first.

    Args:
        tasks: tasks of one map or of several, `tee` branches, other joins, or any iterables.

    Raises:
        ValueError: no task is given.
        TypeError: a member is not iterable.
        StateError: a member belongs to an unordered map that is started.

    >>> from numap import IMap, join
    >>> imap = IMap(worker_type="serial")
    >>> halves = imap.add_task(lambda x: x / 2, [2, 4])
    >>> names = imap.add_task(str, [2, 4])
    >>> with imap:
    ...     print(list(join(names, halves)))
    [('2', 1.0), ('4', 2.0)]
    """
    if not tasks:
        raise ValueError("join: at least one task is needed")
    members = []
    for place, task in enumerate(tasks):
        if not hasattr(type(task), "__iter__"):
            raise TypeError(f"join: input {place} must be iterable, not {shown(task)}")
        claim = getattr(task, "_claim_order", None)
        if claim is not None:
            claim()
        members.append(iter(task))
    return Join(tuple(members))
