"""One Ctrl-C at any moment of a start comes out soon, leaves nothing, and what was to start can be started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.papy.behaviour.interrupted import KINDS

#: All of them: the first one has the programs of the others started, too.
pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("interrupted.py")
ROOT = PROGRAM.parents[3]


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All at once, as they mostly wait."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = {
        kind: subprocess.Popen(
            [sys.executable, str(PROGRAM), kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        for kind in KINDS
    }
    yield running
    for program in running.values():
        program.kill()
        program.communicate()


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_every_point_of(programs: dict[str, subprocess.Popen[str]], kind: str) -> None:
    said, _ = programs[kind].communicate(timeout=500)  # of half a minute, where nothing else runs
    points = said.split()[0]
    assert said == f"{points} points\n" and programs[kind].returncode == 0
    assert int(points) > 50
