"""What a piper that is used by itself is given, checked: its inputs, and PaPy's stages of a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numap.interop import checks
from papy._base.checks import check_list, refused_as, value_error
from papy._base.errors import PiperError
from papy._piper.piper_options import PiperOptions


def starts(stages: Sequence[int]) -> bool:
    """Whether that is what these stages of PaPy do."""
    with refused_as(PiperError):
        check_list("stages", "a list of numbers or None", stages)
    found = list(stages)
    return 0 in found or 1 in found


def checked_inbox(name: str, inbox: Sequence[Any]) -> list[Any]:
    with refused_as(PiperError):
        check_list(f"{name}: connect", "a list of inputs", inbox, PiperOptions)
    ups = list(inbox)
    if not ups:
        raise value_error(PiperError, f"{name}: connect: none given; must be at least one input")
    with refused_as(PiperError):
        for place, up in enumerate(ups):
            if not hasattr(up, "__iter__") and not hasattr(up, "__getitem__"):
                raise checks.wrong_type(f"{name}: input {place}", "a piper or an iterable", up)
    return ups
