"""The states of pipers and graphs, as tables: in which of them a call is possible, and where it leads.

A call that the state forbids has to say so and change nothing, in threads that are interrupted, too. So no call decides
that by itself: it looks here first, and takes over the new state when all else is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from papy._base.forks import FORKED

__all__ = ["ADVICE", "DAGGER", "PIPER", "PLUMBER", "Moves"]

# The state, and a call that it allows, lead to the next state.
Moves = Mapping[tuple[str, str], str]

PIPER: Final[Moves] = {
    ("idle", "connect"): "connected",
    ("connected", "start"): "started",
    ("connected", "disconnect"): "idle",
    ("started", "next"): "started",
    ("started", "stop(forced=True)"): "stopped",
    ("finished", "next"): "finished",
    ("finished", "stop"): "stopped",
    ("finished", "stop(forced=True)"): "stopped",
    ("stopped", "disconnect"): "idle",
    (FORKED, "stop"): FORKED,
    (FORKED, "stop(forced=True)"): FORKED,
}

# What to do first where a call of a piper is not allowed.
ADVICE: Final[Moves] = {
    ("idle", "start"): "connect it to its inputs first",
    ("idle", "next"): "connect and start it first, or start the Dagger that it is in",
    ("connected", "next"): "start it first",
    ("started", "stop"): "read it to its end, or use stop(forced=True)",
    ("started", "disconnect"): "stop it first",
    ("finished", "disconnect"): "stop it first",
    ("stopped", "connect"): "disconnect it first",
    ("stopped", "next"): "its results are gone",
}

_GRAPH: Final[Moves] = {
    ("idle", "change"): "idle",
    ("idle", "connect"): "connected",
    ("idle", "disconnect"): "idle",
    ("idle", "stop"): "idle",
    ("connected", "disconnect"): "idle",
    ("connected", "stop"): "idle",
    (FORKED, "stop"): FORKED,
}

DAGGER: Final[Moves] = {
    **_GRAPH,
    **{("idle", call): "running" for call in ("results", "run(datas)", "start")},
    ("connected", "start"): "running",
    ("running", "stop"): "idle",
}

PLUMBER: Final[Moves] = {
    **_GRAPH,
    ("idle", "results"): "being read",
    ("idle", "run(datas)"): "being read",
    ("idle", "start"): "started",
    ("connected", "start"): "started",
    ("started", "run"): "running",
    ("paused", "run"): "running",
    ("running", "pause"): "paused",
    ("finished", "pause"): "finished",
    ("failed", "pause"): "failed",
    **{(state, "wait"): state for state in ("running", "finished", "failed")},
    **{(state, "stop"): "idle" for state in ("being read", "started", "running", "paused", "finished", "failed")},
}
