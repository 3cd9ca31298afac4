"""The life of a map as a table: which call is allowed in which state, and where it leads."""

from __future__ import annotations

from .errors import StateError
from .state_table import StateTable

#: No task runs; tasks may be added and removed.
IDLE = "idle"
#: Workers run, results come.
RUNNING = "running"
#: Every input has given its outcome and the workers are gone; results may still be taken.
FINISHED = "finished"
#: The map could not go on (its workers do not start); the error has been or will be raised once.
FAILED = "failed"
#: ``stop`` was called: what was not taken is gone, and tasks may be added again.
STOPPED = "stopped"

MOVES: dict[tuple[str, str], str] = {
    (IDLE, "add_task"): IDLE,
    (STOPPED, "add_task"): IDLE,
    (IDLE, "pop_task"): IDLE,
    (STOPPED, "pop_task"): STOPPED,
    (IDLE, "start"): RUNNING,
    (STOPPED, "start"): RUNNING,
    (RUNNING, "start"): RUNNING,
    (RUNNING, "finish"): FINISHED,
    (RUNNING, "fail"): FAILED,
    (RUNNING, "next"): RUNNING,
    (FINISHED, "next"): FINISHED,
    (FAILED, "next"): FAILED,
    (IDLE, "stop"): IDLE,
    (RUNNING, "stop"): STOPPED,
    (FINISHED, "stop"): STOPPED,
    (FAILED, "stop"): STOPPED,
    (STOPPED, "stop"): STOPPED,
}

_ADVICE = {
    (IDLE, "next"): "call start() first",
    (STOPPED, "next"): "its results are gone; add tasks and start() it again",
    (RUNNING, "add_task"): "add every task before start(), or stop() first",
    (FINISHED, "add_task"): "call stop() first",
    (FAILED, "add_task"): "call stop() first",
    (FINISHED, "start"): "call stop() and add tasks first",
    (FAILED, "start"): "call stop() and add tasks first",
    (RUNNING, "pop_task"): "call stop() first",
}


_LIFE = StateTable(MOVES, "{call}: not allowed while the map is {state}", StateError, _ADVICE)

#: The state after a call, or a StateError that names both and changes nothing.
move = _LIFE.after
