"""Forks: what runs in this process doesn't run in a child that the user forks, and is told so there.

A child has a copy of each graph and pipeline, and none of the threads and workers behind it. A call there would wait for ever.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

# The state, in the child, of what was in use when the process forked: its threads and workers are the parent's.
FORKED: Final = "in use in the process that forked this one"


class _Forkable(Protocol):
    def after_fork(self) -> None:
        """In the child, whose only thread this is; other threads may have held whatever locks there are."""


live: Final = weakref.WeakSet[_Forkable]()


def _after_fork() -> None:
    for one in list(live):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
