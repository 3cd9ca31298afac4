"""Counter: how many entries passed where, and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock
from time import monotonic
from typing import Any, Final

from numap.interop import checks
from papy._base.checks import check_flag, check_seconds
from papy._base.public import public
from papy._monitor.reporters import check_logger, found_logger

# What a session tells about, in this order.
_IN_SESSION: Final = ("new", "dirty", "deleted", "identity_map")


@public
class Counter:
    """Counts by name, from any thread, and exactly.

    Args:
        logger: Where `show` writes, at the level INFO: a `logging.Logger`, or the name of one; None: ``papy.counter``.
        session: A session of SQLAlchemy, or another object with ``new``, ``dirty``, ``deleted`` and ``identity_map``; `show` tells
            how many objects each of them has.
        show_every: Seconds between two lines for the same name at least; -1: a line for each call, None: none.
        quiet: No lines but those of `show`, whatever ``show_every`` says.

    >>> counter = Counter(show_every=None)
    >>> counter.count("read")
    >>> counter.count("read", 2)
    >>> counter.gauge("waiting", 7)
    >>> counter.counts
    {'read': 3, 'waiting': 7}
    """

    def __init__(
        self, logger: Any = None, session: Any = None, show_every: float | None = 10, quiet: bool = False
    ) -> None:
        check_logger(logger)
        missing = [what for what in _IN_SESSION if session is not None and not hasattr(session, what)]
        if missing:
            raise checks.wrong_type("session", f"an object with {', '.join(_IN_SESSION)}, or None", session)
        if show_every != -1:
            check_seconds("show_every", show_every)
        check_flag("quiet", quiet)
        self._logger = logger
        self._session = session
        self._show_every = None if quiet else show_every
        self._lock = Lock()
        self._counts: dict[str, int] = {}
        self._begun: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def init(self, name: str) -> None:
        """Begins the time of a name, with a count of 0, if it has not begun."""
        with self._lock:
            self._begin(name)

    def count(self, name: str = "default", count: int = 1) -> None:
        """Adds ``count``; the first call for a name, or `init`, is the beginning of its time."""
        with self._lock:
            self._begin(name)
            self._counts[name] += count
        self._show_now_and_then(name)

    def gauge(self, name: str, value: int) -> None:
        """Sets a value."""
        with self._lock:
            self._begin(name)
            self._counts[name] = value

    def _begin(self, name: str) -> None:
        if name not in self._counts:
            self._counts[name] = 0
            self._begun[name] = self._shown[name] = monotonic()

    @property
    def counts(self) -> dict[str, int]:
        """All counts and values, as they are now."""
        with self._lock:
            return dict(self._counts)

    def rate(self, name: str) -> float:
        """How many a second since the first was counted; KeyError if none was."""
        with self._lock:
            seconds = monotonic() - self._begun[name]
            return self._counts[name] / seconds if seconds > 0 else 0.0

    def _show_now_and_then(self, name: str) -> None:
        if self._show_every is None:
            return
        now = monotonic()
        with self._lock:
            if self._show_every >= 0 and now - self._shown[name] < self._show_every:
                return
            self._shown[name] = now
        self.show(name)

    def show(self, name: str | None = None) -> None:
        """Writes a line about a name to the logger; None: about each name there is, and one about the ``session``.

        Raises:
            KeyError: Nothing was counted under this name.
        """
        logger = found_logger(self._logger, "papy.counter")
        counts = self.counts
        for each in counts if name is None else (name,):
            logger.info("%s: %d, %.1f/s", each, counts[each], self.rate(each))
        if name is None and self._session is not None:
            sizes = ((what.replace("_", " "), len(getattr(self._session, what))) for what in _IN_SESSION)
            logger.info("session: %s", ", ".join(f"{what} {size}" for what, size in sizes))


@public
def entry_counter(iterator: Iterable[Any], name: str = "entries", counter: Counter | None = None) -> Iterator[Any]:
    """A step of a coroutine pipeline that changes nothing and counts.

    Args:
        iterator: The entries.
        name: Under which name.
        counter: Where; None: a new one, which writes to the log.

    >>> counter = Counter(show_every=None)
    >>> list(entry_counter("ab", "letters", counter)), counter.counts
    (['a', 'b'], {'letters': 2})
    """
    counter = Counter() if counter is None else counter
    for entry in iterator:
        counter.count(name)
        yield entry
