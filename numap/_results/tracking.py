"""What a task gave, by place, where it is to be kept."""

from __future__ import annotations

import pickle
from typing import Any

from .._items.failures import exception_of
from .._items.segments import FAILED, PACKED, RAW, Segment, item_of, singles


class Track:
    """The outcomes of one task. The manager adds them as they are; they are opened where they are asked for."""

    def __init__(self) -> None:
        self._log: list[tuple[int, Segment]] = []

    def add(self, first: int, segment: Segment) -> None:
        """Outcomes are known, the first of them that of item ``first``."""
        kind, count, data = segment
        # Live results are handed over from the very list, which forgets each as it goes.
        self._log.append((first, (RAW, count, list(data)) if kind == RAW else segment))

    def results(self) -> dict[int, Any]:
        """Results and errors so far by the index of their item; raises what unpickling a result raises."""
        found: dict[int, Any] = {}
        for first, segment in list(self._log):
            kind, count, data = segment
            if kind == FAILED:
                values = [exception_of(data)]
            elif kind == RAW:
                values = data
            else:
                values = pickle.loads(data) if kind == PACKED else list(map(item_of, singles(segment, True)))
            found.update(zip(range(first, first + count), values, strict=True))
        return dict(sorted(found.items()))
