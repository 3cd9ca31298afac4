"""Which objects may be opened before their turn: those that run no code of the program when they are unpickled.

Records are opened all at once, before the function sees the first of them. An object that opens a file, say, when it is
unpickled must do so when its turn comes, and what kills the worker then must be blamed on its own item. So this asks the
class: whether what makes its instances again is code of the interpreter, of the standard library, or of a library whose
business is records.
"""

from __future__ import annotations

import collections
import copyreg
import sys
from types import FunctionType, WrapperDescriptorType
from typing import Any

#: Modules of the standard library whose classes are values.
_VALUE_MODULES = frozenset(
    (*("datetime", "decimal", "fractions", "uuid", "ipaddress"), *("pathlib", "pathlib._local", "pathlib._abc"))
)
_CONTAINERS = frozenset((collections.OrderedDict, collections.Counter, collections.defaultdict, collections.deque))
_BUILT_IN = frozenset((set, frozenset, complex, range, slice))
#: Modules whose code makes instances of classes of others again, and does nothing else then.
_RECORD_MODULES = frozenset(("dataclasses", "attr._make", "pydantic.main", "enum"))
#: Of other modules of the library some have objects that are known by their identity, as those of `object` itself are.
_NO_RECORDS = sys.stdlib_module_names | {"builtins"}
#: What makes the instance of a class that does not make its own.
_MAKERS = frozenset((object.__new__, int.__new__, float.__new__, str.__new__, bytes.__new__, complex.__new__))


def is_free(kind: type) -> bool:
    """Whether an instance of a class is opened without code of the program.

    >>> import datetime, threading
    >>> is_free(datetime.date), is_free(threading.Thread)
    (True, False)
    """
    if kind in copyreg.dispatch_table and kind is not complex:
        return False
    if kind in _BUILT_IN or kind in _CONTAINERS or kind.__module__ in _VALUE_MODULES:
        return True
    if not found_as_ever(kind):
        return False
    reducer: Any = kind.__reduce_ex__
    if _module_of(reducer) == "enum":
        return True
    if kind.__module__.partition(".")[0] in _NO_RECORDS:
        return False
    plain: Any = object
    if reducer is not plain.__reduce_ex__ or kind.__reduce__ is not plain.__reduce__:
        return False
    return _made_as_ever(kind) and _filled_as_ever(kind)


def found_as_ever(kind: type) -> bool:
    """Whether to ask an instance for an attribute runs no code of its class."""
    getter = _defined(kind, "__getattr__")
    by_library = getter is None or _module_of(getter) in _RECORD_MODULES
    return by_library and type(kind.__getattribute__) is WrapperDescriptorType


def _made_as_ever(kind: Any) -> bool:
    """Whether to make an instance runs no code of its class, or the one that `collections.namedtuple` has made for it."""
    if issubclass(kind, (list, dict, set, frozenset, bytearray)):
        return False  # these are filled by methods
    maker = kind.__new__
    if maker in _MAKERS or maker is tuple.__new__:
        return True
    fields = getattr(kind, "_fields", None)
    if not issubclass(kind, tuple) or type(fields) is not tuple or not isinstance(maker, FunctionType):
        return False
    try:
        return maker.__code__ == collections.namedtuple(kind.__name__, fields).__new__.__code__
    except (TypeError, ValueError):
        return False  # no names of fields


def _filled_as_ever(kind: Any) -> bool:
    """Whether to give an instance its state runs no code of its class."""
    setter = _defined(kind, "__setstate__")
    if setter is not None:
        return _module_of(setter) in _RECORD_MODULES
    slots: Any = copyreg._slotnames(kind)  # type: ignore[attr-defined]
    return not slots or kind.__setattr__ is object.__setattr__


def _defined(kind: type, name: str) -> Any:
    """What a class or one that it derives from has under a name: a metaclass may have others."""
    return next((vars(cls)[name] for cls in kind.__mro__ if name in vars(cls)), None)


def _module_of(func: Any) -> str | None:
    """The module whose code this is, whatever the function says of itself."""
    found = getattr(func, "__globals__", {}).get("__name__")
    return found if isinstance(found, str) else None
