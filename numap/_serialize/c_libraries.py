"""Libraries that ctypes has opened, and their functions: how another process opens the same."""

from __future__ import annotations

import operator
import sys
from typing import Any

#: What a library has of its own once it is open.
_OPENED = frozenset(("_name", "_handle", "_FuncPtr"))
_SETTINGS = ("argtypes", "restype", "errcheck")


def reduce_library(obj: Any) -> Any:
    """How a pickler tells a library, or a function of one; None: it is neither, or has no name."""
    ctypes: Any = sys.modules["ctypes"]
    if isinstance(obj, ctypes.CDLL):
        return _open, (type(obj), obj._name, obj._FuncPtr._flags_), _state(obj), None, None, _set_up
    if not isinstance(obj, ctypes._CFuncPtr):
        return None
    library, name = (obj._objects or {}).get("0"), getattr(obj, "__name__", None)
    if not isinstance(library, ctypes.CDLL) or type(obj) is not library._FuncPtr or name is None:
        return None
    if vars(library).get(name) is obj:
        return getattr, (library, name)
    return operator.getitem, (library, name), _settings(obj), None, None, _set


def _open(kind: Any, name: Any, flags: int) -> Any:
    import _ctypes

    return kind(
        name,
        use_errno=bool(flags & _ctypes.FUNCFLAG_USE_ERRNO),
        use_last_error=bool(flags & _ctypes.FUNCFLAG_USE_LASTERROR),
    )


def _state(library: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of functions that were used, and what else the program has put there."""
    own = {name: value for name, value in vars(library).items() if name not in _OPENED}
    used = {name: value for name, value in own.items() if type(value) is library._FuncPtr and value.__name__ == name}
    return {name: _settings(it) for name, it in used.items()}, {k: v for k, v in own.items() if k not in used}


def _set_up(library: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    functions, others = state
    for name, settings in functions.items():
        _set(getattr(library, name), settings)
    vars(library).update(others)


def _settings(function: Any) -> dict[str, Any]:
    return {name: getattr(function, name) for name in _SETTINGS}


def _set(function: Any, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if getattr(function, name) != value:
            setattr(function, name, value)
