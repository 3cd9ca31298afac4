"""Functions by value, with the modules that they live in and use.

A copy of the globals with each function would make two functions of a module strangers to each other: what one sets, the other
would not see. So a function goes without them, and gets those of the module of the same name over there.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import marshal
import sys
import types
from collections.abc import Iterator
from typing import Any

from .classes import announce
from .lookup import NameResolver, global_names, imported_names, named, used_names


def reduce_function(scope: NameResolver, obj: types.FunctionType) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__qualname__):
        return scope.reference(obj.__module__, obj.__qualname__)
    found = scope.home_of(obj)
    if found is not None:
        return named, found
    # functools.wraps changes __module__; the globals tell where the code really lives.
    home = sys.modules.get(obj.__globals__.get("__name__", ""))
    names = set(global_names(obj.__code__))
    if home is not None and vars(home) is obj.__globals__:
        scope.require(home, names, obj.__qualname__)
        # Names that can't be written are those of a tool that has rewritten the module: over there it may be as written.
        private = {name: obj.__globals__[name] for name in names if name[:1] == "@" and name in obj.__globals__}
    else:
        private = {name: obj.__globals__[name] for name in names if name in obj.__globals__}
        home = None
    cells = obj.__closure__
    args = (marshal.dumps(obj.__code__), home.__name__ if home is not None else None, obj.__name__, cells)
    # Tuples, where dictionaries would be taken for objects of the program, which may have a name.
    state = (
        (obj.__qualname__, obj.__module__, obj.__doc__, obj.__defaults__, _items(obj.__kwdefaults__)),
        _items(obj.__annotations__),
        _items(obj.__dict__),
        _items(private),
        tuple(_modules(scope, obj, names)),
        tuple((cell, cell.cell_contents) for cell in cells or () if not _is_empty(cell)),
    )
    return _make_function, args, state, None, None, _fill_function


def _items(own: Any) -> tuple[tuple[str, Any], ...] | None:
    return tuple(own.items()) if own else None


def _modules(scope: NameResolver, func: types.FunctionType, names: set[str]) -> list[types.ModuleType]:
    """The modules below its global packages that a function uses: to import a package does not import them."""
    found: list[types.ModuleType] = []
    for module in [func.__globals__[name] for name in names if type(func.__globals__.get(name)) is types.ModuleType]:
        used, prefix = used_names(func.__code__), module.__name__ + "."
        scope.require(module, used, func.__qualname__)
        if hasattr(module, "__path__"):
            below = [(name[len(prefix) :], it) for name, it in list(sys.modules.items()) if name.startswith(prefix)]
            found += [it for name, it in below if it is not None and used.issuperset(name.split("."))]
    _require_imported(scope, func)
    return found


def _require_imported(scope: NameResolver, func: types.FunctionType) -> None:
    """What a function imports when it runs must be there, too."""
    names = imported_names(func.__code__)
    if names:
        used = used_names(func.__code__)
        for module in _loaded(names, used, func.__globals__.get("__package__") or ""):
            scope.require(module, used, func.__qualname__)


def _loaded(names: set[str], used: set[str], package: str) -> Iterator[types.ModuleType]:
    """The modules of these names, also seen from a package, and those below them that are used."""
    parts = package.split(".") if package else []
    above = ["", *(".".join(parts[: depth + 1]) + "." for depth in range(len(parts)))]
    for base in [(prefix + name).rstrip(".") for prefix in above for name in names]:
        for name in (base, *(f"{base}.{it}" for it in used)):
            module = sys.modules.get(name)
            if isinstance(module, types.ModuleType):
                yield module


def reduce_method(scope: NameResolver, obj: types.MethodType) -> Any:
    # Not by its name: that may lead to what overrides it, to what was set on the object since, or nowhere (a private name, a
    # function of another name).
    return types.MethodType, (obj.__func__, obj.__self__)


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where nothing is bound yet
    except ValueError:
        return True
    return False


def reduce_cell(scope: NameResolver, obj: types.CellType) -> Any:
    # Empty on purpose: the function's state fills it, after the function itself is known, so that a closure may
    # refer to itself, and two functions that share a variable share the cell.
    return types.CellType, ()


def _make_function(
    code: bytes, module: str | None, name: str, cells: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    namespace = {"__builtins__": __builtins__, "__name__": "numap.detached"} if module is None else _namespace(module)
    made = types.FunctionType(marshal.loads(code), namespace, name, None, cells)
    announce(module, name, made)
    return made


def _namespace(module: str) -> dict[str, Any]:
    found = sys.modules.get(module)
    return vars(found if found is not None else importlib.import_module(module))


def _fill_function(func: types.FunctionType, state: tuple[Any, ...]) -> None:
    own, annotations, attributes, private, _, cells = state
    func.__qualname__, func.__module__, func.__doc__, func.__defaults__, keywords = own
    func.__kwdefaults__ = keywords and dict(keywords)
    func.__annotations__ = dict(annotations or ())
    func.__dict__.update(attributes or ())
    func.__globals__.update(private or ())
    for cell, contents in cells:
        cell.cell_contents = contents


def reduce_identity(scope: NameResolver, obj: object) -> Any:
    found = scope.name_of(obj)
    return NotImplemented if found is None else (named, found)


def reduce_module(scope: NameResolver, obj: types.ModuleType) -> Any:
    if scope.defining is not obj and obj.__name__ != "__main__":
        # It is not known for which user. Of the modules among a function's globals only that goes which the function names.
        scope.require(obj, list(vars(obj)), obj.__name__)
    return (importlib.import_module if scope.is_importable(obj) else stand_in), (obj.__name__,)


def stand_in(name: str) -> types.ModuleType:
    """A module that can't be imported here and holds what it is told to."""
    known = sys.modules.get(name)
    if known is not None:
        return known
    fresh = sys.modules[name] = types.ModuleType(name)
    fresh.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(fresh)["__builtins__"] = builtins
    return fresh


class Appearance:
    """What a module that can't be imported elsewhere says of itself; its pickle becomes the specification of a stand-in."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def __reduce__(self) -> tuple[Any, ...]:
        own = vars(self._module)
        told = {
            key: own[key]
            for key in ("__file__", "__doc__", "__package__")
            if isinstance(own.get(key, 0), (str, type(None)))
        }
        name = self._module.__name__
        return appear, (name, "__path__" in own, name.rpartition(".")[0] in sys.modules, told)


def appear(
    name: str, is_package: bool, has_parent: bool, told: dict[str, str | None]
) -> importlib.machinery.ModuleSpec:
    """Makes a stand-in look like the module, and be found below its package."""
    module = stand_in(name)
    vars(module).update(told)
    if is_package:
        module.__path__ = []
    if has_parent:
        parent, _, child = name.rpartition(".")
        setattr(importlib.import_module(parent), child, module)
    return importlib.machinery.ModuleSpec(name, None, is_package=is_package)
