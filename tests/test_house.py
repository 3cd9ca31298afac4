"""House rules that a program can check: nobody sleeps, and files, classes and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {"module": 400, "class": 200, "function": 50}
CLEAR_EXCESS = 1.5  # up to here people decide, beyond it the test does

Tree = tuple[str, ast.Module]
Size = tuple[str, str, int]  # what, where, lines


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    """The files of both packages with their syntax trees."""
    paths = [path for package in ("numap", "papy") for path in sorted((ROOT / package).rglob("*.py"))]
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def test_nobody_sleeps(trees: list[Tree]) -> None:
    """What waits in the packages waits for something that happens."""
    found = [
        f"{where}:{node.lineno}"
        for where, tree in trees
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "sleep" for alias in node.names))
    ]
    assert not found


def lines_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a definition without the docstrings in it: documentation is never too long."""
    total = (node.end_lineno or 0) - node.lineno + 1
    for inner in ast.walk(node):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(inner):
            text = inner.body[0]
            total -= (text.end_lineno or 0) - text.lineno + 1
    return total


def sizes(trees: list[Tree]) -> Iterator[Size]:
    """Every module, class and function with its length."""
    for where, tree in trees:
        yield "module", where, len((ROOT / where).read_text(encoding="utf-8").splitlines())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                what = "class" if isinstance(node, ast.ClassDef) else "function"
                yield what, f"{where}:{node.lineno} {node.name}", lines_of(node)


def test_budgets(trees: list[Tree], capsys: pytest.CaptureFixture[str]) -> None:
    measured = list(sizes(trees))
    over = [(what, where, lines) for what, where, lines in measured if lines > BUDGETS[what]]
    with capsys.disabled():
        print()
        for kind, budget in BUDGETS.items():
            lengths = [lines for what, _, lines in measured if what == kind]
            if len(lengths) > 1:
                ninth = quantiles(lengths, n=10)[-1]
                print(f"{len(lengths)} x {kind}: median {median(lengths):.0f} lines, 9 of 10 up to {ninth:.0f}", end="")
                print(f", longest {max(lengths)}, budget {budget}")
        for what, where, lines in over:
            print(f"over budget: {what} {where}: {lines} lines, not {BUDGETS[what]}")
    assert [it for it in over if it[2] > CLEAR_EXCESS * BUDGETS[it[0]]] == []
