"""What travels between the steps of a pipeline, and from its worker processes; an entry itself is a tuple ``(number, value)``.

Errors of worker processes at their start and their end have no result to travel with, and none may be read any more. A file that
all of them append to needs no reader meanwhile, and none of them waits for another.
"""

from __future__ import annotations

import os
import pickle
import weakref
from contextlib import suppress
from typing import Any, Final

from numap import ItemError
from numap.interop import Copied, surviving_form
from papy._base.errors import by_pickle
from papy._base.tracebacks import line_of
from papy._stages.dead_letters import DeadLetter

Entry = tuple[int, Any]
# The number of an entry that came from the step itself.
REENQUEUED: Final = -1


class First:
    """In a queue of the user's that orders its entries, these go first: they may be compared with whatever is there."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return False


class Meta(First):
    """A control entry, as `Pipeline.put_meta` makes it."""

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:
        self.payload = payload


class Skipped:
    """Stands where an entry was dropped: the class itself, which is the same one in every process, or with its number."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Lost:
    """Stands, as the class itself, where an entry has failed, and that was counted already."""


class Returned:
    """Stands where an entry has failed that is to be among the results: it passes all steps that are left.

    Args:
        letter: What is the result, or in a process the number under which the caller keeps it.
    """

    __slots__ = ("letter",)

    def __init__(self, letter: DeadLetter | int) -> None:
        self.letter = letter


class Failed:
    """What a worker process gives in place of a result when its attempts are over: a map would try again what is raised.

    Args:
        error: What was raised.
        trace: The text of its traceback.
        number: That of the entry, if the caller keeps it by that; None also for a meta entry.
        attempts: How often it was tried.
    """

    __slots__ = ("attempts", "error", "number", "trace")

    def __init__(self, error: BaseException, trace: str, number: int | None = None, attempts: int = 1) -> None:
        self.error = error
        self.trace = trace
        self.number = number
        self.attempts = attempts

    def __reduce__(self) -> Any:
        return self.__numap_reduce__(by_pickle)

    def __numap_reduce__(self, copied: Copied) -> Any:
        """What a map pickles: the error, or if that can't be sent, one with its text."""
        form = surviving_form(self.error, copied)
        error = ItemError(line_of(self.error)) if form is None else form
        return Failed, (error, self.trace, self.number, self.attempts)


def place_of(entry: Entry | Meta | None, name: str) -> str:
    """Where an entry failed, for the user; None: it can't be told which one."""
    if type(entry) is tuple:
        which = f"entry {entry[0]}" if entry[0] != REENQUEUED else "an entry that it had put in its own queue"
        return f"raised by step {name!r} for {which}"
    return f"raised by step {name!r}" + (" for a meta entry" if type(entry) is Meta else "")


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

    def open(self) -> list[tuple[str, BaseException]]:
        """The errors in it, each with its hook. Afterwards the file is gone."""
        errors: list[tuple[str, BaseException]] = []
        if not self._finalizer.alive:
            return errors
        try:
            with open(self.path, "rb") as file, suppress(EOFError):
                while True:
                    hook, failed = pickle.load(file)
                    errors.append((hook, failed.error))
        finally:
            self._finalizer()
        return errors


def append_error(path: str, hook: str, error: BaseException) -> None:
    """Appends an error of a hook to the file."""
    # One write at the end of the file: several processes may do so.
    with open(path, "ab", buffering=0) as file:
        file.write(pickle.dumps((hook, Failed(error, ""))))
