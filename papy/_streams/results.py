"""What comes out of pipers: failed items are noted, and dealt with as their policy says. Knows no graph and no threads.

A failed item travels to the end like any other, so that results stay paired by their place. Only here, where results leave
the pipeline, is it returned, skipped or raised. One failure may come out at several places, and is counted once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import RLock
from typing import Any, Final

from numap.interop import add_note
from papy._base.checks import counted
from papy._base.errors import Dropped, PiperError, Skip, TooManyFailed, failures_in
from papy._base.failures import duplicate, origins, policy_of, undropped
from papy._streams.base import NOTHING, ResumableStream
from papy._streams.streams import InputStream

# The failures that are kept: enough to see what goes wrong, and a run that never ends needs no more memory for them.
DEAD_LETTERS: Final = 1000

# One failure may come out several times, at different outputs or as several results of one call. It is recognised as
# long as not so many others came between: more than the consumers of one piper may be apart.
REMEMBERED: Final = 2**16


class RunReport:
    """What has come out so far, and what failed.

    Attributes:
        results: How many results (or failures in their places) passed `apply_policies`.
        skipped: How many were dropped as something in them had failed.
        failures: How many items failed, for the number of each piper.
        failed: How many that is.
        first: The first of them.
        raised: How many of these were raised, so that the reader knows of them.
        limit: How many may fail; one more ends the run. None: any number.
        advise: What to do about a failure, in words, where that is known.
        sources_of: Finds the items of the inputs that a failure descends from.
        inputs: Through these the data come; none, if they can't be closed.
        dead_letters: The failures, each as it happened; the last 1,000.
        closed: The run is being stopped: its inputs give nothing more, and that is not their end.
        over: The run was closed: its reader is to come to an end.
    """

    def __init__(self) -> None:
        self.results = 0
        self.skipped = 0
        self.failures: Counter[int | None] = Counter()
        self.failed = 0
        self.first: PiperError | None = None
        self.raised = 0
        self.limit: int | None = None
        # Not what refers to pipers or the run: that would be a reference cycle.
        self.advise: Callable[[PiperError], str] = lambda error: ""
        self.sources_of: Callable[[PiperError], tuple[tuple[int, int, Any], ...]] = lambda error: ()
        self.inputs: Sequence[InputStream] = ()
        self.dead_letters: deque[PiperError] = deque(maxlen=DEAD_LETTERS)
        self.closed = False
        self.over = False
        #: Whether it was raised.
        self._known: OrderedDict[tuple[int | None, int | None], bool] = OrderedDict()

    def note(self, failures: Iterable[PiperError]) -> None:
        """Note what failed in one row of results."""
        found = {(origin.number, origin.index): origin for error in failures for origin in origins(error)}
        for key, origin in found.items():
            if key not in self._known:
                origin._sources = self.sources_of(origin)
                self._known[key] = False
                self.failures[key[0]] += 1
                self.failed += 1
                self.first = self.first or origin
                self.dead_letters.append(origin)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def check(self) -> None:
        """Raise a `TooManyFailed` if more failed than may."""
        if self.limit is None or self.failed <= self.limit:
            return
        self.raised = self.failed
        self.close_inputs()
        assert self.first is not None
        hint = self.advise(self.first)
        raise TooManyFailed(
            f"{counted(self.failed, 'item')} failed, and max_failures={self.limit}; the first: {self.first}"
            + (hint and f". {hint}"),
            self.failed,
            self.limit,
        ) from self.first

    def close_inputs(self) -> bool:
        """Have the data give nothing more, and say whether that is possible."""
        self.closed = bool(self.inputs)
        for data in self.inputs:
            data.closed = True
        return self.closed

    def admits(self, failures: list[PiperError], policies: tuple[str, ...]) -> bool:
        """Note the failures of a row, and say whether it is given out. One that is to be raised is raised."""
        failures = undropped(failures)
        if not failures:
            return True
        self.note(failures)
        policy = policy_of(failures)
        if policy in policies and policy == "raise":
            raise self._to_raise(next(error for error in failures if policy_of((error,)) == policy))
        self.check()
        if policy not in policies:
            return True
        self.skipped += 1
        return False

    def _to_raise(self, error: PiperError) -> PiperError:
        for origin in origins(error):
            key = origin.number, origin.index
            self.raised += not self._known.get(key, True)
            self._known[key] = True
        made = duplicate(error)
        hint = self.advise(made)
        if hint:
            add_note(made, hint)
        return made


ALL: Final = ("skip", "raise")


def _shown(item: Any, rows: bool) -> Any:
    """What a reader sees of an item or a row in which something failed or was dropped; ``NOTHING`` if all of it was dropped."""
    if not rows:
        return NOTHING if isinstance(item, Dropped) else item
    seen = [Skip if isinstance(it, Dropped) else it for it in item]
    return NOTHING if all(it is Skip for it in seen) else seen


def apply_policies(items: Iterator[Any], rows: bool, report: RunReport) -> Iterator[Any]:
    """As `DaggerResults`, but quicker, for one reader that doesn't go on after an interrupt.

    In the place of what is dropped comes ``NOTHING``: also where all is dropped the reader hears that it is to stop.
    """
    for item in items:
        if rows or isinstance(item, PiperError):
            failures = failures_in(item if rows else (item,))
            if failures:
                item = _shown(item, rows)
                if item is NOTHING or not report.admits(failures, ALL):
                    yield NOTHING
                    continue
        report.results += 1
        yield item


class DaggerResults(ResumableStream):
    """Results, without those to be dropped; a failure that is to be raised is raised in its place.

    Args:
        items: The results: items, or rows with one item of each output.
        rows: Whether they are rows.
        report: Gets the figures.
        policies: Those that are followed here; others are followed elsewhere.
    """

    __slots__ = ("_lock", "_policies", "_report", "_rows", "_taken")

    def __init__(self, items: Iterator[Any], rows: bool, report: RunReport, policies: tuple[str, ...] = ALL) -> None:
        super().__init__(items)
        self._rows = rows
        self._report = report
        self._policies = policies
        self._taken: Any = NOTHING
        # Users may read in several threads. It is not held while an item is given away. Two interrupts in quick succession can
        # leave it locked in CPython 3.10; then the thread that was interrupted can still go on.
        self._lock = RLock()

    def __next__(self) -> Any:
        while True:
            with self._lock:
                self._fill()
            # Threads change over where signals are looked for, so no other comes between these.
            item = self._held
            self._held = NOTHING
            if item is not NOTHING:
                return item

    def _fill(self) -> None:
        while self._held is NOTHING:
            self._report.check()
            if self._taken is NOTHING:
                items = self._items
                for self._taken in items:
                    break
                else:
                    raise StopIteration
            taken = self._taken
            failures = failures_in(taken if self._rows else (taken,))
            try:
                if not failures:
                    self._held = taken
                elif self._report.admits(failures, self._policies):
                    # Where only some policies are followed, others look at it again.
                    self._held = taken if self._policies != ALL else _shown(taken, self._rows)
                if self._held is NOTHING and self._report.over:
                    raise PiperError("it was stopped while its results were read")
            except (PiperError, TooManyFailed):
                self._taken = NOTHING
                raise
            self._taken = NOTHING
