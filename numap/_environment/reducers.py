"""What the program has told `copyreg` of how to pickle a class: read in the caller when a map starts, told again in its workers.

What a module registers while it is imported holds in a worker that imports it. What the program itself registers does not, as a
worker never runs the program, and results of such a class could not be sent. So these entries go to the workers, each by the
way of functions: by its name where workers can import it, else as code.

An entry is not to import anything that the items do not: for a class of another module it waits until that is loaded.
"""

from __future__ import annotations

import contextlib
import copyreg
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .._modules.origins import is_library_module, is_of_library
from .._serialize.lookup import find
from .._transport.messages import Reducer
from .latecomers import Latecomers

if TYPE_CHECKING:
    from .._modules.main_export import MainExporter
    from .._modules.main_import import MainImporter

#: An entry of `copyreg`: a class, and what reduces its objects.
Entry = tuple[Any, Any]


def reducers(exporter: MainExporter) -> list[Reducer]:
    """The program's own entries, for `adopt_reducers`. What can't be sent is left out: its results fail, and say why."""
    found: list[Reducer] = []
    for entry in _own_entries():
        with contextlib.suppress(Exception):
            found += _told(exporter, *entry)
    return found


def _own_entries() -> Iterator[Entry]:
    """All but those that a library has for classes of its own: to have the class is to have imported the library."""
    for cls, reducer in list(copyreg.dispatch_table.items()):
        home = _library(getattr(cls, "__module__", None))
        if home is None or home != _library(getattr(reducer, "__module__", None)):
            yield cls, reducer


def _library(module: object) -> str | None:
    """The package of a library's module, one name for all of the standard library; None: it is of the program."""
    if not isinstance(module, str):
        return None
    if is_of_library(module):
        return "the standard library"
    return module.partition(".")[0] if is_library_module(module) else None


def _told(exporter: MainExporter, cls: Any, reducer: Any) -> Iterator[Reducer]:
    home, way = _name(exporter, cls), _name(exporter, reducer)
    if way is None and isinstance(reducer, FunctionType):
        module = sys.modules.get(reducer.__module__)
        if module is not None and exporter.is_importable(module):
            return  # a lambda of a module that workers import: that tells it again
    if home is None:
        yield None, "", exporter.constants.encode((cls, reducer), exporter.encode_code)
    elif way is None:
        yield *home, exporter.constants.encode(reducer, exporter.encode_code)
    else:
        yield *home, way


def _name(exporter: MainExporter, obj: Any) -> tuple[str, str] | None:
    """Module and name by which workers can import an object; None: they can't."""
    if isinstance(obj, _ByName):
        return obj.name
    home, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    module = sys.modules.get(home) if isinstance(home, str) and isinstance(name, str) else None
    if module is None or find(module, str(name)) is not obj or not exporter.is_importable(module):
        return None
    return str(home), str(name)


# ---------------------------------------------------------------------- in a worker


class _ByName:
    """A reducer that is imported when it is first called."""

    def __init__(self, module: str, name: str) -> None:
        self.name = (module, name)

    def __call__(self, obj: Any) -> Any:
        module, name = self.name
        reducer: Any = find(importlib.import_module(module), name)
        return reducer(obj)


def adopt_reducers(told: Iterable[Reducer], importer: MainImporter) -> None:
    """Registers what `reducers` has found, now or as soon as the module of the class is loaded.

    What can't be made here is missed by the items that need it.
    """
    way: Any
    by_module: dict[str, list[Callable[[ModuleType], None]]] = {}
    for module, name, way in told:
        if module is None:
            with contextlib.suppress(Exception):
                copyreg.pickle(*importer.load(way))
        else:
            by_module.setdefault(module, []).append(partial(_register, name, way, importer))
    _late.settle_or_wait(by_module.items())


def _register(name: str, way: Any, importer: MainImporter, module: ModuleType) -> None:
    with contextlib.suppress(Exception):
        cls: Any = find(module, name)
        if isinstance(way[0], str):
            known = copyreg.dispatch_table.get(cls)
            if (getattr(known, "__module__", None), getattr(known, "__qualname__", None)) != way:
                copyreg.pickle(cls, _ByName(*way))
        else:
            copyreg.pickle(cls, importer.load(way))


def _settle(name: str, module: Any, waits: Any) -> None:
    for register in waits:
        register(module)


_late = Latecomers(_settle)
