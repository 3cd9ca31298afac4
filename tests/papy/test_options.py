"""Graphs and pipelines have the options that the table of `numap.interop` says that they have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import papy
from numap.interop import options


@pytest.mark.parametrize("place", ["Piper", "Dagger", "Pipeline"])
def test_graphs_and_pipelines_know_the_words_of_the_table(place: str) -> None:
    assert not [option.name for option in options.options_of(place) if not _knows(place, option)]


def _knows(place: str, option: options.Option) -> bool:
    """Whether an option is known there: what it says of an impossible value names the option, and does not call it unknown."""
    make: dict[str, Callable[..., Any]] = {
        "Piper": lambda **given: papy.Piper(abs, **given),
        "Dagger": papy.Dagger,
        "Pipeline": lambda **given: papy.Pipeline((abs, 1), **given),
    }
    try:
        make[place](**{option.name: object()})
    except Exception as error:
        words = (option.name, option.aliases.get(place, option.name))
        return any(word in str(error) for word in words) and not re.search(
            "no argument|no option|unexpected", str(error)
        )
    return True
