"""House rules that a program can check: sizes, waiting without sleep, and that the guide to the files tells the truth."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {"module": 400, "class": 200, "function": 50}
#: What may be longer, and why: what, where and how it is called. What could be split goes to other files, not here.
_INIT = ("function", "numap/_imap.py", "IMap.__init__")
EXCEPTIONS = {_INIT: "a line for each of its 28 arguments where it is taken, and where it is checked"}
MOST_EXCEPTIONS = 5

Tree = tuple[str, ast.Module]
Size = tuple[str, str, str, int]  # what, where, its name, lines


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    """The files of both packages with their syntax trees."""
    paths = [path for package in ("numap", "papy") for path in sorted((ROOT / package).rglob("*.py"))]
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def test_what_waits_does_not_sleep(trees: list[Tree]) -> None:
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


def definitions(
    node: ast.AST, outer: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All classes and functions in a tree, with their qualified names."""
    for inner in ast.iter_child_nodes(node):
        name = outer
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{outer}.{inner.name}".lstrip(".")
            yield name, inner
        yield from definitions(inner, name)


def sizes(trees: list[Tree]) -> Iterator[Size]:
    """Every module, class and function with its length."""
    for where, tree in trees:
        yield "module", where, "", len((ROOT / where).read_text(encoding="utf-8").splitlines())
        for name, node in definitions(tree):
            yield "class" if isinstance(node, ast.ClassDef) else "function", where, name, lines_of(node)


def test_budgets(trees: list[Tree], capsys: pytest.CaptureFixture[str]) -> None:
    measured = list(sizes(trees))
    with capsys.disabled():
        print()
        for kind, budget in BUDGETS.items():
            lengths = [lines for what, *_, lines in measured if what == kind]
            ninth = quantiles(lengths, n=10)[-1]
            print(f"{len(lengths)} x {kind}: median {median(lengths):.0f} lines, 9 of 10 up to {ninth:.0f}", end="")
            print(f", longest {max(lengths)}, budget {budget}")
    over = {(what, where, name): lines for what, where, name, lines in measured if lines > BUDGETS[what]}
    long = [
        f"{what} {where} {name}: {over[what, where, name]} lines"
        for what, where, name in over.keys() - EXCEPTIONS.keys()
    ]
    assert not long, "\n".join(["over budget:", *sorted(long)])
    assert not EXCEPTIONS.keys() - over.keys(), "these are within their budgets now"


def test_exceptions_are_few_and_have_reasons() -> None:
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS
    assert all(EXCEPTIONS.values())


@pytest.fixture(scope="module")
def guide() -> str:
    """CONTRIBUTING.rst."""
    return (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")


def questions(guide: str) -> dict[str, str]:
    """The rows of the table: what is asked, and the answer; a row may go on in the lines below it."""
    ruler = next(line for line in guide.splitlines() if line.startswith("=====") and " " in line)
    start = len(ruler.split()[0])
    rows: dict[str, str] = {}
    for line in guide.split(ruler)[2].strip("\n").splitlines():
        asked, answer = line[:start].strip(), line[start:].strip()
        key = asked or next(reversed(rows))
        rows[key] = f"{rows.get(key, '')} {answer}".strip()
    return rows


def test_fifteen_questions_have_answers_that_are_there(guide: str) -> None:
    found = questions(guide)
    assert len(found) == 15
    for question, answer in found.items():
        paths = re.findall(r"``((?:numap|papy)/[^`]*)``", answer)
        assert paths, f"{question} names no file"
        assert [path for path in paths if not (ROOT / path).exists()] == [], question


def test_files_that_the_guide_names_are_there(guide: str) -> None:
    named = re.findall(r"``((?:numap|papy|tests|doc)/[^`]*|[A-Z]+\.rst)``", guide)
    named += [f"numap/{path}" for path in re.findall(r" (_\w+/\w+\.py)", guide)]  # in the drawing
    assert len(named) > 40
    assert sorted({path for path in named if "<" not in path and not (ROOT / path).exists()}) == []


def test_names_in_the_recipes_are_there(guide: str, trees: list[Tree]) -> None:
    """``NAME`` (``file``): the file has a definition or an assignment of that name."""
    sources = dict(trees)
    pairs = re.findall(r"``([\w.]+)``[^`.(]*\(``((?:numap|papy)/[^`]*\.py)``\)", guide)
    assert len(pairs) >= 5
    for name, path in pairs:
        tree = sources[path]
        assigned = {it.id for it in ast.walk(tree) if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store)}
        assert name in assigned | {known for known, _ in definitions(tree)}, f"{path} has no {name}"
