"""Modules to which something is to be done as soon as they are loaded; nothing is imported for it.

A worker imports a library when an item first needs it. Settings for that library have to wait until then, and no item may see the
library without them. So a finder in front of the others watches for its name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Latecomers:
    """Sees modules come for which something waits, and finds none itself.

    Args:
        settle: is called behind a module's own code with its name, the module, and what has waited for it.

    Attributes:
        waiting: what waits, by the name of the module.
    """

    def __init__(self, settle: Callable[[str, Any, Any], None]) -> None:
        self.waiting: dict[str, Any] = {}
        self._settle = settle

    def settle_or_wait(self, told: Iterable[tuple[str, Any]]) -> None:
        """Settles the modules that are loaded; what is for others waits, in place of what has waited for these."""
        for name, waits in told:
            module = sys.modules.get(name)
            if module is None:
                self.waiting[name] = waits
            else:
                self.settle(name, module, waits)
        if self.waiting and self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What the other finders find, with a loader that settles the module behind its own code."""
        if name not in self.waiting:
            return None
        waits = self.waiting.pop(name)
        found = None
        for finder in sys.meta_path:
            found = (
                finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            )
            if found is not None:
                break
        if found is None or not hasattr(found.loader, "exec_module"):
            self.waiting[name] = waits
        else:
            found.loader = _Settling(found.loader, self, waits)  # type: ignore[assignment]  # it is one by what it can do
        return found

    def settle(self, name: str, module: ModuleType, waits: Any) -> None:
        """A module is loaded."""
        self._settle(name, module, waits)


class _Settling:
    """A loader that is in the place of a module's own while the module is made."""

    def __init__(self, loader: Any, late: Latecomers, waits: Any) -> None:
        self._loader = loader
        self._late = late
        self._waits = waits

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module, by its own loader."""
        spec.loader = self._loader
        try:
            return self._loader.create_module(spec)  # type: ignore[no-any-return]
        finally:
            spec.loader = self  # type: ignore[assignment]

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code, then does what has waited."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        name = module.__name__
        try:
            self._loader.exec_module(module)
        except BaseException:
            self._late.waiting[name] = self._waits
            raise
        self._late.settle(name, module, self._waits)
