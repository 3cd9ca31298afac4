"""An option that is added as CONTRIBUTING.rst says: in a copy of the package, in which a program then uses it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numap

#: File, what the new line stands behind, and the line. The last option is the example that it follows.
LINES = [
    ("_base/options.py", r"    buffer_bytes: int \| None = None\n", "    greeting: str | None = None\n"),
    (
        "_base/option_table.py",
        r'    Option\("name", .*\n',
        '    Option("greeting", None, text, "What is said at the start.", ("IMap",)),\n',
    ),
    ("_imap.py", r"        buffer_bytes: int \| None = None,\n", "        greeting: str | None = None,\n"),
    ("_imap.py", r"            buffer_bytes=buffer_bytes,\n", "            greeting=greeting,\n"),
]
PROGRAM = """
from numap import IMap

imap = IMap(worker_type="serial", greeting="hello")
assert imap.options["greeting"] == "hello", imap.options
assert IMap(worker_type="serial").options["greeting"] is None
for wrong in {"greeting": 5}, {"greetings": "hello"}:
    try:
        IMap(worker_type="serial", **wrong)
    except TypeError as error:
        print(error)
print(list(IMap(abs, [-1, -2], worker_type="serial", greeting="hello")))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package that has the option."""
    assert numap.__file__ is not None
    shutil.copytree(Path(numap.__file__).parent, tmp_path / "numap", ignore=shutil.ignore_patterns("__pycache__"))
    for name, behind, line in LINES:
        path = tmp_path / "numap" / name
        text, number = re.subn(behind, lambda found, line=line: found[0] + line, path.read_text(encoding="utf-8"))
        assert number == 1, f"{name}: {number} times {behind}"
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_an_option_is_a_field_a_check_and_an_argument(copy: Path) -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], check=False, cwd=copy, capture_output=True, text=True)
    assert found.stdout.splitlines() == [
        "greeting: must be a str or None, not 5 (int)",
        "IMap: there is no argument 'greetings'; did you mean 'greeting'?",
        "[1, 2]",
    ], found.stderr
