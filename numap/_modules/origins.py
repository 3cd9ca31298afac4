"""Where modules come from, and whether another interpreter gets the same ones by their names.

A worker has the finders that an interpreter starts with, and no import hook that the program made later. It would import a
module in another form than the caller has, or not at all, and nothing would say so. So a module goes by its name only where it is
known that the name gives the same there; any other is sent.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import types
from collections.abc import Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any

from .._serialize.lookup import imported_names

#: Where the interpreter's own finders and loaders are at home; and pytest's, which changes what a failing assertion says, not
#: what a module does.
_STANDARD = frozenset(("_frozen_importlib", "_frozen_importlib_external", "zipimport", "_pytest.assertion.rewrite"))
#: Folders that hold what is installed.
_INSTALLED = tuple(os.sep + name + os.sep for name in ("site-packages", "dist-packages"))
_OWN = __name__.partition(".")[0]
_FROZEN = "<frozen importlib"

#: Modules that have started maps while they were imported: a worker that imported one would do that, too.
_mapping: set[str] = set()


class Origins:
    """The modules as they are now, for one run."""

    def __init__(self) -> None:
        _mapping.update(_importing())
        self._known: dict[str, bool] = {}
        self._foreign: frozenset[str] | None = None

    @functools.cached_property
    def _patched(self) -> bool:
        """Whether the program has changed the loader of source files."""
        methods = (
            it for kind in SourceFileLoader.__mro__ for it in vars(kind).values() if isinstance(it, types.FunctionType)
        )
        return any(not it.__code__.co_filename.startswith(_FROZEN) for it in methods)

    def importable(self, module: types.ModuleType) -> bool:
        """Whether an interpreter that imports this module's name gets what it is here.

        Not if a hook of the program has made or rewritten it, or a module of the program that it uses; nor if either is just
        being imported, or has mapped while it was, as the import would begin anew there.
        """
        name = module.__name__
        importable = self._known.get(name)
        if importable is None:
            importable = self._known[name] = self._is_found(name, module) and not self._uses_foreign(name, module)
        return importable

    def _is_found(self, name: str, module: types.ModuleType) -> bool:
        spec = getattr(module, "__spec__", None)
        if spec is None or sys.modules.get(name) is not module:
            return name in sys.builtin_module_names
        if getattr(spec, "_initializing", False) or name in _mapping:
            return False
        if spec.origin in ("built-in", "frozen") or is_of_library(name):
            return True
        path = None
        if "." in name:
            parent = sys.modules.get(name.rpartition(".")[0])
            if parent is None or not self.importable(parent):
                return False
            path = getattr(parent, "__path__", None)
        if not (_lies_installed(spec.origin) or _is_as_written(spec.loader, self._patched)):
            return False
        found = PathFinder.find_spec(name, path)
        for finder in sys.meta_path if found is None else ():
            if found is None and hasattr(finder, "find_spec") and _comes_along(finder, name):
                found = finder.find_spec(name, path)
        return found is not None and bool(found.origin == spec.origin)

    # ------------------------------------------------------------------ what a module uses

    def _uses_foreign(self, name: str, module: types.ModuleType) -> bool:
        """Whether it holds, in however many steps, something of a module of the program that others can't import."""
        if is_of_library(name) or _lies_installed(getattr(module.__spec__, "origin", None)):
            return False
        if self._foreign is None:
            self._foreign = frozenset(_foreign(self._patched))
        seen, todo = {name}, [module] if self._foreign else []
        while todo:
            user = todo.pop()
            for used in _used(user, self._foreign):
                if used in self._foreign and used != name:
                    return True
                found = sys.modules.get(used)
                if used not in seen and isinstance(found, types.ModuleType):
                    seen.add(used)
                    if not (is_of_library(used) or _lies_installed(_origin(found))):
                        todo.append(found)
        return False


def _used(module: types.ModuleType, foreign: frozenset[str]) -> Iterator[str]:
    """Names of modules that a module refers to; of those that its functions import only ``foreign`` ones."""
    below = module.__name__ + "."
    for value in list(vars(module).values()):
        if isinstance(value, types.ModuleType):
            # The import of a module below a package sets it there.
            home: object = None if value.__name__.startswith(below) else value.__name__
        else:
            home = value.__module__ if isinstance(value, (type, types.FunctionType)) else type(value).__module__
        if isinstance(home, str):
            yield home
        if isinstance(value, types.FunctionType) and not foreign.isdisjoint(value.__code__.co_names):
            yield from imported_names(value.__code__)


def _foreign(patched: bool) -> Iterator[str]:
    """Modules of the program that others can't import, as far as they tell that themselves."""
    for name, module in list(sys.modules.items()):
        spec = contents(module).get("__spec__")
        if spec is None:
            known = name == "__main__" or not isinstance(module, types.ModuleType) or _belongs_to_installed(name)
        elif name in _mapping:
            known = False
        elif _is_as_written(spec.loader, patched) and not getattr(spec, "_initializing", False):
            continue
        else:
            known = _lies_installed(spec.origin) or _comes_along(spec.loader, name)
        if not known and not is_of_library(name):
            yield name


def _importing() -> Iterator[str]:
    """The modules whose code is being run for an import, or a reload, and waits for this call."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__")
        # Doctests and debuggers run code of another file in the name of a module.
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename == _origin(sys.modules.get(str(name))):
            yield str(name)
        frame = frame.f_back


def is_installed(module: object) -> bool:
    """Whether a module lies where packages are installed."""
    return _lies_installed(_origin(module))


def is_library_module(name: str) -> bool:
    """Whether this process has a module of that name of the standard library, or of a package that is installed or says so.

    Some packages put objects, or modules under a second name, in the table; no import makes these.
    """
    module = sys.modules.get(name)
    if name == "builtins" or getattr(contents(module).get("__spec__"), "name", None) != name:
        return False
    return is_of_library(name) or is_installed(module) or _says_so(name)


def _says_so(name: str) -> bool:
    """Whether the package is a library wherever it lies; see ``__numap_library__`` in `numap.interop`."""
    return contents(sys.modules.get(name.partition(".")[0])).get("__numap_library__") is True


def file_of(name: str) -> str | None:
    """The file that a module of this process came from, as its specification says."""
    return _origin(sys.modules.get(name))


def is_unfinished(name: str) -> bool:
    """Whether a module, or a package that it is in, is just being imported."""
    while name:
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            return True
        name = name.rpartition(".")[0]
    return False


def _belongs_to_installed(name: str) -> bool:
    top, _, below = name.partition(".")
    return bool(below) and _lies_installed(_origin(sys.modules.get(top)))


def _origin(module: object) -> str | None:
    return getattr(contents(module).get("__spec__"), "origin", None)


def contents(module: object) -> dict[str, Any]:
    """What a module holds; one that is still to be loaded is left asleep."""
    try:
        found = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def is_of_library(name: str) -> bool:
    """Whether it is the standard library's, or this package's, which every worker has."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top == _OWN


def _lies_installed(origin: str | None) -> bool:
    """Whether a file lies where packages are installed: it is taken for what it is there, whichever way it was loaded."""
    return isinstance(origin, str) and any(folder in origin for folder in _INSTALLED)


def _is_as_written(loader: object, patched: bool) -> bool:
    """Whether a loader is the interpreter's own, and not ``patched``, so that what it has loaded is what the file says."""
    kind = loader if isinstance(loader, type) else type(loader)
    return loader is None or (kind.__module__ in _STANDARD and (kind is not SourceFileLoader or not patched))


# ---------------------------------------------------------------------- finders that others have, too


def _comes_along(finder: Any, name: str) -> bool:
    """Whether other interpreters have this finder or loader, as soon as they start or when they import this name's package."""
    home = (finder if isinstance(finder, type) else type(finder)).__module__.partition(".")[0]
    if home in _at_start():
        return True
    return home == name.partition(".")[0] and _lies_installed(_origin(sys.modules.get(home)))


@functools.cache
def _at_start() -> frozenset[str]:
    """Modules that an interpreter imports as it starts, as the installation says: finders of editable packages, say."""
    if "site" not in sys.modules or sys.flags.no_site:
        return frozenset()
    names = {"sitecustomize", "usercustomize"}
    for folder in {entry for entry in sys.path if _lies_installed(entry + os.sep)}:
        with contextlib.suppress(OSError):
            for file in [name for name in os.listdir(folder) if name.endswith(".pth")]:
                with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        if line.startswith(("import ", "import\t")):
                            names.update(line.replace(",", " ").replace(";", " ").split())
    return frozenset(names)
