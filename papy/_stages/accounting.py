"""The state of one run of a pipeline: what was taken and what became of it, and the first thing that went wrong.

Every entry that was taken has to leave a run in one of three ways, whatever interrupts it. So counts are added to by one thread
each, without locks, where entries pass anyway; and what can't be accounted for at the end has been skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import Any, Final, Literal

from numap import ItemError, TooManyFailures
from numap.interop import add_note
from papy._base.checks import counted
from papy._base.tracebacks import without_frames
from papy._stages.backoff import Backoff
from papy._stages.dead_letters import DeadLetter, LetterBox, Sourced
from papy._stages.entries import Entry, Lost, Meta, Returned, place_of

# Why a run ends; None while it goes on.
Reason = Literal["ended", "failed", "stopped", "dropped"]
ENDED: Final = "ended"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
DROPPED: Final = "dropped"


@dataclass(frozen=True)
class EntryCounts:
    """How many entries were taken, and what became of them: ``taken == count + skipped + failed`` at the end of a run.

    ``merged`` of those that were skipped have become part of others.
    """

    taken: int = 0
    count: int = 0
    skipped: int = 0
    failed: int = 0
    merged: int = 0

    def plus(self, other: EntryCounts) -> EntryCounts:
        """The sum."""
        return EntryCounts(
            self.taken + other.taken,
            self.count + other.count,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.merged + other.merged,
        )


class SkipCount:
    """What became of entries at one place; only one thread adds, so no count is lost.

    Attributes:
        skipped: Entries that were dropped.
        more: Entries that an iterator step made beyond those that it took; negative where it made fewer.
        merged: Entries that it took beside another one for an entry that it made.
    """

    __slots__ = ("merged", "more", "skipped")

    def __init__(self) -> None:
        self.skipped = 0
        self.more = 0
        self.merged = 0


class LateEntries:
    """What is taken from the user's queue after a run, without a way from here to its error and whatever hangs on that."""

    def __init__(self) -> None:
        self.taken = 0
        #: Entries that readers of the run took after its end.
        self.read_late = 0
        #: The user has heard that the run has ended.
        self.told = False
        #: What producers go on to put in will not be asked for any more.
        self.released = False
        self.waits = False
        self.thread: Thread | None = None


class RunState:
    """What all parts of a run share. They are told what happens here, and look here whether the run goes on.

    Nothing here refers to maps or to the pipeline: threads hold it, and must keep neither of these alive.

    Attributes:
        measured: A debugger wants to know of times, and of the members of lists.
        taken: Entries that came from the sources; added to by the one thread that reads them.
        added: Entries that steps put in their own queues.
        count: Entries that left the last step; added to by the reader of the results.
        failed: Entries that ended in an error.
        failed_in: Those that did not end the run, by step.
        entry_failures: Those that did not end the run, by step: how many there were, and the first error.
        failure: What ended the run, if something did, until it is raised.
        source_failure: What the source raised, and the place: it ends the run when what was taken before has been through.
        ok: Nothing has gone wrong.
        late: What was taken after the end.
        dropped: The reader of the results is gone, and will not see to the end.
        reason: Why the run is ending; None: it goes on.
        backoff: Of workers that wait before an entry is tried again.
        letters: Gets the entries that failed without ending the run.
        keeps_sources: Such an entry is to know what it comes from.
        end_requests: Where each request that the run ends is put; the supervisor of the run takes them.
    """

    def __init__(self, measured: bool, max_failures: int | None, letters: LetterBox, keeps_sources: bool) -> None:
        self.measured = measured
        self._max_failures = max_failures
        self.letters = letters
        self.keeps_sources = keeps_sources
        self.entry_failures: dict[str, tuple[int, BaseException]] = {}
        self.failed_in: dict[str, int] = {}
        self.taken = 0
        self.added = 0
        self.count = 0
        self.failed = 0
        self.failure: BaseException | None = None
        self.source_failure: tuple[BaseException, str] | None = None
        self.ok = True
        self.late = LateEntries()
        self.dropped = False
        self.reason: Reason | None = None
        self.backoff = Backoff()
        self.end_requests: SimpleQueue[Reason] = SimpleQueue()
        self.skip_counts: list[SkipCount] = []
        self.lock = Lock()
        self._here = local()

    def skip_count(self) -> SkipCount:
        """A new place where entries are counted."""
        made = SkipCount()
        self.skip_counts.append(made)
        return made

    def fail_entry(
        self, error: BaseException, entry: Entry | Meta | None, step: str, policy: str, attempts: int = 1
    ) -> type[Lost] | Returned:
        """An entry has failed in a step; that ends the run unless the step goes on, or so many may fail.

        Args:
            error: What was raised.
            entry: The entry; None: it can't be told which one.
            step: The name of the step.
            policy: The step's ``on_error``.
            attempts: How often it was tried.

        Returns:
            What goes on in its place.
        """
        most, where = self._max_failures, place_of(entry, step)
        if (policy == "raise" and most is None) or type(entry) is Meta:
            self.fail(error, where)
            return Lost
        error = presentable(error, where)
        letter = self._letter(error, entry, step, attempts)
        with self.lock:
            self.failed_in[step] = self.failed_in.get(step, 0) + 1
            number, first = self.entry_failures.get(step, (0, error))
            self.entry_failures[step] = number + 1, first
            self.failed += 1
            over = most is not None and self.failed > most
        self.letters.add(letter)
        if over:
            self.fail(self._too_many(most), f"raised by step {step!r}", entries=0)
        elif self.letters.told is not None:
            self._tell(letter, self.letters.told)
        return Returned(letter) if policy == "return" else Lost

    def _tell(self, letter: DeadLetter, told: Callable[[DeadLetter], object]) -> None:
        # The thread may be one that reads for a step, in which nothing else of the user's runs.
        before = getattr(self._here, "tells", False)
        self._here.tells = True
        try:
            told(letter)
        except BaseException as fault:
            of = "" if letter.number is None else f" for entry {letter.number}"
            self.fail(fault, f"raised by on_dead_letter{of}", entries=0)
        finally:
            self._here.tells = before

    def is_telling(self) -> bool:
        """Whether the thread that asks is in ``on_dead_letter``, so that the run can't end before it goes on."""
        return getattr(self._here, "tells", False)

    @staticmethod
    def _letter(error: BaseException, entry: Entry | Meta | None, step: str, attempts: int) -> DeadLetter:
        number, value = entry[:2] if type(entry) is tuple else (None, None)  # behind them there may be seconds
        letter = DeadLetter(value, step, error, attempts, number.origins if isinstance(number, Sourced) else ())
        # Where it was raised is told as text, as for what comes from a process.
        letter.__cause__ = error.__cause__ = without_frames(error)
        return letter

    def _too_many(self, most: int | None) -> TooManyFailures:
        failed = counted(self.failed, "entry", "entries")
        text = f"{failed} of the pipeline failed, and max_failures is {most}: {tell_of(self.entry_failures)}"
        assert most is not None, "there is a limit"
        made = TooManyFailures(text, self.failed, most)
        made.__cause__ = next(iter(self.entry_failures.values()))[1]
        return made

    def fail(self, error: BaseException, where: str, entries: int = 1) -> bool:
        """Something went wrong that ends the run; the first to come is what the user will see.

        Args:
            error: What was raised.
            where: The place, for the user.
            entries: How many entries are lost by it.

        Returns:
            Whether it was the first, so that the user will see it.
        """
        with self.lock:
            self.failed += entries
            first = self.ok and self.reason in (None, ENDED)
            if first:
                self.ok = False
                self.failure = presentable(error, where)
        if first:
            self.end(FAILED)
        return first

    def fail_at_end(self, error: BaseException, where: str) -> None:
        """A hook that workers call at their end has failed: that is what ends the run, or it is logged."""
        if not self.fail(error, where, entries=0):
            import logging

            logging.getLogger("papy").warning("%s: %s", where, error, exc_info=error)

    def came_late(self) -> None:
        """An entry was taken too late for the run."""
        with self.lock:
            self.late.read_late += 1

    def abort(self, entries: deque[Any]) -> None:
        """Empties this: these were taken, too. Several threads may do so."""
        with suppress(IndexError):
            while True:
                entries.popleft()
                self.came_late()

    def end(self, reason: Reason) -> None:
        """The run is to end now. Takes no lock and waits for nothing: it may be called by a finalizer."""
        self.dropped = self.dropped or reason == DROPPED
        if self.reason is None or (reason == FAILED and self.reason == ENDED):
            self.reason = reason
        self.end_requests.put(reason)

    def end_behind_last(self) -> None:
        """All that was taken has been through."""
        if self.source_failure is not None and self.reason is None:
            self.fail(*self.source_failure, entries=0)
        self.end(ENDED)

    def counts(self, over: bool) -> EntryCounts:
        """The figures now.

        Args:
            over: The run is over, and what was not accounted for otherwise has been given up. Iterator steps may make
                more entries than they take; these count as taken.
        """
        failed, count = self.failed, self.count
        more = sum(it.more for it in self.skip_counts)
        taken = self.taken + self.added + max(0, more)
        skipped = taken - count - failed if over else sum(it.skipped for it in self.skip_counts) + max(0, -more)
        # Where others make more of one entry, that is set off against it.
        merged = min(sum(it.merged for it in self.skip_counts), max(0, -more), skipped)
        return EntryCounts(taken, count, skipped, failed, merged)


class Throughput:
    """How many entries more there are if the members of lists count one by one, and what entries from processes took.

    Args:
        state: Of the run; it knows whether this is asked for.

    Attributes:
        seconds: By the clock, as the entries tell.
        cpu: Of CPU time.
    """

    def __init__(self, state: RunState) -> None:
        self.wanted = state.measured
        self.more = 0
        self.seconds = self.cpu = 0.0

    def add(self, entry: Any) -> None:
        """Adds what an entry weighs more than others."""
        if type(entry) is tuple:
            if isinstance(entry[1], list):
                self.more += len(entry[1]) - 1
            if len(entry) > 2:
                self.seconds += entry[2]
                self.cpu += entry[3]


def presentable(error: BaseException, where: str) -> BaseException:
    """The error as it can be raised in the user's thread, with a note about its place."""
    if not isinstance(error, Exception) or isinstance(error, StopIteration | StopAsyncIteration):
        wrapped = ItemError(f"{type(error).__name__} {where}: {error}", error)
        wrapped.__cause__ = error
        return wrapped
    add_note(error, where)
    return error


def tell_of(entry_failures: Mapping[str, tuple[int, BaseException]], came: Mapping[str, int] | None = None) -> str:
    """The failures of each step, for the user: how many, of how many entries where that is known, and the first error."""
    parts = []
    for step, (number, first) in entry_failures.items():
        of = "" if came is None else f" of {came.get(step, number)}"
        note = next(iter(getattr(first, "__notes__", ())), "")
        text = f"{type(first).__name__}: {first}" if str(first) else type(first).__name__
        parts.append(f"step {step!r}: {number}{of}, first {text:.200}" + (f" ({note})" if note else ""))
    return "; ".join(parts)


@contextmanager
def noted(note: str) -> Iterator[None]:
    """What is raised in this block gets the note."""
    try:
        yield
    except BaseException as error:
        add_note(error, note)
        raise
