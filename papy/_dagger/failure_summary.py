"""In words, how many items failed where, and what to do about it. Knows no runs.

The commonest failure of all items is a function that expects an item and was given an inbox, a list. Python's message for
that names neither, so the first failure is looked at, and the summary says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from papy._base.checks import counted
from papy._base.errors import PiperError
from papy._evaluate.worker import Worker
from papy._piper.piper_options import PiperOptions

# What Python says where something else than a list was expected. ``int``, ``open``, ``json.loads``, ``str.split`` and most
# others name the type that they got, some only the one that they need.
_NO_LIST: Final = re.compile(r"\b(list|tuple)\b|positional argument|must be|expected|values to unpack")


P = TypeVar("P", bound=PiperOptions)


def summary_of(items: Mapping[P, int], failures: Mapping[P, int], first: PiperError) -> str:
    """How many items of how many failed on which pipers.

    Args:
        items: For each piper how many it has evaluated.
        failures: For each piper how many of these failed.
        first: The first failure.
    """
    counts = {piper: (count, max(count, items[piper])) for piper, count in failures.items() if count}
    where = ", ".join(f"{failed} of {total} on {_named(piper)}" for piper, (failed, total) in counts.items())
    total = sum(failures.values())
    hint = "".join(f". {text}" for text in [advice(first, {piper.number: piper.worker for piper in failures})] if text)
    return f"{counted(total, 'item')} failed: {where}; the first: {first}{hint}"


def advice(error: PiperError, workers: Mapping[int, Worker]) -> str:
    """What to write instead where a function that takes items was probably given an inbox; nothing elsewhere.

    Args:
        error: The failure.
        workers: For the number of each piper its worker.
    """
    worker = None if error.number is None else workers.get(error.number)
    for step in () if worker is None else worker.steps:
        name = Worker.name_of(step.function)
        if str(getattr(step.function, "__module__", "")).startswith("papy."):
            continue  # those of ours do take an inbox
        if not step.unpack and name == error.function and _may_have_met_a_list(error.exception):
            return f"{name} was given an inbox, a list of items; if it takes items, write Piper({name}, unpack=True)"
    return ""


def _may_have_met_a_list(error: BaseException | None) -> bool:
    return isinstance(error, (TypeError, AttributeError, ValueError)) and bool(_NO_LIST.search(str(error)))


def _named(piper: PiperOptions) -> str:
    name = piper.worker.name
    return piper.name if name in (piper.name, "<lambda>") else f"{piper.name} ({name})"
