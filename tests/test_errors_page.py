"""The gallery of errors in the manual is what the errors say."""

from __future__ import annotations

import runpy
from pathlib import Path

DOC = Path(__file__).parent.parent / "doc"


def test_the_gallery_is_up_to_date() -> None:
    page = runpy.run_path(str(DOC / "make_errors.py"))["gallery"]()
    print(page)
    assert page == (DOC / "errors.rst").read_text(), "run: python doc/make_errors.py > doc/errors.rst"
