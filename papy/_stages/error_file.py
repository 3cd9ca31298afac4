"""Letterbox: what worker processes have to say at their start and their end, when nobody reads their results."""

from __future__ import annotations

import os
import pickle
import weakref
from typing import Any

from papy._stages.entries import Failed

__all__ = ["ErrorFile", "post"]


class ErrorFile:
    """A file for errors. On Linux it has no name, so that nothing is left of it, whatever happens to this process.

    Attributes:
        path: Where `post` finds it, in a child process.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("papy-letterbox")
            self.path = f"/proc/{os.getpid()}/fd/{descriptor}"
            self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, os.close, descriptor)
        else:
            import tempfile

            descriptor, self.path = tempfile.mkstemp(prefix="papy-")
            os.close(descriptor)
            self._finalizer = weakref.finalize(self, os.unlink, self.path)

    def open(self) -> list[tuple[str, BaseException | str]]:
        """The letters in it: the hook and its error, or the text of that. Afterwards the box is gone."""
        letters: list[tuple[str, BaseException | str]] = []
        if not self._finalizer.alive:
            return letters
        try:
            with open(self.path, "rb") as file:
                while True:
                    try:
                        hook, found = pickle.load(file)
                    except EOFError:
                        return letters
                    letters.append((hook, found.error if isinstance(found, Failed) else found))
        finally:
            self._finalizer()


def post(path: str, hook: str, error: BaseException) -> None:
    """Puts an error of a hook into a letterbox; one that can't be pickled as its text."""
    try:
        letter = pickle.dumps((hook, Failed(error, "")))
        pickle.loads(letter)
    except Exception:
        letter = pickle.dumps((hook, f"{type(error).__name__}: {error}"))
    # One write at the end of the file: several processes may do so.
    with open(path, "ab", buffering=0) as file:
        file.write(letter)
