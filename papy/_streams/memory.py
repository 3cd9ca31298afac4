"""The items of the inputs that may still fail, so that a failure can say which item of an input it comes from.

Sequences have their items anyway. Of what is read from an iterator an item is kept until all that comes of it has come out: what
is on its way is bounded, and so is this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from papy._base.errors import PiperError
from papy._streams.base import ResumableStream
from papy._streams.descent import Descent
from papy._streams.source import Rhythm, StreamSource
from papy._streams.streams import SEQUENCES, InputStream

#: The place of an input, the place of an item in it, and the item.
Source = tuple[int, int, Any]


class Memory:
    """Finds the items of the inputs that a failure descends from.

    Args:
        datas: What the inputs read, for the number of each piper that is one.
        outputs: What comes out, with its streams.
        descents: For the number of each piper, from which items of the inputs its calls come.
        linear: There are no IMaps.
    """

    def __init__(
        self,
        datas: Mapping[int, StreamSource],
        outputs: Iterable[tuple[Rhythm, ResumableStream]],
        descents: Mapping[int, Descent],
        linear: bool,
    ) -> None:
        self._descents = descents
        self._places = {number: place for place, number in enumerate(datas)}
        self._items: dict[int, deque[tuple[int, Any]] | Sequence[Any]] = {}
        outputs = list(outputs)
        for number, source in datas.items():
            stream: Any = source.stream
            data: Any = stream.data if isinstance(stream, InputStream) else stream
            if type(data) in SEQUENCES:
                self._items[number] = data
            elif isinstance(stream, InputStream):
                readers = [(rhythm, out) for rhythm, out in outputs if number in rhythm.inputs]
                if all(rhythm.placed for rhythm, _ in readers):
                    self._items[number] = self._kept(stream, number, readers, linear)

    def _kept(
        self, stream: InputStream, number: int, readers: list[tuple[Rhythm, ResumableStream]], linear: bool
    ) -> deque[tuple[int, Any]]:
        """What a stream gives, as long as it is needed."""
        used = [_used(number, *reader) for reader in readers]
        if linear and len(readers) == 1 and _is_plain(readers[0][0]):
            kept = deque[tuple[int, Any]](maxlen=2)  # one is on its way
            stream.keep(kept, None)
        else:
            kept = deque()
            stream.keep(kept, used[0] if len(used) == 1 else lambda: min([it() for it in used]))
        return kept

    def _item(self, number: int, place: int) -> tuple[Any, ...]:
        """The item at a place of an input; none, if it is not there any more."""
        items = self._items.get(number, ())
        if not isinstance(items, deque):
            return (items[place],) if place < len(items) else ()
        while True:
            try:
                return tuple(item for at, item in items if at == place)
            except RuntimeError:  # another thread has taken one
                continue

    def __call__(self, origin: PiperError) -> tuple[Source, ...]:
        """What an item that failed comes from; nothing, if that is not known."""
        number, index = origin.number, origin.index
        if number is None or index is None:
            return ()
        found: list[Source] = []
        descents = self._descents[number](index) if number in self._descents else ()
        for data, place in dict.fromkeys(descents):
            found += [(self._places[data], place, item) for item in self._item(data, place)]
        inbox = origin.inbox
        if not found and number in self._places and inbox:  # of unordered maps the place says nothing
            found.append((self._places[number], -1, inbox[0]))
        return tuple(found)


def _is_plain(rhythm: Rhythm) -> bool:
    """Whether there is an item for each item of the inputs."""
    return rhythm.number is None and rhythm.share == 1


def _used(number: int, rhythm: Rhythm, stream: ResumableStream) -> Callable[[], int]:
    """Says how many items of an input can have no failures any more behind this output."""
    count, descent = stream.count, rhythm.descent
    if _is_plain(rhythm):
        return lambda: count.given - 1
    last = 0

    def used() -> int:
        nonlocal last
        last = next((place for data, place in descent(count.given - 1) if data == number), last)
        return last

    return used
