"""Rules 1 and 7 of maps: code of all kinds gives the same results as with ``map``, wherever it lives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.numap.programs import ENGINES, STARTS, Program

PROGRAM = Path(__file__).parent / "kinds_of_code.py"


@pytest.mark.parametrize("start", STARTS)
def test_each_kind(start: str, tmp_path: Path) -> None:
    with Program(tmp_path, argv=[str(PROGRAM), json.dumps({**ENGINES[start], "worker_num": 1})]) as program:
        program.ends(0, 100)  # some fifty maps
    said = program.stdout.splitlines()
    assert len(said) >= 40
    assert [line for line in said if not line.endswith(": right")] == []
