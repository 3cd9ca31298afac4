"""The ``imports`` decorator."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ._options import flag, shown
from ._public import public

F = TypeVar("F", bound=Callable[..., Any])


@public
def imports(modules: Iterable[str], forgive: bool = False) -> Callable[[F], F]:
    """A decorator that imports modules into the globals of a function, each under the last part of its name.

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
        for entry in wanted:
            names = [name.strip() for name in entry.split(",")]
            found = _first(names)
            if found is not None:
                func.__globals__[names[0].rpartition(".")[2]] = found[0]
            elif forgive:
                warnings.warn(f"imports: none of {names} can be imported", ImportWarning, stacklevel=2)
            else:
                raise ImportError(f"imports: none of {names} can be imported")
        func.imports = wanted  # type: ignore[attr-defined]
        return func

    return decorate


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
