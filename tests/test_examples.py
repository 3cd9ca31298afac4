"""The examples as a user runs them: scripts in processes of their own, and a session that is typed at a prompt."""

from __future__ import annotations

import doctest
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def done(*args: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the interpreter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, *map(str, args)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def run(*args: object, stdin: str = "") -> list[str]:
    """Runs the interpreter and returns what it prints; anything on stderr is a failure."""
    process = done(*args, stdin=stdin)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


def test_imap_alone(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("b")
    (tmp_path / "a.py").write_text("")
    assert run(EXAMPLES / "imap_alone.py", tmp_path) == [
        "e3b0c44298fc1c14        0  a.py",
        "3e23e8160039594a        1  b.py",
        "1 bytes",
        "32 is the first number whose square is more than 1000",
        "[0, 1, 4499998500000]",
    ]
    assert run(EXAMPLES / "imap_alone.py")[-3].endswith(" bytes")


def test_tasks_chained() -> None:
    assert run(EXAMPLES / "tasks_chained.py") == [
        "chained: 10 20 30 40 50",
        "cubes:   0 1 8 27 64",
        "squares: 0 1 4 9 16",
        "sea: 15 words, the longest is 'business'           they that go down to the [...]",
        "time: 16 words, the longest is 'purpose'           to every thing there is [...]",
        "light: 12 words, the longest is 'comprehended'     and the light shineth in [...]",
        "6 results",
    ]


def test_errors() -> None:
    lines = run(EXAMPLES / "errors.py")
    assert [line.strip()[:2] if line[0] in "12345" else line.strip() for line in lines] == [
        *("ONE", "1.", "TWO", "2.", "THREE", "3.", "FOUR", "4.", "FIVE"),
        "['str', 'ZeroDivisionError', 'str', 'ItemError', 'str', 'WorkerDied', 'str', 'SerializationError', 'str']",
        "['ONE', 'TWO', 'THREE', 'FOUR', 'FIVE']",
        *("ONE", "TWO", "5."),
    ]
    assert lines[1].startswith("1. division by zero")
    # Before 3.11 exceptions have no notes.
    assert "item 1" in lines[1] or sys.version_info < (3, 11)
    assert lines[3] == "2. SystemExit 3"
    assert lines[5] == "3. item 5 ended its worker with code 3"
    assert lines[7].startswith("4. the result (a tuple) can't be pickled") and "lock" in lines[7]
    assert lines[-1] == "5. SourceError from OSError('the disk is gone')"


OUTPUTS = sorted(path.stem for path in (EXAMPLES / "output").glob("*.txt"))


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_printed(name: str) -> None:
    """Examples that always print the same: the manual shows it."""
    assert run(EXAMPLES / f"{name}.py") == (EXAMPLES / "output" / f"{name}.txt").read_text().splitlines()


def test_every_example_is_tested() -> None:
    here = {"imap_alone", "tasks_chained", "errors"}
    elsewhere = {
        "pipeline",
        "steps",
        "downloads",
        "service",
    }  # test_pipeline_example.py, papy/test_pipeline_examples.py
    assert here | elsewhere | set(OUTPUTS) == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_kmers_of_all_kinds_of_workers(kind: str) -> None:
    lines = run(EXAMPLES / "kmers.py", "--size", 2000, "--type", kind, "--workers", 2, "--check")
    assert lines[-1] == "a plain loop says the same"
    words = lines[-2].split()
    assert words[:5] == ["the", "genome", "is", "covered", "some"]
    assert 1900 < int(words[-2].replace(",", "")) < 2050


FASTA = ">one\nACGTACGTAC\nGTAC\n\n>two\nNNNNACGT\n>short\nACG\n"
FASTQ = "@one\nACGTACGTACGTACGG\n+\nIIIIIIIIIIIIII!!\n@bad\nACGTACGT\n+one\nIII!!!!!\n"


@pytest.mark.parametrize("name", ["reads", "reads.gz", "-"])
@pytest.mark.parametrize(
    ("text", "first"), [(FASTA, "2 of 3 reads are good, 22"), (FASTQ, "1 of 2 reads are good, 14")]
)
def test_kmers_of_a_file(tmp_path: Path, name: str, text: str, first: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    options = ["--reads", "-" if name == "-" else path, "-k", 4, "--length", 4, "--workers", 1]
    lines = run(EXAMPLES / "kmers.py", *options, *([] if name == "-" else ["--check"]), stdin=text)
    assert lines[0].startswith(first)
    # ACGT is its own reverse complement; CGTA and TACG are of each other, GTAC is its own.
    assert lines[1].startswith("3 different 4-mers")


@pytest.mark.parametrize("text", ["no reads", "@cut\nACGT\n+\nII\n"])
def test_kmers_of_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "reads").write_text(text)
    process = done(EXAMPLES / "kmers.py", "--reads", tmp_path / "reads")
    assert (process.returncode, process.stdout) == (1, "")
    assert "FASTQ" in process.stderr and "Traceback" not in process.stderr


def test_script_workflow_of_files(tmp_path: Path) -> None:
    (tmp_path / "a text.txt").write_text("b a b c b a")
    assert run(EXAMPLES / "script_workflow.py", tmp_path / "a text.txt", "--most", 3) == [
        "6 words: b 3, a 2, c 1",
        "    a text_split-words_sort_gzip-packed.gz",
    ]


def test_session() -> None:
    """What is typed in examples/session.txt is answered as it says there, by a real interactive interpreter."""
    steps = doctest.DocTestParser().get_examples((EXAMPLES / "session.txt").read_text())
    checker = doctest.OutputChecker()
    mark = "--- answered ---"
    lines = ["import sys; sys.ps1 = sys.ps2 = ''; sys.stderr = sys.stdout", f"print({mark!r})"]
    for step in steps:
        # As a block ends with an empty line at the prompt, so does everything here.
        lines += [step.source.rstrip("\n"), "", f"print({mark!r})"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON_BASIC_REPL": "1"}
    process = subprocess.run(
        [sys.executable, "-q", "-i"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert process.returncode == 0
    _, *answers = process.stdout.split(mark + "\n")
    for step, answer in zip(steps, answers[:-1], strict=True):
        if step.exc_msg is not None:
            # Before 3.11 exceptions have no notes, which are the lines behind the first here.
            said = step.exc_msg if sys.version_info >= (3, 11) else step.exc_msg.splitlines(keepends=True)[0]
            assert checker.check_output(said, answer[answer.rindex(said[:15]) :], doctest.ELLIPSIS), answer
        else:
            assert checker.check_output(step.want, answer, doctest.ELLIPSIS), (step.source, answer)
