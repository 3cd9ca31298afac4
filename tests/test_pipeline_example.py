"""examples/pipeline.py as a user runs it: a script in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FILES = {
    "small.py": "import os, sys\nfrom os import path\n\n\ndef one():\n    return os\n",
    "package/branches.py": (
        "import os\n\n\ndef many(x):\n    if x and x > 1 or x < -1:\n        return 1\n"
        "    for y in x:\n        while y:\n            y = y if y else x\n    return os\n\n\nz = 1 if many(2) else 3\n"
    ),
    "warns.py": "a = 1 is 1\n",
    "broken.py": "def (:\n",
    "broken_too.py": "x = '\n",
}


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "pipeline.py"), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=100)


def lines_of(*args: object) -> list[str]:
    """Run the script and return what it prints; anything on stderr, a warning for example, is a failure."""
    done = run(*args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_tables(tree: Path, kind: str) -> None:
    lines = [line.split() for line in lines_of("--input", tree, "--type", kind, "--workers", 2)]
    assert ["5", "files", "in", str(tree)] in lines
    assert ["7", "7", "many", "(package/branches.py:4)"] in lines
    assert ["2", "1", "one", "(small.py:5)"] in lines
    assert ["8", "1", "package/branches.py"] in lines
    assert ["2", "os"] in lines and ["1", "sys"] in lines
    assert ["5", "x"] in lines
    assert ["Not", "parsed:", "2"] in lines
    assert [line[0] for line in lines if "SyntaxError:" in line] == ["broken.py:", "broken_too.py:"]
    assert lines[-1][:4] == [f"{kind}:", "5", "files,", "0.0"]


def test_comparison(tree: Path) -> None:
    lines = lines_of("--input", tree, "--workers", 2, "--limit", 4, "--compare")
    assert lines[0].startswith("4 files")
    assert lines[-3].startswith("process: 4 files") and lines[-2].startswith("serial: 4 files")
    assert lines[-1].endswith("times as fast as serial; the results are identical")


def test_the_standard_library_is_the_default() -> None:
    lines = lines_of("--limit", 20)
    assert lines[0].startswith("20 files in") and lines[-1].startswith("process: 20 files")


def test_a_directory_without_files(tmp_path: Path) -> None:
    done = run("--input", tmp_path)
    assert done.returncode == 2 and f"no .py files in {tmp_path}" in done.stderr
