"""Objects of modules that workers import themselves: which module has an object, and how its state gets to the worker's own.

What a registry of an installed package holds may be the program's, though the module is not. An item that refers to such an
object means the one that the module has, in a worker as well. So it goes by its name, and its state is sent along, once.
What the standard library holds goes by its name alone.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from .._serialize.lookup import NameResolver
from .origins import contents, is_installed, is_of_library

#: Values of these types are equal or not, and it does not matter whether they are the same; or they have a name of their own.
WITHOUT_IDENTITY = (
    int,
    float,
    complex,
    str,
    bytes,
    tuple,
    frozenset,
    range,
    type(None),
    type(...),
    type(NotImplemented),
    type,
    enum.Enum,
    types.ModuleType,
    types.CodeType,
)
#: These, and the cells of closures.
_PASSED_OVER = (*WITHOUT_IDENTITY, types.CellType)
#: Of pickle: that of `CodePickler`.
_PROTOCOL = 5
#: What is the program's own, or a place where interpreters leave any object.
_NEVER = frozenset(("__main__", "builtins"))
#: Names by which modules tell of themselves, and the interpreter of the last error.
_NO_NAMES = ("__", "last_")
#: Containers with their contents; a class that derives from several of them has the first.
_CONTAINERS: tuple[Any, ...] = (collections.OrderedDict, dict, list, set, collections.deque, bytearray)


class Owners:
    """The objects that modules hold, by identity: none is kept, and whether a module still has an object is looked up.

    The index is one for the process, so that a map need not look through all modules again. Modules of the program are looked
    through for each run, others when the number of their names has changed.
    """

    #: By the identity of an object one of the modules that hold it, perhaps not any more.
    index: ClassVar[dict[int, str]] = {}
    #: Modules that are not the program's, with their dictionaries' identity and size when they were looked through.
    _settled: ClassVar[dict[str, tuple[int, int]]] = {}

    def __init__(self) -> None:
        #: The index is that of now.
        self.fresh = False

    def of(self, obj: object) -> Iterator[tuple[types.ModuleType, str]]:
        """Modules that hold an object, with the names: that of its type first, then one of few words, as others may import it."""
        kind = type(obj)
        if issubclass(kind, _PASSED_OVER):
            return
        if not self.fresh:
            self._look()
        if id(obj) not in self.index:
            return
        if kind is types.BuiltinFunctionType and isinstance(obj.__self__, (types.ModuleType, type)):  # type: ignore[attr-defined]
            return
        for home in (kind.__module__, self.index[id(obj)]):
            module = sys.modules.get(home)
            if module is None or home in _NEVER or (is_of_library(home) and not is_of_library(kind.__module__)):
                continue  # in the library only the program can have put what is of a class of others
            for name, value in list(contents(module).items()):
                if value is obj and not name.startswith(_NO_NAMES):
                    yield module, name

    def _look(self) -> None:
        self.fresh = True
        settled = self._settled
        found: dict[int, str] = {}
        for name, module in list(sys.modules.items()):
            own = contents(module)
            if settled.get(name) == (id(own), len(own)) or name in _NEVER:
                continue
            if is_of_library(name) or is_installed(module):
                settled[name] = (id(own), len(own))
            for number in set(map(id, own.values())):
                other = found.get(number)
                if other is None or _rank(name) < _rank(other):
                    found[number] = name
        self.index.update(found)


def _rank(name: str) -> tuple[int, int]:
    return name.count("."), len(name)


def state_of(module: str, name: str, obj: Any) -> Any:
    """What makes the module's own object over there what this one is here, or replaces it; None: it has nothing to tell.

    Raises:
        Exception: it can't be told.
    """
    kind = type(obj)
    if kind is types.FunctionType:
        return obj
    reduced = obj.__reduce_ex__(_PROTOCOL)
    if isinstance(reduced, str):
        return None
    base = next((base for base in _CONTAINERS if issubclass(kind, base)), None)
    plain = reduced[0] in (copyreg.__newobj__, copyreg.__newobj_ex__)  # type: ignore[attr-defined]
    if not plain and (base is None or not is_of_library(kind.__module__)):
        return obj
    make = reduced[:2] if plain or kind in (collections.defaultdict, collections.deque) else (kind, ())
    state = reduced[2] if len(reduced) > 2 and plain else getattr(obj, "__dict__", None)
    return State((module, name, kind, *make), (base, None if base is None else _content(base, obj), state))


class State:
    """The pickle of this becomes the object that a module has over there, made if need be, with the state that it has here."""

    def __init__(self, place: tuple[Any, ...], content: tuple[Any, ...]) -> None:
        self._place = place
        self._content = content

    def __reduce__(self) -> Any:
        return _settle, self._place, self._content, None, None, _refill


def _content(base: Any, obj: Any) -> Any:
    """What a container holds, past methods of a class that derives from it."""
    if issubclass(base, dict):
        return list(base.items(obj))
    return bytes(obj) if base is bytearray else list(base.__iter__(obj))


def _settle(module: str, name: str, kind: type, make: Callable[..., Any], args: tuple[Any, ...]) -> object:
    home = importlib.import_module(module)
    found = vars(home).get(name)
    if type(found) is not kind:
        found = make(*args)
        setattr(home, name, found)
    return found


def _refill(obj: Any, told: tuple[Any, ...]) -> None:
    base, content, state = told
    if base is not None:
        base.clear(obj)
        if issubclass(base, dict) or base is set:
            base.update(obj, content)
        else:
            base.extend(obj, content)
    if state is None:
        return
    if hasattr(obj, "__setstate__"):
        obj.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes is not None:
        vars(obj).clear()
        vars(obj).update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)


class Everything(NameResolver):
    """What a process finds by the name that another one has sent: also what holds nothing and is only known by its identity."""

    def name_of(self, obj: object) -> tuple[str, str] | None:
        """See `NameResolver.name_of`."""
        found = super().name_of(obj)
        return found or next(((module.__name__, name) for module, name in Owners().of(obj)), None)
