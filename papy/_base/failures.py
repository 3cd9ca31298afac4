"""Failures: what travels in the place of an item that failed, from the piper where that happened to the end of the graph.

A failure is a value to all streams between pipers: one item in, one item out, so that what belongs together stays together. Each
piper that is given one gives another one that wraps it. What is to be done with it, its `origins` say, and at the end
of the graph only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from papy._base.errors import POLICIES, Dropped, PiperError, dropped, failures_in


def failure(piper: str, number: int, error: BaseException, policy: str = POLICIES[0]) -> PiperError:
    """An item failed on a piper; at which place, `place` says later.

    Args:
        piper: The name of the piper.
        number: The number of the piper.
        error: A `WorkerError`, or an error of the engine.
        policy: What is to be done with the item, one of `POLICIES`.
    """
    made = PiperError(error)
    made.__setstate__({"_failed": True, "_piper": piper, "_number": number, "_policy": policy})
    return made


def passed_on(failures: Sequence[PiperError]) -> PiperError:
    """What comes out where these failures went in; what was dropped goes on alone only."""
    numbers = frozenset[int]().union(*(error._dropped for error in failures))
    real = undropped(failures)
    if not real:
        return failures[0] if len(failures) == 1 else dropped(numbers)
    made = PiperError(*real)
    made.__setstate__({"_failed": True, "_dropped": numbers} if numbers else {"_failed": True})
    return made


def undropped(failures: Iterable[PiperError]) -> list[PiperError]:
    """The failures of items that failed."""
    return [error for error in failures if not isinstance(error, Dropped)]


def duplicate(error: PiperError) -> PiperError:
    """The same failure as another object: what raises it puts a traceback on it, and so holds on to all that raised it."""
    made = PiperError(*error.args)
    made.__setstate__(error.__dict__)
    return made


def policy_of(failures: Iterable[PiperError]) -> str:
    """What is to be done with an item that has these failures."""
    return max((origin._policy for error in failures for origin in origins(error)), key=POLICIES.index)


def origins(error: PiperError) -> Iterator[PiperError]:
    """The failures that a failure goes back to."""
    ahead = [error]
    seen = {id(error)}
    for here in ahead:
        inner = failures_in(here.args)
        if not inner:
            yield here
        ahead += [it for it in inner if id(it) not in seen]
        seen.update(map(id, inner))


def place(error: PiperError, index: int) -> None:
    """If this is a failure, say which item it was that failed, where that is not known yet."""
    for origin in origins(error):
        if origin._failed and origin._index is None:
            origin._index = index
