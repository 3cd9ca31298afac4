"""What failed in a run and is kept, of graphs and pipelines alike: it knows what it comes from, and can be run again."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from numap.interop import checks
from papy._base.public import public


class Letter(Protocol):
    """A failure that is kept."""

    @property
    def _sources(self) -> tuple[tuple[int, int, Any], ...]:
        """For each item that it comes from the place of an input, the place of the item there (-1: not known), and the item."""


L = TypeVar("L", bound=Letter)


@public
class DeadLetters(tuple[L, ...]):
    """Failures of a run, each as it happened; of very many the last 1,000.

    >>> from papy import Dagger, Pipeline, Piper
    >>> dagger = Dagger([Piper(int, unpack=True)])
    >>> letters = dagger.run([["1", "two", "3", "four"]]).dead_letters
    >>> [letter.source for letter in letters], letters.sources()
    (['two', 'four'], ['two', 'four'])
    >>> dagger.run([letters.sources()]).failed
    2
    >>> pipeline = Pipeline((float, 1), on_error="skip")
    >>> list(pipeline.results(["1", "?"]))
    [1.0]
    >>> pipeline.dead_letters.sources()
    ['?']
    """

    __slots__ = ()

    def sources(self, place: int = 0) -> list[Any]:
        """The items of an input that the failures come from, each once and in their order there; to be run again.

        Args:
            place: The place of the input, in the order of `Dagger.get_inputs`; a `Pipeline` has one.

        Raises:
            TypeError, ValueError: The place is none.
        """
        checks.whole("place", place, 0)
        placed: dict[int, Any] = {}
        others: dict[int, Any] = {}
        for letter in self:
            for number, index, item in letter._sources:
                if number == place and index >= 0:
                    placed.setdefault(index, item)
                elif number == place:
                    others.setdefault(id(item), item)
        return [*(placed[index] for index in sorted(placed)), *others.values()]
