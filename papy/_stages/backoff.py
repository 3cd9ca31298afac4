"""Waiting before an entry is tried again, in threads and worker processes, unless the run ends before.

`stop` must not wait for it, and it may be called by a signal handler in a thread that waits itself. So the end is a token which
stays, in a queue without a lock of Python's or in a pipe: each one that waits finds it, and leaves it for the others.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from threading import Event

from papy._base.threads import Flag


class Backoff:
    """The waits of all threads of a run, until it is ended: then those that wait go on, and none waits any more.

    Attributes:
        path: Where a `RemoteBackoff` finds it; None, as long as there is none or if it can't be told.
    """

    def __init__(self) -> None:
        # Unlike an event of `threading` it has no lock that a signal handler, which ends it, could find held by its own thread.
        self._ended = Flag()
        self.path: str | None = None
        self._writer = -1

    def wait(self, seconds: float) -> None:
        """Waits so long, unless it ends."""
        self._ended.wait(seconds)

    def end(self, processes: bool) -> None:
        """Ends it, for ever. Takes no lock and waits for nothing.

        Args:
            processes: Theirs, too. Else they go on to wait: they are to be killed, and not to do more before.
        """
        self._ended.set()
        if processes and self._writer >= 0:
            with suppress(OSError):  # full: it has been told often enough
                os.write(self._writer, b".")

    def share(self) -> None:
        """Lets processes wait, too. Where they can't look into this one they are not told of the end."""
        if self.path is None and os.path.isdir(f"/proc/{os.getpid()}/fd"):
            reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self.path = f"/proc/{os.getpid()}/fd/{reader}"
            # Not at the exit of the interpreter: threads may still end it then.
            weakref.finalize(self, _close, reader, self._writer).atexit = False


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class RemoteBackoff:
    """A `Backoff`, as a worker process has it.

    Args:
        path: That of the `Backoff`.
    """

    def __init__(self, path: str | None) -> None:
        self._reader = -1
        with suppress(OSError):  # it will not be told of the end
            if path is not None:
                # Open as long as the process lives: later the path may be that of something else.
                self._reader = os.open(path, os.O_RDONLY)

    def wait(self, seconds: float) -> bool:
        """Waits so long, unless it ends; False: the attempt is of no use any more."""
        if self._reader < 0:
            Event().wait(seconds)
            return True
        import select

        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        events = poll.poll(1000 * seconds)
        # What is written stays there, for all that wait. Nothing written and no writer: this process is about to be killed.
        return not events or bool(events[0][1] & select.POLLIN)
