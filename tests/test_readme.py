"""The README is valid reStructuredText, and its programs are whole: each is piped into ``python -`` as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.rst"
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)


@pytest.mark.parametrize("program", [textwrap.dedent(text) for text in BLOCK.findall(README.read_text("utf-8"))])
def test_program_runs(program: str) -> None:
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_index_can_render_it() -> None:
    from docutils.core import publish_doctree
    from docutils.nodes import system_message

    # As the package index reads it: what it can't parse, it shows as plain text. Code is not coloured here, which needs Pygments.
    settings = {"report_level": 1, "halt_level": 6, "warning_stream": False, "syntax_highlight": "none"}
    document = publish_doctree(README.read_text("utf-8"), settings_overrides=settings)
    assert [message.astext() for message in document.findall(system_message)] == []
