"""Code by value: what the other process can't import, for the C pickler.

`CodePickler` is ``pickle.Pickler`` with `reduce` as its ``reducer_override``. Plain data never gets there, so it is as fast as
ever. An object that has a name in an importable module goes by that name. A lambda, a closure or a local class goes by value:
its code object by marshal, its globals as the module of the same name over there. That this module has the names is the
business of the scope; see `main_export`.
"""

from __future__ import annotations

import copyreg
import functools
import io
import marshal
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

from .c_libraries import reduce_library
from .classes import HEAP_TYPE, reduce_class
from .functions import reduce_cell, reduce_function, reduce_identity, reduce_method, reduce_module
from .libraries import add_imported, reduce_array
from .lookup import NameResolver, global_names
from .tensors import narrowed, reduce_storage, reduce_tensor

#: Is called with each large buffer of an object, as arrays have them; returns true for those to be left in the pickle.
BufferCallback = Callable[[pickle.PickleBuffer], object]


class CodePickler(pickle.Pickler):
    """A C pickler for data and code; one object at a time with `encode`."""

    def __init__(self, scope: NameResolver) -> None:
        self._buffer = io.BytesIO()
        super().__init__(self._buffer, pickle.HIGHEST_PROTOCOL, buffer_callback=self._beside)
        self._scope = scope
        self._callback: BufferCallback | None = None

    def reducer_override(self, obj: Any) -> Any:
        """See `reduce`."""
        return reduce(self._scope, obj)

    def _beside(self, buffer: pickle.PickleBuffer) -> object:
        return self._callback is None or self._callback(buffer)

    def encode(self, obj: object, callback: BufferCallback | None = None, /) -> bytes:
        """The pickle of one object; nothing is shared with objects before it.

        ``callback``: see `BufferCallback`; None: all are left in the pickle.
        """
        buffer = self._buffer
        buffer.seek(0)
        buffer.truncate()
        self._callback = callback
        add_imported(_REDUCERS)
        try:
            self.dump(obj)
        finally:
            self._callback = None
            # Now, and not only before the next object: to collect a cycle that holds a memoryview kills some interpreters.
            self.clear_memo()
        return buffer.getvalue()


def reduce(scope: NameResolver, obj: Any) -> Any:
    """The ``reducer_override`` of a pickler in a scope."""
    kind = type(obj)
    reducer = _REDUCERS.get(kind)
    if reducer is not None:
        return reducer(scope, obj)
    if kind.__module__ == "dataclasses" and kind.__name__ == "_FIELD_BASE":
        # Its module costs too much to be imported for the table.
        return _reduce_field_kind(scope, obj)
    if issubclass(kind, type):
        return reduce_class(scope, obj)
    library = reduce_library(obj) if "ctypes" in sys.modules else None
    if library is not None:
        return library
    if kind.__flags__ & HEAP_TYPE and kind not in copyreg.dispatch_table and _reduces_itself(kind):
        return _reduce_as_told(scope, obj)
    return NotImplemented


def _reduces_itself(kind: Any) -> bool:
    return kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__


def _by_value(obj: Any) -> Any:
    """An object by what it holds, though its class has another way."""
    held = {name: getattr(obj, name) for name in copyreg._slotnames(type(obj)) if hasattr(obj, name)}  # type: ignore[attr-defined]
    state = getattr(obj, "__dict__", None)
    return _blank, (type(obj),), (state, held) if held else state


def _blank(kind: type) -> object:
    return object.__new__(kind)


def _reduce_as_told(scope: NameResolver, obj: Any) -> Any:
    """What the object's class says. Where that is its own name, or a function that looks it up, the other side needs the name."""
    kind: Any = type(obj)
    if kind.__reduce_ex__ is not object.__reduce_ex__:
        told = reduce_array(obj, kind)
        if told is not None:
            return told
    if "torch" in sys.modules:
        found = reduce_tensor(obj) or reduce_storage(obj)
        if found is not None:
            return found
    # With __numap_reduce__ a class chooses by what survives here, where pickle alone would lose code.
    own = getattr(kind, "__numap_reduce__", None)
    told = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL) if own is None else own(obj, _copied)
    managers = sys.modules.get("multiprocessing.managers")
    if managers is not None and isinstance(obj, managers.BaseProxy):
        return _with_key(scope, obj, told)
    if "torch" in sys.modules:
        told = narrowed(obj, told)
    if isinstance(told, str):
        if scope.defining is obj:
            return _by_value(obj)
        module = pickle.whichmodule(obj, told)  # type: ignore[attr-defined]
        if scope.by_name(obj, module, told):
            return _called(scope, module, told)
    elif scope.defining is obj and isinstance(told[0], types.FunctionType):
        names = (told[0].__globals__.get(name) for name in global_names(told[0].__code__))
        if any(it is obj for it in names):
            return _by_value(obj)
    return told


def _with_key(scope: NameResolver, proxy: Any, told: Any) -> Any:
    """How a manager's proxy is made again, with the key that it talks to its manager with, as in a child of multiprocessing.

    Its pickle alone is no user of what it stands for: the manager would drop that with the last proxy here.
    """
    scope.keep(proxy)
    if isinstance(told, tuple) and told[0] is sys.modules["multiprocessing.managers"].RebuildProxy:
        func, token, serializer, options = told[1]
        return told[0], (func, token, serializer, {**options, "authkey": bytes(proxy._authkey)})
    return told


def _called(scope: NameResolver, module: str, name: str) -> Any:
    """What a reducer returns for what has this name."""
    told = scope.reference(module, name)
    return name if told is NotImplemented else told


def _copied(obj: object) -> object:
    """The object as it arrives elsewhere."""
    return pickle.loads(CodePickler(NameResolver()).encode(obj))


def _reduce_cached(scope: NameResolver, obj: Any) -> Any:
    if scope.by_name(obj, getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)):
        return scope.reference(obj.__module__, obj.__qualname__)
    parameters = obj.cache_parameters()
    return _make_cached, (parameters["maxsize"], parameters["typed"], obj.__wrapped__)


def _make_cached(maxsize: int | None, typed: bool, func: Callable[..., Any]) -> Any:
    return functools.lru_cache(maxsize, typed)(func)


def _reduce_type_variable(scope: NameResolver, obj: Any) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__name__):
        return scope.reference(obj.__module__, obj.__name__)
    if type(obj) is not typing.TypeVar:
        return _make_named, (type(obj), obj.__name__, obj.__module__)
    options = {"bound": obj.__bound__, "covariant": obj.__covariant__, "contravariant": obj.__contravariant__}
    return _make_type_variable, (obj.__name__, obj.__constraints__, options, obj.__module__)


def _make_type_variable(name: str, constraints: tuple[Any, ...], options: dict[str, Any], module: str) -> Any:
    variable = typing.TypeVar(name, *constraints, **options)  # type: ignore[misc]
    variable.__module__ = module
    return variable


def _make_named(kind: Any, name: str, module: str) -> Any:
    made = kind(name)
    made.__module__ = module
    return made


def _reduce_alias(scope: NameResolver, obj: Any) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__name__):
        return _called(scope, obj.__module__, obj.__name__)
    return _make_alias, (obj.__name__, obj.__value__, obj.__type_params__)


def _make_alias(name: str, value: Any, type_params: Any) -> Any:
    return typing.TypeAliasType(name, value, type_params=type_params)  # type: ignore[attr-defined]


def _reduce_field_kind(scope: NameResolver, obj: Any) -> Any:
    return getattr, (sys.modules["dataclasses"], obj.name)


def _make_cached_property(func: Callable[..., Any], name: str | None) -> Any:
    made: Any = functools.cached_property(func)
    made.attrname = name
    return made


def _reduce_memoryview(scope: NameResolver, obj: memoryview) -> Any:
    # Only a buffer that is in one piece, in the order of C, is told by its bytes, format and shape.
    if not obj.c_contiguous:
        return NotImplemented
    return _make_memoryview, (pickle.PickleBuffer(obj), obj.format, obj.shape)


def _make_memoryview(data: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    return memoryview(data).cast("B").cast(form, shape)  # type: ignore[call-overload,no-any-return]


def _reduce_weak_dictionary(scope: NameResolver, obj: Any) -> Any:
    return _make_weak_dictionary, (type(obj), dict(obj))


def _make_weak_dictionary(kind: Any, items: dict[Any, Any]) -> Any:
    """Keeps what others keep, too, as ever."""
    return kind(items)


def _reduce_weak_reference(scope: NameResolver, obj: weakref.ref[Any]) -> Any:
    return _make_weak_reference, (obj(),)


def _make_weak_reference(obj: object) -> weakref.ref[Any]:
    return weakref.ref(_Gone() if obj is None else obj)


class _Gone:
    """What a reference to something that is no more refers to, for a moment."""


#: Kinds of type variables, and of names for types, as far as this version has them.
_TYPE_VARIABLES = [vars(typing)[name] for name in ("TypeVar", "ParamSpec", "TypeVarTuple") if name in vars(typing)]
_ALIASES = [vars(typing)[name] for name in ("TypeAliasType",) if name in vars(typing)]

_REDUCERS: dict[type, Callable[[NameResolver, Any], Any]] = {
    types.FunctionType: reduce_function,
    types.CellType: reduce_cell,
    object: reduce_identity,
    types.MethodType: reduce_method,
    types.ModuleType: reduce_module,
    types.CodeType: lambda scope, obj: (marshal.loads, (marshal.dumps(obj),)),
    types.MappingProxyType: lambda scope, obj: (types.MappingProxyType, (dict(obj),)),
    memoryview: _reduce_memoryview,
    property: lambda scope, obj: (property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)),
    classmethod: lambda scope, obj: (classmethod, (obj.__func__,)),
    staticmethod: lambda scope, obj: (staticmethod, (obj.__func__,)),
    functools.cached_property: lambda scope, obj: (_make_cached_property, (obj.func, obj.attrname)),
    type(functools.lru_cache(lambda: None)): _reduce_cached,
    **dict.fromkeys(_TYPE_VARIABLES, _reduce_type_variable),
    **dict.fromkeys(_ALIASES, _reduce_alias),
    weakref.WeakKeyDictionary: _reduce_weak_dictionary,
    weakref.WeakValueDictionary: _reduce_weak_dictionary,
    weakref.ref: _reduce_weak_reference,
}
