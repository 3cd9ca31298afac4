"""The figures of a run, as its caller has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numap.interop import checks
from papy._base.errors import DaggerError, PiperError
from papy._base.public import public
from papy._dagger.failure_summary import summary_of
from papy._piper.piper import Piper


@public
class DeadLetters(tuple[PiperError, ...]):
    """Failures of a run, each as it happened.

    >>> from papy import Dagger
    >>> dagger = Dagger([Piper(int, unpack=True)])
    >>> letters = dagger.run([["1", "two", "3", "four"]]).dead_letters
    >>> [letter.source for letter in letters], letters.sources()
    (['two', 'four'], ['two', 'four'])
    >>> dagger.run([letters.sources()]).failed
    2
    """

    __slots__ = ()

    def sources(self, place: int = 0) -> list[Any]:
        """The items of an input that the failures descend from, each once; to be given to the same graph again.

        Args:
            place: The place of the input, in the order of `Dagger.get_inputs`.

        Raises:
            TypeError, ValueError: The place is none.
        """
        checks.whole("place", place, 0)
        found: dict[tuple[str, int], Any] = {}
        for letter in self:
            for number, index, item in letter._sources:
                if number == place:
                    found.setdefault(("at", index) if index >= 0 else ("item", id(item)), item)
        return list(found.values())


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
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
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
