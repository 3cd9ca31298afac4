"""The words of messages."""

from __future__ import annotations

from numap import IMap
from numap.interop import checks


def test_what_is_counted() -> None:
    assert [checks.counted(n, "item") for n in (0, 1, 2)] == ["0 items", "1 item", "2 items"]
    assert [checks.counted(n, "entry", "entries") for n in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
    assert "1 serial worker, 0 tasks" in repr(IMap(worker_type="serial"))
