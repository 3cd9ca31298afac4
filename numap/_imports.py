"""The ``imports`` decorator."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ._base.checks import flag, shown
from ._base.public import public

F = TypeVar("F", bound=Callable[..., Any])


@public
def imports(modules: Iterable[str], forgive: bool = False) -> Callable[[F], F]:
    """A decorator that imports modules into the globals of a function, each under the last part of its name.

    Worker processes have the same names: what a decorator at the top of a module imports, and what one in a function does.

    Args:
        modules: dotted names; ``"foo.bar,baz"`` tries ``foo.bar``, then ``baz``, and binds the name ``bar``. The last part
            may also be an attribute of a module.
        forgive: warn instead of raising where none can be imported.

    Raises:
        ImportError: none of the alternatives can be imported.
        TypeError: an argument, or what is decorated, is not allowed.

    >>> @imports(["os.path"])
    ... def base(name):
    ...     return path.basename(name)
    >>> base("a/b")
    'b'
    """
    if isinstance(modules, (str, bytes)) or not hasattr(type(modules), "__iter__"):
        raise TypeError(f"modules: must be a sequence of names, not {shown(modules)}")
    wanted = list(modules)
    for entry in wanted:
        if not isinstance(entry, str):
            raise TypeError(f"modules: the names must be str, not {shown(entry)}")
    flag("forgive", forgive)

    def decorate(func: F) -> F:
        if not hasattr(type(func), "__globals__"):
            raise TypeError(f"imports: decorates functions, not {shown(func)}")
        found, missing = _found(wanted, forgive)
        func.__globals__.update(found)
        for entry in missing:
            warnings.warn(f"imports: none of {entry!r} can be imported", ImportWarning, stacklevel=2)
        made_in_a_function = "<locals>" in func.__qualname__
        func.imports = _Anew(wanted, func.__globals__, forgive) if made_in_a_function else wanted  # type: ignore[attr-defined]
        return func

    return decorate


class _Anew(list[str]):
    """What a function imports that another function made: pickled with it, it has the names imported over there, too.

    There the module of the function has run, and these names with it where the decorator stands at its top; but here the
    decorator runs with the function around it, in the caller only.
    """

    __slots__ = ("forgive", "module")

    def __init__(self, wanted: list[str], namespace: dict[str, Any], forgive: bool) -> None:
        super().__init__(wanted)
        self.module, self.forgive = namespace.get("__name__"), forgive

    def __reduce__(self) -> Any:
        return _import_anew, (list(self), self.module, self.forgive)


def _import_anew(wanted: list[str], module: str | None, forgive: bool) -> _Anew:
    # A function whose globals are no module's brings the values of those that it uses.
    namespace = vars(sys.modules[module]) if module in sys.modules else {"__name__": module}
    found, _ = _found(wanted, forgive)  # of what is missing the program has been warned
    for name, value in found.items():
        namespace.setdefault(name, value)
    return _Anew(wanted, namespace, forgive)


def _found(wanted: list[str], forgive: bool) -> tuple[dict[str, Any], list[str]]:
    """The names with what they stand for, and the entries of which nothing can be imported."""
    found, missing = {}, []
    for entry in wanted:
        names = [name.strip() for name in entry.split(",")]
        first = _first(names)
        if first is not None:
            found[names[0].rpartition(".")[2]] = first[0]
        elif forgive:
            missing.append(entry)
        else:
            raise ImportError(f"imports: none of {entry!r} can be imported")
    return found, missing


def _first(names: list[str]) -> tuple[Any] | None:
    """The first object that can be had, in a tuple; None: none."""
    for name in names:
        try:
            return (importlib.import_module(name),)
        except ImportError:
            parent, _, attribute = name.rpartition(".")
            if not parent:
                continue
        try:
            return (getattr(importlib.import_module(parent), attribute),)
        except (ImportError, AttributeError):
            continue
    return None
