"""How much memory an object takes, by a look at some of what it holds.

Bounds count bytes, so each item is measured, and the look must take less time than the item. It runs no code of the user's:
a method could be slow, or change what it measures.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from sys import getsizeof
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodDescriptorType, MethodType, ModuleType
from typing import Any, Final

from .._base.public import public

#: Members that are looked at, of a container at each depth. Deeper ones count as what they are themselves.
_LOOKS: Final = (16, 16, 8, 4, 2, 2, 2, 2)
#: Members that are looked at in all: each takes some tenths of a microsecond.
_VISITS: Final = 160
#: Bytes of a pair. The entries of a pipeline are pairs, and measured by the thousand, so pairs of plain values have a quick way.
_PAIR: Final = getsizeof((None, None))
#: Of these the interpreter knows all that they hold, or that is no part of them.
_FLAT: Final = frozenset(
    (int, float, complex, bool, type(None), str, bytes, bytearray, range, array, type, BuiltinFunctionType, ModuleType)
)


@public
def sizeof(value: object) -> int:
    """About how many bytes of memory an object takes, with what it holds: what counts for ``buffer_bytes``.

    Of containers and of the attributes of objects a few members stand for all, eight levels deep; so it takes a
    microsecond for a small object, and some dozens of them for a large nest. Arrays, tensors, data frames, tables and
    images of NumPy, PyTorch, pandas, Polars, PyArrow, Xarray and Pillow tell how large they are. No method of a class of yours is
    called: what hides its memory behind one, counts as small.

    Args:
        value: any object.

    >>> sizeof(b"x" * 1_000_000) // 1_000_000
    1
    >>> sizeof([{"a": (n, b"x" * 1_000_000)} for n in range(50)]) // 1_000_000
    50
    """
    kind = type(value)
    if kind in _FLAT:
        return getsizeof(value)
    if kind is tuple and len(value) == 2:  # type: ignore[arg-type]
        pair: Any = value
        first, second = pair
        if type(first) in _FLAT and type(second) in _FLAT:
            return _PAIR + getsizeof(first) + getsizeof(second)
    try:
        return _size(value, 0, [_VISITS])
    except Exception:
        # It was changed by another thread meanwhile, or a library has other attributes than those that we know.
        return object.__sizeof__(value)


def _size(value: Any, depth: int, left: list[int]) -> int:
    """Bytes of an object that lies so deep; ``left``: how many more may be looked at."""
    left[0] -= 1
    kind = type(value)
    if kind in _FLAT:
        return getsizeof(value)
    if isinstance(value, tuple):
        return tuple.__sizeof__(value) + _of_sequence(value, tuple.__len__(value), tuple.__getitem__, depth, left)
    if isinstance(value, list):
        return list.__sizeof__(value) + _of_sequence(value, list.__len__(value), list.__getitem__, depth, left)
    if isinstance(value, dict):
        return dict.__sizeof__(value) + _of_dict(value, depth, left)
    if isinstance(value, memoryview):
        return value.nbytes
    if isinstance(value, set):
        return set.__sizeof__(value) + _of_some(set.__iter__(value), set.__len__(value), depth, left)
    if isinstance(value, frozenset):
        return frozenset.__sizeof__(value) + _of_some(frozenset.__iter__(value), frozenset.__len__(value), depth, left)
    if isinstance(value, deque):
        return deque.__sizeof__(value) + _of_some(deque.__iter__(value), deque.__len__(value), depth, left)
    if kind in _CALLABLES:
        held = [it for it in _CALLABLES[kind](value) if it is not None]
        return getsizeof(value) + _of_sequence(held, len(held), list.__getitem__, depth, left)
    found = _by_library(value, kind)
    return found if found is not None else _of_object(value, kind, depth, left)


def _of_function(value: FunctionType) -> Iterator[Any]:
    """What a function holds: what it closes over, and its defaults; its globals are a module's."""
    for cell in value.__closure__ or ():
        with suppress(ValueError):  # not set
            yield cell.cell_contents
    yield from (value.__defaults__, value.__kwdefaults__)


def _of_partial(value: partial[Any]) -> Iterator[Any]:
    yield from (value.func, value.args, value.keywords)


def _of_method(value: MethodType) -> Iterator[Any]:
    yield value.__self__


#: What callables of these kinds hold.
_CALLABLES: Final[dict[type, Callable[[Any], Iterator[Any]]]] = {
    FunctionType: _of_function,
    partial: _of_partial,
    MethodType: _of_method,
}


def _of_sequence(value: Any, number: int, item: Callable[[Any, int], Any], depth: int, left: list[int]) -> int:
    """Bytes of the members, of which some stand for all: from all over it, the first and the last among them."""
    looks = min(number, _LOOKS[depth]) if depth < len(_LOOKS) else 0
    total = seen = 0
    while seen < looks and left[0] > 0:
        total += _size(item(value, seen * (number - 1) // max(1, looks - 1)), depth + 1, left)
        seen += 1
    return total if seen == number else number * total // max(1, seen)


def _of_some(members: Iterable[Any], number: int, depth: int, left: list[int]) -> int:
    """The same for members that can't be reached by place: those that come first."""
    looks = min(number, _LOOKS[depth]) if depth < len(_LOOKS) else 0
    total = seen = 0
    for member in islice(members, looks):
        if left[0] <= 0:
            break
        total += _size(member, depth + 1, left)
        seen += 1
    return total if seen == number else number * total // max(1, seen)


def _of_dict(value: dict[Any, Any], depth: int, left: list[int]) -> int:
    number = dict.__len__(value)
    # Keys are alike, mostly: one of them stands for all.
    keys = _of_some(islice(dict.keys(value), 1), number, depth, left)
    return keys + _of_some(dict.values(value), number, depth, left)


def _of_object(value: Any, kind: type, depth: int, left: list[int]) -> int:
    """Bytes of any other object: its own, and those of its attributes."""
    # A method in Python would be code of the user's.
    tells = kind.__sizeof__
    own = tells(value) if type(tells) is MethodDescriptorType else object.__sizeof__(value)
    if kind.__dictoffset__:
        attributes = object.__getattribute__(value, "__dict__")
        if type(attributes) is dict:
            own += _of_some(attributes.values(), len(attributes), depth, left)
    for cls in kind.__mro__:
        members = vars(cls)
        for slot in members.values() if "__slots__" in members and depth < len(_LOOKS) else ():
            if type(slot) is MemberDescriptorType and left[0] > 0:
                with suppress(AttributeError):  # not set
                    own += _size(slot.__get__(value, kind), depth + 1, left)
    return own


def _by_library(value: Any, kind: type) -> int | None:
    """Bytes of an object of a library that knows them; None: it is of no such library."""
    for cls in kind.__mro__[:-1]:
        tells = _LIBRARIES.get(str(cls.__module__).partition(".")[0])
        if tells is not None:
            found = tells(value)
            if found is not None:
                return found
    return None


def _nbytes(value: Any) -> int | None:
    number = getattr(value, "nbytes", None)
    return number if isinstance(number, int) else None


def _numpy(value: Any) -> int | None:
    if getattr(value, "_mmap", None) is not None:
        # The pages are those of the file, and the system takes them back where it needs room.
        return object.__sizeof__(value)
    number = _nbytes(value)
    if number is None or not value.dtype.hasobject or not getattr(value, "size", 0):
        return number
    # An array of objects: a few of them stand for all.
    looks = [value.flat[place] for place in (0, value.size // 2, value.size - 1)]
    return number + int(value.size) * sum(map(sizeof, looks)) // len(looks)


def _pandas(value: Any) -> int | None:
    manager = getattr(value, "_mgr", None)
    if manager is None:
        return _nbytes(value)
    # ``memory_usage`` takes half a millisecond, as it makes a Series of its own.
    blocks = getattr(manager, "blocks", None)
    if blocks is None:
        return int(value.memory_usage(deep=False).sum())
    return sum(sizeof(block.values) for block in blocks)


def _polars(value: Any) -> int | None:
    tells = getattr(value, "estimated_size", None)
    return int(tells()) if tells is not None else None


def _image(value: Any) -> int | None:
    size, bands = getattr(value, "size", None), getattr(value, "getbands", None)
    if not isinstance(size, tuple) or bands is None:
        return None
    return int(size[0]) * int(size[1]) * len(bands())


#: By the package in which a class, or one that it is derived from, is defined.
_LIBRARIES: Final[dict[str, Callable[[Any], int | None]]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _nbytes,
    "torch": _nbytes,
    "xarray": _nbytes,
    "cupy": _nbytes,
    "PIL": _image,
}
