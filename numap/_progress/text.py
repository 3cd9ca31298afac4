"""Progress in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .rows import Measured

_BAR: Final = 20


def line(it: Measured, width: int = 0) -> str:
    """One row as a line of text.

    Args:
        it: the row.
        width: of the label.

    >>> from .rows import Row
    >>> print(line(Measured(Row("parse", 250, failed=3, total=1000, inside=4), 10.0, 25.0, 30.0)))
    parse   25% [#####...............] 250/1,000, 25.0/s, 0:30 left, 4 inside, 3 failed
    >>> print(line(Measured(Row("parse", 250), 10.0, 2500.0, None)))
    parse  250 done, 2,500/s
    """
    row = it.row
    if row.total:
        part = min(1.0, row.done / row.total)
        bar = ("#" * int(part * _BAR)).ljust(_BAR, ".")
        amount = f"{int(100 * part):3d}% [{bar}] {row.done:,}/{row.total:,}"
    else:
        amount = f"{row.done:,} done"
    return f"{row.label:{width}}  {', '.join([amount, *facts(it)])}"


def facts(it: Measured) -> list[str]:
    """What there is to say of a row besides how far it is."""
    row = it.row
    said = [rate_text(it.rate)]
    if it.left is not None and row.done != row.total:
        said.append(f"{clock_text(it.left)} left")
    if row.inside:
        said.append(f"{row.inside:,} inside")
    if row.failed:
        said.append(f"{row.failed:,} failed")
    if row.retried:
        said.append(f"{row.retried:,} retried")
    if row.marked:
        said.append("<- limits the others")
    return said


def summary(it: Measured) -> str:
    """A row when all is over.

    >>> from .rows import Row
    >>> summary(Measured(Row("parse", 1000, failed=3), 40.0, 25.0, None))
    'parse  1,000 done in 0:40, 25.0/s, 3 failed'
    """
    row = it.row
    said = [f"{row.done:,} done in {clock_text(it.seconds)}", rate_text(it.rate)]
    if row.total is not None and row.done < row.total:
        said[0] = f"{row.done:,} of {row.total:,} done in {clock_text(it.seconds)}"
    said += [f"{number:,} {what}" for number, what in ((row.failed, "failed"), (row.retried, "retried")) if number]
    return f"{row.label}  {', '.join(said)}"


def width_of(rows: Sequence[Measured]) -> int:
    """Of the longest label."""
    return max((len(it.row.label) for it in rows), default=0)


def rate_text(rate: float) -> str:
    """Items per second, with three digits."""
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 10 else f"{rate:.2f}/s"


def clock_text(seconds: float) -> str:
    """Seconds as a clock has them.

    >>> clock_text(5), clock_text(3661), clock_text(200_000)
    ('0:05', '1:01:01', '2 days, 7:33:20')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{days} day{'s' * (days > 1)}, {text}" if days else text
