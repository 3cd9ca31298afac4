"""Wakes one thread of another process, by a pipe and, where the system can, by a signal to that thread alone.

A signal to the process may reach any thread, and would cut short what the C code of an item waits for.
"""

from __future__ import annotations

import contextlib
import os

from .processes import signal_this_thread

_NUDGE, _LEAVE = b"\0", b"\1"


class Nudge:
    """A pipe, of which the caller writes into one end and a thread of a worker waits at the other.

    Args:
        fd: descriptor of that end, which the caller handed on; None: this is the caller, which makes the pipe.
    """

    def __init__(self, fd: int | None = None) -> None:
        #: For handing on, and for the thread that waits.
        self.fd = self._write = -1
        if fd is None:
            self.fd, self._write = os.pipe()
            os.set_blocking(self._write, False)
        else:
            self.fd = fd

    def handed_on(self) -> None:
        """In the caller: another process has its end now."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def give(self) -> None:
        """Wakes the thread that waits, now or the next time."""
        with contextlib.suppress(OSError):  # it is full, or there is no worker any more
            os.write(self._write, _NUDGE)

    def wait(self) -> bool:
        """Blocks until there was a nudge; False: this thread is to `leave`."""
        found = os.read(self.fd, 1 << 10)
        return bool(found) and _LEAVE not in found

    def ring(self, number: int) -> None:
        """Each nudge is a signal to this thread, too, where the system can do that."""
        signal_this_thread(self.fd, number)

    def leave(self) -> bool:
        """Wakes the thread that waits in this process, for good; False: that is not possible here."""
        try:
            write = os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(write, _LEAVE)
        finally:
            os.close(write)
        return True

    def close(self) -> None:
        """Closes the descriptors; again, it does nothing."""
        self.handed_on()
        fd, self._write = self._write, -1
        if fd >= 0:
            os.close(fd)
