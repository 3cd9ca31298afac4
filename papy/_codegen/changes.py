"""Whether a function or class is still what its source says, and what has been changed since it was defined.

A saved pipeline that does something else than the one that was saved is worse than an error. What can be said by a
statement behind the definition (an attribute that was set, a method that was replaced) is written down. Where something
was put around a function, or its file was changed, there is no such statement, and the object is refused.
"""

from __future__ import annotations

import ast
import inspect
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MappingProxyType, MemberDescriptorType
from typing import Any, NamedTuple

from papy._codegen.names import NotSource
from papy._codegen.source_text import FUNCTIONS


class Change(NamedTuple):
    """A statement that comes after a definition.

    Attributes:
        form: The statement, with a pair of braces for each value.
        values: The values.
    """

    form: str
    values: tuple[Any, ...]


def changes(name: str, value: Any, text: str, known: Mapping[str, Any]) -> list[Change]:
    """What has to be done after the source of a function or class was run, to get this value.

    Args:
        name: Its name.
        value: The function or class.
        text: The source.
        known: The globals that the source sees.

    Raises:
        NotSource: The value is something else than what its source makes.
    """
    node = ast.parse(text).body[0]
    if isinstance(node, ast.ClassDef) and isinstance(value, type):
        return [Change(f"{name}.{key} = {{}}", (given,)) for key, given in _of_class(name, value, node)]
    if isinstance(node, FUNCTIONS) and node.name == name:
        return list(_of_function(name, value, node, known))
    raise NotSource(f"{name} is something else than its source says, which begins with {text.splitlines()[0]!r}")


def _of_function(name: str, value: Any, node: Any, known: Mapping[str, Any]) -> Iterator[Change]:
    inner, around = value, 0
    while hasattr(inner, "__wrapped__"):
        inner, around = inner.__wrapped__, around + 1
    plain = not node.decorator_list
    if around > len(node.decorator_list) or (plain and not isinstance(value, FunctionType)):
        raise NotSource(
            f"{name} is not what its source says: something was put around it after it was defined; "
            f"do that by a decorator, or give the result a name of its own"
        )
    if isinstance(inner, FunctionType):
        code = inner.__code__
        written = [it for it in _codes(inner) or [code] if it.co_firstlineno == code.co_firstlineno]
        if _bare(code) not in map(_bare, written):
            raise NotSource(f"{name} is not what its source says; was the file changed since it was run?")
        _check_defaults(name, inner, node.args, known)
    for key, given in vars(value).items() if plain else ():
        yield Change(f"{name}.{key} = {{}}", (given,))
    registry = getattr(value, "registry", None)
    if isinstance(registry, MappingProxyType) and hasattr(value, "dispatch"):  # of functools.singledispatch
        for kind, function in registry.items():
            if kind is not object:
                yield Change(f"{name}.register({{}}, {{}})", (kind, function))


def _check_defaults(name: str, function: FunctionType, args: ast.arguments, known: Mapping[str, Any]) -> None:
    """A default that refers to a global has been evaluated when the function was defined, and will be again."""
    code, by_place = function.__code__, function.__defaults__ or ()
    given = dict(zip(code.co_varnames[: code.co_argcount][::-1], by_place[::-1], strict=False))
    given |= function.__kwdefaults__ or {}
    places = zip([*args.posonlyargs, *args.args][::-1], args.defaults[::-1], strict=False)
    for argument, said in (*places, *zip(args.kwonlyargs, args.kw_defaults, strict=True)):
        if isinstance(said, ast.Name) and argument.arg in given:
            default = given[argument.arg]
            if known.get(said.id, default) is not default:
                text = f"the default of {argument.arg} was {said.id}, which is something else by now"
                raise NotSource(f"{name}: {text}")


def _of_class(name: str, value: type, node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """The attributes of a class that its source doesn't give it."""
    has = vars(value)
    codes = [it for code in _codes(value) if code.co_name == value.__name__ for it in _inner(code)]
    written = {it.name: it for it in node.body if isinstance(it, FUNCTIONS)}
    stored = {it.id for it in ast.walk(node) if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store)}
    for bare, function in written.items() if codes else ():
        if function.decorator_list or bare in stored:
            continue
        key = _mangled(value, bare)
        if key not in has:
            raise NotSource(f"{name}.{bare} was deleted since it was defined")
        code = getattr(getattr(has[key], "__func__", has[key]), "__code__", None)
        if not (isinstance(code, CodeType) and _bare(code) in map(_bare, codes)):
            yield key, has[key]
    more = hasattr(value, "_fields") or any("__init_subclass__" in vars(base) for base in value.__mro__[:-1])
    if more or node.decorator_list or type(value) not in (type, ABCMeta):
        return  # what else it has, others may have put there when it was made
    values = {_mangled(value, bare): it for bare, it in _assigned(node) if bare not in written}
    bound = stored | {it.name for it in ast.walk(node) if isinstance(it, (*FUNCTIONS, ast.ClassDef))}
    bound |= {(it.asname or it.name).split(".")[0] for it in ast.walk(node) if isinstance(it, ast.alias)}
    known = {_mangled(value, bare) for bare in bound}
    for key, given in has.items():
        ours = key.startswith("__") and key.endswith("__") and not isinstance(given, FunctionType)
        if key in values:
            if not _is_value(values[key], given):
                yield key, given
        elif key not in known and not ours and key != "_abc_impl" and not isinstance(given, MemberDescriptorType):
            yield key, given


def _mangled(value: type, key: str) -> str:
    """The name that an attribute of a class really has."""
    private = key.startswith("__") and not key.endswith("__")
    return f"_{value.__name__.lstrip('_')}{key}" if private else key


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """The names that are given a value in a class, each with the last one."""
    for it in node.body:
        targets = it.targets if isinstance(it, ast.Assign) else [it.target] if isinstance(it, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id != "__slots__" and getattr(it, "value", None) is not None:
                yield target.id, it.value  # type: ignore[attr-defined]


def _is_value(written: ast.expr, value: Any) -> bool:
    """Whether a value is the plain one that is written; nothing can be said of others."""
    try:
        literal = ast.literal_eval(written)
    except (ValueError, TypeError):
        return True
    try:
        return isinstance(value, MemberDescriptorType) or (type(literal) is type(value) and bool(literal == value))
    except Exception:  # whatever a comparison of the user's raises
        return False


def _codes(value: Any) -> list[CodeType]:
    """All code of the file, or whatever the source is in: by itself a function may be compiled in another way."""
    try:
        whole = compile("".join(inspect.findsource(value)[0]), "<source>", "exec", dont_inherit=True)
    except (OSError, SyntaxError):  # it is nowhere, or in a cell of a notebook with magic in it
        return []
    found = [whole]
    for code in found:  # it grows
        found += _inner(code)
    return found


def _inner(code: CodeType) -> list[CodeType]:
    return [it for it in code.co_consts if isinstance(it, CodeType)]


def _bare(code: CodeType) -> CodeType:
    """A piece of code without the place where it stands: those that do the same are equal."""
    consts = tuple(_bare(it) if isinstance(it, CodeType) else it for it in code.co_consts)
    # Without the flags for what was imported from `__future__`: a cell of a notebook has that from the cells before it.
    return code.replace(
        co_firstlineno=1, co_filename="", co_linetable=b"", co_consts=consts, co_flags=code.co_flags & 0xFFFF
    )
