"""The catalogue of PaPy's and paipa's behaviours: each entry has a test that exists, or a reason why it has none.

The rows are in ``catalogue/``, a file for each group of sections.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "tests" / "papy" / "catalogue").glob("*.py"))

# The numbers of the entries of each section.
NUMBERS = {
    "A": [*range(1, 68), *range(70, 76), *range(80, 86)],
    "B": range(1, 17),
    "C": [*range(1, 45), *range(50, 55)],
    "D": range(1, 25),
    "E": range(1, 18),
    "F": range(1, 16),
    "G": range(1, 20),
    "H": range(1, 11),
    "I": range(1, 9),
    "J": range(1, 7),
    "K": range(1, 31),
    "L": range(1, 34),
    "M": range(1, 6),
    "N": range(1, 15),
    "O": range(1, 12),
}
ENTRIES = [f"{section}{number}" for section, numbers in NUMBERS.items() for number in numbers]
REASONS = ("obsolete: ", "superseded: ", "left out: ")


def rows_of(path: Path) -> dict[str, str]:
    """The rows of one file."""
    spec = importlib.util.spec_from_file_location(f"catalogue_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows: dict[str, str] = module.ROWS
    return rows


def names_in(path: Path) -> set[str]:
    """The names of the test functions of a file."""
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_is_a_test_or_a_reason(path: Path) -> None:
    known: dict[str, set[str]] = {}
    wrong = []
    for entry, row in rows_of(path).items():
        if row.startswith(REASONS):
            continue
        file, _, name = row.partition("::")
        if file not in known:
            known[file] = names_in(ROOT / file) if (ROOT / file).is_file() else set()
        if entry not in ENTRIES or name not in known[file]:
            wrong.append(f"{entry}: {row}")
    assert not wrong, "\n".join(["no such entry or test:", *wrong])


def test_nothing_is_missing() -> None:
    rows = [entry for path in FILES for entry in rows_of(path)]
    missing = [entry for entry in ENTRIES if entry not in rows]
    left_out = [entry for path in FILES for entry, row in rows_of(path).items() if row.startswith("left out: ")]
    print("missing:", ", ".join(missing) or "nothing", "- left out:", ", ".join(left_out) or "nothing")
    assert not missing
    assert len(rows) == len(set(rows)), "an entry has two rows"
