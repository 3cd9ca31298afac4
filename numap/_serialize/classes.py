"""Classes by value: made empty, then filled, once in each process that they come to.

What a class holds refers to the class: its methods do by ``super()``, its attributes may be instances of it. So it has to be there
before what it holds. And objects that come later have to be instances of this very class, so each has a token by which a
process knows whether it has it already.
"""

from __future__ import annotations

import abc
import contextlib
import copyreg
import enum
import functools
import os
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._base.errors import SerializationError
from .._items.exceptions import safe_text
from .c_layouts import derived, layout_of
from .lookup import NameResolver, named

#: Of classes that are made while a program runs.
HEAP_TYPE = 1 << 9

_NAMED_IN_TYPES = {
    value: name for name, value in vars(types).items() if isinstance(value, type) and value.__module__ != "types"
}

#: What to do about a class that can't be sent.
ELSEWHERE = "define it in a module that workers can import"
if hasattr(os, "fork"):
    ELSEWHERE += ', or start workers with start_method="fork"'

#: What a class holds: attributes, those of the members of an enumeration, what was registered, what is assigned last.
Content = tuple[dict[str, Any], dict[str, dict[str, Any]], tuple[type, ...], dict[str, Any]]

_tokens: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()

#: What a class makes for itself, or what is set in another way.
_OWN = {
    "__dict__",
    "__weakref__",
    "__module__",
    "__qualname__",
    "__doc__",
    "__slots__",
    "__orig_bases__",
    "_abc_impl",
    "__abstractmethods__",
}


def token_of(cls: type) -> str:
    """What a class that goes by value is known by in every process that it comes to."""
    token = _tokens.get(cls)
    if token is None:
        import uuid

        token = _tokens[cls] = uuid.uuid4().hex
        _classes[token] = cls
    return token


def reduce_class(scope: NameResolver, obj: type) -> Any:
    if obj in _NAMED_IN_TYPES:
        return getattr, (types, _NAMED_IN_TYPES[obj])
    if not obj.__flags__ & HEAP_TYPE:
        return NotImplemented
    if scope.by_name(obj, obj.__module__, obj.__qualname__):
        return scope.reference(obj.__module__, obj.__qualname__)
    home = scope.home_of(obj)
    if home is not None:
        return named, home
    from_another = derived(obj)
    if from_another is not None:
        return from_another
    token = token_of(obj)
    if obj is scope.filling:
        return _known_class, (token,)
    names = (obj.__name__, obj.__qualname__, obj.__module__)
    if isinstance(obj, enum.EnumMeta):
        parts = _members_by_parts(obj)
        members = {name: obj[name].value for name in obj.__members__} if parts is None else parts
        state = {k: v for k, v in vars(obj).items() if k not in _OWN and not _enum_made(k, v) and k not in members}
        enum_made = (type(obj), names, obj.__bases__, members, obj.__doc__, token, parts is not None)
        return _make_enum, enum_made, (state, _member_states(obj), (), {}), None, None, fill_class
    if typing.is_typeddict(obj):
        return _make_typed_dict, (names, typing.get_type_hints(obj), vars(obj)["__total__"])
    layout = layout_of(obj)
    body = {
        k: vars(obj)[k] for k in ("__slots__", "__doc__", "__orig_bases__") if k in vars(obj) and k not in layout.hidden
    }
    slots = body.get("__slots__", ())
    hidden = _OWN | layout.hidden | ({slots} if isinstance(slots, str) else set(slots))
    body.update(layout.body)
    state = {k: v for k, v in vars(obj).items() if k not in hidden}
    registered: tuple[type, ...] = ()
    if isinstance(obj, abc.ABCMeta):
        state["__abstractmethods__"] = obj.__abstractmethods__
        # What register() was told is kept in C; this is the only way to it.
        references = abc._get_dump(obj)[0]  # type: ignore[attr-defined]
        registered = tuple(cls for cls in (ref() for ref in references) if cls is not None)
    # A metaclass that comes with a base need not have a name.
    meta = None if any(type(base) is type(obj) for base in obj.__bases__) else type(obj)
    made = (meta, names, obj.__bases__, body, layout.options, token)
    content: Content = (state, {}, registered, layout.late)
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


def _make_class(
    meta: type | None,
    names: tuple[str, str, str],
    bases: Any,
    body: dict[str, Any],
    options: dict[str, Any],
    token: str,
) -> type:
    known = _classes.get(token)
    if known is not None:
        return known
    name, qualname, module = names
    body = {**body, "__module__": module, "__qualname__": qualname}
    with _quiet_hooks(bases), _named(names):
        try:
            keywords = options if meta is None else {"metaclass": meta, **options}
            fresh = types.new_class(name, bases, keywords, lambda namespace: namespace.update(body))
        except Exception:
            if options:
                raise
            fresh = _bare(meta or _metaclass(bases))(name, bases, body)
    return _remember(fresh, token)


def _bare(meta: Any) -> Callable[[str, Any, dict[str, Any]], type]:
    """Makes a class without its metaclass's own code.

    As with the hooks, that ran for the class statement. It may want keywords that are lost, or names that are set later.
    """
    return functools.partial(_beneath(meta, "__new__"), meta)


def _assign(cls: type, name: str, value: object) -> None:
    """Sets an attribute without its metaclass's own code, which may refuse."""
    _beneath(type(cls), "__setattr__")(cls, name, value)


def _beneath(meta: type, name: str) -> Any:
    """The method of a metaclass that is C code, or the standard library's."""
    found = (vars(base)[name] for base in meta.__mro__ if name in vars(base))
    methods = (getattr(it, "__func__", it) for it in found)
    return next(it for it in methods if not isinstance(it, types.FunctionType) or it.__module__ in ("abc", "enum"))


def _metaclass(bases: Iterable[type]) -> type:
    """Of the metaclasses of the bases the one that derives from all others."""
    return next(kind for kind in map(type, bases) if all(issubclass(kind, type(base)) for base in bases))


@contextlib.contextmanager
def _named(names: tuple[str, str, str]) -> Iterator[None]:
    """Whatever the making of a class raises is told with its name, and what to do."""
    try:
        yield
    except Exception as error:
        raise not_made(f"the class {names[1]!r} of {names[2]!r}", error) from error


def not_made(what: str, error: BaseException) -> SerializationError:
    """The error for what can't be made again in another process."""
    return SerializationError(
        f"{what} can't be made again in another process ({type(error).__name__}: {safe_text(error)}); {ELSEWHERE}"
    )


@contextlib.contextmanager
def _quiet_hooks(bases: Iterable[type]) -> Iterator[None]:
    """Keeps ``__init_subclass__`` of users' classes from running.

    It ran when the class statement did; its traces are in the attributes of the class, and its keywords are lost.
    """
    owners = {cls for base in bases for cls in base.__mro__ if "__init_subclass__" in vars(cls)}
    owners = {cls for cls in owners if cls.__flags__ & HEAP_TYPE and cls.__module__ != "typing"}
    hooks = {cls: vars(cls)["__init_subclass__"] for cls in owners}
    try:
        for cls in hooks:
            _assign(cls, "__init_subclass__", classmethod(lambda cls, **kwargs: None))
        yield
    finally:
        for cls, hook in hooks.items():
            _assign(cls, "__init_subclass__", hook)


def _members_by_parts(cls: Any) -> dict[str, Any] | None:
    """What the data type of an enumeration makes each member of, and its value; None: the value is enough for that."""
    kind = cls._member_type_
    if kind in (object, int, str, float, complex, bytes) and not hasattr(cls, "__new_member__"):
        return None
    parts: dict[str, Any] = {}
    for name, member in cls.__members__.items():
        if hasattr(kind, "__getnewargs__"):
            arguments = kind.__getnewargs__(member)
        else:
            make, arguments = kind.__reduce_ex__(member, 2)[:2]
            arguments = arguments[1:] if make is copyreg.__newobj__ else arguments  # type: ignore[attr-defined]
        parts[name] = arguments, member.value
    return parts


def _member_of_parts(cls: Any, *parts: Any) -> Any:
    arguments, value = parts if len(parts) == 2 else parts[0]
    member = cls._member_type_.__new__(cls, *arguments)
    member._value_ = value
    return member


def _make_enum(
    meta: Any,
    names: tuple[str, str, str],
    bases: Any,
    members: dict[str, Any],
    doc: str | None,
    token: str,
    by_parts: bool,
) -> type:
    known = _classes.get(token)
    if known is not None:
        return known

    def made(body: Any, make: Callable[[str, Any, Any], type]) -> type:
        body.update({"__module__": names[2], "__qualname__": names[1], "__doc__": doc})
        if by_parts:
            # What the class statement called for each member is not called again.
            body.update({"__new__": _member_of_parts, "__init__": lambda member, *parts: None})
        for member, value in members.items():
            body[member] = value
        return make(names[0], bases, body)

    with _named(names):
        try:
            fresh = made(meta.__prepare__(names[0], bases), functools.partial(meta.__new__, meta))
        except Exception:
            fresh = made(enum.EnumMeta.__prepare__(names[0], bases), _bare(meta))
    if by_parts:
        type.__delattr__(fresh, "__init__")
    return _remember(fresh, token)


def _make_typed_dict(names: tuple[str, str, str], hints: dict[str, Any], total: bool) -> Any:
    make: Any = typing.TypedDict
    made = make(names[0], hints, total=total)
    made.__qualname__, made.__module__ = names[1:]
    return made


#: Names that are being defined. What gets one is set as soon as it is there: what it refers to may refer to it.
in_the_making: set[tuple[str | None, str]] = set()


def announce(module: str | None, name: str, made: object) -> None:
    if (module, name) in in_the_making and module is not None:
        in_the_making.discard((module, name))
        setattr(sys.modules[module], name, made)


def _remember(cls: type, token: str) -> type:
    announce(cls.__module__, cls.__qualname__, cls)
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
    """Sets what a class holds from a pickle of its own, once. In pickles it stands for `MainImporter.fill_apart`."""
    if cls in _unfilled:
        fill_class(cls, load(content))


def fill_class(cls: type, content: Content) -> None:
    if cls not in _unfilled:
        return
    _unfilled.discard(cls)
    attributes, members, registered, late = content
    for name, value in attributes.items():
        _assign(cls, name, value)
    for name, values in members.items():
        vars(cls.__members__[name]).update(values)  # type: ignore[attr-defined]
    for other in registered:
        cls.register(other)  # type: ignore[attr-defined]
    for name, value in late.items():
        setattr(cls, name, value)
