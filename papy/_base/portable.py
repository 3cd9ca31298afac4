"""The form in which exceptions and items survive the way to another process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Copied", "by_pickle", "portable", "travels", "whole"]

# What comes out where an object was pickled and made again; raises whatever that raises.
Copied = Callable[[object], object]


def by_pickle(item: object) -> object:
    """As pickle does it: code goes by its name."""
    return pickle.loads(pickle.dumps(item))


def travels(item: object, copied: Copied) -> bool:
    """Whether an object survives the way; many exceptions with constructors of their own don't."""
    try:
        copied(item)
    except Exception:  # whatever the object's own methods raise
        return False
    return True


def portable(exception: BaseException, copied: Copied) -> object | None:
    """What is pickled for an exception, `whole` makes it of that again; None: it can't be."""
    kind = type(exception)
    for form in (exception, _Parts(kind, exception.args, exception.__dict__)):
        try:
            if type(whole(copied(form))) is kind:
                return form
        except Exception:  # whatever the exception's own methods raise
            continue
    return None


class _Parts(NamedTuple):
    """An exception to be made without its constructor, which needs not what is in ``args``."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]


def whole(form: Any) -> Any:
    """The exception that was made `portable`."""
    if not isinstance(form, _Parts):
        return form
    made = form.kind.__new__(form.kind, *form.args)
    made.args = form.args
    made.__dict__.update(form.state)
    return made
