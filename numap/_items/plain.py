"""Records of built-in types, for the C pickler alone.

The pickler of code is asked about each object that is not of a built-in type, looks for names that the other process lacks,
and does so under a lock. Most records hold nothing of the kind: a tuple, list or dict of numbers and texts. The C pickler
alone writes those in a third of the time, and the first object of another type ends the attempt.
"""

from __future__ import annotations

import pickle
from _thread import _local
from typing import Any

#: What is worth the attempt.
CONTAINERS: frozenset[type] = frozenset((tuple, list, dict, set, frozenset))
#: Records of one type that were no such records, one after the other, until there are no more attempts with that type.
_ATTEMPTS = 8


class _NotPlain(Exception):
    """There is an object of another type in the record."""


class _Pieces(list[bytes]):
    """The file of a pickler, which writes a small pickle in one piece."""

    write = list.append


class _PlainPickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        raise _NotPlain


def _refuse(buffer: pickle.PickleBuffer) -> Any:
    raise _NotPlain


class PlainWriter(_local):
    """Pickles records; each thread has a pickler of its own.

    >>> import pickle
    >>> writer = PlainWriter()
    >>> pickle.loads(writer.write((1, ["a", 2.5])))
    (1, ['a', 2.5])
    >>> writer.write((1, abs)) is None
    True
    """

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._pickler = _PlainPickler(self._pieces, pickle.HIGHEST_PROTOCOL, buffer_callback=_refuse)
        self._in_vain: dict[type, int] = dict.fromkeys(CONTAINERS, 0)

    def write(self, record: object) -> bytes | None:
        """The pickle of a record of one of the `CONTAINERS`; None if it is left to the pickler of code."""
        kind, pieces, pickler = type(record), self._pieces, self._pickler
        if self._in_vain[kind] >= _ATTEMPTS:
            return None
        try:
            pickler.dump(record)
        except BaseException as error:
            pieces.clear()
            if not isinstance(error, Exception):  # an interrupt
                raise
            self._in_vain[kind] += 1
            return None  # whatever it was, the other pickler tells
        finally:
            pickler.clear_memo()
        self._in_vain[kind] = 0
        data = pieces.pop()
        if pieces:
            data = b"".join((*pieces, data))
            pieces.clear()
        return data
