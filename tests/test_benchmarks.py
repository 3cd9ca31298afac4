"""The benchmarks run: what they say is not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / arguments[0]), *arguments[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


def test_a_workload_beside_its_baseline(tmp_path: Path) -> None:
    said = run("run.py", "P5", "P7", "--peers", "none", "--rounds", "1", "--output", str(tmp_path))
    assert "three chained tasks" in said and "Python" in said
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert [(entry["workload"], entry["peer"]) for entry in figures] == [("P5", "numap"), ("P7", "numap")]
    assert all(entry["median"] > 0 and entry["ratio"] > 0 for entry in figures)
    assert (tmp_path / "table.txt").read_text().count("\n") == 3


def test_the_parts_of_an_item() -> None:
    said = run("parts.py")
    assert "loop of a consumer" in said and "memcpy" in said


def test_the_calls_that_a_live_item_takes() -> None:
    said = run("calls.py", "--list")
    assert "thread" in said and "process" in said and "_runtime/manager.py" in said


def test_a_picture_of_numap_beside_the_best_of_its_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from report import standings

    def entry(workload: str, peer: str, median: float, ratio: float | None = None) -> dict[str, object]:
        return {"workload": workload, "peer": peer, "median": median, **({} if ratio is None else {"ratio": ratio})}

    found = standings(
        [
            entry("P1", "numap", 400, 40.0),
            entry("P1", "hand", 900, 90.0),  # what the machine gives, and no peer
            entry("P1", "mpire", 30, 3.0),
            entry("P2", "numap", 0.9),
            entry("P2", "Pool", 0.6),
            entry("P7", "numap", 15, 1.5),  # less is better, and the baseline is the only peer
            {"workload": "P9", "peer": "numap", "error": "no result"},
        ]
    )
    assert [(it.key, round(it.ratio, 2), it.peer) for it in found] == [
        ("P1", 13.33, "mpire"),
        ("P2", 1.5, "Pool"),
        ("P7", 0.67, "Pool"),
    ]
