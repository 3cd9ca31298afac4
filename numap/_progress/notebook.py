"""Progress in a notebook: one output that is updated; nothing has to be installed for that in the browser or the server."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import import_module
from typing import Any

from .rows import Measured
from .text import facts, line, summary, width_of

_STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"


class NotebookDisplay:
    """A table in the output of the cell that started the map."""

    interval = 0.2
    at_once = True

    def __init__(self, title: str) -> None:
        self._title = title
        self._handle: Any = None

    def show(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        self._put([line(it, width_of(rows)) for it in rows], rows)

    def close(self, rows: Sequence[Measured]) -> None:
        """See `Display`."""
        self._put([summary(it) for it in rows], rows)

    def _put(self, lines: list[str], rows: Sequence[Measured]) -> None:
        display: Any = import_module("IPython.display").display

        head = [self._title] if self._title else []
        bundle = {"text/plain": "\n".join([*head, *lines]), "text/html": self._html(rows)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _html(self, rows: Sequence[Measured]) -> str:
        parts = [f"<b>{escape(self._title)}</b>"] if self._title else []
        parts.append(f'<table style="{_STYLE}">')
        for it in rows:
            row = it.row
            bar = f'<progress max="{row.total}" value="{min(row.done, row.total)}"></progress>' if row.total else ""
            amount = f"{row.done:,}" + (f" of {row.total:,}" if row.total is not None else "")
            cells = [escape(row.label), bar, amount, escape(", ".join(facts(it)))]
            parts.append("<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>")
        return "".join([*parts, "</table>"])
