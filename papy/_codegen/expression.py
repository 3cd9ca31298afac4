"""How a value is written in Python: literals, what is made by a call, and references to functions, classes and modules.

What a value refers to has to mean the same where it is read, so each reference asks `Names` for it. Lists and the like that
the main program has as globals are written as these names: a change by one of their users is then seen by the others, too.
"""

from __future__ import annotations

import builtins
import functools
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, MethodType, ModuleType
from typing import Any, Final, ForwardRef, TypeVar

from papy._codegen.names import SAVED, Names, NotSource, address_of, find, is_importable, is_logger

_COLLECTIONS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset([", "])"),
}
# What makes a value again, of which of its attributes.
_PARTS: Final[Mapping[type, tuple[Any, tuple[str, ...]]]] = {
    complex: (complex, ("real", "imag")),
    slice: (slice, ("start", "stop", "step")),
    re.Pattern: (re.compile, ("pattern", "flags")),
}


class Expression:
    """Writes one value, or several that belong together.

    Args:
        names: The names of the file.
        home: The module that has the value among its globals; None: it is not a global.

    Attributes:
        now: The names of the file that it refers to.
        called: Those of them that are called when it is evaluated.
    """

    def __init__(self, names: Names, home: str | None = None) -> None:
        self.now: set[str] = set()
        self.called: set[str] = set()
        self._names = names
        self._home = home
        self._globals: Mapping[str, Any] = {} if home is None else vars(sys.modules[home])
        self._within: list[object] = []  # what is being written
        self._met: set[int] = set()  # what is written in its place, as it has no name

    def write(self, value: Any) -> str:
        """How a value is written; NotSource if it can't be."""
        kind = type(value)
        if value is None or value is ... or kind in (bool, int, str, bytes, range):
            return repr(value)
        if kind is float:
            return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
        if kind in _PARTS:
            maker, parts = _PARTS[kind]
            return self._call(maker, [getattr(value, part) for part in parts])
        if isinstance(value, Enum):
            return f"{self._reference(kind)}[{value.name!r}]"
        if isinstance(value, PurePath):
            return self._call(kind, [str(value)])
        if is_logger(value):
            return f"{self._names.import_module('logging')}.getLogger({value.name!r})"
        if kind is TypeVar:
            return self._type_variable(value)
        if not _is_nested(value):
            return self._reference(value)
        if any(value is outer for outer in self._within):
            raise NotSource(f"a {kind.__name__} contains itself, which can't be said in one expression")
        # It may be changed under that name.
        name = None if not self._within or isinstance(value, (tuple, frozenset)) else self.name_of(value)
        if name is not None:
            return name
        self._within.append(value)
        try:
            return self._nested(value)
        finally:
            self._within.pop()

    def write_global(self, name: str, value: Any) -> str:
        """How the value of a global is written: the first name has it, others that have the same are that name."""
        return (self.name_of(value, but=name) if _is_nested(value) else None) or self.write(value)

    def arguments(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
        """How arguments are written in a call."""
        plain = [self.write(value) for value in args]
        return ", ".join(plain + [f"{name}={self.write(value)}" for name, value in kwargs.items()])

    def _call(self, function: Any, args: Iterable[Any], kwargs: Mapping[str, Any] | None = None) -> str:
        return f"{self._reference(function)}({self.arguments(args, kwargs or {})})"

    def _reference(self, value: Any) -> str:
        """How a function, class or module is named; it is imported or defined if needed."""
        if isinstance(value, ModuleType):
            return self._names.import_module(value.__name__)
        if isinstance(value, (MethodType, BuiltinFunctionType)) and isinstance(value.__self__, type):
            return f"{self._reference(value.__self__)}.{value.__name__}"  # of a class
        module, name = address_of(value)
        if module == builtins.__name__:
            return name
        if self._globals.get(name) is value and is_importable(value):
            self._names.define(name, value, module)  # the program has imported it in this way
            return name
        if module != "__main__" and not module.startswith(SAVED):
            return f"{self._names.import_module(module)}.{name}"
        self._define(name.split(".")[0], module)
        return name

    def _define(self, name: str, home: str) -> None:
        if self._names.define(name, find(home, name), home):
            self.now.add(name)

    def _type_variable(self, value: Any) -> str:
        bound = value.__bound__
        if isinstance(bound, ForwardRef):
            bound = bound.__forward_arg__
        if getattr(value, "__infer_variance__", False) or (hasattr(value, "has_default") and value.has_default()):
            raise NotSource(f"the type variable {value!r} has options that can't be written in all versions of Python")
        given = {"bound": bound, "covariant": value.__covariant__, "contravariant": value.__contravariant__}
        said = {name: setting for name, setting in given.items() if setting}
        return self._call(TypeVar, (value.__name__, *value.__constraints__), said)

    def _nested(self, value: Any) -> str:
        """How something is written that holds other values."""
        kind = type(value)
        if kind is dict:
            return "{" + ", ".join(f"{self.write(key)}: {self.write(it)}" for key, it in value.items()) + "}"
        if kind is functools.partial:
            return self._call(kind, (value.func, *value.args), value.keywords)
        if kind in _COLLECTIONS:
            left, right = _COLLECTIONS[kind] if value or kind is not set else ("set([", "])")
            return left + ", ".join(map(self.write, value)) + ("," if kind is tuple and len(value) == 1 else "") + right
        names = value._fields if _is_named_tuple(value) else [it.name for it in fields(value) if it.init]
        self.called.add(kind.__qualname__.split(".")[0])
        return self._call(kind, (), {name: getattr(value, name) for name in names})

    def name_of(self, value: Any, but: str | None = None) -> str | None:
        """The name of a global of the program that is this very object; NotSource if it has none and came before."""
        if self._home is None:
            return None
        names = (name for name, known in self._globals.items() if known is value)
        name = next((it for it in names if it != "_" and not it.startswith("__")), None)
        if name is not None and name != but:
            self._define(name, self._home)
        elif name is None and id(value) in self._met:
            raise NotSource(f"the same {type(value).__name__} is in it twice; give it a name, or make it two")
        self._met.add(id(value))
        return None if name == but else name


def _is_nested(value: Any) -> bool:
    """Whether something holds other values."""
    kind = type(value)
    if kind in (dict, functools.partial) or kind in _COLLECTIONS:
        return True
    return not isinstance(value, type) and (is_dataclass(value) or _is_named_tuple(value))


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and isinstance(getattr(value, "_fields", None), tuple)
