"""The writing side of records: a C pickler that stops at the first object that it has not heard of.

The pickler of code looks at each object for what the other process lacks, and does so under a lock. Most records hold nothing of
the kind: numbers and texts in tuples, lists, dicts, and instances of a few classes. Here each class is looked at once, and its
name agreed; from then on the C pickler alone writes its instances.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .arrays import code_of_type, goes_alone, is_array, is_element
from .kinds import is_free
from .records import BEFORE, BEHIND, Names, alone, body_of, put

#: Records of one type that could not be written so, one after the other, until there are no more attempts with that type.
_ATTEMPTS = 8
#: Names that are agreed, at most: each is read for each batch.
_MOST_NAMES = 100
_PROTOCOL = 3
#: What a pickle of an object by its name ends with.
_BY_NAME = pickle.dumps(len, pickle.HIGHEST_PROTOCOL)[-3:]


class _Unheard(Exception):
    """There is an object in the record of which it is not known whether it may go."""


class _Large(Exception):
    """There is an array in the record that goes another way; the next record of that type may have none."""


class _Pieces(list[bytes]):
    """The file of a pickler, which writes a small pickle in one piece."""

    write = list.append


class _RecordPickler(pickle.Pickler):
    """Knows types whose instances may go, and has the names that are agreed in its memo."""

    def __init__(self, pieces: _Pieces) -> None:
        super().__init__(pieces, _PROTOCOL)
        self.free: set[type] = set()
        #: The same of arrays: whether they may go, an instance tells.
        self.arrays: set[type] = set()
        self.unheard: object = None

    def reducer_override(self, obj: object) -> Any:
        kind = type(obj)
        if kind in self.free:
            return NotImplemented
        if kind in self.arrays:
            if goes_alone(obj):
                raise _Large
            return NotImplemented
        self.unheard = obj
        raise _Unheard


class RecordWriter:
    """Writes records for a `Records`, in one thread.

    Args:
        encode: pickles an object with all that the other process needs for it.

    Attributes:
        names: those that have been agreed so far.

    >>> writer = RecordWriter(lambda obj: pickle.dumps(obj, 5))
    >>> body = writer.write((1, ["a", 2.5]))
    >>> pickle.loads(alone(writer.names, body))
    (1, ['a', 2.5])
    >>> writer.write((1, lambda: 2)) is None
    True
    """

    def __init__(self, encode: Callable[[object], bytes]) -> None:
        self.names: Names = ()
        self._encode = encode
        self._pieces = _Pieces()
        self._pickler = _RecordPickler(self._pieces)
        # What each record passes, without a look for it.
        self._dump, self._last_piece, self._forget = self._pickler.dump, self._pieces.pop, self._pickler.clear_memo
        #: Its memo has what is agreed, and is copied for each record.
        self._names_written = _Pieces()
        self._agreed = pickle.Pickler(self._names_written, _PROTOCOL)
        self._memo = self._agreed.memo
        #: Types that are not tried. Texts and bytes are no records, and may be large.
        self._refused: set[type] = {str, bytes, bytearray}
        #: By type, records that could not be written, one after the other.
        self._in_vain: dict[type, int] = {}

    def write(self, record: object) -> bytes | None:
        """What `Records` takes for a record that refers to ``names``; None if it is left to the pickler of code."""
        kind = type(record)
        if kind in self._refused:
            return None
        try:
            self._dump(record)
        except BaseException as error:
            return self.write(record) if self._may_try_again(error, kind) else None
        if self.names:
            self._pickler.memo = self._memo
        else:
            self._forget()
        if self._in_vain:
            self._in_vain.pop(kind, None)
        data = self._last_piece()
        return data[BEFORE:BEHIND] if not self._pieces else self._whole(data)

    def _whole(self, last: bytes) -> bytes:
        """The body of a record that was written in several pieces."""
        data = b"".join((*self._pieces, last))
        self._pieces.clear()
        return body_of(data)

    def copy(self, record: object, most: int) -> tuple[Any] | None:
        """The record as it arrives elsewhere, in a tuple; None if it can't be written, or has ``most`` bytes."""
        body = self.write(record)
        return None if body is None or len(body) >= most else (pickle.loads(alone(self.names, body)),)

    def _may_try_again(self, error: BaseException, kind: type) -> bool:
        """After an error: whether it was an object that may go, of which the pickler knows now."""
        pickler = self._pickler
        self._pieces.clear()
        pickler.memo = self._memo
        unheard, pickler.unheard = pickler.unheard, None
        if type(error) is _Unheard and self._learn(unheard):
            return True
        if type(error) is _Large:
            return False
        # Whatever it was, the other pickler tells.
        self._in_vain[kind] = vain = self._in_vain.get(kind, 0) + 1
        if vain >= _ATTEMPTS:
            self._refused.add(kind)
        return False

    def _learn(self, obj: Any) -> bool:
        kind = type(obj)
        if issubclass(kind, type) or kind is FunctionType or kind is BuiltinFunctionType:
            return len(self.names) < _MOST_NAMES and self._agree(obj)
        code = code_of_type(obj)
        if code is not None and len(self.names) < _MOST_NAMES:
            self._add_name(obj, code)
            return True
        if is_array(kind):
            self._pickler.arrays.add(kind)
        elif is_free(kind) or is_element(kind):
            self._pickler.free.add(kind)
        else:
            return False
        return True

    def _agree(self, obj: object) -> bool:
        """Agrees on the name of a class or function, if the other process has it by that name; else it is no matter of records."""
        agreed = self._agreed.memo.copy()
        try:
            # Before it is pickled here, which imports its module: that may be just being imported, and wait for this map.
            if not self._encode(obj).endswith(_BY_NAME):
                return False
            self._agreed.dump(obj)
            code = body_of(b"".join(self._names_written))
        except BaseException:  # whatever its own code raises: the other pickler tells
            return False
        finally:
            # What was kept on the way to it is no matter of the records.
            self._names_written.clear()
            self._agreed.memo = agreed
        self._add_name(obj, code)
        return True

    def _add_name(self, obj: object, code: bytes) -> None:
        number = len(self.names)
        self.names = (*self.names, put(code, number))
        self._agreed.memo = {**self._agreed.memo.copy(), id(obj): (number, obj)}
        self._pickler.memo = self._memo
