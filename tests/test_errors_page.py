"""The gallery of errors in the manual is what the errors say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).parent.parent / "doc"


def test_the_gallery_is_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, DOC / "make_errors.py"], capture_output=True, text=True, timeout=60, check=False
    )
    print(made.stdout)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == (DOC / "errors.rst").read_text(), "run: python doc/make_errors.py > doc/errors.rst"
