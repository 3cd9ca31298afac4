"""Checks of the arguments of graphs, pipers and functions: an error names the argument, what is needed, and what was given.

Those of a Pipeline and its steps are checked as those of a map are, by `numap.interop.checks`. Here an error is also one of
papy, where there is one for the object: a `PiperError` that is a TypeError, for example.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from numap.interop import checks
from papy._base.errors import (
    POLICIES,
    DaggerError,
    DaggerTypeError,
    DaggerValueError,
    PiperError,
    PiperTypeError,
    PiperValueError,
    PlumberError,
    PlumberTypeError,
    PlumberValueError,
)

# In seconds: polls and sockets count milliseconds in 32 bits.
LONGEST_POLL: Final = 2e6

_KINDS: Final[Mapping[type[Exception], tuple[type[Exception], type[Exception]]]] = {
    PiperError: (PiperTypeError, PiperValueError),
    DaggerError: (DaggerTypeError, DaggerValueError),
    PlumberError: (PlumberTypeError, PlumberValueError),
    Exception: (TypeError, ValueError),
}


def type_error(error: type[Exception], text: str) -> Exception:
    """The error of this kind that is also a TypeError. It is made here, as a traceback shows the line that raises it."""
    return _KINDS[error][0](text)


def value_error(error: type[Exception], text: str) -> Exception:
    """The error of this kind that is also a ValueError; see `type_error`."""
    return _KINDS[error][1](text)


def wrong_type(what: str, needed: str, given: object, error: type[Exception] = Exception) -> Exception:
    """The error for an argument of a wrong type.

    Args:
        what: The argument.
        needed: What it has to be.
        given: What it is.
        error: The error of the package that it shall be, besides a TypeError; Exception: none.
    """
    return type_error(error, f"{what}: {needed}, got {given!r:.80}")


def wrong_value(what: str, needed: str, given: object, error: type[Exception] = Exception) -> Exception:
    """The error for an argument with a value that is not allowed; see `wrong_type`."""
    return value_error(error, f"{what}: {needed}, got {given!r:.80}")


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """What to say behind a name that is not allowed: the one that was meant, perhaps, or nothing.

    >>> did_you_mean("thresold", ["threshold", "tracker"])
    "; did you mean 'threshold'?"
    >>> did_you_mean("colour", ["threshold", "tracker"])
    ''
    """
    meant = checks.closest(given, allowed)
    return "" if meant is None else f"; did you mean {meant!r}?"


def check_whole(what: str, given: Any, least: int, error: type[Exception] = Exception) -> None:
    """A whole number, not below the least one."""
    needed = f"a whole number of at least {least} is needed"
    if not isinstance(given, int) or isinstance(given, bool):
        raise wrong_type(what, needed, given, error)
    if given < least:
        raise wrong_value(what, needed, given, error)


def check_seconds(what: str, given: Any, error: type[Exception] = Exception, or_none: bool = True) -> None:
    """Seconds, or None where that is allowed."""
    needed = "seconds, at least 0, or None are needed" if or_none else "seconds, at least 0, are needed"
    if given is None and or_none:
        return
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong_type(what, needed, given, error)
    if not given >= 0:
        raise wrong_value(what, needed, given, error)


limited = checks.limited
counted = checks.counted


def check_flag(what: str, given: Any, error: type[Exception] = Exception) -> None:
    """Yes or no, as 1 and 0 too: so that what stands in a wrong place is not taken for a yes."""
    if not isinstance(given, int) or given not in (0, 1):
        raise wrong_type(what, "True or False is needed", given, error)


def check_name(what: str, given: Any, error: type[Exception] = Exception) -> None:
    """A text, or None."""
    if given is not None and not isinstance(given, str):
        raise wrong_type(what, "a string or None is needed", given, error)


def check_path(what: str, given: Any, or_none: bool = False) -> None:
    """The path of a file or directory, or None where that is allowed; a number would be a file that is open already."""
    if not isinstance(given, (str, os.PathLike)) and not (given is None and or_none):
        raise wrong_type(what, "a path or None is needed" if or_none else "a path is needed", given)


def check_branch(branch: Any, error: type[Exception]) -> None:
    """Something that can be put in order with its like; sets can't, as of two none need be the lesser, nor can a NaN."""
    needed = "something that can be compared with its like is needed"
    if isinstance(branch, Set):
        raise wrong_type("branch", needed, branch, error)
    try:
        ordered = branch is None or not (branch < branch or branch != branch)
    except Exception as problem:  # whatever a comparison of the user's raises
        raise wrong_type("branch", needed, branch, error) from problem
    if not ordered:
        raise wrong_value("branch", needed, branch, error)


def check_xtra(what: str, xtra: Any) -> None:
    """A dictionary, or None."""
    if xtra is not None and not isinstance(xtra, dict):
        raise wrong_type(what, "a dictionary or None is needed", xtra, DaggerError)


def check_list(
    what: str, needed: str, given: Any, error: type[Exception], but: type | tuple[type, ...] = (Mapping, set, frozenset)
) -> Iterable[Any]:
    """Something to iterate over, which is no text.

    Args:
        what: The argument.
        needed: What it has to be.
        given: What it is.
        error: As in `wrong_type`.
        but: Types that can be iterated over and mean something else. Of a mapping these would be the keys, of a set in any order.
    """
    if isinstance(given, (str, bytes, but)) or not hasattr(given, "__iter__"):
        raise wrong_type(what, f"{needed} is needed", given, error)
    found: Iterable[Any] = given
    return found


def check_policy(on_error: Any, retries: Any, error: type[Exception] = PiperError) -> None:
    """What is to be done with failures, and how often something is tried again."""
    needed = f"{', '.join(map(repr, POLICIES))} or None is needed"
    if on_error is not None and not isinstance(on_error, str):
        raise wrong_type("on_error", needed, on_error, error)
    if on_error is not None and on_error not in POLICIES:
        raise wrong_value("on_error", needed, on_error, error)
    if retries is not None:
        check_whole("retries", retries, 0, error)
