"""Interruptions: whether an exception comes from a signal rather than from the function that it flew out of.

Where items run in the user's own threads, a handler of a signal may raise in the middle of one. That is no failure of the
item: it is for the program, and the item runs again. Nothing tells it apart but the frames that it has come through.
"""

from __future__ import annotations

import threading
from _signal import NSIG, getsignal  # type: ignore[import-not-found]
from functools import partial
from typing import Any

#: More is wrapped around no handler, unless it is wrapped around itself.
_WRAPPED = 100


def from_outside(error: BaseException) -> bool:
    """Whether a signal is behind it: a handler of the user's raised it, or (Ctrl-C) the interpreter between two instructions."""
    if threading.get_ident() != threading.main_thread().ident:  # handlers run nowhere else
        return isinstance(error, KeyboardInterrupt)
    # Not those of `signal`, which look for an enum member each time: items may fail often.
    handlers = {_code_of(handler) for handler in map(getsignal, range(1, NSIG)) if callable(handler)} - {None}
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code in handlers:
            return True
        if tb.tb_next is None and isinstance(error, KeyboardInterrupt):
            from opcode import opmap

            return tb.tb_frame.f_code.co_code[tb.tb_lasti] != opmap["RAISE_VARARGS"]
        tb = tb.tb_next
    return isinstance(error, KeyboardInterrupt)


def _code_of(handler: Any) -> object:
    """The code that runs when a handler is called, without what is wrapped around it; None: there is none in Python."""
    for _ in range(_WRAPPED):
        inner = handler.func if isinstance(handler, partial) else getattr(handler, "__wrapped__", None)
        if inner is None:
            break
        handler = inner
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
