"""Code by value: functions and classes that the other process can't import, for the C pickler.

`CodePickler` is ``pickle.Pickler`` with `Scope.reduce` as its ``reducer_override``. Plain data never gets there; an
object that has a name in an importable module goes by that name; a lambda, a closure, a local class goes by value:
its code object by marshal, its globals as the module of the same name over there, the names it uses there being the
business of the scope (see `_mirror`).
"""

from __future__ import annotations

import abc
import contextlib
import enum
import functools
import importlib
import io
import marshal
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator
from opcode import opmap
from typing import Any

_EXTENDED = opmap["EXTENDED_ARG"]
_LOADS = {opmap[name] for name in ("LOAD_GLOBAL", "LOAD_NAME") if name in opmap}
_LOADS |= {opmap[name] for name in ("LOAD_FROM_DICT_OR_GLOBALS",) if name in opmap}
_STORES = {opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL") if name in opmap}
_SHIFTED = opmap["LOAD_GLOBAL"] if sys.version_info >= (3, 11) else -1
_HEAP_TYPE = 1 << 9


def global_names(code: types.CodeType, stores: bool = False) -> Iterator[str]:
    """The globals that a code object, or one nested in it, reads (with ``stores``: assigns).

    Attribute names share ``co_names`` with globals; the instructions tell them apart, so that ``x.data`` does not
    drag a global called ``data`` along.
    """
    wanted = _STORES if stores else _LOADS
    raw, extended = code.co_code, 0
    for place in range(0, len(raw), 2):
        op, arg = raw[place], raw[place + 1] | extended
        extended = arg << 8 if op == _EXTENDED else 0
        if op in wanted:
            yield code.co_names[arg >> 1 if op == _SHIFTED else arg]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant, stores)


def find(module: types.ModuleType, qualname: str) -> object:
    """The object of that qualified name in a module, or None."""
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


class Scope:
    """What the other side can find by name. This base class: whatever this process finds by the same name."""

    def __init__(self) -> None:
        #: The object that is being defined: it and what is nested in it go by value though they have a name.
        self.defining: object = None

    def require(self, module: types.ModuleType, names: Iterator[str], by: str) -> None:
        """A function or class of ``module`` that goes by value uses these of its names."""

    def by_name(self, obj: Any, module_name: object, qualname: object) -> bool:
        """Whether the other side finds this very object under its qualified name."""
        if not isinstance(module_name, str) or not isinstance(qualname, str):
            return False
        module = sys.modules.get(module_name)
        if module is None or obj is self.defining or find(module, qualname) is not obj:
            return False
        outer = self.defining
        if isinstance(outer, type) and outer.__module__ == module_name and qualname.startswith(outer.__qualname__ + "."):
            return False
        return self.offers(module, qualname)

    def offers(self, module: types.ModuleType, qualname: str) -> bool:
        """Whether a name that this process finds in ``module`` is found by the other side, too."""
        return True

    def reduce(self, obj: Any) -> Any:
        """The ``reducer_override`` of a pickler in this scope."""
        kind = type(obj)
        reducer = _REDUCERS.get(kind)
        if reducer is not None:
            return reducer(self, obj)
        if kind.__module__ == "dataclasses" and kind.__name__ == "_FIELD_BASE":
            # Its module costs too much to be imported for the table.
            return _reduce_field_kind(self, obj)
        if issubclass(kind, type):
            return _reduce_class(self, obj)
        return NotImplemented


class CodePickler(pickle.Pickler):
    """A C pickler for data and code; one object at a time with `encode`."""

    def __init__(self, scope: Scope) -> None:
        self._buffer = io.BytesIO()
        super().__init__(self._buffer, pickle.HIGHEST_PROTOCOL, buffer_callback=self._beside)
        self._reduce = scope.reduce
        self._callback: Callable[[pickle.PickleBuffer], object] | None = None

    def reducer_override(self, obj: Any) -> Any:
        """Asks the scope."""
        return self._reduce(obj)

    def _beside(self, buffer: pickle.PickleBuffer) -> object:
        return self._callback is None or self._callback(buffer)

    def encode(self, obj: object, callback: Callable[[pickle.PickleBuffer], object] | None = None, /) -> bytes:
        """The pickle of one object; nothing is shared with objects before it.

        ``callback`` is called with large buffers, as arrays have them, and returns true for those to be left in the pickle.
        """
        buffer = self._buffer
        buffer.seek(0)
        buffer.truncate()
        self.clear_memo()
        self._callback = callback
        try:
            self.dump(obj)
        finally:
            self._callback = None
        return buffer.getvalue()


# ---------------------------------------------------------------------- functions


def _reduce_function(scope: Scope, obj: types.FunctionType) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__qualname__):
        return NotImplemented
    # functools.wraps changes __module__; the globals tell where the code really lives.
    home = sys.modules.get(obj.__globals__.get("__name__", ""))
    private = None
    if home is not None and vars(home) is obj.__globals__:
        scope.require(home, global_names(obj.__code__), obj.__qualname__)
    else:
        names = set(global_names(obj.__code__))
        private = {name: obj.__globals__[name] for name in names if name in obj.__globals__}
        home = None
    cells = obj.__closure__
    args = (
        marshal.dumps(obj.__code__), home.__name__ if home is not None else None, obj.__name__, cells,
    )  # fmt: skip
    state = {
        "attributes": {
            "__qualname__": obj.__qualname__, "__module__": obj.__module__, "__doc__": obj.__doc__,
            "__defaults__": obj.__defaults__, "__kwdefaults__": obj.__kwdefaults__,
            "__annotations__": obj.__annotations__,
        },
        "dict": obj.__dict__,
        "globals": private,
        "cells": [(cell, cell.cell_contents) for cell in cells or () if not _is_empty(cell)],
    }  # fmt: skip
    return _make_function, args, state, None, None, _fill_function


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where nothing is bound yet
    except ValueError:
        return True
    return False


def _reduce_cell(scope: Scope, obj: types.CellType) -> Any:
    # Empty on purpose: the function's state fills it, after the function itself is known, so that a closure may
    # refer to itself, and two functions that share a variable share the cell.
    return types.CellType, ()


def _make_function(
    code: bytes, module: str | None, name: str, cells: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    namespace = {"__builtins__": __builtins__, "__name__": "numap.detached"} if module is None else _namespace(module)
    return types.FunctionType(marshal.loads(code), namespace, name, None, cells)


def _namespace(module: str) -> dict[str, Any]:
    found = sys.modules.get(module)
    return vars(found if found is not None else importlib.import_module(module))


def _fill_function(func: types.FunctionType, state: dict[str, Any]) -> None:
    for name, value in state["attributes"].items():
        setattr(func, name, value)
    func.__dict__.update(state["dict"])
    if state["globals"] is not None:
        func.__globals__.update(state["globals"])
    for cell, contents in state["cells"]:
        cell.cell_contents = contents


# ---------------------------------------------------------------------- classes

_tokens: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()

#: What a class makes for itself, or what is set in another way.
_OWN = {
    "__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__slots__", "__orig_bases__", "_abc_impl",
    "__abstractmethods__",
}  # fmt: skip


def _reduce_class(scope: Scope, obj: type) -> Any:
    if obj in _NAMED_IN_TYPES:
        return getattr, (types, _NAMED_IN_TYPES[obj])
    if not obj.__flags__ & _HEAP_TYPE or scope.by_name(obj, obj.__module__, obj.__qualname__):
        return NotImplemented
    token = _tokens.get(obj)
    if token is None:
        import uuid

        token = _tokens[obj] = uuid.uuid4().hex
        _classes[token] = obj
    names = (obj.__name__, obj.__qualname__, obj.__module__)
    if isinstance(obj, enum.EnumMeta):
        members: dict[str, Any] = {name: obj[name].value for name in obj.__members__}
        state = {k: v for k, v in vars(obj).items() if k not in _OWN and not _enum_made(k, v) and k not in members}
        enum_made = (type(obj), names, obj.__bases__, members, obj.__doc__, token)
        return _make_enum, enum_made, (state, _member_states(obj), ()), None, None, _fill_class
    if typing.is_typeddict(obj):
        return _make_typed_dict, (names, typing.get_type_hints(obj), vars(obj)["__total__"])
    body = {k: vars(obj)[k] for k in ("__slots__", "__doc__", "__orig_bases__") if k in vars(obj)}
    slots = body.get("__slots__", ())
    hidden = _OWN | ({slots} if isinstance(slots, str) else set(slots))
    state = {k: v for k, v in vars(obj).items() if k not in hidden}
    registered: tuple[type, ...] = ()
    if isinstance(obj, abc.ABCMeta):
        state["__abstractmethods__"] = obj.__abstractmethods__
        # What register() was told is kept in C; this is the only way to it.
        references = abc._get_dump(obj)[0]  # type: ignore[attr-defined]
        registered = tuple(cls for cls in (ref() for ref in references) if cls is not None)
    made = (type(obj), names, obj.__bases__, body, token)
    return _make_class, made, (state, {}, registered), None, None, _fill_class


def _enum_made(name: str, value: object) -> bool:
    """Whether EnumMeta puts this attribute into a class by itself."""
    if name.startswith("_") and name.endswith("_") and not name.startswith("__"):
        return name not in ("_generate_next_value_", "_missing_", "_ignore_")
    if name in ("__new__", "__set_name__"):
        return True
    standard = (enum.Enum, enum.Flag, getattr(enum, "ReprEnum", enum.Enum))
    return any(vars(base).get(name) is value for base in standard) or isinstance(value, types.MemberDescriptorType)


def _make_class(meta: type, names: tuple[str, str, str], bases: Any, body: dict[str, Any], token: str) -> type:
    known = _classes.get(token)
    if known is not None:
        return known
    name, qualname, module = names
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(body, __module__=module, __qualname__=qualname)

    with _quiet_hooks(bases):
        fresh = types.new_class(name, bases, {"metaclass": meta}, fill)
    return _remember(fresh, token)


@contextlib.contextmanager
def _quiet_hooks(bases: Iterable[type]) -> Iterator[None]:
    """Keeps ``__init_subclass__`` of users' classes from running.

    It ran when the class statement did; its traces are in the attributes of the class, and its keywords are lost.
    """
    owners = {cls for base in bases for cls in base.__mro__ if "__init_subclass__" in vars(cls)}
    owners = {cls for cls in owners if cls.__flags__ & _HEAP_TYPE and cls.__module__ != "typing"}
    hooks = {cls: vars(cls)["__init_subclass__"] for cls in owners}
    try:
        for cls in hooks:
            type.__setattr__(cls, "__init_subclass__", classmethod(lambda cls, **kwargs: None))
        yield
    finally:
        for cls, hook in hooks.items():
            type.__setattr__(cls, "__init_subclass__", hook)


def _make_enum(
    meta: Any, names: tuple[str, str, str], bases: Any, members: dict[str, Any], doc: str | None, token: str
) -> type:
    known = _classes.get(token)
    if known is not None:
        return known
    name, qualname, module = names
    body = meta.__prepare__(name, bases)
    body.update({"__module__": module, "__qualname__": qualname, "__doc__": doc})
    for member, value in members.items():
        body[member] = value
    return _remember(meta.__new__(meta, name, bases, body), token)


def _make_typed_dict(names: tuple[str, str, str], hints: dict[str, Any], total: bool) -> Any:
    make: Any = typing.TypedDict
    made = make(names[0], hints, total=total)
    made.__qualname__, made.__module__ = names[1:]
    return made


def _remember(cls: type, token: str) -> type:
    _tokens[cls] = token
    _classes[token] = cls
    _unfilled.add(cls)
    return cls


_unfilled: weakref.WeakSet[type] = weakref.WeakSet()


def _member_states(cls: enum.EnumMeta) -> dict[str, dict[str, Any]]:
    """What an enumeration's own ``__new__`` or ``__init__`` has set on its members; neither is called again."""
    members: dict[str, Any] = dict(cls.__members__)
    found = {name: {k: v for k, v in vars(member).items() if k[:1] != "_"} for name, member in members.items()}
    return {name: attributes for name, attributes in found.items() if attributes}


def _fill_class(cls: type, state: tuple[dict[str, Any], dict[str, dict[str, Any]], tuple[type, ...]]) -> None:
    if cls not in _unfilled:
        return
    _unfilled.discard(cls)
    attributes, members, registered = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    for name, values in members.items():
        vars(cls.__members__[name]).update(values)  # type: ignore[attr-defined]
    for other in registered:
        cls.register(other)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------- the rest of what a class or module holds


def _reduce_module(scope: Scope, obj: types.ModuleType) -> Any:
    return importlib.import_module, (obj.__name__,)


def _reduce_cached(scope: Scope, obj: Any) -> Any:
    if scope.by_name(obj, getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)):
        return NotImplemented
    parameters = obj.cache_parameters()
    return _make_cached, (parameters["maxsize"], parameters["typed"], obj.__wrapped__)


def _make_cached(maxsize: int | None, typed: bool, func: Callable[..., Any]) -> Any:
    return functools.lru_cache(maxsize, typed)(func)


def _reduce_type_variable(scope: Scope, obj: Any) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__name__):
        return NotImplemented
    options = {"bound": obj.__bound__, "covariant": obj.__covariant__, "contravariant": obj.__contravariant__}
    return _make_type_variable, (obj.__name__, obj.__constraints__, options, obj.__module__)


def _make_type_variable(name: str, constraints: tuple[Any, ...], options: dict[str, Any], module: str) -> Any:
    variable = typing.TypeVar(name, *constraints, **options)  # type: ignore[misc]
    variable.__module__ = module
    return variable


def _reduce_field_kind(scope: Scope, obj: Any) -> Any:
    return getattr, (sys.modules["dataclasses"], obj.name)


def _make_cached_property(func: Callable[..., Any], name: str | None) -> Any:
    made: Any = functools.cached_property(func)
    made.attrname = name
    return made


def _reduce_memoryview(scope: Scope, obj: memoryview) -> Any:
    # Only a buffer that is in one piece, in the order of C, is told by its bytes, format and shape.
    if not obj.c_contiguous:
        return NotImplemented
    return _make_memoryview, (pickle.PickleBuffer(obj), obj.format, obj.shape)


def _make_memoryview(data: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    return memoryview(data).cast("B").cast(form, shape)  # type: ignore[call-overload,no-any-return]


_NAMED_IN_TYPES = {
    value: name for name, value in vars(types).items() if isinstance(value, type) and value.__module__ != "types"
}  # fmt: skip

_REDUCERS: dict[type, Callable[[Scope, Any], Any]] = {
    types.FunctionType: _reduce_function,
    types.CellType: _reduce_cell,
    types.ModuleType: _reduce_module,
    types.CodeType: lambda scope, obj: (marshal.loads, (marshal.dumps(obj),)),
    types.MappingProxyType: lambda scope, obj: (types.MappingProxyType, (dict(obj),)),
    memoryview: _reduce_memoryview,
    property: lambda scope, obj: (property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)),
    classmethod: lambda scope, obj: (classmethod, (obj.__func__,)),
    staticmethod: lambda scope, obj: (staticmethod, (obj.__func__,)),
    functools.cached_property: lambda scope, obj: (_make_cached_property, (obj.func, obj.attrname)),
    type(functools.lru_cache(lambda: None)): _reduce_cached,
    typing.TypeVar: _reduce_type_variable,
}  # fmt: skip
