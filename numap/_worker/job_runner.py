"""Runs the items of a job, and has their outcomes leave in time.

The price of a message is that of a hundred short items, so outcomes wait for one another, up to `FLUSH_AFTER`. Even a look at
the clock takes as long as the shortest item, so after short ones there is one look for several.

The caller may take back what has not begun, at any moment, without asking. The worker writes into the progress page which
item it begins, then looks there for the caller's count of recalls. The caller raises the count, waits a moment, and reads the
number. So both know which items began.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from time import monotonic_ns
from time import perf_counter as clock
from typing import Any

from .._items.failures import unpickle_failure
from .._items.segments import FAILED, LONG, PACKED, PICKLES, RECORDS, SHARED, Segment, encode_item, is_lent, item_of
from .._records.reader import RecordReader
from .._records.records import Records
from .._transport.progress_page import CLOCK, EPOCH, STAGE, STARTED
from .._transport.shared_memory import SharedMemoryFile
from .._transport.shared_objects import BorrowedBuffers, ObjectWriter, incoming
from .fused_calls import NotFusable
from .programs import Programs
from .results import Results
from .run_item import failed, for_caller

#: Results stay in the worker for so many seconds at most while it goes on with other items.
FLUSH_AFTER = 0.010
#: Short items between two looks at the clock at most, and the seconds for all of them that count as short.
_STEP = 32
_SHORT = 50e-6

_SMALL = frozenset((int, float, bool, type(None)))


class _NotOpened(BaseException):
    """A record can't be unpickled; its cause says why."""


class JobRunner:
    """Runs jobs, one after the other.

    Args:
        programs: the functions.
        words: of the progress page.
        results: takes the outcomes.
        shared: the shared memory; None: there is none.
        clocked: the moment at which an item begins is noted.
        copies: an item may run again, so it gets copies of the buffers in it.
        careful: each outcome leaves before the next item begins.
    """

    def __init__(
        self,
        programs: Programs,
        words: memoryview,
        results: Results,
        shared: SharedMemoryFile | None,
        clocked: bool,
        copies: bool,
        careful: bool,
    ) -> None:
        self._programs = programs
        self._words = words
        self._results = results
        self._shared = shared
        self._clocked = clocked
        # Without a column nothing would tell that lent memory is in use here.
        self._copies = copies or shared is None or shared.column is None
        self._flush_after, self._step = (0.0, 1) if careful else (FLUSH_AFTER, _STEP)
        self._encode = programs.encode
        self._writer = ObjectWriter(self._encode, shared)
        self._reader = RecordReader()
        self._pid = os.getpid()
        self._last_stage = 0

    def run(self, seq: int, epoch: int, programs: tuple[int, ...], segments: list[Segment]) -> None:
        """Runs the items of a job until one must not begin any more, and tells the outcomes; see `RunJob`."""
        if self._words[EPOCH] != epoch:
            return
        results = self._results
        if self._programs.own:
            self._clocked, self._copies = self._programs.own[programs[0]]
        results.begin(seq, len(programs) - 1, len(segments) > 1 or segments[0][1] > 1)
        call = self._programs.call(programs)
        self._last_stage = len(programs) - 1
        self._words[STAGE] = 0
        lent = False
        for segment in segments:
            kind, count, data = segment
            if lent:
                # It may have changed what it was lent, so it must not run again: its outcome leaves before the next begins.
                results.tell(False)
            lent = is_lent(segment)
            if kind == PACKED:
                done = self._several(seq, epoch, call, pickle.loads(data))
            elif kind == RECORDS:
                done = self._records(seq, epoch, call, Records.of_wire(data))
            elif kind == PICKLES:
                done = self._several(seq, epoch, partial(self._open_and_call, call, pickle.loads), data)
            elif lent and self._shared is not None:
                borrowed = BorrowedBuffers(self._copies)
                done = self._single(seq, epoch, call, incoming(segment, self._shared), borrowed)
            else:
                done = self._single(seq, epoch, call, segment)
            seq += done
            if done < count:
                break
        results.tell(True)

    # ------------------------------------------------------------------ items

    def _records(self, seq: int, epoch: int, call: Callable[[Any], Any], records: Records) -> int:
        """Runs items that are records: opened all at once, as soon as their names are known here."""
        values = self._reader.values(records)
        if values is None:
            open_one = partial(self._reader.open, records.names)
            return self._several(seq, epoch, partial(self._open_and_call, call, open_one), records.bodies)
        # Each is let go as it is taken.
        values.reverse()
        return self._several(seq, epoch, call, map(list.pop, repeat(values, len(values))))

    def _several(self, seq: int, epoch: int, call: Callable[[Any], Any], values: Iterable[Any]) -> int:
        """Runs items until one must not begin any more; returns how many ran."""
        words, results, small, clocked, flush_after = (
            self._words,
            self._results,
            _SMALL,
            self._clocked,
            self._flush_after,
        )
        # With what a record passes, call within call, it would take a fifth longer.
        write = self._entry if self._last_stage else self._writer.entry
        out = results.entries
        first, until = seq, results.since + flush_after
        step, began = 1, clock()
        look = seq + step
        for value in values:
            seq += 1
            words[STARTED] = seq
            if words[EPOCH] != epoch:
                words[STARTED] = seq - 1
                return seq - 1 - first
            if clocked:
                words[CLOCK] = monotonic_ns() & ~1
            try:
                result = call(value)
            except BaseException as error:
                out.append(self._failed(error))
            else:
                kind = type(result)
                if kind not in small and (kind is not str or len(result) >= LONG):
                    result = write(result, "result")
                    if type(result) is tuple:
                        result = self._for_caller(result)
                out.append(result)
            if clocked:
                words[CLOCK] = 0
            if seq >= look:
                now = clock()
                step = min(2 * step, self._step) if now - began < _SHORT else 1
                if now > until:
                    results.tell(False)
                    now = clock()
                    until = now + flush_after
                look, began = seq + step, now
        return seq - first

    def _single(
        self,
        seq: int,
        epoch: int,
        call: Callable[[Any], Any],
        segment: Segment,
        borrowed: BorrowedBuffers | None = None,
    ) -> int:
        """Runs an item that is no atom; returns 0 if it must not begin any more. ``borrowed``: notes what it is lent."""
        words, results = self._words, self._results
        words[STARTED] = seq + 1
        if words[EPOCH] != epoch:
            words[STARTED] = seq
            return 0
        if self._clocked:
            words[CLOCK] = monotonic_ns() | 1
        entry = self._run_one(call, segment, borrowed)
        if borrowed is not None and type(entry) is tuple and entry[0] == SHARED and borrowed.is_kept():
            entry[2].part_from(borrowed)
        # At last: from now on the other thread may tell it.
        results.entries.append(entry)
        del entry
        if self._clocked:
            words[CLOCK] = 0
        if borrowed is None and clock() > results.since + self._flush_after:
            results.tell(False)
        return 1

    def _run_one(self, call: Callable[[Any], Any], segment: Segment, borrowed: BorrowedBuffers | None) -> Any:
        try:
            value = item_of(segment, borrowed)
        except BaseException as error:
            outcome = failed(error, os.getpid() != self._pid, unpickle_failure)
            return for_caller(outcome, self._encode)
        if self._clocked:
            self._words[CLOCK] = monotonic_ns() & ~1
        try:
            result = call(value)
        except BaseException as error:
            return self._failed(error)
        if type(result) in _SMALL or (type(result) is str and len(result) < LONG):
            return result
        entry = self._entry(result, "result", borrowed)
        return self._for_caller(entry) if type(entry) is tuple else entry

    def _open_and_call(self, call: Callable[[Any], Any], open_one: Callable[[bytes], Any], record: bytes) -> Any:
        if self._last_stage:
            self._words[STAGE] = 0  # not where the record before it came to
        if self._clocked:
            self._words[CLOCK] = monotonic_ns() | 1
        try:
            value = open_one(record)
        except BaseException as error:
            raise _NotOpened from error
        if self._clocked:
            self._words[CLOCK] = monotonic_ns() & ~1
        return call(value)

    # ------------------------------------------------------------------ outcomes

    def _entry(self, result: Any, what: str, borrowed: BorrowedBuffers | None = None) -> Any:
        """A result that is no atom as it waits for its message: pickled at once, as it may change."""
        if type(result) is NotFusable:
            return (*encode_item(result.value, self._writer.write, what), result.stage)
        return self._writer.entry(result, what, borrowed)

    def _for_caller(self, entry: tuple[Any, ...]) -> tuple[Any, ...]:
        """An entry, with or without how far its item came; if the result can't be pickled, with an error that is sure to travel."""
        return (*for_caller(entry[:3], self._encode), *entry[3:]) if entry[0] == FAILED else entry

    def _failed(self, error: BaseException) -> tuple[Any, ...]:
        forked = os.getpid() != self._pid
        # At once: what follows runs code of the exception's class. A fork has no part in the page.
        stage = 0 if forked else self._words[STAGE]
        if type(error) is _NotOpened:
            assert error.__cause__ is not None, "it says what unpickling raised"
            outcome = failed(error.__cause__, forked, unpickle_failure)
        else:
            outcome = failed(error, forked)
        outcome = for_caller(outcome, self._encode)
        return (*outcome, stage) if self._last_stage else outcome
