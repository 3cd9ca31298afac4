"""What becomes of signals in a worker: as in the program, so that what items start is started as in the program.

What a process ignores or blocks, the programs that it starts inherit. But Ctrl-C reaches all processes of a terminal, and
is for the caller alone: a worker has to survive it, and its programs must not.
"""

from __future__ import annotations

import contextlib
import os
import signal
from _signal import NSIG, SIG_DFL, SIG_IGN, getsignal  # type: ignore[import-not-found]
from typing import NamedTuple

#: Those of `faulthandler`, which tells the caller where a worker crashed, those that no process can ignore, and SIGINT, see below.
_NAMES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGKILL", "SIGSTOP", "SIGINT")
_LEFT_ALONE = frozenset(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Dispositions(NamedTuple):
    """Numbers of signals that a thread of a program has blocked, and those that the program ignores."""

    blocked: tuple[int, ...]
    ignored: tuple[int, ...]


def dispositions() -> Dispositions:
    """Those of this thread and process now; some microseconds."""
    blocked = (
        tuple(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))) if hasattr(signal, "pthread_sigmask") else ()
    )
    return Dispositions(blocked, tuple([number for number in range(1, NSIG) if getsignal(number) == SIG_IGN]))


def adopt_dispositions(wanted: Dispositions) -> None:
    """In a worker: what programs inherit from it becomes what they would inherit from the caller.

    An interrupt is for the caller, and nothing to the worker itself. So that its programs don't ignore it, it has a handler that
    does nothing; and a process that an item forks has Python's own again.
    """
    for number in range(1, NSIG):
        if number in _LEFT_ALONE:
            continue
        own, ignored = getsignal(number), number in wanted.ignored
        if own == (SIG_DFL if ignored else SIG_IGN):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    if signal.SIGINT not in wanted.ignored:
        signal.signal(signal.SIGINT, _unmoved)
        if hasattr(signal, "siginterrupt"):
            signal.siginterrupt(signal.SIGINT, False)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, wanted.blocked)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _unmoved(signum: int, frame: object) -> None:
    """The handler of SIGINT in a worker."""


def _after_fork() -> None:
    if getsignal(signal.SIGINT) is _unmoved:
        signal.signal(signal.SIGINT, signal.default_int_handler)
