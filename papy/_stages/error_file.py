"""Errors of worker processes at their start and their end, when none of their results is read.

They have no result to travel with. A file that all of them append to needs no reader meanwhile, and none of them waits for another.
"""

from __future__ import annotations

import os
import pickle
import weakref
from typing import Any

from papy._stages.entries import Failed


class ErrorFile:
    """A file for errors. On Linux it has no name, so that nothing is left of it, whatever happens to this process.

    Attributes:
        path: Where `append_error` finds it, in a child process.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("papy-errors")
            self.path = f"/proc/{os.getpid()}/fd/{descriptor}"
            self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, os.close, descriptor)
        else:
            import tempfile

            descriptor, self.path = tempfile.mkstemp(prefix="papy-")
            os.close(descriptor)
            self._finalizer = weakref.finalize(self, os.unlink, self.path)

    def open(self) -> list[tuple[str, BaseException | str]]:
        """The errors in it: the hook and its error, or the text of that. Afterwards the file is gone."""
        errors: list[tuple[str, BaseException | str]] = []
        if not self._finalizer.alive:
            return errors
        try:
            with open(self.path, "rb") as file:
                while True:
                    try:
                        hook, found = pickle.load(file)
                    except EOFError:
                        return errors
                    errors.append((hook, found.error if isinstance(found, Failed) else found))
        finally:
            self._finalizer()


def append_error(path: str, hook: str, error: BaseException) -> None:
    """Appends an error of a hook to the file; one that can't be pickled as its text."""
    try:
        record = pickle.dumps((hook, Failed(error, "")))
        pickle.loads(record)
    except Exception:
        record = pickle.dumps((hook, f"{type(error).__name__}: {error}"))
    # One write at the end of the file: several processes may do so.
    with open(path, "ab", buffering=0) as file:
        file.write(record)
