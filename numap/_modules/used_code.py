"""Which modules and functions the code of a map refers to: by that one map is known to need what another one needed."""

from __future__ import annotations

import types
from typing import Any

#: A function or class: its module, its name, and its line, where it is known: two of a program may have the same name.
Name = tuple[str, str, int]


class UsedCode:
    """Is told of each object that is pickled with the functions of a map.

    Attributes:
        modules: names of the modules that the other side imports, or has stand-ins for.
        functions: functions and classes.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.functions: set[Name] = set()

    def note(self, obj: Any) -> None:
        """An object that is neither an atom nor a plain container."""
        kind = type(obj)
        if kind is types.ModuleType:
            self._add(obj.__name__)
            return
        self._add(kind.__module__)
        if isinstance(obj, (type, types.FunctionType, types.BuiltinFunctionType)):
            self._add(obj.__module__)
            code = getattr(obj, "__code__", None)
            line = code.co_firstlineno if isinstance(code, types.CodeType) else 0
            self.functions.add((str(obj.__module__), str(obj.__qualname__), line))

    def _add(self, module: object) -> None:
        if isinstance(module, str):
            self.modules.add(module)

    def copy(self) -> tuple[frozenset[str], frozenset[Name]]:
        """What has been noted until now: the modules, the functions."""
        return frozenset(self.modules), frozenset(self.functions)
