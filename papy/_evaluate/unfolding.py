"""The values of one call of a piper with ``flatten=True``, each of which becomes an item.

Where it is evaluated in the thread of its reader, a value is made when it is asked for. A generator that raised, or was
interrupted, is at its end in Python; so it is made anew then, and what was given already is passed over. A worker has
nobody that asks: it makes all values of a call, and they travel together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final

from papy._base.errors import SkipEntry
from papy._evaluate.current_item import CURRENT, Item

_NOTHING: Final = object()
_TEXTS: Final = (str, bytes, bytearray)


def values_in(value: Any) -> Iterator[Any]:
    """An iterator over what a function returned; TypeError if that is a text, or nothing to iterate over."""
    if isinstance(value, _TEXTS) or not hasattr(value, "__iter__"):
        hint = "; for its characters return list(...)" if isinstance(value, _TEXTS) else ""
        raise TypeError(
            f"flatten=True needs an iterable of values for each item, and got {type(value).__name__}: {value!r:.60}{hint}"
        )
    return iter(value)


def all_values(value: Any) -> tuple[tuple[Any, ...], Exception | None]:
    """All values in what a function returned, up to an error, with that; a `SkipEntry` before the first is raised."""
    made: list[Any] = []
    try:
        made.extend(values_in(value))  # what raises leaves here what it has given
    except SkipEntry:
        if not made:
            raise
    except Exception as error:
        return tuple(made), error
    return tuple(made), None


class Unfolding(Iterator[Any]):
    """The values of one call, each when it is asked for; behind those before it comes a failure, if there is one.

    Args:
        again: Calls the functions once more, and gives what they return.
        failed: What becomes of what the values raised: a failure; None, if that is to be raised.
        inbox: What the functions were given.
        retries: How often they may be called again after an error.
    """

    def __init__(
        self,
        again: Callable[[Sequence[Any]], Any],
        failed: Callable[[BaseException, Sequence[Any]], Any],
        inbox: Sequence[Any],
        retries: int,
    ) -> None:
        self._again = again
        self._failed = failed
        self._inbox = inbox
        self._retries = retries
        self._values: Iterator[Any] | None = None
        self._held: Any = _NOTHING
        self._given = 0
        self._over = False
        self._item: Item | None = CURRENT.get()

    def first(self, value: Any) -> bool:
        """Make the first value of what the functions returned; False: there is none."""
        values = self._values = values_in(value)
        for self._held in values:
            return True
        return False

    def __next__(self) -> Any:
        while self._held is _NOTHING:
            if self._over:
                raise StopIteration
            self._pull()
        # No call may stand between these: an interrupt comes before all or after all.
        held = self._held
        self._held = _NOTHING
        self._given += 1
        return held

    def _pull(self) -> None:
        current: ContextVar[Item | None] = CURRENT
        before = current.set(self._item)
        try:
            if self._values is None:
                values = values_in(self._again(self._inbox))
                for _ in islice(values, self._given):
                    pass
                self._values = values
            values = self._values
            for self._held in values:
                return
            self._over = True
        except SkipEntry:
            self._over = True
        except BaseException as error:
            self._values = None
            failure = self._failed(error, self._inbox)
            if failure is None:
                raise
            if self._retries:
                self._retries -= 1
                return
            self._over, self._held = True, failure
        finally:
            current.reset(before)
