"""The worker's side of `main_export`: modules that it can't import, filled with what the caller's hold.

A definition is made when it is first needed, not when it comes. Definitions refer to one another, in circles, too, so there
is no order in which all could be made. What needs a name that is just being made waits until that is there.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import pickle
import sys
import types
from collections.abc import Iterable
from functools import partial
from io import BytesIO
from typing import Any

from .._base.errors import SerializationError
from .._serialize.classes import fill_apart, in_the_making, is_unfilled, not_made
from .._serialize.functions import stand_in
from .._serialize.lookup import named
from .._transport.messages import Definition
from .._transport.shared_memory import SharedMemoryFile
from .._transport.shared_objects import Code, load

#: Functions that in pickles for workers stand for methods of the importer.
_STAND_FOR = {(func.__module__, func.__name__) for func in (fill_apart, named)}


class MainImporter:
    """The worker's side: modules that are filled with the caller's definitions, each when it is first needed."""

    def __init__(self, main: dict[str, Any] | None, shared: SharedMemoryFile | None = None) -> None:
        """``main``: what the caller's ``__main__`` says of itself; None: this process has that module itself."""
        self._shared = shared
        self._pending: dict[tuple[str, str], Code] = {}
        #: The same of objects that modules have here, too.
        self._own: dict[tuple[str, str], Code] = {}
        #: Classes with what they will hold, the last one first.
        self._unfilled: list[tuple[type, bytes]] = []
        #: What could not be made here, and why.
        self._refused: dict[tuple[str, str], SerializationError] = {}
        if main is None:
            return
        module = types.ModuleType("__main__")
        vars(module).update(main, __builtins__=builtins)
        sys.modules["__main__"] = module

    def update(self, definitions: Iterable[Definition], needed: int = 0) -> None:
        """Sets names; those that refer to one another find each other.

        Raises:
            SerializationError: one of the first ``needed``, those of the functions, can't be made here. Another one is missed
                by the items that need it.
        """
        keys = []
        for module, name, code, own in definitions:
            self._refused.pop((module, name), None)  # what comes again is another one
            (self._own if own else self._pending)[module, name] = code
            keys.append((module, name))
            if not own:
                stand_in(module)
        for module, name in keys:
            with contextlib.suppress(SerializationError):
                self.define(module, name)
        for module, name in keys:
            self._settle(module, name)
        for key in keys[:needed]:
            self._check(key)

    def define(self, module: str, name: str) -> None:
        """Makes sure that a mirrored name is set.

        Raises:
            SerializationError: it can't be made here.
        """
        code = self._pending.pop((module, name), None)
        if code is not None:
            in_the_making.add((module, name))
            try:
                value = self.load(code)
                self._check((module, name))
                setattr(sys.modules[module], name, value)
            except Exception as error:
                self._refuse(module, name, error)
            finally:
                in_the_making.discard((module, name))
            self._fill_rest()
        self._check((module, name))

    def _settle(self, module: str, name: str) -> None:
        """Gives an object that a module has here the caller's state."""
        code = self._own.pop((module, name), None)
        if code is not None:
            try:
                setattr(importlib.import_module(module), name, self.load(code))
            except _NotYet:
                # It holds what may need it; when all names are set it comes again.
                self._own[module, name] = code
            except Exception as error:
                self._refuse(module, name, error)

    def _check(self, key: tuple[str, str]) -> None:
        if key in self._refused:
            raise self._refused[key].with_traceback(None)

    def _refuse(self, module: str, name: str, error: Exception) -> None:
        """From now on whatever looks for this name is told why it is not there."""
        if isinstance(error, SerializationError):
            self._refused[module, name] = error
        else:
            self._refused[module, name] = not_made(f"the global {name!r} of {module!r}", error)
            self._refused[module, name].__cause__ = error
        if module in sys.modules:
            vars(sys.modules[module]).pop(name, None)
            vars(sys.modules[module]).setdefault("__getattr__", partial(self._miss, module))

    def _miss(self, module: str, name: str) -> object:
        self._check((module, name))
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    def named(self, module: str, qualname: str) -> object:
        """See `lookup.named`."""
        first = qualname.partition(".")[0]
        self.define(module, first)
        self._settle(module, first)
        if (module, first) in in_the_making:
            raise _NotYet(f"{module}.{first} is needed to make it")
        return named(module, qualname)

    def fill_apart(self, cls: type, content: bytes) -> None:
        """Sets what a class holds: now, or as soon as the names that it needs are there."""
        self._unfilled.append((cls, content))
        self._fill_rest()

    def _fill_rest(self) -> None:
        todo, self._unfilled = self._unfilled, []
        for cls, content in todo:
            try:
                fill_apart(cls, content, lambda raw: _Unpickler(BytesIO(raw), self, []).load())
            except _NotYet:
                self._unfilled.append((cls, content))
            except Exception as error:
                self._refuse(cls.__module__, cls.__qualname__.partition(".")[0], error)

    def load(self, code: Code) -> Any:
        """Unpickles what may refer to names that are not set yet."""
        return load(code, self._shared, lambda blob, buffers: _Unpickler(BytesIO(blob), self, buffers).load())


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BytesIO, importer: MainImporter, buffers: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._importer = importer

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_FOR:
            return getattr(self._importer, name)
        first = name.partition(".")[0]
        self._importer.define(module, first)
        if (module, first) in in_the_making:
            raise _NotYet(f"{module}.{first} is needed to make it")
        try:
            return super().find_class(module, name)
        except AttributeError as error:
            if is_unfilled(vars(sys.modules[module]).get(first)):
                raise _NotYet(str(error)) from error
            raise

    def persistent_load(self, key: Any) -> object:
        return self._importer.named(*key)


class _NotYet(AttributeError):
    """What a name stands for is being made."""
