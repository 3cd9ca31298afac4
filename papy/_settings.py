"""Settings: what is said about a piper when it is made, checked. Knows nothing of its life."""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

from numap import IMap
from papy._errors import POLICIES, PiperError
from papy._worker import Uncallable, Worker

__all__ = ["Settings", "check_policy"]

_numbers = count()


class Settings(Uncallable):
    """What is said about a piper; see `papy.Piper`."""

    def __init__(
        self,
        worker: Any,
        parallel: IMap[Any] | Literal[False] | None = False,
        consume: int = 1,
        produce: int = 1,
        spawn: int = 1,
        timeout: float | None = None,
        branch: Any = None,
        debug: bool = False,
        name: str | None = None,
        track: bool = False,
        repeat: bool = False,
        *,
        unpack: bool = False,
        on_error: str | None = None,
        retries: int | None = None,
    ) -> None:
        self.imap = _checked_imap(parallel)
        try:
            self.worker: Worker = Worker(worker.worker if isinstance(worker, Settings) else worker, unpack=unpack)
        except TypeError as error:
            raise PiperError(f"worker: {error}") from error
        for what, given in (("consume", consume), ("produce", produce), ("spawn", spawn)):
            _check_number(what, given, 1)
        _check_timeout(timeout, self.imap)
        check_policy(on_error, retries)
        if debug and on_error not in (None, "raise"):
            raise PiperError(f"debug: it raises, and on_error={on_error!r} was given")
        self.consume = consume
        self.produce = produce
        self.spawn = spawn
        self.timeout = timeout
        self.branch = branch
        self.debug = bool(debug)
        self.track = bool(track)
        self.repeat = bool(repeat)
        self.unpack = bool(unpack)
        self.on_error = "raise" if debug else on_error
        self.retries = retries
        self.number = next(_numbers)
        self.name = name or f"piper_{self.number}"

    @property
    def stride(self) -> int:
        """How many items of data are taken in one go."""
        return 1 if self.imap is None else self.imap.options["stride"] or 1

    def __repr__(self) -> str:
        kind = "linear" if self.imap is None else "parallel"
        return f"{type(self).__name__}({self.name!r}, {self.worker!r}, {kind})"


# Python puts this name into its errors about arguments, and users know no other.
Settings.__init__.__qualname__ = "Piper.__init__"


def check_policy(on_error: str | None, retries: int | None, error: type[Exception] = PiperError) -> None:
    """Raise an error unless these are allowed."""
    if on_error is not None and on_error not in POLICIES:
        raise error(f"on_error: {', '.join(map(repr, POLICIES))} or None is needed, got {on_error!r}")
    if retries is not None:
        _check_number("retries", retries, 0, error)


def _check_number(what: str, given: Any, least: int, error: type[Exception] = PiperError) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise error(f"{what}: a whole number of at least {least} is needed, got {given!r}")


def _check_timeout(timeout: Any, imap: IMap[Any] | None) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise PiperError(f"timeout: seconds or None are needed, got {timeout!r}")
    if imap is None:
        raise PiperError(
            "timeout: a linear piper can't have one, as nothing else runs while it is evaluated; give an IMap"
        )


def _checked_imap(parallel: Any) -> IMap[Any] | None:
    if parallel is None or parallel is False:
        return None
    if not isinstance(parallel, IMap):
        raise PiperError(f"parallel: an IMap, None or False is needed, got {parallel!r}")
    policy = parallel.options["on_error"]
    if policy != "raise":
        raise PiperError(
            f"parallel: this IMap has on_error={policy!r}, and items would lose their places; say it with the piper's on_error"
        )
    return parallel
