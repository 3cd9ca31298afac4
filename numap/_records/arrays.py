"""Small arrays and scalars of numpy as records.

What makes them again is code of numpy alone, so they are opened with the records beside them. Most of the time of a pickle of
numpy goes to the type of its elements, which is looked up and built anew in each; so the common ones are agreed, as names are.

Nothing here imports numpy: what there is of it, an object of it has brought.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, Final

from .kinds import found_as_ever

#: What is asked of the class of an array when it is pickled, or made again, and before.
_ASKED: Final = (
    *("__reduce__", "__reduce_ex__", "__setstate__", "__array_finalize__", "__getattribute__"),
    *("nbytes", "flags", "dtype"),
)
#: Arrays with more bytes gain nothing by the company of others.
LARGE: Final = 1 << 14


def is_array(kind: type) -> bool:
    """Whether a class is of arrays that may go, if `goes_alone` allows: code of numpy alone opens them.

    >>> is_array(int)
    False
    """
    numpy = _numpy()
    if numpy is None or not issubclass(kind, numpy.ndarray) or issubclass(kind, numpy.memmap):
        return False
    return found_as_ever(kind) and all(getattr(kind, name) is getattr(numpy.ndarray, name) for name in _ASKED)


def is_element(kind: type) -> bool:
    """Whether a class is of scalars, or of element types, that may go. One made by the program has code of its own.

    >>> is_element(int)
    False
    """
    numpy = _numpy()
    if numpy is None or not issubclass(kind, (numpy.generic, numpy.dtype)):
        return False
    return kind.__module__.partition(".")[0] == "numpy"


def goes_alone(array: Any) -> bool:
    """Whether an array is no matter of records: it is large.

    Or it can't be written to, or its bytes are in the other order, neither of which its pickle tells in the protocol of records.
    """
    return array.nbytes > LARGE or not array.flags.writeable or not array.dtype.isnative


def code_of_type(obj: Any) -> bytes | None:
    """Opcodes that look up the type of elements; None: it is none, or not one that there is once in a process."""
    numpy = _numpy()
    if numpy is None or not isinstance(obj, numpy.dtype) or obj is not numpy.dtype(obj.str):
        return None
    name = obj.str.encode()
    return b"cnumpy\ndtype\nX%b%b\x85R" % (struct.pack("<I", len(name)), name)


def _numpy() -> Any:
    numpy = sys.modules.get("numpy")
    return numpy if hasattr(numpy, "memmap") else None  # it is being imported
