"""The names of a file that is being written, and where objects come from that a program has among its globals.

A function can only be run again if each name in its source means what it meant in the program. So a name is bound once for
the whole file, whether to an import, a definition or something that the file itself needs; a second meaning is refused.
What can be imported is imported. Only what the main program (or a saved pipeline) has defined is written down.
"""

from __future__ import annotations

import builtins
import sys
from types import BuiltinFunctionType, MethodType, ModuleType
from typing import Any, Final

# The modules that saved pipelines become when they are read have such names. Nothing can import them.
SAVED: Final = "papy_saved_"


class NotSource(Exception):
    """An object can't be written as source; the message says which and why."""


class Names:
    """The names of one file.

    Attributes:
        ahead: Globals that have to be written down and are not yet: name, value, and the module that they are in.
    """

    def __init__(self) -> None:
        self.ahead: list[tuple[str, Any, str]] = []
        self._meanings: dict[str, object] = {}
        self._imports: set[str] = set()
        self._members: dict[str, set[str]] = {}

    def bind(self, name: str, value: object) -> bool:
        """Give a name its meaning, and say whether it had none before; NotSource if it has another."""
        fresh = name not in self._meanings
        if self._meanings.setdefault(name, value) is not value:
            raise NotSource(f"this name is needed for the file itself, rename what the program calls so: {name}")
        return fresh

    def import_module(self, module: str) -> str:
        """Import a module under its own name, which is returned."""
        root = module.split(".")[0]
        self.bind(root, sys.modules.get(root))
        self._imports.add(f"import {module}")
        return module

    def define(self, name: str, value: Any, home: str) -> bool:
        """Have a global of a module in the file, and say whether it stands there itself: else it is imported."""
        fresh = self.bind(name, value)
        if isinstance(value, ModuleType):
            self._imports.add(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
        elif is_importable(value):
            module, own = address_of(value)
            self._members.setdefault(module, set()).add(own if own == name else f"{own} as {name}")
        else:
            if fresh:
                self.ahead.append((name, value, home))
            return True
        return False

    def import_lines(self) -> list[str]:
        """The imports."""
        members = sorted(self._members.items())
        return sorted(self._imports) + [f"from {module} import {', '.join(sorted(them))}" for module, them in members]


def address_of(value: Any) -> tuple[str, str]:
    """The module of a function or class, and its name there; NotSource if it is nothing that has a name.

    A module may also have methods of a hidden instance of its own, as `random` does.

    >>> import random
    >>> address_of(random.randint)
    ('random', 'randint')
    """
    if isinstance(value, (MethodType, BuiltinFunctionType)) and not isinstance(value.__self__, (type, ModuleType)):
        module, name = type(value.__self__).__module__, value.__name__
        if find(module, name) is not value:
            raise NotSource(
                f"{name} is a method of {value.__self__!r:.80} and has no name of its own; make that object in a function, "
                f"and call it there"
            )
        return module, name
    if not (callable(value) and isinstance(getattr(value, "__qualname__", None), str) and hasattr(value, "__module__")):
        raise NotSource(
            f"{value!r:.100} is no plain value, and no function or class of a module; make it in a function"
        )
    module, name = str(value.__module__), value.__qualname__
    if "<lambda>" in name:
        raise NotSource(f"a lambda ({place_of(value)}) has no name under which it could be written; make it a def")
    if "<locals>" in name:
        raise NotSource(f"{name} ({place_of(value)}) is defined in a function; move it to the top of its module")
    if find(module, name) is not value:
        raise NotSource(f"{module}.{name} is something else than {value!r:.100}, which has no name of its own")
    return module, name


def is_importable(value: Any) -> bool:
    """Whether a function or class can be imported from a module under its own name."""
    try:
        module, name = address_of(value)
    except NotSource:
        return False
    return "." not in name and module not in ("__main__", builtins.__name__) and not module.startswith(SAVED)


def find(module: str, name: str) -> Any:
    """What a dotted name means in a module; None: nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def is_logger(value: Any) -> bool:
    """Whether it is what `logging.getLogger` gives for its name."""
    logging = sys.modules.get("logging")
    if logging is None or not isinstance(value, logging.Logger):
        return False
    return value is logging.root or logging.Logger.manager.loggerDict.get(value.name) is value


def place_of(value: Any) -> str:
    """Where a function or class stands, for an error."""
    code = getattr(value, "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code is not None else repr(value)
