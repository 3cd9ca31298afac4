"""The progress page: a few words of memory that a worker and its caller share, and room for the last words of a crash.

Writing a word costs a worker some 60 nanoseconds; a message would cost 30 microseconds. The caller reads the page when
a worker died or seems stuck, so blame is exact without a message per item.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
from itertools import takewhile

from .._system.memory import memory_file

SIZE = mmap.PAGESIZE

#: Where the words end and the text of a crash begins.
_TEXT = 64

#: Items that the worker has begun since it was born, by the worker.
STARTED = 0
#: The caller's count of recalls: a worker begins no item of a job with an older one.
EPOCH = 1
#: When the worker began the item, in nanoseconds of the monotonic clock, and 0 once it is done; only written where a
#: time limit is set. The last bit is 1 as long as the item is unpickled, and 0 from when the function begins.
CLOCK = 2
#: 1 from the moment on in which the worker runs its initializer.
INITIALIZING = 3
#: Which of several tasks that run as one the item is in; only written where they do.
STAGE = 4
#: The state of the finalizer, as in `finalizers`, by the worker.
FINALIZER = 5


class ProgressPage:
    """One mapping of a progress page.

    Args:
        fd: descriptor of the memory; None: make it. The page keeps it open for handing on until `close_fd`.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = memory_file(SIZE) if fd is None else fd
        try:
            self._map = mmap.mmap(self.fd, SIZE)  # which takes a descriptor of its own
        except OSError:
            self.close_fd()
            raise
        #: The words, to be read and written by place.
        self.words = memoryview(self._map).cast("Q")

    def hear_crashes(self) -> None:
        """In the worker: a fatal signal writes the Python stack into the rest of the page. Needs the descriptor."""
        os.lseek(self.fd, _TEXT, os.SEEK_SET)
        faulthandler.enable(self.fd, all_threads=False)

    def part(self) -> None:
        """In a process that the worker has forked: it can't say anything here, and whatever of ours tries to does not go on."""
        self.words.release()
        faulthandler.disable()

    def crash(self) -> str:
        """In the caller: what a crash has written, without the frames of the worker's own loop."""
        text = self._map[_TEXT:].partition(b"\0")[0].decode("utf-8", "replace")
        own = f'  File "{os.path.dirname(os.path.dirname(__file__))}'
        return "\n".join(takewhile(lambda line: not line.startswith(own), text.splitlines())).strip()

    def close_fd(self) -> None:
        """Closes the descriptor; the mapping stays."""
        # An interrupt between the two statements costs a descriptor; the other way round another file would be closed.
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def close(self) -> None:
        """Gives everything back."""
        self.close_fd()
        self.words.release()
        self._map.close()
