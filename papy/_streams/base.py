"""What all streams between pipers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from numap.interop import detach
from papy._base.errors import PiperError
from papy._base.failures import place
from papy._evaluate.counts import Count

NOTHING: Final = object()


class ResumableStream(Iterator[Any]):
    """An iterator that loses no item to an interrupt: what it has taken it keeps until it has given it away.

    CPython looks for signals after calls and at jumps. So an item is taken by the head of a ``for`` loop, or by one call
    of a list's ``extend``. No call or jump follows on what gives it away. A reader that catches the KeyboardInterrupt
    and goes on gets the same item again, evaluated again where that was interrupted.

    Args:
        items: What it reads.
    """

    __slots__ = ("_held", "_items", "count")

    _counted = False  # what failed, too
    _again = False  # see `papy._streams.streams.TaskStream`

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._held: Any = NOTHING
        self.count = Count()

    def __numap_detach__(self, owner: object) -> None:
        """An IMap that reads this has started: it must not be kept alive by streams that are its own input."""
        for stream in self._reads():
            detach(stream, owner)

    def _reads(self) -> Sequence[object]:
        """The streams that this one reads."""
        return (self._items,)

    def __next__(self) -> Any:
        if self._held is NOTHING:
            self._pull()
        if isinstance(self._held, PiperError):
            place(self._held, self.count.given)
            if self._counted:
                self.count.note(self._held, self._again)
        item = self._held
        self._held = NOTHING
        self.count.given += 1
        return item

    def _pull(self) -> None:
        """Put the next item into ``_held``, or raise what ends the stream."""
        raise NotImplementedError
