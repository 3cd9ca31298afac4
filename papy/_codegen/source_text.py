"""The source of a function or class, and what it refers to. Knows only text."""

from __future__ import annotations

import ast
import inspect
import symtable
import textwrap
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from papy._codegen.names import NotSource, place_of

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def text_of(value: Any) -> str:
    """The source of a function or class, at the left margin."""
    try:
        text = textwrap.dedent(inspect.getsource(value))
        ast.parse(text)
    except (OSError, TypeError) as error:
        raise NotSource(f"the source of {value.__qualname__} is nowhere to be found: {error}") from error
    except SyntaxError as error:  # as of a line in a string that is further left
        raise NotSource(
            f"{value.__qualname__} ({place_of(value)}) is indented, and can't be moved to the left margin: {error.msg}; "
            f"define it at the left margin"
        ) from error
    return text


def globals_in(text: str) -> list[str]:
    """The global names that a piece of source refers to."""

    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from walk(child)

    return list(dict.fromkeys(walk(symtable.symtable(text, "<source>", "exec"))))


def needed_at_once(text: str) -> set[str]:
    """The names that a piece of source needs when it is run, and not only when its functions are called."""
    found: set[str] = set()
    ahead: list[ast.AST | None] = [ast.parse(text)]
    for node in ahead:  # it grows
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.Lambda)):
            ahead += [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", ())]
        elif isinstance(node, ast.AnnAssign):  # annotations are not evaluated in the file
            ahead += [node.target, node.value]
        elif node is not None:
            ahead += ast.iter_child_nodes(node)
    return found


def submodules_in(text: str, known: Mapping[str, Any]) -> Iterator[str]:
    """What a piece of source reaches through a module: ``import a.b`` leaves only ``a`` among the globals."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            root, *parts = ast.unparse(node).split(".")
            outer: Any = known.get(root)
            for part in parts:
                inner: Any = getattr(outer, part, None) if isinstance(outer, ModuleType) else None
                if isinstance(inner, ModuleType) and inner.__name__ == f"{outer.__name__}.{part}":
                    yield inner.__name__
                outer = inner
