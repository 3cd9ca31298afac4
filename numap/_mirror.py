"""The mirror: what workers must know of modules that they can't import, above all of ``__main__``.

A worker never runs the user's main module again. Instead each name of it that a shipped function, class or method
refers to is set once in the worker's own ``__main__``; from then on functions and classes of ``__main__`` travel by
that name in both directions, functions share their globals, and ``isinstance`` holds.
"""

from __future__ import annotations

import builtins
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from ._arena import Arena
from ._code import CodePickler, Scope, fill_apart, global_names, in_the_making, is_unfilled, stand_in, token_of
from ._errors import SerializationError
from ._outcome import safe_text
from ._parcel import Code, Constants, load

#: One definition: module, name, the object.
Definition = tuple[str, str, Code]


#: What a module says of itself; never a definition.
_IDENTITY = frozenset(("__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__builtins__"))


class Mirror(Scope):
    """The caller's side: collects the definitions that go to the workers.

    One mirror serves a run; its log only grows. `encode` may be called by several threads.
    """

    def __init__(self, constants: Constants | None = None) -> None:
        super().__init__()
        #: Makes what goes to every worker.
        self.constants = Constants(None) if constants is None else constants
        #: What workers have to define, in order of discovery. A worker that knows the first n needs the rest.
        self.log: list[Definition] = []
        self.plain = False
        self._known: dict[tuple[str, str], str] = {}
        self._todo: list[tuple[types.ModuleType, str]] = []
        self._importable: dict[str, bool] = {}
        self._exempt: set[str] = set()
        self._lock = threading.RLock()
        self._pickler = CodePickler(self)

    def exempt(self, func: Callable[..., Any] | None) -> None:
        """The globals that an initializer assigns are its to make: they need not be sent."""
        code = getattr(func, "__code__", None)
        if code is not None:
            self._exempt.update(global_names(code, stores=True))

    def encode(self, obj: object, callback: Callable[[pickle.PickleBuffer], object] | None = None, /) -> bytes:
        """The pickle of an object for the workers; what they need for it is in the log when this returns.

        ``callback``: see `CodePickler.encode`.

        Raises:
            SerializationError: a global that it refers to can't be pickled.
            Exception: whatever pickling this object raises.
        """
        with self._lock:
            self._staged: list[Definition] = []
            self._added: list[tuple[str, str]] = []
            try:
                raw = self._pickler.encode(obj, callback)
                while self._todo:
                    self._define(*self._todo.pop())
            except BaseException:
                # What depends on what can't be sent must not be taken for known the next time.
                self._todo.clear()
                for key in self._added:
                    self._known.pop(key, None)
                raise
            self.log.extend(self._staged)
            return raw

    def _define(self, module: types.ModuleType, name: str) -> None:
        value = vars(module)[name]
        # Only where it is at home: an imported class must stay the one that its own module has, also for "except".
        called = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)  # a TypeVar has only the second
        at_home = called == name and getattr(value, "__module__", None) == module.__name__
        if at_home or called is None or isinstance(value, types.ModuleType):
            self.defining = value
        try:
            code = self.constants.encode(value, CodePickler(self).encode)
        except Exception as error:
            code = self._by_dill(module, name, error), []
        finally:
            self.defining = None
        self._staged.append((module.__name__, name, code))

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
        user = self._known[module.__name__, name]
        raise SerializationError(
            f"the global {name!r} of {module.__name__!r}, which {user} refers to, can't be sent to a worker "
            f"({type(error).__name__}: {safe_text(error)}); make it inside the function, or in an initializer that "
            f"assigns the global"
        ) from error

    # ------------------------------------------------------------------ the scope of the picklers

    def offers(self, module: types.ModuleType, qualname: str) -> bool:
        if not self.is_importable(module):
            self._need(module, qualname.partition(".")[0], qualname)
        return True

    def require(self, module: types.ModuleType, names: Iterable[str], by: str) -> None:
        if self.is_importable(module):
            return
        for name in names:
            if name in vars(module) and name not in self._exempt and name not in _IDENTITY:
                self._need(module, name, by)

    def _need(self, module: types.ModuleType, name: str, by: str) -> None:
        key = (module.__name__, name)
        if key not in self._known:
            self._known[key] = by
            self._added.append(key)
            self._todo.append((module, name))

    def is_importable(self, module: types.ModuleType) -> bool:
        """Whether a worker that imports this module's name gets the same module."""
        name = module.__name__
        known = self._importable.get(name)
        if known is None:
            known = self._importable[name] = name != "__main__" and _same_origin(name, module)
        return known


class OwnImage(Mirror):
    """The mirror for forks of this process: they have every module as it is, so all that has a name goes by it.

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


def _same_origin(name: str, module: types.ModuleType) -> bool:
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


_NEVER_BY_DILL = ("_thread", "_io", "socket", "_socket", "threading", "subprocess", "sqlite3")


def _dill_dumps(obj: Any, scope: Scope) -> bytes:
    import dill

    class DillPickler(dill.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj).__module__ in _NEVER_BY_DILL or isinstance(obj, types.GeneratorType):
                raise pickle.PicklingError(f"a {type(obj).__name__} belongs to the process that made it")
            rv = scope.reduce(obj)
            if rv is NotImplemented and isinstance(obj, (type, types.FunctionType)) and scope.by_name(
                obj, obj.__module__, obj.__qualname__
            ):
                return obj.__qualname__  # dill would send a class of __main__ by value
            return rv

    buffer = BytesIO()
    DillPickler(buffer, protocol=pickle.HIGHEST_PROTOCOL, byref=False, recurse=True).dump(obj)
    return buffer.getvalue()


class Image:
    """The worker's side: modules that are filled with the caller's definitions, each when it is first needed."""

    def __init__(self, main: dict[str, Any] | None, arena: Arena | None = None) -> None:
        """``main``: what the caller's ``__main__`` says of itself; None: this process has that module itself."""
        self._arena = arena
        self._pending: dict[tuple[str, str], Code] = {}
        #: Classes with what they will hold, the last one first.
        self._unfilled: list[tuple[type, bytes]] = []
        if main is None:
            return
        module = types.ModuleType("__main__")
        vars(module).update(main, __builtins__=builtins)
        sys.modules["__main__"] = module

    def update(self, definitions: Iterable[Definition]) -> None:
        """Sets names; those that refer to one another find each other."""
        keys = []
        for module, name, code in definitions:
            self._pending[module, name] = code
            keys.append((module, name))
            stand_in(module)
        for module, name in keys:
            self.define(module, name)

    def define(self, module: str, name: str) -> None:
        """Makes sure that a mirrored name is set."""
        code = self._pending.pop((module, name), None)
        if code is not None:
            in_the_making.add((module, name))
            try:
                value = self.load(code)
            finally:
                in_the_making.discard((module, name))
            setattr(sys.modules[module], name, value)
            self._fill_rest()

    def fill(self, cls: type, content: bytes) -> None:
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

    def load(self, code: Code) -> Any:
        """Unpickles what may refer to names that are not set yet."""
        return load(code, self._arena, lambda blob, buffers: _Unpickler(BytesIO(blob), self, buffers).load())


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BytesIO, image: Image, buffers: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._image = image

    def find_class(self, module: str, name: str) -> Any:
        if name == "fill_apart" and module == fill_apart.__module__:
            return self._image.fill
        first = name.partition(".")[0]
        self._image.define(module, first)
        if (module, first) in in_the_making:
            raise _NotYet(f"{module}.{first} is needed to make it")
        try:
            return super().find_class(module, name)
        except AttributeError as error:
            if is_unfilled(vars(sys.modules[module]).get(first)):
                raise _NotYet(str(error)) from error
            raise


class _NotYet(AttributeError):
    """What a name stands for is being made."""


def main_identity() -> dict[str, Any]:
    """What the caller's ``__main__`` says of itself, as far as it can be told to a worker."""
    main = sys.modules.get("__main__")
    own = vars(main) if main is not None else {}
    kept = ("__file__", "__doc__", "__package__")
    return {name: own[name] for name in kept if name in own and isinstance(own[name], (str, type(None)))}
