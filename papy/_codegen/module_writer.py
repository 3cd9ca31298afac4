"""The source of a module: what its expressions need is imported or defined before them.

Functions are defined in the main program in some order, and its globals are changed later: a table that stands at the top
may hold functions from the bottom. So the order of the program is no help, and the definitions are put in one of their own:
each behind what it needs when it is run. What it needs only when it is called may come later, but does so only in circles.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, NamedTuple

from papy._codegen.changes import changes
from papy._codegen.expression import Expression
from papy._codegen.names import Names, NotSource
from papy._codegen.source_text import globals_in, needed_at_once, submodules_in, text_of


class _Definition(NamedTuple):
    """A piece of source that gives a name its meaning, or changes that.

    Attributes:
        text: The source.
        now: The names that must have their meaning before.
        called: Those of them that may be called then.
        later: The names that it needs when it is called.
    """

    text: str
    now: set[str]
    called: set[str]
    later: set[str]


class ModuleWriter:
    """Collects the imports and definitions that a module needs."""

    def __init__(self) -> None:
        self._names = Names()
        self._definitions: dict[str, _Definition] = {}

    def reserve(self, *names: str) -> None:
        """Keep names for the module itself."""
        for name in names:
            self._names.bind(name, self)

    def import_name(self, value: Any) -> str:
        """Have something of a package under its own name, which is returned."""
        self._names.define(value.__name__, value, value.__module__)
        return str(value.__name__)

    def expression(self, value: Any) -> str:
        """How a value is written; NotSource if it can't be."""
        return Expression(self._names).write(value)

    def arguments(self, kwargs: Mapping[str, Any]) -> str:
        """How arguments are written in a call."""
        return Expression(self._names).arguments((), kwargs)

    def text(self) -> str:
        """The imports and definitions so far."""
        while self._names.ahead:
            self._write(*self._names.ahead.pop(0))
        imports = "".join(f"{line}\n" for line in self._names.import_lines())
        return "\n\n".join([imports, *(text.strip("\n") + "\n" for text in _in_order(self._definitions))])

    def _write(self, name: str, value: Any, home: str) -> None:
        """Write down a global, and have all that it refers to written."""
        if not _is_defined_as(value, home, name):
            self._write_value(name, value, home)
            return
        text, known = text_of(value), vars(sys.modules[home])
        for module in submodules_in(text, known):
            self._names.import_module(module)
        used = [other for other in globals_in(text) if other in known and other != name]
        for other in used:
            self._names.define(other, known[other], home)
        at_once = needed_at_once(text).intersection(used)
        self._definitions[name] = _Definition(text, at_once, at_once, set(used) - at_once)
        for number, change in enumerate(changes(name, value, text, known)):
            one = Expression(self._names, home)
            try:
                line = change.form.format(*map(one.write, change.values))
            except NotSource as error:
                raise NotSource(f"{name} was changed since it was defined: {error}") from error
            self._definitions[f"{name} {number}"] = _Definition(line, one.now | {name}, one.called, set())

    def _write_value(self, name: str, value: Any, home: str) -> None:
        one = Expression(self._names, home)
        try:
            written = one.write_global(name, value)
        except NotSource as error:
            raise NotSource(f"the global {name}: {error}") from error
        if written != name:
            self._definitions[name] = _Definition(f"{name} = {written}", one.now - {name}, one.called, set())
        elif value is not getattr(builtins, name, None):
            raise NotSource(f"the global {name}: {value!r:.100} has that name, but no source of its own")


def _is_defined_as(value: Any, home: str, name: str) -> bool:
    """Whether a global is a function or class that the source of its module defines under this name.

    A decorator may have made something else of it, as `functools.lru_cache` does, which still says what it was.
    """
    kind = isinstance(value, (FunctionType, type)) or isinstance(getattr(value, "__wrapped__", None), FunctionType)
    return kind and getattr(value, "__module__", None) == home and getattr(value, "__qualname__", None) == name


def _in_order(definitions: Mapping[str, _Definition]) -> list[str]:
    """Sort the texts: each behind those that it needs when it is run, and if possible behind all that it needs.

    What needs another one needs all that this needs, and one more: so those that need fewer come first. Those that need
    each other need equally many, and are told apart by what they need when they are run.

    Raises:
        NotSource: If some need each other when they are run.
    """
    changed: dict[str, set[str]] = {}  # for each name its definition and its changes
    for key in definitions:
        changed.setdefault(key.split(" ")[0], set()).add(key)

    def later(key: str) -> set[str]:
        return definitions[key].later & changed.keys()

    def at_once(key: str) -> set[str]:
        it = definitions[key]  # what it refers to when it is run, and whatever those need that it may call
        return (it.now & changed.keys()) | _closure(it.called & changed.keys(), later)

    def ever(key: str) -> set[str]:
        return {other for name in at_once(key) | later(key) for other in changed[name]}

    needs = {key: _closure(at_once(key), at_once) for key in definitions}
    for key in definitions:
        if key in needs[key]:
            names = " and ".join(sorted({it.split(" ")[0] for it in needs[key] if key in needs[it]}))
            raise NotSource(f"{names}: they need each other when the file is loaded, and none can come first")
    order = sorted(definitions, key=lambda key: (len({key} | _closure(ever(key), ever)), len(needs[key]), key))
    return [definitions[key].text for key in order]


def _closure(names: Iterable[str], next_to: Callable[[str], Iterable[str]]) -> set[str]:
    """These names, and all that they lead to."""
    ahead = list(dict.fromkeys(names))
    found = set(ahead)
    for name in ahead:  # it grows
        more = set(next_to(name)) - found
        found |= more
        ahead += more
    return found
