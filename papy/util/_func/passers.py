"""Functions that pick items of an inbox, or make one of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numap.interop import checks


def plugger(inbox: Sequence[Any]) -> None:
    """Return None, whatever comes: the end of a branch of which the results are not needed.

    >>> plugger(["item"])
    """


def ipasser(inbox: Sequence[Any], i: int = 0) -> Any:
    """Return the i-th item of the inbox.

    Args:
        inbox: The items.
        i: A place, counted from 0; negative: from the end.

    Raises:
        IndexError: If there are not so many items.

    >>> ipasser(["left", "right"], 1)
    'right'
    """
    try:
        return inbox[i]
    except TypeError as error:
        raise _blame("i", "a whole number", i, error) from error


def npasser(inbox: Sequence[Any], n: int | None = None) -> list[Any]:
    """Return a list with the first n items of the inbox, all of them by default.

    >>> npasser(["a", "b", "c"], 2)
    ['a', 'b']
    """
    try:
        return list(inbox[:n])
    except TypeError as error:
        raise _blame("n", "a whole number or None", n, error) from error


def spasser(inbox: Sequence[Any], s: Iterable[int] | None = None) -> list[Any]:
    """Return a list with some items of the inbox, in the order that was asked for.

    Args:
        inbox: The items.
        s: Their places, counted from 0; None or empty: all.

    Raises:
        IndexError: If there is no item at one of the places.

    >>> spasser(["a", "b", "c"], (2, 0))
    ['c', 'a']
    """
    try:
        return [inbox[i] for i in (() if s is None else s)] or list(inbox)
    except TypeError as error:
        raise _blame("s", "a list of whole numbers or None", s, error) from error


def nzipper(inbox: Sequence[Any], n: int | None = None) -> list[tuple[Any, ...]]:
    """Return a list of tuples: what the first n items of the inbox, which are iterables, hold at each place.

    Raises:
        ValueError: If they are of unequal length.

    >>> nzipper([[1, 2], [3, 4]])
    [(1, 3), (2, 4)]
    """
    return list(zip(*npasser(inbox, n), strict=True))


def szipper(inbox: Sequence[Any], s: Iterable[int] | None = None) -> list[tuple[Any, ...]]:
    """Return a list of tuples, see `nzipper`, of the items that `spasser` picks.

    >>> szipper(["ab", "cd", "ef"], (2, 0))
    [('e', 'a'), ('f', 'b')]
    """
    return list(zip(*spasser(inbox, s), strict=True))


def njoiner(inbox: Sequence[Any], n: int | None = None, join: Any = "") -> Any:
    """Join the first n items of the inbox, all of them by default.

    Args:
        inbox: The items, all of the kind of ``join``.
        n: How many.
        join: What to put between them: a string, or bytes.

    >>> njoiner(["a", "b", "c"], 2, "-")
    'a-b'
    """
    return _joined(npasser(inbox, n), join)


def sjoiner(inbox: Sequence[Any], s: Iterable[int] | None = None, join: Any = "") -> Any:
    """Join some items of the inbox in the order that was asked for, see `spasser` and `njoiner`.

    >>> sjoiner([b"a", b"b", b"c"], (2, 0), b" ")
    b'c a'
    """
    return _joined(spasser(inbox, s), join)


def print_(inbox: Sequence[Any]) -> None:
    """Print the first item of the inbox.

    >>> print_(["item"])
    item
    """
    print(inbox[0])  # noqa: T201  (that is what it is for)


def _joined(items: list[Any], join: Any) -> Any:
    if not isinstance(join, (str, bytes, bytearray)):
        raise checks.wrong_type("join", "a string or bytes", join)
    return join.join(items)


def _blame(what: str, needed: str, given: object, error: TypeError) -> Exception:
    """The error for an argument, where that is to blame; else the one that was raised."""
    numbers = given if what == "s" else [given]
    right = isinstance(numbers, Iterable) and all(isinstance(it, int) for it in numbers)
    return error if right else checks.wrong_type(what, needed, given)
