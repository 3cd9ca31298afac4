"""What travels between the steps of a pipeline besides entries; an entry itself is a tuple ``(number, value)``."""

from __future__ import annotations

from typing import Any, Final

from numap import ItemError
from numap.interop import rebuilt

Entry = tuple[int, Any]
# The number of an entry that came from the step itself.
REENQUEUED: Final = -1


class First:
    """In a queue of the user's that orders its entries, these go first: they may be compared with whatever is there."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return False


class Meta(First):
    """A control entry, as `Pipeline.put_meta` makes it."""

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:
        self.payload = payload


class Skipped:
    """Stands, as the class itself, where an entry was dropped: a class is the same one in every process."""


class Lost:
    """Stands, as the class itself, where an entry has failed, and that was counted already."""


class Failed:
    """What a worker process gives in place of a result when its attempts are over: a map would try again what is raised.

    Args:
        error: What was raised.
        trace: The text of its traceback.
    """

    __slots__ = ("error", "trace")

    def __init__(self, error: BaseException, trace: str) -> None:
        self.error = error
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        # Without a call of its __init__, which may want other arguments than those it has handed on.
        return _failed, (type(self.error), self.error.args, self.error.__dict__, self.trace)

    def portable(self) -> Failed:
        """This, or if that can't be sent, the same with the text of the error."""
        import pickle

        try:
            pickle.loads(pickle.dumps((self.error.args, self.error.__dict__)))
        except Exception:
            return Failed(ItemError(f"{type(self.error).__name__}: {self.error}"), self.trace)
        return self


def _failed(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any], trace: str) -> Failed:
    return Failed(rebuilt(kind, args, attributes), trace)


def place_of(entry: Entry | Meta | None, name: str) -> str:
    """Where an entry failed, for the user; None: it can't be told which one."""
    if type(entry) is tuple:
        which = f"entry {entry[0]}" if entry[0] != REENQUEUED else "an entry that it had put in its own queue"
        return f"raised by step {name!r} for {which}"
    return f"raised by step {name!r}" + (" for a meta entry" if type(entry) is Meta else "")
