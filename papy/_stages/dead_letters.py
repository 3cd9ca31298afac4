"""Entries that failed in a run that goes on: what they were, where they failed, and what they came from.

A letter is kept for as long as its pipeline, perhaps, and so refers to no frame: the traceback of its error is text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final

from numap import sizeof
from papy._base.dead_letters import DeadLetters
from papy._base.public import public
from papy._base.tracebacks import line_of

#: Letters that are kept: enough to see what goes wrong, and a run that never ends needs no more memory for them.
KEPT: Final = 1000


class Sourced(int):
    """The number of an entry, which knows what it comes from: entries of the input, each with its number there."""

    origins: tuple[tuple[int, Any], ...]


def sourced(number: int, origins: Iterable[tuple[int, Any]]) -> Sourced:
    """The number of an entry that comes from these."""
    made = Sourced(number)
    made.origins = tuple(origins)
    return made


class Taken:
    """What the entries come from that an iterator step has taken since it made one: the next one is made of these, it seems.

    A step that makes one entry of all must not hold all: of very many, or very large ones, the last are kept.

    Args:
        room: Bytes that they may have.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._origins: deque[tuple[tuple[int, Any], int]] = deque()
        self._bytes = 0
        self._fresh = True

    def add(self, number: int) -> None:
        """The step has taken the entry of this number."""
        if self._fresh:
            self._fresh, self._bytes = False, 0
            self._origins.clear()
        for origin in number.origins if isinstance(number, Sourced) else ():
            size = sizeof(origin[1])
            self._origins.append((origin, size))
            self._bytes += size
        while len(self._origins) > KEPT or (self._bytes > self._room and len(self._origins) > 1):
            self._bytes -= self._origins.popleft()[1]

    def made(self, number: int) -> Sourced:
        """The number of an entry that the step has made; several may be made of the same."""
        self._fresh = True
        return sourced(number, (origin for origin, _ in self._origins))


@public
class DeadLetter(Exception):
    """An entry that failed in a `Pipeline` that goes on; with ``on_error="return"`` it is the result in the entry's place.

    Attributes:
        entry: What the step was given.
        step: The name of the step.
        error: What the step raised at last. Its traceback is the ``__cause__`` of this, as text.
        attempts: How often the entry was tried.
        number: The number of the entry of the input that it comes from, as messages tell it; None where there are several, or it
            can't be told.
        source: That entry; None where ``number`` is None.
        sources: All entries of the input that it comes from. What an iterator step makes comes from all that it took since it made
            the one before: of very many, or very large ones, the last are kept.

    >>> from papy import Pipeline
    >>> pipeline = Pipeline((int, 1), on_error="return")
    >>> one, letter = pipeline.results(["1", "two"], ordered=True)
    >>> letter
    DeadLetter("step 'int' failed for 'two': ValueError: invalid literal for int() with base 10: 'two'")
    >>> letter.source, letter.attempts, list(pipeline.dead_letters.sources())
    ('two', 1, ['two'])
    """

    def __init__(
        self, entry: Any, step: str, error: BaseException, attempts: int = 1, origins: tuple[tuple[int, Any], ...] = ()
    ) -> None:
        super().__init__(entry, step, error, attempts, origins)
        self.entry = entry
        self.step = step
        self.error = error
        self.attempts = attempts
        self._origins = origins
        self.number: int | None = None
        self.source: Any = None
        if len(origins) == 1:
            self.number, self.source = origins[0]

    @property
    def _sources(self) -> tuple[tuple[int, int, Any], ...]:
        return tuple((0, number, source) for number, source in self._origins)

    @property
    def sources(self) -> tuple[Any, ...]:
        """All entries of the input that it comes from."""
        return tuple(source for _, source in self._origins)

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

    def letters(self) -> DeadLetters[DeadLetter]:
        """What is kept."""
        with self._lock:
            found: Iterable[DeadLetter] = list(self._kept)
        return DeadLetters(found)
