"""Progress in a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .rows import Measured
from .text import facts


class GivenRichDisplay:
    """Rows of a ``rich.progress.Progress`` of the user's."""

    interval = 0.1
    at_once = True

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: list[Any] = []

    def show(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        for it in rows[len(self._tasks) :]:
            self._tasks.append(self._progress.add_task(it.row.label, total=it.row.total))
        for task, it in zip(self._tasks, rows, strict=True):
            total = it.row.total
            self._progress.update(task, completed=it.row.done, total=total, facts=self._text(it))

    def close(self, rows: Sequence[Measured]) -> None:
        """See `Display`; it stays its owner's."""
        self.show(rows)
        self._progress.refresh()

    @staticmethod
    def _text(it: Measured) -> str:
        text = ", ".join(facts(it))
        return f"[bold red]{text}[/]" if it.row.marked else text


class RichDisplay(GivenRichDisplay):
    """A live display of our own in the terminal that is the standard error stream."""

    def __init__(self, title: str) -> None:
        rich: Any = import_module("rich.progress")
        console = import_module("rich.console").Console(stderr=True)
        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(bar_width=None),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("{task.fields[facts]}"),
        )
        # Its own thread would draw once more what we draw.
        progress = rich.Progress(*columns, console=console, auto_refresh=False, expand=True)
        super().__init__(progress)
        self._title = title
        self._begun = False

    def show(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        if not self._begun:
            self._begun = True
            self._progress.start()
            if self._title:
                self._progress.console.print(self._title, style="bold", highlight=False)
            for it in rows:
                self._tasks.append(self._progress.add_task(it.row.label, total=it.row.total, facts=""))
        super().show(rows)
        self._progress.refresh()

    def close(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        self.show(rows)
        self._progress.stop()
