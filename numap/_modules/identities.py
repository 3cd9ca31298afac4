"""Which objects have a name in a module that workers can't import, so that there, too, one object has all its places."""

from __future__ import annotations

import types
import weakref
from collections.abc import Collection

from .owners import WITHOUT_IDENTITY

Key = tuple[str, str]

#: These, and what has a name of its own.
_NAMED = (*WITHOUT_IDENTITY, types.FunctionType, types.BuiltinFunctionType)


class ObjectNames:
    """The objects by identity. None is kept, and no module: whether a name still stands for an object is looked up."""

    def __init__(self) -> None:
        self._modules: set[int] = set()
        self._found: dict[int, tuple[weakref.ref[types.ModuleType], str]] = {}

    def add(self, module: types.ModuleType, but: Collection[str] = ()) -> None:
        """Takes the names that a module has now. An object of several names has the first."""
        if id(module) in self._modules:
            return
        self._modules.add(id(module))
        ref = weakref.ref(module)
        for name, value in list(vars(module).items()):
            if name not in but and not isinstance(value, _NAMED) and not hasattr(value, "__qualname__"):
                self._found.setdefault(id(value), (ref, name))

    def of(self, obj: object) -> tuple[types.ModuleType, str] | None:
        """Module and name of an object, if it still has them."""
        found = self._found.get(id(obj))
        if found is None:
            return None
        module, name = found[0](), found[1]
        return (module, name) if module is not None and vars(module).get(name) is obj else None
