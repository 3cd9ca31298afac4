"""Whether another interpreter gets the same module by its name."""

from __future__ import annotations

import sys
import types


def same_elsewhere(name: str, module: types.ModuleType) -> bool:
    """Whether an interpreter that imports this name gets what this module is."""
    spec = getattr(module, "__spec__", None)
    if spec is None or sys.modules.get(name) is not module:
        return name in sys.builtin_module_names
    if getattr(spec, "_initializing", False):
        return False
    if spec.origin in ("built-in", "frozen") or name.partition(".")[0] in sys.stdlib_module_names:
        return True
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return False
    path = getattr(sys.modules[parent], "__path__", None) if parent else None
    for finder in sys.meta_path:
        found = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        if found is not None:
            return bool(found.origin == spec.origin)
    return False
