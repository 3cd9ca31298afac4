"""Code that only dill can carry.

It comes second, where `CodePickler` has failed, as it is slow to import and copies what has a name. What belongs to one process,
as locks and sockets do, is refused, though dill would make something of it.
"""

from __future__ import annotations

import pickle
import types
from io import BytesIO
from typing import Any

from .lookup import NameResolver
from .pickler import reduce

_NEVER_BY_DILL = ("_thread", "_io", "socket", "_socket", "threading", "subprocess", "sqlite3")


def _dill_dumps(obj: Any, scope: NameResolver) -> bytes:
    import dill

    class DillPickler(dill.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj).__module__ in _NEVER_BY_DILL or isinstance(obj, types.GeneratorType):
                raise pickle.PicklingError(f"a {type(obj).__name__} belongs to the process that made it")
            rv = reduce(scope, obj)
            if (
                rv is NotImplemented
                and isinstance(obj, (type, types.FunctionType))
                and scope.by_name(obj, obj.__module__, obj.__qualname__)
            ):
                return obj.__qualname__  # dill would send a class of __main__ by value
            return rv

    buffer = BytesIO()
    DillPickler(buffer, protocol=pickle.HIGHEST_PROTOCOL, byref=False, recurse=True).dump(obj)
    return buffer.getvalue()
