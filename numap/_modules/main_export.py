"""What workers must know of modules that they can't import, above all of ``__main__``.

A worker never runs the user's main module again. Instead each name of it that a shipped function, class or method
refers to is set once in the worker's own ``__main__``; from then on functions and classes of ``__main__`` travel by
that name in both directions, functions share their globals, and ``isinstance`` holds.
"""

from __future__ import annotations

import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from .._base.errors import SerializationError
from .._items.exceptions import safe_text
from .._serialize.classes import ELSEWHERE, token_of
from .._serialize.dill_fallback import _dill_dumps
from .._serialize.functions import Appearance
from .._serialize.lookup import NameResolver, find, global_names, named
from .._serialize.pickler import BufferCallback, CodePickler
from .._transport.messages import Definition
from .._transport.shared_objects import Constants
from .definition_log import DefinitionLog
from .dependencies import DependencyCycle, DependencyGraph
from .identities import ObjectNames
from .origins import Origins, is_of_library, is_unfinished
from .owners import Owners, state_of
from .used_code import UsedCode

#: What a module says of itself; never a definition.
_IDENTITY = frozenset(("__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__builtins__"))


class MainExporter(NameResolver):
    """The caller's side: collects the definitions that go to the workers.

    One exporter serves a run; its log only grows. `encode` may be called by several threads.
    """

    def __init__(self, constants: Constants | None = None) -> None:
        super().__init__()
        #: Makes what goes to every worker.
        self.constants = Constants(None) if constants is None else constants
        self.plain = False
        self._definitions = DefinitionLog()
        #: What workers have to define, and what names of modules stood for then.
        self.log, self.defined = self._definitions.sent, self._definitions.meant
        self._origins = Origins()
        self._owners = Owners()
        #: What the functions of the map, and all that they refer to, consist of.
        self.used = UsedCode()
        #: The object of an importable module that is being pickled as it is.
        self._as_it_is: object = None
        self._exempt: set[str] = set()
        self._lock = threading.RLock()
        self._pickler = CodePickler(self)
        self._names = ObjectNames()
        self._dependencies = DependencyGraph()
        #: The name that is being defined.
        self._current: tuple[str, str] | None = None

    def exempt(self, func: Callable[..., Any] | None) -> None:
        """The globals that an initializer assigns are its to make: they need not be sent."""
        code = getattr(func, "__code__", None)
        if code is not None:
            self._exempt.update(global_names(code, stores=True))

    def encode(self, obj: object, callback: BufferCallback | None = None, /) -> bytes:
        """The pickle of an item for the workers; what they need for it is in the log when this returns.

        ``callback``: see `CodePickler.encode`.

        Raises:
            SerializationError: a global that it refers to can't be pickled.
            Exception: whatever pickling this object raises.
        """
        return self._encode(self._pickler, obj, callback)

    def encode_code(self, obj: object, callback: BufferCallback | None = None, /) -> bytes:
        """The same for a function with its constant arguments: what has a name as a global is the global, no copy of it."""
        return self._encode(_DefinitionPickler(self), obj, callback)

    def _encode(self, pickler: CodePickler, obj: object, callback: BufferCallback | None) -> bytes:
        with self._lock:
            while True:
                self._definitions.begin()
                try:
                    raw = pickler.encode(obj, callback)
                    while (wanted := self._definitions.next_wanted()) is not None:
                        self._define(*wanted)
                except BaseException as error:
                    self._dependencies.forget(self._definitions.roll_back())
                    if not isinstance(error, DependencyCycle):
                        raise
                    self._dependencies.copy(error)
                else:
                    self._definitions.commit()
                    return raw

    def _define(self, module: types.ModuleType, name: str) -> None:
        value = vars(module)[name]
        # Only where it is at home: an imported class must stay the one that its own module has, also for "except".
        # A TypeVar has only the second.
        called = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        at_home = called == name and getattr(value, "__module__", None) == module.__name__
        if at_home or called is None or isinstance(value, types.ModuleType):
            self.defining = value
        self._current = (module.__name__, name)
        try:
            code = self.constants.encode(value, _DefinitionPickler(self).encode)
        except DependencyCycle:
            raise
        except Exception as error:
            code = self._by_dill(module, name, error), []
        finally:
            self.defining = self._current = None
        self._definitions.make(Definition(module.__name__, name, code), value)

    def apart(self, cls: type, content: object) -> bytes:
        self.filling = cls
        try:
            return _DefinitionPickler(self).encode(content)
        finally:
            self.filling = None

    def _by_dill(self, module: types.ModuleType, name: str, error: Exception) -> bytes:
        """Second try for code that holds what only dill can pickle; plain values get no second try."""
        value = vars(module)[name]
        if isinstance(value, (type, types.FunctionType)):
            try:
                self.plain = True
                return _dill_dumps(value, self)
            except Exception as second:
                error = second
            finally:
                self.plain = False
        raise _not_sendable(
            module.__name__, name, self._definitions.user_of((module.__name__, name)), value, error
        ) from error

    # ------------------------------------------------------------------ the scope of the picklers

    def offers(self, module: types.ModuleType, qualname: str) -> bool:
        if not self.is_importable(module):
            name = qualname.partition(".")[0]
            if self._current is not None:
                self._dependencies.code(self._current, (module.__name__, name))
            self._need(module, name, qualname)
        return True

    def reference(self, module_name: str, qualname: str) -> Any:
        # To import what is just being imported, or is in a package that is, would wait for that; the thread that imports it may
        # be waiting for us.
        return (named, (module_name, qualname)) if is_unfinished(module_name) else NotImplemented

    def name_of(self, obj: object) -> tuple[str, str] | None:
        self._names.add(sys.modules["__main__"], self._exempt)
        found = self._names.of(obj)
        if found is None:
            return self._owner(obj)
        if found[1] in self._exempt:
            return None
        module, name = found
        if (module.__name__, name) == self._current:
            return None
        if not self.is_importable(module):
            self._need(module, name, name)
        return module.__name__, name

    def global_of(self, obj: object) -> tuple[str, str] | None:
        """Module and name by which a definition refers to an object that a module has, or that another definition makes."""
        if obj is self._as_it_is:
            return None
        if not self._owners.fresh or id(obj) in self._owners.index:
            owner = self._owner(obj)
            if owner is not None:
                return owner
        found = self._names.of(obj)
        if found is None or found[1] in self._exempt or self.is_importable(found[0]):
            return None
        key = (found[0].__name__, found[1])
        if key == self._current or (self._current is not None and not self._dependencies.data(self._current, key)):
            return None
        self._need(*found, "the map" if self._current is None else f"the global {self._current[1]!r}")
        return key

    def _owner(self, obj: object) -> tuple[str, str] | None:
        """Module and name of an object that a module has which workers import."""
        if type(obj) is types.FunctionType and not _is_nameless(obj):
            return None
        for module, name in self._owners.of(obj):
            if self.is_importable(module):
                key = (module.__name__, name)
                if key not in self._definitions:
                    self._add_state(key, obj)
                return key
        return None

    def _add_state(self, key: tuple[str, str], obj: object) -> None:
        """Sends the state of a module's object: all of it, or none if any of it can't be sent, as with what holds a lock."""
        self._definitions.add(key)
        if is_of_library(key[0]):
            return
        mark = self._definitions.mark()
        before = self._as_it_is, self._current, self.defining
        self._current = self.defining = None
        try:
            state = state_of(*key, obj)
            self._as_it_is = state
            if state is not None:
                code = self.constants.encode(state, _DefinitionPickler(self).encode)
                self._definitions.make(Definition(*key, code, own=True))
        except DependencyCycle:
            raise
        except Exception:
            self._definitions.undo(mark)
        finally:
            self._as_it_is, self._current, self.defining = before

    def require(self, module: types.ModuleType, names: Iterable[str], by: str) -> None:
        self._names.add(module, self._exempt)
        if self.is_importable(module):
            return
        self._announce(module)
        for name in names:
            if name in vars(module) and name not in self._exempt and name not in _IDENTITY:
                self._need(module, name, by)

    def _need(self, module: types.ModuleType, name: str, by: str) -> None:
        self._names.add(module, self._exempt)
        self._announce(module)
        self._definitions.want(module, name, by)

    def _announce(self, module: types.ModuleType) -> None:
        """Has workers make a stand-in for a module, and for the packages above it that they can't import either."""
        key = (module.__name__, "__spec__")
        if key in self._definitions or module.__name__ == "__main__":
            return
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        if origin.endswith(tuple(EXTENSION_SUFFIXES)):
            raise SerializationError(
                f"workers can't import the module {module.__name__!r} ({origin}), and it can't be sent to them, as it is no "
                f"Python code: have it found by its name through sys.path, without a hook of the program"
            )
        above = sys.modules.get(module.__name__.rpartition(".")[0])
        if isinstance(above, types.ModuleType) and not self.is_importable(above):
            self._announce(above)
        self._definitions.add(key)
        self._definitions.make(Definition(*key, (pickle.dumps(Appearance(module)), [])))

    def is_importable(self, module: types.ModuleType) -> bool:
        """Whether a worker that imports this module's name gets the same module."""
        return module.__name__ != "__main__" and self._origins.importable(module)


class ForkExporter(MainExporter):
    """The exporter for forks of this process: they have every module as it is, so all that has a name goes by it.

    A class of the program that is not found by a name, from a factory say, is known by a token, which it gets before the fork.
    """

    def __init__(self, constants: Constants | None = None) -> None:
        super().__init__(constants)
        for value in list(vars(sys.modules["__main__"]).values()):
            if isinstance(value, type):
                token_of(value)

    def is_importable(self, module: types.ModuleType) -> bool:
        """A fork has what we have."""
        return True

    def _add_state(self, key: tuple[str, str], obj: object) -> None:
        """A fork's objects have the state that they have here."""

    def global_of(self, obj: object) -> tuple[str, str] | None:
        """Whatever has a name goes by it, though it may have changed in a worker by then."""
        self._names.add(sys.modules["__main__"])
        found = self._names.of(obj) or next(self._owners.of(obj), None)
        return None if found is None else (found[0].__name__, found[1])


class _DefinitionPickler(CodePickler):
    """Of several definitions that hold the same object one makes it, and the others refer to that."""

    def __init__(self, exporter: MainExporter) -> None:
        super().__init__(exporter)
        self._global_of = exporter.global_of
        self._note = exporter.used.note

    def reducer_override(self, obj: Any) -> Any:
        """See `CodePickler`."""
        self._note(obj)
        return super().reducer_override(obj)

    def persistent_id(self, obj: object) -> tuple[str, str] | None:
        """The name of an object."""
        return self._global_of(obj)


def _not_sendable(module: str, name: str, user: str, value: object, error: Exception) -> SerializationError:
    """What to say of a global that can't be sent, though something refers to it."""
    advice = "make it inside the function, or in an initializer that assigns the global"
    return SerializationError(
        f"the global {name!r} of {module!r}, which {user} refers to, can't be sent "
        f"to a worker ({type(error).__name__}: {safe_text(error)}); {ELSEWHERE if isinstance(value, type) else advice}"
    )


def _is_nameless(func: types.FunctionType) -> bool:
    """Whether a module may have this function under another name than the one that it says, and it is not the program's."""
    if func.__closure__ is None or func.__globals__.get("__name__") == "__main__":
        return False
    module = sys.modules.get(func.__module__ or "")
    return module is None or find(module, func.__qualname__) is not func


def main_identity() -> dict[str, Any]:
    """What the caller's ``__main__`` says of itself, as far as it can be told to a worker."""
    main = sys.modules.get("__main__")
    own = vars(main) if main is not None else {}
    kept = ("__file__", "__doc__", "__package__")
    return {name: own[name] for name in kept if name in own and isinstance(own[name], (str, type(None)))}
