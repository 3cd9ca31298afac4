"""The figures of a run, as its caller has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from numap.interop import Row
from papy._base.dead_letters import DeadLetters
from papy._base.errors import DaggerError, PiperError
from papy._base.public import public
from papy._dagger.failure_summary import summary_of
from papy._piper.piper import Piper


@public
@dataclass(frozen=True)
class RunStatistics:
    """What a run has done so far.

    Attributes:
        results: How many results (or failures in their places) came out.
        seconds: How long the run took, starting and stopping included.
        items: For each piper, how many times it evaluated its functions (repetitions apart).
        failures: For each piper, how many of these failed there.
        skipped: How many results were dropped, as an item in them failed on a piper with ``on_error="skip"``.
        filtered: For each piper, how many items it dropped, by `SkipEntry`; these are neither failures nor skipped.
        dead_letters: What failed, each as it happened there, with its ``piper``, ``index``, ``exception``, ``source``, and
            ``inbox`` if a function raised an Exception (of a worker that died the inbox is not known); the last 1,000. Their
            ``sources()`` can be given to the graph again.
        first_failure: The first of these; None: nothing failed.

    >>> from papy import Dagger
    >>> statistics = Dagger([Piper(int, name="number")]).run([["1", "2"]])
    >>> statistics.failed
    2
    >>> statistics.raise_for_failures()
    Traceback (most recent call last):
    papy.DaggerError: 2 items failed: 2 of 2 on number (int); the first: number (int) failed on item 0: TypeError: int() \
argument must be a string, a bytes-like object or a real number, not 'list'. int was given an inbox, a list of items; if it \
takes items, write Piper(int, unpack=True)
    """

    results: int
    seconds: float
    items: Mapping[Piper, int]
    failures: Mapping[Piper, int]
    skipped: int = 0
    dead_letters: DeadLetters[PiperError] = field(default_factory=DeadLetters)
    first_failure: PiperError | None = None
    filtered: Mapping[Piper, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many items failed."""
        return sum(self.failures.values())

    def raise_for_failures(self) -> RunStatistics:
        """These figures, unless items failed.

        Raises:
            DaggerError: Items failed; it says how many of how many on which pipers, and its ``__cause__`` is the first failure.
        """
        if self.first_failure is not None:
            raise DaggerError(summary_of(self.items, self.failures, self.first_failure)) from self.first_failure
        return self


def rows_of(
    figures: RunStatistics, behind: Mapping[Piper, Collection[Piper]], lengths: Mapping[Piper, int | None]
) -> list[Row]:
    """What progress shows of a run: a row for each piper.

    Args:
        figures: Of the run, now.
        behind: For each piper those that it reads; these come before it.
        lengths: For each input how many items it has, where that is known.
    """
    rows: list[Row] = []
    totals: dict[Piper, int | None] = {}
    #: How many items each piper has passed on to those behind it.
    passed: dict[Piper, int] = {}
    for piper, ups in behind.items():
        done, failed = figures.items[piper], figures.failures[piper]
        fallen = failed + figures.filtered.get(piper, 0)
        known = [totals[up] for up in ups] if ups else [lengths.get(piper)]
        total = min((it for it in known if it is not None), default=None)
        if None in known or piper.numbers.batched or (piper.merge and len(ups) > 1) or piper.consume * piper.spawn > 1:
            total = None
        came = min((passed[up] for up in ups), default=done)
        rows.append(Row(piper.name, done, failed, total, max(0, came - done)))
        changes = piper.flatten or piper.route or piper.produce > 1
        totals[piper] = None if total is None or changes else max(0, total - fallen)
        passed[piper] = done if changes else done - fallen
    return rows
