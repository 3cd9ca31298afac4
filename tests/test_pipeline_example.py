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


SCRIPT = ROOT / "examples" / "pipeline.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run(*args: object, script: tuple[object, ...] = (SCRIPT,), **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, script), *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=ENVIRONMENT | environment, timeout=100
    )


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
    assert lines[-1][:7] == [f"{kind}:", "3", "of", "5", "files", "parsed,", "0.0"]


def test_comparison(tree: Path) -> None:
    lines = lines_of("--input", tree, "--workers", 2, "--limit", 4, "--compare")
    assert lines[0].startswith("4 files")
    assert lines[-3].startswith("process: 2 of 4 files") and lines[-2].startswith("serial: 2 of 4 files")
    assert lines[-1].endswith("times as fast as serial; the results are identical")


def test_the_standard_library_is_the_default() -> None:
    lines = lines_of("--limit", 20)
    assert lines[0].startswith("20 files in") and lines[-1].startswith("process: 20 of 20 files")


def test_a_single_file(tree: Path) -> None:
    lines = lines_of("--input", tree / "small.py", "--workers", 1)
    assert lines[0] == f"1 file in {tree}" and lines[-1].startswith("process: 1 of 1 files")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--input", "."], "--input: no .py files in ."),
        (["--input", "missing"], "--input: there is no missing"),
        (["--input", "pipe"], "--input: pipe is neither a directory nor a file"),
        (["--workers", "0"], "argument --workers: 0 given; must be at least 1"),
        (["--workers", "-1"], "argument --workers: -1 given; must be at least 1"),
        (["--workers", "two"], "argument --workers: invalid whole_number value: 'two'"),
        (["--limit", "0"], "argument --limit: 0 given; must be at least 1"),
        (["--limit", "-1"], "argument --limit: -1 given; must be at least 1"),
    ],
)
def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and done.stderr.endswith(f"error: {message}\n")


def test_only_regular_files_and_none_that_were_installed_below_the_directory(tree: Path) -> None:
    root = tree / "site-packages" / "here"
    (root / "site-packages").mkdir(parents=True)
    for name in ("a.py", "site-packages/b.py"):
        (root / name).write_text("x = 1\n")
    os.mkfifo(root / "pipe.py")
    (root / "directory.py").mkdir()
    assert lines_of("--input", root, "--workers", 1)[0] == f"1 file in {root}"


def test_who_reads_the_output_may_have_seen_enough(tree: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--input", str(tree), "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.wait(100), process.stderr.read()) == (1, b"")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_the_terminal_does_not_know(tree: Path, encoding: str) -> None:
    Path(os.fsdecode(bytes(tree) + b"/\xff.py")).write_text("def (:\n")
    done = run("--input", tree, "--workers", 1, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  \\udcff.py: SyntaxError: " in done.stdout


DISTURBED = """
import ast, runpy, sys
parse, calls = ast.parse, []
def disturbed(*args):
    calls.append(args)
    if len(calls) % 3:
        raise SystemError("AST constructor recursion depth mismatch")
    return parse(*args)
ast.parse = disturbed
del sys.argv[0]
runpy.run_path(sys.argv[0])
"""


def test_threads_that_disturb_each_other_in_the_parser(tree: Path) -> None:
    """As in CPython 3.11; here at each call but every third."""
    done = run("--input", tree, "--type", "serial", script=("-c", DISTURBED, SCRIPT))
    assert (done.returncode, done.stderr) == (0, "")
    assert "SystemError" not in done.stdout and "serial: 3 of 5 files parsed" in done.stdout
