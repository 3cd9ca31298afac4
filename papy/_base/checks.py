"""Checks of arguments that maps don't have, and what makes an error of an argument one of papy.

All checks, those of `numap.interop.checks` and these, raise a TypeError or a ValueError, in the words of a map. Users of graphs
catch a `PiperError` or a `DaggerError`; so where one of these is promised, checks stand in a block `refused_as`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, Final

from numap.interop import checks
from papy._base.errors import ARGUMENT_ERRORS, POLICIES

# In seconds: polls and sockets count milliseconds in 32 bits.
LONGEST_POLL: Final = 2e6

limited = checks.limited
counted = checks.counted


def type_error(error: type[Exception], text: str) -> Exception:
    """The error of this kind that is also a TypeError. It is made here, as a traceback shows the line that raises it."""
    return ARGUMENT_ERRORS[error, TypeError](text)


def value_error(error: type[Exception], text: str) -> Exception:
    """The error of this kind that is also a ValueError; see `type_error`."""
    return ARGUMENT_ERRORS[error, ValueError](text)


@contextmanager
def refused_as(error: type[Exception]) -> Iterator[None]:
    """An argument that a check in this block refuses is an error of this kind, too. Nothing of the user's may run in it."""
    try:
        yield
    except (TypeError, ValueError) as wrong:
        made = (type_error if isinstance(wrong, TypeError) else value_error)(error, str(wrong))
        raise made from wrong.__cause__


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """What to say behind a name that is not allowed: the one that was meant, perhaps, or nothing.

    >>> did_you_mean("thresold", ["threshold", "tracker"])
    "; did you mean 'threshold'?"
    >>> did_you_mean("colour", ["threshold", "tracker"])
    ''
    """
    meant = checks.closest(given, allowed)
    return "" if meant is None else f"; did you mean {meant!r}?"


def check_seconds(what: str, given: Any, or_none: bool = True) -> None:
    """Seconds, or None where that is allowed."""
    checks.seconds(what, given, or_none)
    if given is not None and not given >= 0:
        raise checks.wrong_value(what, "at least 0 seconds" + ", or None" * or_none, given)


def check_flag(what: str, given: Any) -> None:
    """Yes or no, as 1 and 0 too: so that what stands in a wrong place is not taken for a yes."""
    if not isinstance(given, int) or given not in (0, 1):
        raise checks.wrong_type(what, "True or False", given)


def check_path(what: str, given: Any, or_none: bool = False) -> None:
    """The path of a file or directory, or None where that is allowed; a number would be a file that is open already."""
    if not isinstance(given, (str, os.PathLike)) and not (given is None and or_none):
        raise checks.wrong_type(what, "a path" + " or None" * or_none, given)


def check_branch(branch: Any) -> None:
    """Something that can be put in order with its like; sets can't, as of two none need be the lesser, nor can a NaN."""
    needed = "something that can be compared with its like"
    if isinstance(branch, Set):
        raise checks.wrong_type("branch", needed, branch)
    try:
        ordered = branch is None or not (branch < branch or branch != branch)
    except Exception as problem:  # whatever a comparison of the user's raises
        raise checks.wrong_type("branch", needed, branch) from problem
    if not ordered:
        raise checks.wrong_value("branch", needed, branch)


def check_xtra(what: str, xtra: Any) -> None:
    """A dictionary, or None."""
    if xtra is not None and not isinstance(xtra, dict):
        raise checks.wrong_type(what, "a dictionary or None", xtra)


def check_list(
    what: str, needed: str, given: Any, but: type | tuple[type, ...] = (Mapping, set, frozenset)
) -> Iterable[Any]:
    """Something to iterate over, which is no text.

    Args:
        what: The argument.
        needed: What it has to be.
        given: What it is.
        but: Types that can be iterated over and mean something else. Of a mapping these would be the keys, of a set in any order.
    """
    if isinstance(given, (str, bytes, but)) or not hasattr(given, "__iter__"):
        raise checks.wrong_type(what, needed, given)
    found: Iterable[Any] = given
    return found


def check_policy(on_error: Any, retries: Any) -> None:
    """What is to be done with failures, and how often something is tried again."""
    checks.text("on_error", on_error)
    if on_error is not None:
        checks.one_of("on_error", on_error, POLICIES, " or None")
    if retries is not None:
        checks.whole("retries", retries, 0)
