"""Classes whose layout C code keeps, of ctypes and msgspec: what such a class has to be told again to be made elsewhere."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple


class ClassLayout(NamedTuple):
    """How to make the class again.

    Attributes:
        body: what the body of its class statement has to say.
        options: keywords of its class statement.
        late: what is assigned to the class when it is there, as it refers to the class.
        hidden: attributes that come by themselves.
    """

    body: dict[str, Any]
    options: dict[str, Any]
    late: dict[str, Any]
    hidden: frozenset[str]


def layout_of(cls: Any) -> ClassLayout:
    """What the class has to be told beside what every class is."""
    if _is_of_ctypes(cls):
        return _of_ctypes(cls)
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(cls, type(msgspec.Struct)):
        return _of_msgspec(cls, msgspec)
    return ClassLayout({}, {}, {}, frozenset())


def derived(cls: Any) -> Any:
    """How a pickler tells a type that ctypes makes of another one, an array or a pointer; None: it is none."""
    if not _is_of_ctypes(cls):
        return None
    ctypes: Any = sys.modules["ctypes"]
    if issubclass(cls, ctypes.Array) and cls.__name__ == f"{cls._type_.__name__}_Array_{cls._length_}":
        return operator.mul, (cls._type_, cls._length_)
    if issubclass(cls, ctypes._Pointer) and cls.__name__ == f"LP_{cls._type_.__name__}":
        return ctypes.POINTER, (cls._type_,)
    plain = getattr(ctypes, cls.__qualname__, None)
    for order in ("__ctype_be__", "__ctype_le__"):
        if cls is not plain and getattr(plain, order, None) is cls:
            return getattr, (plain, order)
    return None


def _is_of_ctypes(cls: Any) -> bool:
    return "ctypes" in sys.modules and any(meta.__module__ == "_ctypes" for meta in type(cls).__mro__)


def _of_ctypes(cls: Any) -> ClassLayout:
    own = vars(cls)
    body = {name: own[name] for name in ("_pack_", "_align_", "_layout_", "_anonymous_") if name in own}
    made = {name for name, value in own.items() if type(value).__name__ == "CField"}
    late: dict[str, Any] = {}
    if "_fields_" in own:
        # A class that derives from this one takes the fields when it is made, so they are late only if they have to be.
        (late if cls in _parts(cls, set()) else body)["_fields_"] = own["_fields_"]
    return ClassLayout(body, {}, late, frozenset(made | body.keys() | late.keys()))


def _parts(cls: Any, seen: set[type]) -> Iterator[type]:
    """The types that the fields of a structure are made of, and those that these are made of."""
    for field in vars(cls).get("_fields_", ()):
        kind = field[1]
        while isinstance(kind, type):
            yield kind
            if kind not in seen:
                seen.add(kind)
                yield from _parts(kind, seen)
            kind = getattr(kind, "_type_", None)


#: Keywords of a struct's class statement that its configuration tells.
_OPTIONS = (
    "frozen",
    "eq",
    "order",
    "array_like",
    "gc",
    "repr_omit_defaults",
    "omit_defaults",
    "forbid_unknown_fields",
    "weakref",
    "dict",
    "cache_hash",
    "tag",
    "tag_field",
)


def _of_msgspec(cls: Any, msgspec: Any) -> ClassLayout:
    own = vars(cls)
    annotations = own.get("__annotations__", {})
    names, values = cls.__struct_fields__, cls.__struct_defaults__
    defaults = dict(zip(names[len(names) - len(values) :], values, strict=True))
    body = {"__annotations__": annotations}
    for name, value in defaults.items():
        if name in annotations and value is not msgspec.NODEFAULT:
            body[name] = _Maker(value.factory) if type(value).__name__ == "Factory" else value
    if "__post_init__" in own:
        body["__post_init__"] = own["__post_init__"]
    options = {name: getattr(cls.__struct_config__, name, None) for name in _OPTIONS}
    options = {name: value for name, value in options.items() if value is not None}
    options["kw_only"] = not annotations.keys() & set(cls.__match_args__)
    options["rename"] = {k: v for k, v in zip(names, cls.__struct_encode_fields__, strict=True) if k in annotations}
    return ClassLayout(body, options, {}, frozenset({"__slots__", *annotations, *body}))


class _Maker:
    """A default that is made anew for each object."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __reduce__(self) -> tuple[Any, ...]:
        return _field, (self._make,)


def _field(make: Any) -> Any:
    import msgspec

    return msgspec.field(default_factory=make)
