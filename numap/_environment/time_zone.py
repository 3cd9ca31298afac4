"""The time zone of a process: of its C library, which need not be the one that the environment names.

A change of ``TZ`` counts from `time.tzset` on. A worker that took over the variable alone would be in another zone than
a caller that has not called it.
"""

from __future__ import annotations

import os
import time
from typing import Any

#: What `time` tells of the zone, and the variable with which this process was started.
Zone = tuple[tuple[Any, ...], str | None]

_first_variable: list[str | None] = []


def zone() -> Zone:
    """The zone of this process, which need not be the one that its environment names: that counts from `time.tzset` on."""
    if not _first_variable:
        _first_variable.append(_variable_at_the_start())
    return _told_zone(), _first_variable[0]


def _told_zone() -> tuple[Any, ...]:
    return time.tzname, time.timezone, time.altzone, time.daylight


def _variable_at_the_start() -> str | None:
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return os.environ.get("TZ")
    return next((os.fsdecode(entry[3:]) for entry in entries if entry.startswith(b"TZ=")), None)


def adopt(found: Zone, before: str | None) -> None:
    """In a worker whose environment is that of the caller already; ``before``: the variable that it had until then."""
    told, first = found
    variable = os.environ.get("TZ")
    if not hasattr(time, "tzset") or (variable == before and _told_zone() == told):
        return
    time.tzset()
    if _told_zone() != told:
        # The caller has changed its environment, and did not tell the C library.
        _put_zone(first)
        time.tzset()
        _put_zone(variable)


def _put_zone(variable: str | None) -> None:
    if variable is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = variable
