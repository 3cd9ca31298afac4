"""A life as a table: which call is allowed in which state, where it leads, and what is said of one that is not allowed.

A table can be read at a glance, and a test can go through all of it. Each object with a life has one: maps, pipers, graphs.
"""

from __future__ import annotations

from collections.abc import Mapping


class StateTable:
    """The states of an object, and the calls that lead from one to the next.

    Args:
        moves: by state and call, the next state. A call that is missing is not allowed.
        wording: what is said of such a call, with ``{call}``, ``{who}`` and ``{state}`` in it.
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

    def after(self, state: str, call: str, who: str = "it", named: str | None = None) -> str:
        """The state after a call; the error of the table, which changes nothing, if it is not allowed.

        Args:
            state: the present one.
            call: the row of the table.
            who: the object, for the message.
            named: the call, for the message, where it is another one.

        >>> door = StateTable({("shut", "open"): "open"}, "{call}: not while {who} is {state}", RuntimeError)
        >>> door.after("shut", "open")
        'open'
        >>> door.after("open", "open", "the door")
        Traceback (most recent call last):
        RuntimeError: open: not while the door is open
        """
        try:
            return self._moves[state, call]
        except KeyError:
            text = self._wording.format(call=named or call, who=who, state=state)
            advice = self._advice.get((state, call))
            raise self._error(text if advice is None else f"{text}; {advice}") from None
