"""The life of a map as a table: which call is allowed in which state, and where it leads.

A table can be read at a glance, and a test can go through all of it. Each object with a life has one: maps, pipers, graphs.
"""

from __future__ import annotations

from collections.abc import Mapping

from .errors import StateError


class StateTable:
    """The states of an object, and the calls that lead from one to the next.

    Args:
        moves: by state and call, the next state. A call that is missing is not allowed.
        wording: what is said of such a call, with ``{call}``, ``{subject}`` and ``{state}`` in it.
        error: what is raised then.
        advice: by state and call, what to do instead.
    """

    __slots__ = ("_advice", "_error", "_moves", "_wording")

    def __init__(
        self,
        moves: Mapping[tuple[str, str], str],
        wording: str,
        error: type[Exception],
        advice: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._moves = moves
        self._wording = wording
        self._error = error
        self._advice = {} if advice is None else advice

    def after(self, state: str, call: str, subject: str = "it", named: str | None = None) -> str:
        """The state after a call; the error of the table, which changes nothing, if it is not allowed.

        Args:
            state: the present one.
            call: the row of the table.
            subject: the object, for the message.
            named: the call, for the message, where it is another one.

        >>> door = StateTable({("shut", "open"): "open"}, "{call}: not while {subject} is {state}", RuntimeError)
        >>> door.after("shut", "open")
        'open'
        >>> door.after("open", "open", "the door")
        Traceback (most recent call last):
        RuntimeError: open: not while the door is open
        """
        try:
            return self._moves[state, call]
        except KeyError:
            text = self._wording.format(call=named or call, subject=subject, state=state)
            advice = self._advice.get((state, call))
            raise self._error(text if advice is None else f"{text}; {advice}") from None


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
