"""Segments: what flows through a map, in the form that crosses threads and processes.

A *segment* is a plain tuple ``(kind, count, data)`` that stands for ``count`` neighbouring items. Results of one task are segments
again and may be the input of the next. So a chain never opens what only passes through, and many small values share the
price of one pickle.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from .._records.records import Names, Records
from .failures import Failure, serialization_error
from .sizes import sizeof

Segment = tuple[int, int, Any]
#: ``data`` is a list of ``count`` live objects, or a range as long.
RAW = 0
#: ``data`` is the pickle of a list of ``count`` atoms, or of a range as long.
PACKED = 1
#: ``data`` is the pickle of one item.
PICKLED = 2
#: ``data`` is a list of ``count`` pickles, each of one item: they go together, and no two of them share an object.
PICKLES = 9
#: ``data`` is the `Records` of ``count`` items.
RECORDS = 10
#: No segment yet, but what `Gatherer` takes for a record: ``(RECORD, names, body)``.
RECORD = 11
#: ``data`` is one Failure.
FAILED = 3
#: ``data`` is a tuple of segments of one item each, the members of a join.
JOINED = 4
#: ``data`` is the SharedObject of one item; on its way to another process, what that makes the parcel of.
SHARED = 8
#: No data: the items were dropped by ``on_error="skip"``.
SKIPPED = 5
#: ``data`` is the exception that ends a task, or the Overrun that it is made of, to be raised once; no items.
ENDING = 6
#: The end of a task; no items.
END = 7
#: Types whose values are immutable, hold no other object and run no code when pickled: many of them may share
#: one pickle, and the function that gets one sees no difference.
ATOMS: frozenset[type] = frozenset((int, float, bool, type(None), str, bytes))
#: Longer texts and bytes go alone: a batch is there to save the price of a message, which they do not notice.
LONG = 4096
#: Segments of live objects that are measured, of many.
_LOOKS = 4
_NO_ATOMS = {tuple, bytes}
_BODIES = {bytes}


def is_atom(value: object) -> bool:
    """Whether a value may share a pickle with others: immutable, plain and short."""
    kind = type(value)
    if kind not in ATOMS:
        return False
    return (kind is not str and kind is not bytes) or len(value) < LONG  # type: ignore[arg-type]


def pack(values: list[Any]) -> Segment:
    """One segment for a list of atoms."""
    return PACKED, len(values), pickle.dumps(values, 5)


def encode_item(value: object, encode: Callable[[object], Any], what: str) -> Segment:
    """The segment of one item that is no atom and no record, or of the failure to pickle it.

    Args:
        value: the item.
        encode: makes its pickle or its parcel.
        what: "item" or "result".
    """
    try:
        data = encode(value)
    except BaseException as error:  # whatever its own code raises: only its own item fails
        return FAILED, 1, Failure(serialization_error(what, value, error))
    return PICKLED if type(data) is bytes else SHARED, 1, data


class Gatherer:
    """Makes segments of what waits one by one, neighbours joined.

    An entry is an atom (but no bytes), or the body of a record as bytes, or a tuple: a segment, or a record with names.
    These are the names of the records behind it, too, so that the many wait as bytes alone: a tuple for each would take as
    long as a third of its pickle.
    """

    def __init__(self) -> None:
        #: Of the last record.
        self._names: Names = ()

    def segments(self, entries: list[Any]) -> list[Segment]:
        """The segments of the next entries."""
        # Most have entries of one kind, in a third of the time of what follows.
        kinds = set(map(type, entries))
        if kinds and not kinds & _NO_ATOMS:
            return [(RAW, len(entries), entries)]
        if kinds == _BODIES:
            return [(RECORDS, len(entries), Records(self._names, entries))]
        segments: list[Segment] = []
        for alike, group in groupby(entries, self._alike):
            members = list(group)
            if alike is None:
                segments += members
            elif alike is RAW:
                atoms: list[Any] = []
                for entry in members:
                    if type(entry) is tuple:
                        atoms += entry[2]
                    else:
                        atoms.append(entry)
                segments.append((RAW, len(atoms), atoms))
            elif alike is PICKLES:
                segments.append((PICKLES, len(members), [entry[2] for entry in members]))
            else:
                bodies = [entry if type(entry) is bytes else entry[2] for entry in members]
                segments.append((RECORDS, len(members), Records(alike, bodies)))
        return segments

    def _alike(self, entry: Any) -> Any:
        """What neighbours have in common that make one segment; None: it stays alone."""
        if type(entry) is bytes:
            return self._names
        if type(entry) is not tuple or entry[0] == RAW:
            return RAW
        if entry[0] == RECORD:
            self._names = entry[1]
            return self._names
        return PICKLES if entry[0] == PICKLED and len(entry) == 3 and len(entry[2]) < LONG else None


def part(segment: Segment, start: int, stop: int) -> Segment:
    """The items ``start`` to ``stop`` of a segment."""
    kind, count, data = segment
    if start == 0 and stop == count:
        return segment
    if kind == RECORDS:
        return kind, stop - start, data.cut(start, stop)
    if kind == PICKLES:
        return kind, stop - start, data[start:stop]
    values = pickle.loads(data) if kind == PACKED else data
    return RAW, stop - start, values[start:stop]


def parts(segments: Sequence[Segment], start: int, stop: int) -> list[Segment]:
    """The items ``start`` to ``stop`` of neighbouring segments."""
    found = []
    place = 0
    for segment in segments:
        begin, end = max(start - place, 0), min(stop - place, segment[1])
        if begin < end:
            found.append(part(segment, begin, end))
        place += segment[1]
    return found


def singles(segment: Segment, pickled: bool) -> list[Segment]:
    """A segment as segments of one item each; ``pickled``: they cross processes."""
    kind, _, data = segment
    if kind in (RECORDS, PICKLES):
        return [(PICKLED, 1, raw) for raw in (data.pickles() if kind == RECORDS else data)]
    if kind not in (RAW, PACKED):
        return [segment]
    values = pickle.loads(data) if kind == PACKED else data
    if pickled:
        return [(PICKLED, 1, pickle.dumps(value, 5)) for value in values]
    return [(RAW, 1, [value]) for value in values]


def item_of(segment: Segment, lent: Any = None) -> Any:
    """The object of a segment of one item; raises what unpickling raises. ``lent``: see `SharedObject.open`."""
    kind, _, data = segment
    if kind == PICKLED:
        return pickle.loads(data)
    if kind == SHARED:
        return data.open(lent)
    if kind == RECORDS:
        return data.values()[0]
    if kind == PICKLES:
        return pickle.loads(data[0])
    if kind == JOINED:
        return tuple(item_of(member, lent) for member in data)
    return (pickle.loads(data) if kind == PACKED else data)[0]


def size_of(segment: Segment) -> int:
    """Bytes of the pickles in a segment, or of live objects as far as the first and the last of them tell."""
    kind, count, data = segment
    if kind in (PACKED, PICKLED, SHARED):
        return len(data)
    if kind == RECORDS:
        return data.nbytes  # type: ignore[no-any-return]
    if kind == PICKLES:
        return sum(map(len, data))
    if kind == RAW:
        return sizeof(data[0]) if count == 1 else count * max(sizeof(data[0]), sizeof(data[-1]))
    return sum(map(size_of, data)) if kind == JOINED else 0


def size_of_all(segments: Sequence[Segment]) -> int:
    """Bytes of neighbouring segments; where many of them are live objects, some of these stand for all."""
    if len(segments) <= _LOOKS or segments[0][0] != RAW:
        return sum(map(size_of, segments))
    step = len(segments) // _LOOKS
    return sum(map(size_of, segments[step - 1 :: step])) * step


def is_lent(segment: Segment) -> bool:
    """Whether the function gets memory of this item that it may change, so that the item can't simply run again."""
    kind, _, data = segment
    return kind == SHARED or (kind == JOINED and any(map(is_lent, data)))
