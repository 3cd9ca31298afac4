"""Which libraries the workers of a map will import, as far as that is known before they are there.

A module that the code of the map refers to is imported with that code. What a module of the program imports in its turn, and what
functions import when they run, is known from the workers of maps before: the former for the same modules, the latter for the same
functions. Nothing else is taken for granted, as a worker is not to have what it would not have imported itself.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from .._transport.messages import Imported
from .origins import is_library_module, is_of_library
from .used_code import Name, UsedCode

#: Modules that are worth a process that imports them: some milliseconds.
WORTH = 20
#: Maps of so many kinds are known, those that were told of last.
_MOST = 200

_Key = frozenset[str] | frozenset[Name]


class Needs(NamedTuple):
    """What workers are known to import.

    Attributes:
        names: modules, in the order of their imports; with the file of each where it is known.
        variables: what the imports make of the environment.
    """

    names: dict[str, str | None]
    variables: dict[str, str | None]


class LibraryImports:
    """What the workers of this program have told."""

    def __init__(self) -> None:
        self._known: dict[_Key, Needs] = {}

    def learn(self, used: UsedCode, told: Imported) -> None:
        """A worker of a map with this code has told what it imported."""
        modules, functions = used.copy()
        key: _Key = modules if told.at_setup else functions
        known = self._known.pop(key, None) or Needs({}, {})
        self._known[key] = Needs({**known.names, **told.names}, {**known.variables, **told.variables})
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def needs(self, used: UsedCode) -> Needs | None:
        """What the workers of a map with this code will import; None: nothing that is worth speaking of."""
        modules, functions = used.copy()
        found = [self._known[key] for key in (modules, functions) if key in self._known]
        names = {name: None for name in modules if is_library_module(name)}
        worth = sum(len(needs.names) for needs in found)
        packages = {name.partition(".")[0] for name in names if not is_of_library(name)}
        if worth < WORTH and _loaded_below(packages) < WORTH:
            return None
        variables: dict[str, str | None] = {}
        told: dict[str, str | None] = {}
        for needs in found:
            told.update(needs.names)
            variables.update(needs.variables)
        # What was told has its order; the rest comes behind, in one that does not change from map to map.
        return Needs({**told, **{name: None for name in sorted(names) if name not in told}}, variables)


def _loaded_below(packages: set[str]) -> int:
    """How many modules this process has of some packages."""
    return sum(1 for name in list(sys.modules) if name.partition(".")[0] in packages) if packages else 0
