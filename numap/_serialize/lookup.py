"""What another process can find by name, as far as this one can tell: what picklers of code ask."""

from __future__ import annotations

import importlib
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from opcode import opmap
from typing import Any

_EXTENDED = opmap["EXTENDED_ARG"]
_IMPORT = opmap["IMPORT_NAME"]
_LOADS = {opmap[name] for name in ("LOAD_GLOBAL", "LOAD_NAME") if name in opmap}
_LOADS |= {opmap[name] for name in ("LOAD_FROM_DICT_OR_GLOBALS",) if name in opmap}
_STORES = {opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL") if name in opmap}
_SHIFTED = opmap["LOAD_GLOBAL"] if sys.version_info >= (3, 11) else -1

#: Objects of which a scope keeps the last so many, see `NameResolver.keep`: more than there are on their way at any time.
_KEPT = 1 << 14


def global_names(code: types.CodeType, stores: bool = False) -> Iterator[str]:
    """The globals that a code object, or one nested in it, reads (with ``stores``: assigns).

    Attribute names share ``co_names`` with globals; the instructions tell them apart, so that ``x.data`` does not
    drag a global called ``data`` along.
    """
    wanted = _STORES if stores else _LOADS
    raw, extended = code.co_code, 0
    for place in range(0, len(raw), 2):
        op, arg = raw[place], raw[place + 1] | extended
        extended = arg << 8 if op == _EXTENDED else 0
        if op in wanted:
            yield code.co_names[arg >> 1 if op == _SHIFTED else arg]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant, stores)


def imported_names(code: types.CodeType) -> set[str]:
    """The modules that a code object, or one nested in it, imports, as its statements say; "" for those of its package."""
    found: set[str] = set()
    if any(name in sys.modules or not name for name in code.co_names):
        raw, extended = code.co_code, 0
        for place in range(0, len(raw), 2):
            op, arg = raw[place], raw[place + 1] | extended
            extended = arg << 8 if op == _EXTENDED else 0
            if op == _IMPORT:
                found.add(code.co_names[arg])
    return found.union(*(imported_names(it) for it in code.co_consts if isinstance(it, types.CodeType)))


def used_names(code: types.CodeType) -> set[str]:
    """All names of globals and attributes in a code object and those nested in it."""
    nested = (used_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*nested)


def find(module: types.ModuleType, qualname: str) -> object:
    """The object of that qualified name in a module, or None."""
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def named(module: str, qualname: str) -> object:
    """What a module holds under a name. In pickles for workers it stands for `MainImporter.named`."""
    found = find(sys.modules.get(module) or importlib.import_module(module), qualname)
    if found is None:
        raise AttributeError(f"{module}.{qualname} is not there")
    return found


class NameResolver:
    """What the other side can find by name. This base class: whatever this process finds by the same name."""

    def __init__(self) -> None:
        #: The object that is being defined: it and what is nested in it go by value though they have a name.
        self.defining: object = None
        #: What a class holds stays in the pickle of the class.
        self.plain = True
        #: The class whose content is being pickled apart.
        self.filling: type | None = None
        self._kept: deque[object] = deque(maxlen=_KEPT)

    def keep(self, obj: object) -> None:
        """What stands for an object elsewhere is of no use without this one, before the other side has its own."""
        self._kept.append(obj)

    def apart(self, cls: type, content: object) -> bytes:
        """What the class that is being defined holds, in a pickle of its own."""
        raise NotImplementedError

    def require(self, module: types.ModuleType, names: Iterable[str], by: str) -> None:
        """A function or class that goes by value uses these names of ``module``, as far as it has them."""

    def by_name(self, obj: Any, module_name: object, qualname: object) -> bool:
        """Whether the other side finds this very object under its qualified name."""
        if not isinstance(module_name, str) or not isinstance(qualname, str):
            return False
        module = sys.modules.get(module_name)
        if module is None or obj is self.defining or find(module, qualname) is not obj:
            return False
        outer = self.defining
        if (
            isinstance(outer, type)
            and outer.__module__ == module_name
            and qualname.startswith(outer.__qualname__ + ".")
        ):
            return False
        return self.offers(module, qualname)

    def offers(self, module: types.ModuleType, qualname: str) -> bool:
        """Whether a name that this process finds in ``module`` is found by the other side, too."""
        return True

    def reference(self, module_name: str, qualname: str) -> Any:
        """How a pickler refers to what `by_name` has found."""
        return NotImplemented

    def home_of(self, obj: Any) -> tuple[str, str] | None:
        """Module and name of a function or class whose module has it, but under another name than the one that it says."""
        if isinstance(obj, types.FunctionType):
            # What a function that is made by another one holds may be its own.
            name = None if obj.__closure__ else obj.__globals__.get("__name__")
        else:
            name = obj.__module__
        module = (
            sys.modules.get(name) if isinstance(name, str) and name != "__main__" and obj is not self.defining else None
        )
        if module is None or not self.is_importable(module):
            return None
        return next(((module.__name__, own) for own, it in list(vars(module).items()) if it is obj), None)

    def name_of(self, obj: object) -> tuple[str, str] | None:
        """Module and name by which the other side has an object that holds nothing, and is only known by its identity."""
        main = sys.modules.get("__main__")
        return next((("__main__", name) for name, it in list(vars(main).items()) if it is obj), None) if main else None

    def is_importable(self, module: types.ModuleType) -> bool:
        """Whether the other side gets the same module by its name."""
        return True
