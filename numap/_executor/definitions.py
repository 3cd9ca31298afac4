"""What workers that stay know of the program: each name in its newest form.

A map has an exporter of its own, as its globals are those of the moment in which it starts. Workers outlive it, and meet the same
names again with every map and call. A name that still stands for the same object is not sent twice: the worker keeps the class that
its objects are of, and what an initializer has made of a dict. A name that stands for another object, as in a notebook whose
cell was run again, or for data that has changed, is sent, and replaces what was there.
"""

from __future__ import annotations

import types
from typing import Any

from .._modules.main_export import MainExporter
from .._transport.messages import Definition
from .._transport.shared_objects import Code

#: These are the same as long as they are the same object; of all else the bytes are compared.
_BY_IDENTITY = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)

Key = tuple[str, str]


class KnownDefinitions:
    """The names that were sent, for the workers of one executor.

    Attributes:
        log: what is new for workers, in the order in which it came; it only grows, until `trim`.
    """

    def __init__(self) -> None:
        self.log: list[Definition] = []
        self._latest: dict[Key, Definition] = {}
        self._stands_for: dict[Key, object] = {}

    def take(self, exporter: MainExporter, taken: int) -> int:
        """Takes what an exporter has found behind the first ``taken`` definitions; returns how many there are now."""
        found = exporter.log
        count = len(found)
        for definition in found[taken:count]:
            key = definition.module, definition.name
            meant = exporter.defined.get(key)
            stands_for = meant if isinstance(meant, _BY_IDENTITY) else _bytes(definition.code)
            if key in self._latest and self._same(key, stands_for):
                continue
            self._stands_for[key] = stands_for
            self._latest[key] = definition
            self.log.append(definition)
        return count

    def _same(self, key: Key, stands_for: object) -> bool:
        known = self._stands_for[key]
        return known is stands_for or (isinstance(known, bytes) and known == stands_for)

    def all(self) -> list[Definition]:
        """All names for a new worker, each once."""
        return list(self._latest.values())

    def trim(self) -> None:
        """All workers know the whole log."""
        self.log.clear()


def _bytes(code: Code) -> object:
    blob, buffers = code
    # What lies in shared memory may be another thing in the same place.
    return bytes(blob) if not buffers and not isinstance(blob, tuple) else object()


def is_current(exporter: MainExporter) -> bool:
    """Whether all names that were defined still stand for the same objects."""
    import sys

    for (module, name), value in exporter.defined.items():
        if getattr(sys.modules.get(module), "__dict__", {}).get(name, exporter) is not value:
            return False
    return True


def no_memory() -> Any:
    """Constants go through pipes: a worker may keep a page of shared memory for ever, and maps come and go."""
    from .._transport.shared_objects import Constants

    return Constants(None)
