"""Item: which item of which run the function that asks is working on. Knows nothing of pipers and runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple, Protocol


class Item(NamedTuple):
    """One item, the same however often it is evaluated.

    Attributes:
        run: The token of the run; the number of the process that made it comes first.
        piper: The number of the piper.
        place: The place of the item in what the piper reads, counted from 0; -1 where no two items can be the same.
    """

    run: str
    piper: int
    place: int


class Folder(Protocol):
    """Where a function puts files, as ``function.__papy_folder__`` says, called with the function's constant arguments.

    Such a function is told its `Item`, and the folder which runs there are.
    """

    def enter(self, run: str) -> None:
        """A run starts."""

    def leave(self, run: str) -> None:
        """A run is over; without effect if it is, or another process has started it."""


# None outside of pipers, and in pipers whose functions have no `Folder`: to number their items would cost time.
CURRENT: Final[ContextVar[Item | None]] = ContextVar("papy_item", default=None)
