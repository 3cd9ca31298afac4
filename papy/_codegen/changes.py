"""Whether a function or class is still what its source says, and what has been changed since it was defined."""

from __future__ import annotations

import ast
import inspect
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MappingProxyType, MemberDescriptorType
from typing import Any, NamedTuple

__all__ = ["Change", "NotSource", "changes", "needed_at_once"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class NotSource(Exception):
    """An object can't be written as source; the message says which and why."""


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
        return list(_of_class(name, value, node))
    if isinstance(node, _FUNCTIONS) and node.name == name:
        return list(_of_function(name, value, node, known))
    raise NotSource(f"{name} is something else than its source says, which begins with {text.splitlines()[0]!r}")


def needed_at_once(text: str) -> set[str]:
    """The names that a piece of source needs when it is run, and not only when its functions are called."""
    found: set[str] = set()
    ahead: list[ast.AST] = [ast.parse(text)]
    for node in ahead:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            ahead += [*node.args.defaults, *(it for it in node.args.kw_defaults if it is not None)]
            ahead += [] if isinstance(node, ast.Lambda) else node.decorator_list
        elif isinstance(node, ast.AnnAssign):  # annotations are not evaluated in the file
            ahead += [node.target] if node.value is None else [node.target, node.value]
        else:
            ahead += ast.iter_child_nodes(node)
    return found


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
        if not any(it.co_firstlineno == code.co_firstlineno and _same_code(it, code) for it in _codes(inner) or [code]):
            raise NotSource(f"{name} is not what its source says; was the file changed since it was run?")
        _check_defaults(name, inner, node, known)
    for key, given in vars(value).items() if plain else ():
        yield Change(f"{name}.{key} = {{}}", (given,))
    registry = getattr(value, "registry", None)
    if isinstance(registry, MappingProxyType) and hasattr(value, "dispatch"):  # of functools.singledispatch
        for kind, function in registry.items():
            if kind is not object:
                yield Change(f"{name}.register({{}}, {{}})", (kind, function))


def _check_defaults(name: str, function: FunctionType, node: Any, known: Mapping[str, Any]) -> None:
    """A default that refers to a global has been evaluated when the function was defined, and will be again."""
    places = [it.arg for it in (*node.args.posonlyargs, *node.args.args)][::-1]
    given = list(zip(places, node.args.defaults[::-1], (function.__defaults__ or ())[::-1], strict=False))
    of_names = function.__kwdefaults__ or {}
    for argument, expression in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if expression is not None and argument.arg in of_names:
            given.append((argument.arg, expression, of_names[argument.arg]))
    for argument, expression, value in given:
        if isinstance(expression, ast.Name) and expression.id in known and known[expression.id] is not value:
            raise NotSource(f"{name}: the default of {argument} was {expression.id}, which is something else by now")


def _of_class(name: str, value: type, node: ast.ClassDef) -> Iterator[Change]:
    has = vars(value)
    stored = {it.id for it in ast.walk(node) if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store)}
    own = [code for code in _codes(value) if code.co_name == value.__name__]
    codes = [it for code in own for it in code.co_consts if isinstance(it, CodeType)]
    body = {it.name: it for it in node.body if isinstance(it, _FUNCTIONS)}
    for bare, function in body.items():
        if function.decorator_list or bare in stored or not codes:
            continue
        key = _mangled(value, bare)
        if key not in has:
            raise NotSource(f"{name}.{bare} was deleted since it was defined")
        its = getattr(getattr(has[key], "__func__", has[key]), "__code__", None)
        if not (isinstance(its, CodeType) and any(it.co_name == bare and _same_code(it, its) for it in codes)):
            yield Change(f"{name}.{key} = {{}}", (has[key],))
    if node.decorator_list or type(value) not in (type, ABCMeta) or _makes_more(value):
        return  # what else it has, others may have put there when it was made
    for bare, written in _literals(node):
        key = _mangled(value, bare)
        if key in has and bare not in body and not _is_value(written, has[key]):
            yield Change(f"{name}.{key} = {{}}", (has[key],))
    bound = stored | {it.name for it in ast.walk(node) if isinstance(it, (*_FUNCTIONS, ast.ClassDef))}
    bound |= {(it.asname or it.name).split(".")[0] for it in ast.walk(node) if isinstance(it, ast.alias)}
    known = {_mangled(value, bare) for bare in bound}
    for key, given in has.items():
        ours = key.startswith("__") and key.endswith("__") and not isinstance(given, FunctionType)
        if key not in known and not ours and key != "_abc_impl" and not isinstance(given, MemberDescriptorType):
            yield Change(f"{name}.{key} = {{}}", (given,))


def _mangled(value: type, key: str) -> str:
    """The name that an attribute of a class really has."""
    private = key.startswith("__") and not key.endswith("__")
    return f"_{value.__name__.lstrip('_')}{key}" if private else key


def _makes_more(value: type) -> bool:
    """Whether a class gets attributes when it is made that are not in its source."""
    return hasattr(value, "_fields") or any("__init_subclass__" in vars(base) for base in value.__mro__[:-1])


def _literals(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """The attributes that are given a plain value."""
    found: dict[str, ast.expr] = {}
    for it in node.body:
        targets = it.targets if isinstance(it, ast.Assign) else [it.target] if isinstance(it, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id != "__slots__" and getattr(it, "value", None) is not None:
                found[target.id] = it.value  # type: ignore[attr-defined]
    for name, expression in found.items():
        try:
            yield name, ast.literal_eval(expression)
        except (ValueError, TypeError):
            continue


def _is_value(written: Any, value: Any) -> bool:
    if isinstance(value, MemberDescriptorType):
        return True
    try:
        return type(written) is type(value) and bool(written == value)
    except Exception:  # whatever a comparison of the user's raises
        return False


def _codes(value: Any) -> list[CodeType]:
    """All code of the file, or whatever the source is in: by itself a function may be compiled in another way."""
    try:
        ahead = [compile("".join(inspect.findsource(value)[0]), "<source>", "exec", dont_inherit=True)]
    except (OSError, SyntaxError):  # it is nowhere, or in a cell of a notebook with magic in it
        return []
    for code in ahead:
        ahead += [it for it in code.co_consts if isinstance(it, CodeType)]
    return ahead


def _same_code(left: CodeType, right: CodeType) -> bool:
    """Whether two pieces of code do the same; where they stand doesn't matter."""
    for name in (
        "co_code",
        "co_names",
        "co_varnames",
        "co_freevars",
        "co_cellvars",
        "co_argcount",
        "co_kwonlyargcount",
    ):
        if getattr(left, name) != getattr(right, name):
            return False
    return len(left.co_consts) == len(right.co_consts) and all(
        _same_code(mine, its) if isinstance(mine, CodeType) and isinstance(its, CodeType) else mine == its
        for mine, its in zip(left.co_consts, right.co_consts, strict=True)
    )
