"""Where progress is shown, and the choice of it: a terminal, a notebook, a file, or an object of the user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from .rows import Measured
from .text import line, summary, width_of


class Display(Protocol):
    """Shows rows."""

    #: Seconds between two looks.
    interval: float
    #: The first look is at the start, and not so many seconds later.
    at_once: bool

    def show(self, rows: Sequence[Measured]) -> None:
        """These are the figures now."""

    def close(self, rows: Sequence[Measured]) -> None:
        """These are the last figures."""


class PlainDisplay:
    """Lines in a file that is no terminal: some, now and then, and the figures at the end."""

    interval = 5.0
    at_once = False

    def __init__(self, title: str) -> None:
        self._title = title

    def show(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        self._write([line(it, width_of(rows)) for it in rows])

    def close(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        self._write([summary(it) for it in rows])

    def _write(self, lines: list[str]) -> None:
        head = f"{self._title}: " if self._title else ""
        stream = sys.stderr
        if stream is not None:
            stream.write("".join(f"{head}{text}\n" for text in lines))
            stream.flush()


class BarDisplay:
    """A bar of tqdm, or whatever has ``total`` and ``update(n)``: all rows together."""

    interval = 0.1
    at_once = True

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._told = 0

    def show(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        totals = [it.row.total for it in rows]
        if rows and None not in totals and hasattr(self._bar, "total"):
            self._bar.total = sum(total for total in totals if total is not None)
        done = sum(it.row.done for it in rows)
        self._bar.update(done - self._told)
        self._told = done

    def close(self, rows: Sequence[Measured]) -> None:
        """See `Display`; the bar stays its owner's, and is only brought up to date."""
        self.show(rows)
        refresh = getattr(self._bar, "refresh", None)
        if refresh is not None:
            refresh()


def display_for(progress: Any) -> Display | None:
    """What shows the progress.

    Args:
        progress: True, a title, or an object to be told; None or False: nothing does.
    """
    if progress is None or progress is False:
        return None
    if progress is not True and not isinstance(progress, str):
        return _told(progress)
    title = progress if isinstance(progress, str) else ""
    if _is_notebook():
        from .notebook import NotebookDisplay

        return NotebookDisplay(title)
    if _is_terminal() and find_spec("rich") is not None:
        from .rich_display import RichDisplay

        return RichDisplay(title)
    return PlainDisplay(title)


def _told(progress: Any) -> Display:
    if all(callable(getattr(progress, name, None)) for name in ("add_task", "update", "refresh")):
        from .rich_display import GivenRichDisplay

        return GivenRichDisplay(progress)
    return BarDisplay(progress)


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def _is_notebook() -> bool:
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
