"""papy.util.script: no two items share an output, and what is there is taken only if it was made of the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper, PiperError, Worker
from papy._evaluate.current_item import CURRENT, Item
from papy.util._script import workdir as _workdir
from papy.util.script import Program, script

KINDS = [None, "thread", "process"]
SAME_NAME = [("A/reads.txt", "B/reads.txt"), ("a.txt", "a.csv"), ("a.txt", "a.txt")]


def pool(kind: str | None) -> IMap[Any] | None:
    return None if kind is None else IMap(worker_type=kind, worker_num=2)


def lower(tmp_path: Path, **options: Any) -> Program:
    return Program("lower", ["tr", "A-Z", "a-z"], {"t": "txt"}, dir=tmp_path / "out", stdin="t", stdout="t", **options)


def made(tmp_path: Path, name: str) -> Path:
    """An input that holds its own path."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(name.upper())
    return path


# an output belongs to one item ---------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", SAME_NAME)
def test_59_two_inputs_do_not_share_an_output(tmp_path: Path, names: tuple[str, str], kind: str | None) -> None:
    inputs = [made(tmp_path, name) for name in names]
    results = list(Dagger([Piper(lower(tmp_path, resume=kind != "thread"), pool(kind))]).results([inputs]))
    first, second = sorted(zip(results, names, strict=True), key=lambda pair: isinstance(pair[0], PiperError))
    assert Path(first[0]["t"]).read_text() == first[1].lower()
    assert isinstance(second[0], PiperError) and isinstance(second[0].exception, ValueError)
    text = str(second[0].exception)
    assert all(part in text for part in (str(inputs[0]), str(inputs[1]), "_lower.txt", "unique=True")), text
    assert ("is the same file; give each file once" in text) == (names[0] == names[1])


@pytest.mark.parametrize("kind", KINDS)
def test_59_unique_names_are_the_same_in_each_run(tmp_path: Path, kind: str | None) -> None:
    inputs = [made(tmp_path, name) for name in ("A/reads.txt", "B/reads.txt", "B/reads.csv")]
    runs = [list(Dagger([Piper(lower(tmp_path, unique=True), pool(kind))]).results([inputs])) for _ in range(2)]
    assert runs[0] == runs[1]
    assert [Path(it["t"]).read_text() for it in runs[0]] == ["a/reads.txt", "b/reads.txt", "b/reads.csv"]
    assert all(Path(it["t"]).name.startswith("reads-") for it in runs[0])


def test_59_calls_do_not_share_an_output(tmp_path: Path) -> None:
    program, inputs = lower(tmp_path), [made(tmp_path, name) for name in SAME_NAME[0]]
    result = Path(program([inputs[0]])["t"])
    with pytest.raises(ValueError, match=r"B/reads\.txt: it was made of .*A/reads\.txt\. So that"):
        program([inputs[1]])
    assert result.read_text() == "a/reads.txt"
    assert program([inputs[0]]) == {"t": str(result)}  # the same once more
    result.unlink()  # it is not needed any more
    program([inputs[1]])
    assert result.read_text() == "b/reads.txt"
    inputs[1].unlink()  # it can't be made of that any more
    program([inputs[0]])
    assert result.read_text() == "a/reads.txt"


def test_59_without_inputs_names_are_made_of_items(tmp_path: Path) -> None:
    program = Program("seq", ["seq", "3"], {"n": ""}, dir=tmp_path, stdout="n")
    first, second = Dagger([Piper(program)]).results([["a b", "a-b"]])
    assert Path(first["n"]).name == "a_b_seq-n" and isinstance(second, PiperError)


def test_59_a_configuration_of_papy(tmp_path: Path) -> None:
    inputs = [made(tmp_path, name) for name in SAME_NAME[0]]
    cfg = {
        "id": "lower",
        "executable": "tr A-Z a-z",
        "in": ["t"],
        "out": [("t", "txt")],
        "dir": str(tmp_path / "out"),
        "stdin": "t",
        "stdout": "t",
    }
    first, second = Dagger([Piper(Worker(script, (cfg,)))]).results([inputs])
    assert isinstance(first, dict) and isinstance(second, PiperError)
    first, second = Dagger([Piper(Worker(script, kwargs={"cfg": {**cfg, "unique": True}}))]).results([inputs])
    assert Path(second["t"]).read_text() == "b/reads.txt"
    first, second = Dagger([Piper(Worker(script, ({**cfg, "dir": str(tmp_path)},)))]).results([[inputs[0]] * 2])
    assert "give each file once" in str(second)


def test_59_two_pipers_of_one_id(tmp_path: Path) -> None:
    path = made(tmp_path, "a.txt")
    heads = [
        Program("head", ["head", "-c", "{params.n}", "{in.t}"], {"h": ""}, dir=tmp_path, stdout="h", params={"n": n})
        for n in (1, 3)
    ]
    ((first, second),) = Dagger(map(Piper, heads)).results([[path], [path]])
    assert Path(first["h"]).read_text() == "A" and "another piper of this run makes it of the same" in str(second)


@pytest.mark.parametrize("options", [{}, {"buffer": 1, "stride": 1}])
def test_59_programs_in_a_row_on_one_map(tmp_path: Path, options: dict[str, int]) -> None:
    inputs = [made(tmp_path, name) for name in ("a.txt", "b.txt", "b.csv")]
    shared: IMap[Any] = IMap(worker_num=2, **options)
    copies = [Piper(Program(name, ["cp", "{in.t}", "{out.t}"], {"t": ""}, dir=tmp_path), shared) for name in "xy"]
    first, second, third = sorted(Dagger(pipes=[copies]).results([inputs]), key=lambda it: isinstance(it, PiperError))
    assert {Path(it["t"]).name for it in (first, second)} == {"a_x_y", "b_x_y"} and "unique=True" in str(third)
    fork: IMap[Any] = IMap(worker_num=2)
    copies = [Piper(copies[place].worker, fork) for place in (0, 1, 1)]
    ((same, other),) = Dagger(pipes=[copies[:2], copies[::2]]).results([inputs[:1]])
    assert sorted([isinstance(same, dict), isinstance(other, dict)]) == [False, True]
    assert "another piper of this run" in f"{same}{other}"


def head(tmp_path: Path, n: int) -> Program:
    return Program("head", ["head", "-c", "{params.n}", "{in.t}"], {"h": ""}, dir=tmp_path, stdout="h", params={"n": n})


def test_59_two_runs_at_once(tmp_path: Path) -> None:
    path = made(tmp_path, "a.txt")
    with Dagger([piper := Piper(head(tmp_path, 1))]) as dagger:
        dagger.start([[path, path]])
        result = Path(next(piper)["h"])
        (other,) = Dagger([Piper(head(tmp_path, 3), IMap(worker_num=1))]).results([[path]])
        assert "another run, which goes on, has made it of the same in another way" in str(other)
        (same,) = Dagger([Piper(head(tmp_path, 1))]).results([[path]])
        assert (same, result.read_text()) == ({"h": str(result)}, "A")
    Dagger([Piper(head(tmp_path, 3))]).run([[path]])  # now that is over
    assert result.read_text() == "A.T"
    assert sorted(os.listdir(tmp_path / _workdir.NAME)) == ["made"]


def test_59_an_output_that_is_being_made(tmp_path: Path) -> None:
    path = made(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "go")
    command = ["sh", "-c", 'read -r go < "$0"; cp "$1" "$2"', str(tmp_path / "go"), "{in.t}", "{out.t}"]
    slow = Program("slow", command, {"t": ""}, dir=tmp_path / "out")
    with Dagger([piper := Piper(slow, IMap(worker_type="thread", worker_num=1))]) as dagger:
        dagger.start([[path]])
        fd = os.open(tmp_path / "go", os.O_WRONLY)  # opens when it reads
        code = f"from papy.util.script import Program\n{slow!r}([{str(path)!r}])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert f"process {os.getpid()} on {_workdir.this_host()} makes it of the same at this moment" in done.stderr
        with pytest.raises(ValueError, match="at this moment"):
            slow([path])
        os.write(fd, b"go\n")
        os.close(fd)
        assert next(piper) == {"t": str(tmp_path / "out" / "a_slow")}


@pytest.mark.parametrize("kind", KINDS)
def test_59_an_item_may_be_evaluated_again(tmp_path: Path, kind: str | None) -> None:
    """It has the output already, or has had it and failed."""
    path = made(tmp_path, "a.txt")
    command = [
        "sh",
        "-c",
        'cp "$0" "$1"; [ -e "$2" ] || { : > "$2"; exit 3; }',
        "{in.t}",
        "{out.t}",
        str(tmp_path / "once"),
    ]
    program = Program("p", command, {"t": ""}, dir=tmp_path / "out")
    (result,) = Dagger([Piper(program, pool(kind), retries=1)]).results([[path]])
    assert Path(result["t"]).read_text() == "A.TXT"
    before = CURRENT.set(Item("1-run", 1, 0))
    try:
        assert program([path]) == program([path]) == result  # as after the death of a worker
        CURRENT.set(Item("1-run", 1, 1))
        with pytest.raises(ValueError, match="item 0 of this run is the same file"):
            program([path])
    finally:
        CURRENT.reset(before)


def test_59_what_a_killed_worker_was_making(tmp_path: Path) -> None:
    path = made(tmp_path, "a.txt")
    command = [
        "sh",
        "-c",
        'echo half > "$PAPY_OUT_t"; [ -e "$0" ] || { : > "$0"; kill -9 $PPID; sleep 600; }; cp "$1" "$2"',
        str(tmp_path / "once"),
        "{in.t}",
        "{out.t}",
    ]
    program = Program("p", command, {"t": ""}, dir=tmp_path / "out", resume=True)
    (result,) = Dagger([Piper(program, IMap(worker_num=1))]).results([[path]])
    assert "WorkerDied" in str(result)
    assert Path(program([path])["t"]).read_text() == "A.TXT"


# resume --------------------------------------------------------------------


class Counted:
    """A program that copies its input, and writes a line for each run."""

    def __init__(self, tmp_path: Path) -> None:
        self.input = made(tmp_path, "a.txt")
        self.script = tmp_path / "copy.sh"
        self.script.write_text('echo run >> "$LOG"; cp "$1" "$2" # 1')
        self.log = tmp_path / "log"
        self.out = tmp_path / "out"
        self.options: dict[str, Any] = {"dir": self.out, "params": {"n": 1}, "env": {"LOG": str(self.log)}}
        self.command = ["sh", str(self.script), "{in.t}", "{out.t}"]

    def __call__(self) -> Path:
        return Path(Program("p", self.command, {"t": ""}, resume=True, **self.options)([self.input])["t"])

    @property
    def runs(self) -> int:
        return self.log.read_text().count("run")


def rewrite(path: Path, text: str) -> None:
    """Change a file so that its size and time of modification are what they were."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Counted], object]] = {
    "a parameter": lambda it: it.options.update(params={"n": 2}),
    "the kind of a parameter": lambda it: it.options.update(params={"n": "1"}),
    "the command": lambda it: it.command.append("more"),
    "the environment": lambda it: it.options["env"].update(MORE="more"),
    "the directory": lambda it: it.options.update(cwd="/"),
    "the program": lambda it: rewrite(it.script, it.script.read_text()[:-1] + "2"),
    "the input": lambda it: rewrite(it.input, "B.TXT"),
    "an older input": lambda it: (it.input.write_text("older"), os.utime(it.input, (0, 0))),
    "an output cut off": lambda it: (it.out / "a_p").write_text("A"),
    "an output touched": lambda it: rewrite(it.out / "a_p", "A.ABC"),
    "an output lost": lambda it: (it.out / "a_p").unlink(),
    "no record": lambda it: (it.out / _workdir.NAME / "made" / "a_p").unlink(),
    "half a record": lambda it: (it.out / _workdir.NAME / "made" / "a_p").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_59_resume_computes_anew_what_was_made_of_something_else(tmp_path: Path, change: str) -> None:
    counted = Counted(tmp_path)
    assert counted() == counted() and counted.runs == 1
    CHANGES[change](counted)
    assert counted().read_text() == counted.input.read_text()
    assert counted.runs == 2
    counted()
    assert counted.runs == 2


def test_59_resume_looks_into_directories(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "file").write_text("old")
    program = Program("p", ["cp", "-r", "{in.t}", "{out.t}"], {"t": ""}, dir=tmp_path / "out", resume=True)
    result = Path(program([tmp_path / "in"])["t"])
    (result / "deep" / "file").write_text("mine")
    program([tmp_path / "in"])
    assert (result / "deep" / "file").read_text() == "old"
    rewrite(tmp_path / "in" / "deep" / "file", "new")
    program([tmp_path / "in"])
    assert (result / "deep" / "file").read_text() == "new"


def test_59_a_run_that_failed_leaves_what_was_there(tmp_path: Path) -> None:
    counted = Counted(tmp_path)
    counted()
    good, counted.command = counted.command, ["false", "{in.t}", "{out.t}"]
    with pytest.raises(Exception, match="exit code 1"):
        counted()
    counted.command = good
    assert counted().read_text() == "A.TXT" and counted.runs == 1


@pytest.mark.parametrize("word", ["{params.script}", "{params.folder}/copy.sh"])
def test_59_resume_looks_into_files_that_parameters_put_into_the_command(tmp_path: Path, word: str) -> None:
    counted = Counted(tmp_path)
    counted.command[1] = word
    counted.options["params"] = {"script": str(counted.script), "folder": str(tmp_path)}
    assert counted() == counted() and counted.runs == 1
    CHANGES["the program"](counted)
    counted()
    assert counted.runs == 2
