"""Where an item is sent by a piper with ``route=True``."""

from __future__ import annotations

from typing import Any, NamedTuple


class Routed(NamedTuple):
    """An item, and the place of its branch among those that there are."""

    place: int
    item: Any


def routed(branches: tuple[Any, ...], chosen: Any, item: Any) -> Routed:
    """An item that is sent to a branch; ValueError, which names those that there are, if there is no such branch."""
    for place, branch in enumerate(branches):
        if type(branch) is type(chosen) and branch == chosen:
            return Routed(place, item)
    for place, branch in enumerate(branches):
        if branch == chosen:  # 1 and True
            return Routed(place, item)
    names = ", ".join(map(repr, branches))
    raise ValueError(f"there is no branch {chosen!r:.80} for the item; the pipers behind this one have {names}")
