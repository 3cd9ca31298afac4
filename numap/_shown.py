"""What a map shows of itself: as text, and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base.checks import counted

if TYPE_CHECKING:
    from ._draw.picture import Picture


def described(imap: Any) -> str:
    """The map in a line."""
    figures, options, tasks = imap.statistics(), imap._options, len(imap._tasks.specs)
    tail = f", {figures.pulled - figures.yielded} pending" if imap._life.manager is not None else ""
    return (
        f"<IMap {imap.name}: {figures.state}, {counted(options.workers, f'{options.type_name} worker')}, "
        f"{counted(tasks, 'task')}{tail}>"
    )


def pictured(imap: Any) -> Picture:
    """Its picture at this moment."""
    from ._draw.map_picture import map_picture

    workers = counted(imap._options.workers, f"{imap._options.type_name} worker")
    return map_picture(imap.name, workers, imap.statistics(), imap._tasks.inputs, imap._tasks.lengths)
