"""What survives the way to another process, as far as pickle alone goes."""

from __future__ import annotations

import pickle

from numap.interop import Copied

__all__ = ["by_pickle", "travels"]


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
