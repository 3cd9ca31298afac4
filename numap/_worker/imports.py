"""What a worker had to import: its caller is told, so that the workers of later maps can have it beforehand.

Only modules of the standard library and of installed packages are told of. Those of the program are its own business: what they do
when they are imported (random states, connections, variables of the environment) has to be done anew in each worker.
"""

from __future__ import annotations

import os
import sys

from .._modules.origins import file_of, is_library_module
from .._transport.messages import Imported

#: The modules that workers have from the process that they are forked from.
_born: frozenset[str] = frozenset()


def note_birth() -> None:
    """To be called in that process, before the forks, when it has other modules."""
    global _born
    _born = frozenset(sys.modules)


class ImportReport:
    """Knows which of the modules of this worker its caller has not been told of.

    Args:
        environ: the environment as the caller had it.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self._told = set(_born)
        self._count = len(self._told)

    def news(self, at_setup: bool = False) -> Imported | None:
        """What is new since the last call, if there is anything; ``at_setup``: it came with the code of the map."""
        if len(sys.modules) == self._count:
            return None
        self._count = len(sys.modules)
        fresh = [name for name in list(sys.modules) if name not in self._told]
        self._told.update(fresh)
        # The file of a module that is in no package; those inside follow.
        names = {name: None if "." in name else file_of(name) for name in fresh if is_library_module(name)}
        return Imported(names, self._changes(), at_setup) if names else None

    def _changes(self) -> dict[str, str | None]:
        changes: dict[str, str | None] = {
            name: value for name, value in os.environ.items() if self._environ.get(name) != value
        }
        return {**changes, **{name: None for name in self._environ if name not in os.environ}}
