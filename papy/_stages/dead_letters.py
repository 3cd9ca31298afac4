"""Entries that failed in a run that goes on: what they were, where they failed, and what they came from.

A letter is kept for as long as its pipeline, perhaps, and so refers to no frame: the traceback of its error is text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final

from papy._base.public import public
from papy._base.tracebacks import line_of

#: Letters that are kept: enough to see what goes wrong, and a run that never ends needs no more memory for them.
KEPT: Final = 1000


class Sourced(int):
    """The number of an entry, which knows the entry of the input that it stands for; where it goes, that goes, too."""

    source: Any


def sourced(number: int, source: Any) -> Sourced:
    """The number of an entry of the input."""
    made = Sourced(number)
    made.source = source
    return made


@public
class DeadLetter(Exception):
    """An entry that failed in a `Pipeline` that goes on; with ``on_error="return"`` it is the result in the entry's place.

    Attributes:
        entry: What the step was given.
        step: The name of the step.
        error: What the step raised at last. Its traceback is the ``__cause__`` of this, as text.
        attempts: How often the entry was tried.
        number: The number of the entry, as messages tell it; None: an iterator step was in between, or the step has put the entry
            in its own queue.
        source: The entry of the input that it comes from; None where ``number`` is None.

    >>> from papy import Pipeline
    >>> pipeline = Pipeline((int, 1), on_error="return")
    >>> one, letter = pipeline.results(["1", "two"], ordered=True)
    >>> letter
    DeadLetter("step 'int' failed for 'two': ValueError: invalid literal for int() with base 10: 'two'")
    >>> letter.source, letter.attempts, list(pipeline.dead_letters.sources())
    ('two', 1, ['two'])
    """

    def __init__(
        self,
        entry: Any,
        step: str,
        error: BaseException,
        attempts: int = 1,
        number: int | None = None,
        source: Any = None,
    ) -> None:
        super().__init__(entry, step, error, attempts, number, source)
        self.entry = entry
        self.step = step
        self.error = error
        self.attempts = attempts
        self.number = number
        self.source = source

    def __str__(self) -> str:
        tried = "" if self.attempts == 1 else f", tried {self.attempts} times"
        return f"step {self.step!r} failed for {_shown(self.entry)}{tried}: {line_of(self.error)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _shown(entry: Any) -> str:
    try:
        return f"{entry!r:.60}"
    except Exception:  # whatever the entry's own method raises
        return f"an object of {type(entry).__name__}"


@public
class DeadLetters(tuple[DeadLetter, ...]):
    """The entries that failed in a run, as they came; of very many the last 1,000."""

    __slots__ = ()

    def sources(self) -> list[Any]:
        """The entries of the input that they come from, each once, to be run again; without those that are not known.

        >>> from papy import Pipeline
        >>> pipeline = Pipeline((float, 1), on_error="skip")
        >>> list(pipeline.results(["1", "?"]))
        [1.0]
        >>> pipeline.dead_letters.sources()
        ['?']
        """
        found: list[Any] = []
        numbers: set[int] = set()
        for letter in self:
            if letter.number is not None and letter.number not in numbers:
                numbers.add(letter.number)
                found.append(letter.source)
        return found


class LetterBox:
    """Takes the letters of a run, from any of its threads.

    Args:
        told: Called with each of them, or None.
    """

    def __init__(self, told: Callable[[DeadLetter], object] | None) -> None:
        self.told = told
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self._lock = Lock()

    def add(self, letter: DeadLetter) -> None:
        """Keeps it."""
        with self._lock:
            self._kept.append(letter)

    def letters(self) -> DeadLetters:
        """What is kept."""
        with self._lock:
            found: Iterable[DeadLetter] = list(self._kept)
        return DeadLetters(found)
