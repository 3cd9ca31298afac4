"""Python source for objects: values as they are written, functions and classes by import or by their own source."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import math
import re
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, ForwardRef, TypeVar

from papy._codegen.changes import NotSource, changes, needed_at_once
from papy._codegen.definition_order import Definition, in_order
from papy._codegen.origins import SAVED, is_logger, origin_of

__all__ = ["SAVED", "NotSource", "Source"]

_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {list: ("[", "]"), set: ("{", "}"), tuple: ("(", ")")}
# What makes a value again, of which of its attributes.
_PARTS: Final[Mapping[type, tuple[Any, tuple[str, ...]]]] = {
    complex: (complex, ("real", "imag")),
    slice: (slice, ("start", "stop", "step")),
    re.Pattern: (re.compile, ("pattern", "flags")),
}
_NESTED: Final = (dict, list, tuple, set, frozenset, functools.partial)


class Source:
    """The source of a module: what its expressions need is imported or defined before them."""

    def __init__(self) -> None:
        self._imports: set[str] = set()
        self._names: dict[str, set[str]] = {}
        self._defined: dict[str, object] = {}
        self._definitions: dict[str, Definition] = {}
        self._ahead: list[tuple[str, Any, str]] = []  # what is referred to, and has not been written yet
        self._within: list[object] = []  # what is being written
        self._home: str | None = None  # of that
        self._shared: set[int] = set()  # what of the global that is being written has been met already
        self._now: set[str] = set()  # what it refers to
        self._called: set[str] = set()  # what it calls

    def import_name(self, value: Any) -> None:
        """Have something of a package under its own name."""
        self._names.setdefault(value.__module__, set()).add(value.__name__)

    def text(self) -> str:
        """The imports and definitions so far."""
        named = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self._names.items())]
        imports = "".join(f"{line}\n" for line in sorted(self._imports) + named)
        return "\n\n".join([imports, *(text.strip("\n") + "\n" for text in in_order(self._definitions))])

    def settle(self) -> None:
        """Write down what was referred to so far."""
        while self._ahead:
            self._write(*self._ahead.pop(0))

    def names(self) -> set[str]:
        """The names that are in use."""
        return {*self._named(), *self._defined, *self._modules()}

    def clashes(self) -> set[str]:
        """The names of modules, and those of `import_name`, that the program has given to something else."""
        known = {name: _find(module, name) for module, names in self._names.items() for name in names}
        taken = {
            name for name in known if name in self._modules() or self._defined.get(name, known[name]) is not known[name]
        }
        return taken | (self._modules() & self._defined.keys())

    def _named(self) -> list[str]:
        return [name for names in self._names.values() for name in names]

    def _modules(self) -> set[str]:
        return {line.split()[-1].split(".")[0] for line in self._imports if line.startswith("import")}

    def expression(self, value: Any) -> str:
        """How a value is written; NotSource if it can't be."""
        kind = type(value)
        if value is None or value is ... or kind in (bool, int, str, bytes, range):
            return repr(value)
        if kind is float:
            return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
        if kind in _PARTS:
            maker, names = _PARTS[kind]
            return f"{self.reference(maker)}({self.arguments(tuple(getattr(value, name) for name in names), {})})"
        if isinstance(value, Enum):
            return f"{self.reference(kind)}[{value.name!r}]"
        if isinstance(value, PurePath):
            return f"{self.reference(kind)}({str(value)!r})"
        if is_logger(value):
            return f"{self._import('logging')}.getLogger({value.name!r})"
        if kind is TypeVar:
            return self._type_variable(value)
        if kind not in _NESTED and (isinstance(value, type) or not (is_dataclass(value) or _is_named_tuple(value))):
            return self.reference(value)
        if any(value is outer for outer in self._within):
            raise NotSource(f"a {kind.__name__} contains itself, which can't be said in one expression")
        if self._within and kind is not frozenset and not isinstance(value, tuple):
            # Whoever changes the one changes the other.
            name = self._name_of(value)
            if name is not None:
                return name
        self._within.append(value)
        try:
            return self._nested(value)
        finally:
            self._within.pop()

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """How arguments are written in a call."""
        plain = [self.expression(value) for value in args]
        return ", ".join(plain + [f"{name}={self.expression(value)}" for name, value in kwargs.items()])

    def reference(self, value: Any) -> str:
        """How a function, class or module is named; it is imported or defined if needed."""
        if isinstance(value, ModuleType):
            return self._import(value.__name__)
        if isinstance(value, (MethodType, BuiltinFunctionType)) and isinstance(value.__self__, type):
            return f"{self.reference(value.__self__)}.{value.__name__}"  # of a class
        own = str(getattr(value, "__name__", ""))
        if self._home is not None and origin_of(value) and vars(sys.modules[self._home]).get(own) is value:
            self._define(own, value, self._home)  # the program has imported it in this way
            return own
        if isinstance(value, (MethodType, BuiltinFunctionType)) and not isinstance(value.__self__, ModuleType):
            origin = origin_of(value)
            if origin is None:
                whose = f"{value.__name__} is a method of {value.__self__!r:.80}"
                raise NotSource(
                    f"{whose} and has no name of its own; make that object in a function, and call it there"
                )
            return f"{self._import(origin)}.{value.__name__}"
        if not isinstance(value, (FunctionType, BuiltinFunctionType, type)) and not _has_a_name(value):
            raise NotSource(
                f"{value!r:.100} is no plain value, and no function or class of a module; make it in a function"
            )
        name, home = str(value.__qualname__), str(value.__module__)
        if "<lambda>" in name:
            raise NotSource(f"a lambda ({_place(value)}) has no name under which it could be written; make it a def")
        if "<locals>" in name:
            raise NotSource(f"{name} ({_place(value)}) is defined in a function; move it to the top of its module")
        if _find(home, name) is not value:
            raise NotSource(f"{home}.{name} is something else than {value!r:.100}, which has no name of its own")
        if home == builtins.__name__:
            return name
        if home != "__main__" and not home.startswith(SAVED):
            return f"{self._import(home)}.{name}"
        top = name.split(".")[0]
        self._define(top, _find(home, top), home)
        return name

    def _type_variable(self, value: Any) -> str:
        bound = value.__bound__
        if isinstance(bound, ForwardRef):
            bound = bound.__forward_arg__
        given = {"bound": bound, "covariant": value.__covariant__, "contravariant": value.__contravariant__}
        usual = {name: setting for name, setting in given.items() if setting}
        if getattr(value, "__infer_variance__", False) or (hasattr(value, "has_default") and value.has_default()):
            raise NotSource(f"the type variable {value!r} has options that can't be written in all versions of Python")
        return f"{self.reference(TypeVar)}({self.arguments((value.__name__, *value.__constraints__), usual)})"

    def _nested(self, value: Any) -> str:
        """How something is written that holds other values."""
        kind = type(value)
        if kind is dict:
            return "{" + ", ".join(f"{self.expression(k)}: {self.expression(v)}" for k, v in value.items()) + "}"
        if kind is functools.partial:
            return f"{self.reference(functools.partial)}({self.arguments((value.func, *value.args), value.keywords)})"
        if kind in _NESTED:
            return self._collection(value)
        names = value._fields if _is_named_tuple(value) else [it.name for it in fields(value) if it.init]
        given = {name: getattr(value, name) for name in names}
        self._called.add(kind.__qualname__.split(".")[0])
        return f"{self.reference(kind)}({self.arguments((), given)})"

    def _collection(self, value: Any) -> str:
        items = ", ".join(self.expression(item) for item in value)
        if isinstance(value, frozenset) or not (value or isinstance(value, (list, tuple))):
            return f"{type(value).__name__}([{items}])"
        left, right = _BRACKETS[type(value)]
        return left + items + ("," if isinstance(value, tuple) and len(value) == 1 else "") + right

    def _import(self, module: str) -> str:
        self._imports.add(f"import {module}")
        return module

    def _import_submodules(self, text: str, known: Mapping[str, Any]) -> None:
        """Import what a piece of source reaches through a module: ``import a.b`` leaves only ``a`` among the globals."""
        for root, *parts in _dotted_in(text):
            found = known.get(root)
            for part in parts:
                if not isinstance(found, ModuleType):
                    break
                inner = f"{found.__name__}.{part}"
                found = getattr(found, part, None)
                if isinstance(found, ModuleType) and found.__name__ == inner:
                    self._import(inner)

    def _define(self, name: str, value: Any, home: str) -> None:
        """Have a global of the main program written into the source."""
        if isinstance(value, ModuleType):
            self._imports.add(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
            return
        origin = origin_of(value)
        if origin is None:
            self._now.add(name)
        if name not in self._defined:
            self._defined[name] = value
            if origin is None:
                self._ahead.append((name, value, home))
            else:
                own = value.__name__
                self._imports.add(f"from {origin} import {own}" + ("" if own == name else f" as {name}"))
        elif self._defined[name] is not value:
            raise NotSource(f"two different things have the name {name}")

    def _write(self, name: str, value: Any, home: str) -> None:
        """Write down a global, and have all that it refers to written."""
        self._home = home
        if not _is_defined_as(value, home, name):
            self._write_value(name, value)
            return
        text = _text_of(value)
        known = vars(sys.modules[home])
        self._import_submodules(text, known)
        used = {other for other in _globals_in(text) if other in known and other != name}
        at_once = needed_at_once(text) & used
        for other in _globals_in(text):
            if other in used:
                self._define(other, known[other], home)
        self._definitions[name] = Definition(text, at_once, at_once, used - at_once)
        for number, change in enumerate(changes(name, value, text, known)):
            self._now, self._called = set(), set()
            try:
                line = change.form.format(*map(self.expression, change.values))
            except NotSource as error:
                raise NotSource(f"{name} was changed since it was defined: {error}") from error
            self._definitions[f"{name} {number}"] = Definition(line, self._now | {name}, self._called, set())

    def _write_value(self, name: str, value: Any) -> None:
        self._now, self._called, self._shared = set(), set(), set()
        try:
            other = self._name_of(value, name) if type(value) in _NESTED or is_dataclass(value) else None
            written = other or self.expression(value)
        except NotSource as error:
            raise NotSource(f"the global {name}: {error}") from error
        if written != name:
            self._definitions[name] = Definition(f"{name} = {written}", self._now - {name}, self._called, set())
        elif value is not getattr(builtins, name, None):
            raise NotSource(f"the global {name}: {value!r:.100} has that name, but no source of its own")

    def _name_of(self, value: Any, but: str | None = None) -> str | None:
        """The name of a global of the main program that is this very object; NotSource if it has none and came before."""
        if self._home is None:
            return None
        for name, known in vars(sys.modules[self._home]).items():
            if known is value and name != "_" and not name.startswith("__"):
                if name == but:
                    return None  # the first name has it, others are that name
                self._define(name, value, self._home)
                return name
        if id(value) in self._shared:
            raise NotSource(f"the same {type(value).__name__} is in it twice; give it a name, or make it two")
        self._shared.add(id(value))
        return None


def _is_defined_as(value: Any, home: str, name: str) -> bool:
    """Whether a global is a function or class that the source of its module defines under this name.

    A decorator may have made something else of it, as `functools.lru_cache` does, which still says what it was.
    """
    if not isinstance(value, (FunctionType, type)):
        return isinstance(getattr(value, "__wrapped__", None), FunctionType) and _says(value, home, name)
    return _says(value, home, name)


def _says(value: Any, home: str, name: str) -> bool:
    return getattr(value, "__module__", None) == home and getattr(value, "__qualname__", None) == name


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and isinstance(getattr(value, "_fields", None), tuple)


def _has_a_name(value: Any) -> bool:
    return callable(value) and isinstance(getattr(value, "__qualname__", None), str) and hasattr(value, "__module__")


def _find(module: str, name: str) -> Any:
    """What a dotted name means in a module; None: nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _place(value: Any) -> str:
    code = getattr(value, "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code is not None else repr(value)


def _text_of(value: Any) -> str:
    """The source of a function or class."""
    try:
        text = textwrap.dedent(inspect.getsource(value))
        ast.parse(text)
    except (OSError, TypeError) as error:
        raise NotSource(f"the source of {value.__qualname__} is nowhere to be found: {error}") from error
    except SyntaxError as error:  # as of a line in a string that is further left
        raise NotSource(
            f"{value.__qualname__} ({_place(value)}) is indented, and can't be moved to the left margin: {error.msg}; "
            f"define it at the left margin"
        ) from error
    return text


def _dotted_in(text: str) -> list[list[str]]:
    """The names with dots in a piece of source, in parts."""
    found = []
    for node in ast.walk(ast.parse(text)):
        parts: list[str] = []
        here = node
        while isinstance(here, ast.Attribute):
            parts.append(here.attr)
            here = here.value
        if parts and isinstance(here, ast.Name):
            found.append([here.id, *reversed(parts)])
    return found


def _globals_in(text: str) -> list[str]:
    """The global names that a piece of source refers to."""

    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from walk(child)

    return list(dict.fromkeys(walk(symtable.symtable(text, "<source>", "exec"))))
