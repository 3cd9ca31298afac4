"""The context in which a map is started, for all that runs in threads of ours on its behalf: items, inputs, handlers.

A new thread begins with an empty context. Code that moves into a map must find its context variables as it left them.
"""

from __future__ import annotations

import sys
import threading
from contextvars import Context, copy_context
from typing import Any


def own_context() -> Context:
    """A copy of this thread's context. Nothing that is set in it is seen here, nor is the decimal context shared."""
    context = copy_context()
    context.run(_part)
    return context


def _part() -> None:
    decimal: Any = sys.modules.get("decimal")
    if decimal is not None:
        # The copy refers to the same object, which counts signals and may be changed.
        decimal.setcontext(decimal.getcontext().copy())


class ContextThread(threading.Thread):
    """A daemon thread that runs in a copy of the context of the thread that makes it."""

    def __init__(self, name: str, target: Any, args: tuple[Any, ...] = ()) -> None:
        super().__init__(name=name, target=target, args=args, daemon=True)
        self._made_in = own_context()

    def run(self) -> None:
        """See `threading.Thread.run`."""
        self._made_in.run(super().run)
