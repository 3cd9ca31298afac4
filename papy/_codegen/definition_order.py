"""The order of definitions in a file: each behind those that it needs when it is run. Knows only names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from papy._codegen.changes import NotSource

__all__ = ["Definition", "in_order"]


class Definition(NamedTuple):
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


def in_order(definitions: Mapping[str, Definition]) -> list[str]:
    """Sort the texts: each behind those that it needs when it is run, and if possible behind all that it needs.

    Raises:
        NotSource: If some need each other when they are run.
    """
    order = _Order(definitions)
    for name in definitions:
        order.put(name, ())
    return list(order.found.values())


class _Order:
    """The texts that were sorted so far."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions
        self.found: dict[str, str] = {}

    def put(self, name: str, path: tuple[str, ...]) -> None:
        """Add one, and before it what it needs; the path are those who wait for it."""
        if name in self.found or name not in self._definitions:
            return
        if name in path:
            names = " and ".join(sorted({it.split(" ")[0] for it in path[path.index(name) :]}))
            raise NotSource(f"{names}: they need each other when the file is loaded, and none can come first")
        path = (*path, name)
        for other in sorted(self._needs(name)):
            self.put(other, path)
        for other in sorted(self._definitions[name].later):
            if other in self._definitions and self._all_needs(other).isdisjoint(path):
                self.put(other, path)
        self.found[name] = self._definitions[name].text

    def _needs(self, name: str) -> set[str]:
        """What must be there when it is run: what it refers to then, and whatever those need that it may call."""
        needs = set(self._definitions[name].now)
        called = [it for it in self._definitions[name].called if it in self._definitions]
        for here in called:  # it grows
            later = self._definitions[here].later
            needs |= later | {here}
            called += [it for it in later if it in self._definitions and it not in called]
        return needs

    def _all_needs(self, name: str) -> set[str]:
        """What must be there before it, directly or not, and itself."""
        found = [name]
        for here in found:  # it grows
            found += [it for it in self._needs(here) if it in self._definitions and it not in found]
        return set(found)
