"""What works for a run outside of the interpreter (programs), so that it can be ended together with the run, or with this process.

A thread can't be ended, but the program that it waits for can: then the thread goes on, and sees that the run is over.
What a program leaves on disk or in shared memory it removes at its end. After SIGKILL there is no end; another process has to
do it, one that notices by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count

_numbers = count()
# All changes are single operations on the dictionary, so that no lock is needed.
_running: dict[int, ExternalRun] = {}
if hasattr(os, "register_at_fork"):  # what the parent runs a forked child has no say in
    os.register_at_fork(after_in_child=_running.clear)


class ExternalRun:
    """Something that runs for an owner: a context, from before it starts until it has ended.

    Args:
        owner: What a run knows of it: a function, or a constant argument of one.
    """

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.ended = False
        self._number = next(_numbers)
        self._end: Callable[[], None] | None = None

    def __enter__(self) -> ExternalRun:
        _running[self._number] = self
        return self

    def __exit__(self, *_: object) -> None:
        _running.pop(self._number, None)

    def started(self, end: Callable[[], None]) -> None:
        """From now on it can be ended by this call, which may come from any thread, and more than once."""
        # First this, then the look, and `end` does it the other way round: one of both sees what the other did.
        self._end = end
        if self.ended:
            end()

    def end(self) -> None:
        """End it, or if it has not started, have it end as soon as it does."""
        self.ended = True
        if self._end is not None:
            self._end()


def end_of(owners: Iterable[object]) -> None:
    """End all that runs for these owners, which are told by identity."""
    known = {id(owner) for owner in owners}
    for running in list(_running.values()):
        if id(running.owner) in known:
            running.end()


# It reads from a pipe of which this process alone has the other end: a line is its release, the end of the pipe our end.
_WATCH = 'trap "" INT TERM HUP; read -r line && exit 0; "$@"'


class Watchdog:
    """Runs a command if this process ends, even by SIGKILL, before the guard is released.

    It costs a process that sleeps. On systems without a POSIX shell there is none, and nothing is guarded.

    Args:
        command: The program and its arguments.
    """

    def __init__(self, *command: str) -> None:
        self._process = None
        if os.name == "posix":
            from subprocess import DEVNULL, PIPE, Popen

            # In a session of its own, so that what ends this process, or its whole group, doesn't end the guard.
            self._process = Popen(
                ["/bin/sh", "-c", _WATCH, "papy-guard", *command],
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=DEVNULL,
                cwd="/",
                start_new_session=True,
            )

    def release(self) -> None:
        """End the guard without having it run its command."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with suppress(OSError):  # it was killed
            process.stdin.write(b"\n")
            process.stdin.close()
        process.wait()
