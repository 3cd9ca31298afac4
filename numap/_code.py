"""Code by value: functions and classes that the other process can't import, for the C pickler.

`CodePickler` is ``pickle.Pickler`` with `Scope.reduce` as its ``reducer_override``. Plain data never gets there; an
object that has a name in an importable module goes by that name; a lambda, a closure, a local class goes by value:
its code object by marshal, its globals as the module of the same name over there, the names it uses there being the
business of the scope (see `_mirror`).
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import copyreg
import enum
import functools
import importlib
import importlib.machinery
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


def used_names(code: types.CodeType) -> set[str]:
    """All names of globals and attributes in a code object and those nested in it."""
    nested = (used_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*nested)


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
        #: What a class holds stays in the pickle of the class.
        self.plain = True
        #: The class whose content is being pickled apart.
        self.filling: type | None = None

    def apart(self, cls: type, content: object) -> bytes:
        """What the class that is being defined holds, in a pickle of its own."""
        self.filling = cls
        try:
            return CodePickler(self).encode(content)
        finally:
            self.filling = None

    def require(self, module: types.ModuleType, names: Iterable[str], by: str) -> None:
        """A function or class that goes by value uses these names of ``module``, as far as it has them."""

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

    def is_importable(self, module: types.ModuleType) -> bool:
        """Whether the other side gets the same module by its name."""
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
        if kind.__flags__ & _HEAP_TYPE and kind not in copyreg.dispatch_table and _reduces_itself(kind):
            return _reduce_as_told(self, obj)
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
        self._callback = callback
        try:
            self.dump(obj)
        finally:
            self._callback = None
            # Now, and not only before the next object: to collect a cycle that holds a memoryview kills some interpreters.
            self.clear_memo()
        return buffer.getvalue()


# ---------------------------------------------------------------------- functions


def _reduce_function(scope: Scope, obj: types.FunctionType) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__qualname__):
        return NotImplemented
    # functools.wraps changes __module__; the globals tell where the code really lives.
    home = sys.modules.get(obj.__globals__.get("__name__", ""))
    private = None
    names = set(global_names(obj.__code__))
    if home is not None and vars(home) is obj.__globals__:
        scope.require(home, names, obj.__qualname__)
    else:
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
        "modules": _modules(scope, obj, names),
        "cells": [(cell, cell.cell_contents) for cell in cells or () if not _is_empty(cell)],
    }  # fmt: skip
    return _make_function, args, state, None, None, _fill_function


def _modules(scope: Scope, func: types.FunctionType, names: set[str]) -> list[types.ModuleType]:
    """The modules below its global packages that a function uses: to import a package does not import them."""
    found: list[types.ModuleType] = []
    for module in [func.__globals__[name] for name in names if type(func.__globals__.get(name)) is types.ModuleType]:
        used, prefix = used_names(func.__code__), module.__name__ + "."
        scope.require(module, used, func.__qualname__)
        if hasattr(module, "__path__"):
            below = [(name[len(prefix) :], it) for name, it in list(sys.modules.items()) if name.startswith(prefix)]
            found += [it for name, it in below if it is not None and used.issuperset(name.split("."))]
    return found


def _reduce_method(scope: Scope, obj: types.MethodType) -> Any:
    # Not by its name: that may lead to what overrides it, to what was set on the object since, or nowhere (a private name, a
    # function of another name).
    return types.MethodType, (obj.__func__, obj.__self__)


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
    made = types.FunctionType(marshal.loads(code), namespace, name, None, cells)
    _announce(module, name, made)
    return made


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


def token_of(cls: type) -> str:
    """What a class that goes by value is known by in every process that it comes to."""
    token = _tokens.get(cls)
    if token is None:
        import uuid

        token = _tokens[cls] = uuid.uuid4().hex
        _classes[token] = cls
    return token


def _reduce_class(scope: Scope, obj: type) -> Any:
    if obj in _NAMED_IN_TYPES:
        return getattr, (types, _NAMED_IN_TYPES[obj])
    if not obj.__flags__ & _HEAP_TYPE or scope.by_name(obj, obj.__module__, obj.__qualname__):
        return NotImplemented
    token = token_of(obj)
    if obj is scope.filling:
        return _known_class, (token,)
    names = (obj.__name__, obj.__qualname__, obj.__module__)
    if isinstance(obj, enum.EnumMeta):
        members: dict[str, Any] = {name: obj[name].value for name in obj.__members__}
        state = {k: v for k, v in vars(obj).items() if k not in _OWN and not _enum_made(k, v) and k not in members}
        enum_made = (type(obj), names, obj.__bases__, members, obj.__doc__, token)
        return _make_enum, enum_made, (state, _member_states(obj), ()), None, None, fill_class
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
    content: tuple[Any, ...] = (state, {}, registered)
    if obj is scope.defining and not scope.plain:
        # That may need a class that derives from this one, and is being made for that in this moment.
        return _make_class, made, scope.apart(obj, content), None, None, fill_apart
    return _make_class, made, content, None, None, fill_class


def _enum_made(name: str, value: object) -> bool:
    """Whether EnumMeta puts this attribute into a class by itself."""
    if name.startswith("_") and name.endswith("_") and not name.startswith("__"):
        return name not in ("_generate_next_value_", "_missing_", "_ignore_")
    if name in ("__new__", "__set_name__"):
        return True
    standard = (enum.Enum, enum.Flag, getattr(enum, "ReprEnum", enum.Enum))
    return any(vars(base).get(name) is value for base in standard) or isinstance(value, types.MemberDescriptorType)


def _known_class(token: str) -> type:
    return _classes[token]


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


#: Names that are being defined. What gets one is set as soon as it is there: what it refers to may refer to it.
in_the_making: set[tuple[str | None, str]] = set()


def _announce(module: str | None, name: str, made: object) -> None:
    if (module, name) in in_the_making and module is not None:
        in_the_making.discard((module, name))
        setattr(sys.modules[module], name, made)


def _remember(cls: type, token: str) -> type:
    _announce(cls.__module__, cls.__qualname__, cls)
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


def is_unfilled(cls: object) -> bool:
    """Whether it is a class that does not hold yet what it will."""
    return isinstance(cls, type) and cls in _unfilled


def fill_apart(cls: type, content: bytes, load: Callable[[bytes], Any] = pickle.loads) -> None:
    """Sets what a class holds from a pickle of its own, once. In pickles it stands for `Image.fill`."""
    if cls in _unfilled:
        fill_class(cls, load(content))


def fill_class(cls: type, state: tuple[dict[str, Any], dict[str, dict[str, Any]], tuple[type, ...]]) -> None:
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


def _reduces_itself(kind: Any) -> bool:
    return kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__


def _by_value(obj: Any) -> Any:
    """An object by what it holds, though its class has another way."""
    held = {name: getattr(obj, name) for name in copyreg._slotnames(type(obj)) if hasattr(obj, name)}  # type: ignore[attr-defined]
    state = getattr(obj, "__dict__", None)
    return _blank, (type(obj),), (state, held) if held else state


def _blank(kind: type) -> object:
    return object.__new__(kind)


def _reduce_as_told(scope: Scope, obj: Any) -> Any:
    """What the object's class says. Where that is its own name, or a function that looks it up, the other side needs the name."""
    # With __numap_reduce__ a class chooses by what survives here, where pickle alone would lose code.
    own = getattr(type(obj), "__numap_reduce__", None)
    told = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL) if own is None else own(obj, _copied)
    if isinstance(told, str):
        if scope.defining is obj:
            return _by_value(obj)
        scope.by_name(obj, pickle.whichmodule(obj, told), told)  # type: ignore[attr-defined]
    elif scope.defining is obj and isinstance(told[0], types.FunctionType):
        names = (told[0].__globals__.get(name) for name in global_names(told[0].__code__))
        if any(it is obj for it in names):
            return _by_value(obj)
    return told


def _copied(obj: object) -> object:
    """The object as it arrives elsewhere."""
    return pickle.loads(CodePickler(Scope()).encode(obj))


def _reduce_module(scope: Scope, obj: types.ModuleType) -> Any:
    if scope.defining is not obj and obj.__name__ != "__main__":
        # For whom, nobody knows. Of the modules among a function's globals only that goes which the function names.
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


def _reduce_alias(scope: Scope, obj: Any) -> Any:
    if scope.by_name(obj, obj.__module__, obj.__name__):
        return obj.__name__
    return _make_alias, (obj.__name__, obj.__value__, obj.__type_params__)


def _make_alias(name: str, value: Any, type_params: Any) -> Any:
    return typing.TypeAliasType(name, value, type_params=type_params)  # type: ignore[attr-defined]


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


def _reduce_weak_dictionary(scope: Scope, obj: Any) -> Any:
    return _make_weak_dictionary, (type(obj), dict(obj))


def _make_weak_dictionary(kind: Any, items: dict[Any, Any]) -> Any:
    """Keeps what somebody else keeps, too, as ever."""
    return kind(items)


def _reduce_weak_reference(scope: Scope, obj: weakref.ref[Any]) -> Any:
    return _make_weak_reference, (obj(),)


def _make_weak_reference(obj: object) -> weakref.ref[Any]:
    return weakref.ref(_Gone() if obj is None else obj)


class _Gone:
    """What a reference to something that is no more refers to, for a moment."""


_NAMED_IN_TYPES = {
    value: name for name, value in vars(types).items() if isinstance(value, type) and value.__module__ != "types"
}  # fmt: skip

#: Kinds of type variables, and of names for types, as far as this version has them.
_TYPE_VARIABLES = [vars(typing)[name] for name in ("TypeVar", "ParamSpec", "TypeVarTuple") if name in vars(typing)]
_ALIASES = [vars(typing)[name] for name in ("TypeAliasType",) if name in vars(typing)]

_REDUCERS: dict[type, Callable[[Scope, Any], Any]] = {
    types.FunctionType: _reduce_function,
    types.CellType: _reduce_cell,
    types.MethodType: _reduce_method,
    types.ModuleType: _reduce_module,
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
}  # fmt: skip
