"""A thread that looks at something that runs, now and then, and has it shown until it is over.

What runs pays nothing for that but the looks, and a display that fails ends the showing, not the run.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any, Final

from .._sync.threads import ContextThread
from .display import Display, display_for
from .rows import Look, Meter

#: Seconds that the end of a run waits for its last figures to be shown.
_LAST_TIMEOUT: Final = 2.0


class Follower:
    """Shows what runs.

    Args:
        look: tells the figures of the moment; from then on that they are over, it is not asked again.
        display: shows them.
    """

    def __init__(self, look: Callable[[], Look], display: Display) -> None:
        self._look = look
        self._display = display
        self._over = threading.Event()
        self._thread = ContextThread("numap-progress", self._run)

    def start(self) -> None:
        """Begins."""
        _register()
        _live.add(self)
        self._thread.start()

    def let_end(self) -> None:
        """It is over; the last figures are shown soon."""
        self._over.set()

    def end(self) -> None:
        """It is over: the last figures are shown before this returns, unless the display hangs."""
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_LAST_TIMEOUT)

    def _run(self) -> None:
        meter = Meter(perf_counter())
        try:
            if not self._display.at_once:
                self._over.wait(self._display.interval)
            while True:
                look = self._look()
                rows = meter.measure(look, perf_counter())
                if look.over or self._over.is_set():
                    final = self._look()._replace(over=True)
                    self._display.close(meter.measure(final, perf_counter()))
                    _live.discard(self)
                    return
                self._display.show(rows)
                self._over.wait(self._display.interval)
        except Exception:
            import logging

            logging.getLogger("numap").exception("progress can't be shown any more")


def follow(look: Callable[[], Look], progress: Any) -> Follower | None:
    """Begins to show what runs, as ``progress`` says, see `display_for`; None: it says no."""
    display = display_for(progress)
    if display is None:
        return None
    follower = Follower(look, display)
    follower.start()
    return follower


#: Those that have not shown their last figures.
_live: weakref.WeakSet[Follower] = weakref.WeakSet()


def _end_all() -> None:
    for follower in list(_live):
        follower.end()


@cache
def _register() -> None:
    atexit.register(_end_all)
