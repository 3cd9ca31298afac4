"""The end of all maps of this process: by a call, at the end of the interpreter, and in a fork, where they do not exist.

Daemon threads are frozen at the end of the interpreter, and worker processes are not ours any more in a fork. So both moments
have to be told to every map that lives, without keeping one alive.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Protocol

from .log_forwarder import busy, settle_all


class _Stoppable(Protocol):
    """A manager, as this file needs it: managers import this file."""

    def stop(self, at_exit: bool = False) -> object: ...

    def after_fork(self) -> None: ...


#: Managers whose workers may be alive.
live: weakref.WeakSet[_Stoppable] = weakref.WeakSet()


def shutdown(at_exit: bool = False) -> None:
    """Stops every map of this process, then the starter, in this order: a map that loses its starter gets a new one."""
    for manager in list(live):
        manager.stop(at_exit)
    if at_exit:
        settle_all()
    else:
        for forwarder in list(busy):  # those of maps that were dropped
            forwarder.settle()
    client = sys.modules.get("numap.engines.processes.starter_client")
    if client is not None:
        client.shutdown_starter()


def _after_fork() -> None:
    for manager in list(live):
        manager.after_fork()
    live.clear()
    busy.clear()


atexit.register(shutdown, at_exit=True)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
