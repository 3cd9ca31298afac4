"""The states of pipers and graphs, as tables: in which of them a call is possible, and where it leads.

A call that the state forbids has to say so and change nothing, in threads that are interrupted, too. So no call decides
that by itself: it looks here first, and takes over the new state when all else is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from numap.interop import StateTable
from papy._base.errors import DaggerError, PiperError, PlumberError
from papy._base.forks import FORKED

# The state, and a call that it allows, lead to the next state.
_Moves = Mapping[tuple[str, str], str]

_PIPER: Final[_Moves] = {
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
_ADVICE: Final[_Moves] = {
    ("idle", "start"): "connect it to its inputs first",
    ("idle", "next"): "connect and start it first, or start the Dagger that it is in",
    ("connected", "next"): "start it first",
    ("started", "stop"): "read it to its end, or use stop(forced=True)",
    ("started", "disconnect"): "stop it first",
    ("finished", "disconnect"): "stop it first",
    ("stopped", "connect"): "disconnect it first",
    ("stopped", "next"): "its results are gone",
}

_GRAPH: Final[_Moves] = {
    ("idle", "change"): "idle",
    ("idle", "connect"): "connected",
    ("idle", "disconnect"): "idle",
    ("idle", "stop"): "idle",
    ("connected", "disconnect"): "idle",
    ("connected", "stop"): "idle",
    (FORKED, "stop"): FORKED,
}

# What to do first where a call of a graph is not allowed.
_STOP: Final = "stop() it first"
_GRAPH_ADVICE: Final[_Moves] = {
    ("connected", "connect"): "it is connected: start() it, or disconnect() first",
    **{
        ("connected", call): "start() takes what it is connected to; or disconnect() first"
        for call in ("results", "run(datas)")
    },
    ("connected", "change"): "disconnect() it first",
    **{
        (state, call): _STOP
        for state in ("running", "being read", "started", "paused", "finished", "failed")
        for call in ("change", "connect", "disconnect", "results", "run(datas)", "start")
    },
}
_PLUMBER_ADVICE: Final[_Moves] = {
    **_GRAPH_ADVICE,
    ("idle", "run"): "write run([items]), with one list of items for each input, or start([items]) first",
    **{("idle", call): "start([items]) and run() it first" for call in ("pause", "wait")},
    **{("connected", call): "start() it first" for call in ("pause", "run", "wait")},
    **{("started", call): "run() it first" for call in ("pause", "wait")},
    ("paused", "wait"): "run() it first: paused, it comes to no end",
    **{
        (state, "run"): "wait() for it, or stop() it and start([items]) anew"
        for state in ("running", "finished", "failed")
    },
}

_DAGGER: Final[_Moves] = {
    **_GRAPH,
    **{("idle", call): "running" for call in ("results", "run(datas)", "start")},
    ("connected", "start"): "running",
    ("running", "stop"): "idle",
}

_PLUMBER: Final[_Moves] = {
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

_WORDING: Final = "{call} is not possible while {subject} is {state}"
PIPER: Final = StateTable(_PIPER, "{subject}: {call} is not possible while it is {state}", PiperError, _ADVICE)
DAGGER: Final = StateTable(_DAGGER, _WORDING, DaggerError, _GRAPH_ADVICE)
PLUMBER: Final = StateTable(_PLUMBER, _WORDING, PlumberError, _PLUMBER_ADVICE)
