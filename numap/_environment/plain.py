"""Which settings any worker can make: all that hold nothing of the program's own code.

A worker adopts its settings before it has any code, as that may look at them.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from types import FunctionType
from typing import Any

from .._modules.origins import is_library_module

#: What was read of a module, by the names of what tells it.
State = dict[str, Any]


class _HasCode(Exception):
    """A worker would look for a function or class of the program where it is not."""


class _PlainPickler(pickle.Pickler):
    """Refuses functions and classes of the program: to pickle takes their names, and workers may have nothing of that name."""

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`."""
        if isinstance(obj, (FunctionType, type)) and not is_library_module(obj.__module__):
            raise _HasCode
        return NotImplemented


def plain(value: object) -> bytes | None:
    """The pickle of what any worker can make; None: it is not such."""
    buffer = BytesIO()
    try:
        _PlainPickler(buffer, 5).dump(value)
    except Exception:
        return None
    return buffer.getvalue()


def parts(state: State) -> tuple[State, State]:
    """The entries that any worker can make, and those that hold code of the program's, or can't be pickled at all.

    An entry by name is one argument of what sets it: a part of that can't be set alone.
    """
    simple: State = {}
    rest: State = {}
    for key, value in state.items():
        if plain(value) is not None:
            simple[key] = value
        elif isinstance(value, dict):
            simple[key] = {name: it for name, it in value.items() if plain(it) is not None}
            rest[key] = {name: it for name, it in value.items() if name not in simple[key]}
        else:
            rest[key] = value
    return simple, rest
