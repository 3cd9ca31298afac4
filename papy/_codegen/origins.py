"""Where things come from that a program has among its globals: what can be imported again, or asked for by its name."""

from __future__ import annotations

import builtins
import sys
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

__all__ = ["SAVED", "is_logger", "origin_of"]

# The modules that saved pipelines become when they are read have such names. Nobody can import them.
SAVED: Final = "papy_saved_"


def origin_of(value: Any) -> str | None:
    """The module from which a function or class can be imported under its own name; None: there is none.

    A module may also have methods of a hidden instance of its own, as `random` does.

    >>> import random
    >>> origin_of(random.randint), origin_of(random.Random().randint)
    ('random', None)
    """
    if not isinstance(value, (FunctionType, MethodType, BuiltinFunctionType, type)):
        return None
    module, name = getattr(value, "__module__", None), value.__name__
    if isinstance(value, (MethodType, BuiltinFunctionType)) and not isinstance(value.__self__, (type, type(sys))):
        module = type(value.__self__).__module__
    if not isinstance(module, str) or module in ("__main__", builtins.__name__) or module.startswith(SAVED):
        return None
    return module if getattr(sys.modules.get(module), name, None) is value else None


def is_logger(value: Any) -> bool:
    """Whether it is what `logging.getLogger` gives for its name."""
    logging = sys.modules.get("logging")
    if logging is None or not isinstance(value, logging.Logger):
        return False
    return value is logging.root or logging.Logger.manager.loggerDict.get(value.name) is value
