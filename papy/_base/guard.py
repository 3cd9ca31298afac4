"""A guard: a small shell that does something when this process is gone, however it went.

What a program leaves on disk or in shared memory it removes at its end. After SIGKILL there is no end; another process has to
do it, one that notices by itself.
"""

from __future__ import annotations

import os
from contextlib import suppress

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
