"""papy.util.script: external programs as nodes, and that they end when they should."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from numap import IMap
from papy import Dagger, Piper, PiperError, Plumber, Worker
from papy.util._script import workdir as _workdir
from papy.util.script import Program, ScriptError, get_config, script, write_template


def wait_for(fact: Callable[[], bool]) -> None:
    """Wait until something is so; the limit is for a machine that has other things to do."""
    until = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "in put" / "greeting.txt"  # with a blank
    path.parent.mkdir()
    path.write_text("pear\napple\npear\n")
    return str(path)


def config(tmp_path: Path, code: str, **more: Any) -> dict[str, Any]:
    """A configuration in PaPy's form for a Python script."""
    (tmp_path / "a script.py").write_text("import json, sys\nARGS = json.load(open(sys.argv[1]))\n" + code)
    return {
        "id": "py",
        "executable": sys.executable,
        "script": str(tmp_path / "a script.py"),
        "in": ["text"],
        "out": [["greeting", "txt"]],
        "dir": str(tmp_path / "out"),
        "params": {"times": 2},
        **more,
    }


WRITE = "open(ARGS['out']['greeting'], 'w').write(ARGS['params']['times'] * open(ARGS['in']['text']).read())\n"
SLEEP = "import pathlib, time, os; pathlib.Path(os.environ['PID_FILE']).write_text(str(os.getpid())); time.sleep(600)\n"


# what goes in and comes out ------------------------------------------------


def test_a_script_as_in_papy(tmp_path: Path, text: str) -> None:
    cfg = config(tmp_path, WRITE)
    before = json.dumps(cfg)
    (result,) = Dagger([Piper(Worker(script, (cfg,)))]).results([[{"text": text}]])
    assert result == {"greeting": str(tmp_path / "out" / "greeting_py-greeting.txt")}
    assert Path(result["greeting"]).read_text() == "pear\napple\npear\n" * 2
    assert json.dumps(cfg) == before
    assert sorted(os.listdir(tmp_path / "out")) == [_workdir.NAME, "greeting_py-greeting.txt"]
    assert os.listdir(tmp_path / "out" / _workdir.NAME) == ["made"]  # what is known of it, and nothing else


def test_all_keys(tmp_path: Path, text: str) -> None:
    code = "import os; open(ARGS['out']['text'], 'w').write(os.environ['ONE'] + os.environ['TWO'] + os.getcwd())"
    cfg = config(
        tmp_path,
        code,
        preamble="export ONE='one '",
        evaluator="sh",
        out=[("text", "")],
        env={"TWO": "two "},
        cwd=str(tmp_path),
        timeout=100,
        resume=True,
        stdin="text",
        stdout="log",
        args=["{args}"],
    )
    cfg["out"].append(("log", "log"))
    assert script([{"text": text}], cfg) == {
        "text": str(tmp_path / "out" / "greeting_py"),
        "log": str(tmp_path / "out" / "greeting_py-log.log"),
    }
    assert (tmp_path / "out" / "greeting_py").read_text() == f"one two {tmp_path}"


@pytest.mark.parametrize("lang", ["python", "bash"])
def test_templates(tmp_path: Path, text: str, lang: str) -> None:
    cfg = {**get_config(lang), "script": str(tmp_path / "template"), "dir": str(tmp_path)}
    write_template(cfg["script"], lang)
    result = script([{"input": text}], cfg)
    assert result == {"output": str(tmp_path / f"greeting_{lang}_script-output.txt")}
    assert Path(result["output"]).read_bytes() == Path(text).read_bytes()
    with pytest.raises(FileExistsError):
        write_template(cfg["script"], lang)
    with pytest.raises(ValueError, match="lang: 'perl' is unknown; allowed: 'python', 'bash', 'r'"):
        get_config("perl")


def test_programs_of_the_system(tmp_path: Path, text: str) -> None:
    sort = Program(
        "sort",
        ["sort", "{params.flag}", "-o", "{out.text}", "{in.text}"],
        {"text": "txt"},
        dir=tmp_path,
        params={"flag": "-r"},
    )
    pack = Program("gzip", ["gzip", "-c"], {"packed": "gz"}, dir=tmp_path, stdin="text", stdout="packed")
    count = Program("wc", ["awk", "{n++} END {print n}", "{in.text}"], {"lines": "num"}, dir=tmp_path, stdout="lines")

    def both(packed: dict[str, str], lines: dict[str, str]) -> dict[str, str]:
        return {**packed, **lines}

    sorter, join = Piper(sort, parallel=IMap(worker_num=2)), Piper(both, unpack=True)
    dagger = Dagger(pipes=[(sorter, Piper(pack), join), (sorter, Piper(count), join)])
    (result,) = dagger.results([[{"text": text}]])
    assert Path(result["packed"]).name == "greeting_sort_gzip-packed.gz"
    assert subprocess.run(["gzip", "-dc", result["packed"]], capture_output=True, text=True, check=True).stdout == (
        "pear\npear\napple\n"
    )
    assert Path(result["lines"]).read_text() == "3\n"


def test_ports(tmp_path: Path, text: str) -> None:
    paste = Program("p", ["cat", "{in.a}", "{in.b}"], {"both": ""}, dir=tmp_path, stdout="both")
    (tmp_path / "b").write_text("b")
    result = paste([{"a": text, "x": "ignored"}, {"a": "ignored", "b": tmp_path / "b"}])
    assert Path(result["both"]).read_text().endswith("apple\npear\nb")
    with pytest.raises(ValueError, match="not all input ports are connected: no b in a, x"):
        paste([{"a": text, "x": text}])
    with pytest.raises(TypeError, match="must be a dictionary from ports to paths, not 'text'"):
        paste(["text"])


def test_a_path_for_the_only_port(tmp_path: Path, text: str) -> None:
    count = Program("wc", ["wc", "-l"], {"n": "txt"}, dir=tmp_path, stdin="text", stdout="n")
    assert Path(count([text])["n"]).read_text().split() == ["3"]
    assert count([Path(text)]) == count([{"text": text}])


def test_a_source_has_no_input(tmp_path: Path) -> None:
    seq = Program("seq", ["seq", "{params.n}"], {"numbers": "txt"}, dir=tmp_path, params={"n": 3}, stdout="numbers")
    result = seq(["first run"])
    assert result == {"numbers": str(tmp_path / "first_run_seq-numbers.txt")}
    assert Path(result["numbers"]).read_text() == "1\n2\n3\n"


def test_a_directory_as_output(tmp_path: Path, text: str) -> None:
    command = ["sh", "-c", 'mkdir "$PAPY_OUT_parts" && cd "$PAPY_OUT_parts" && split -l 1 "$PAPY_IN_text"']
    split = Program("split", command, {"parts": ""}, ["text"], dir=tmp_path)
    for _ in range(2):
        assert sorted(os.listdir(split([text])["parts"])) == ["xaa", "xab", "xac"]


def test_names_that_a_shell_would_take_apart(tmp_path: Path) -> None:
    odd = tmp_path / "a b; touch 'x' $(y) {in.text} %s.txt"
    odd.write_text("text")
    cat = Program("c", ["cat", "{in.text}"], {"copy": "o u t"}, dir=tmp_path / "o ut", stdout="copy")
    assert Path(cat([odd])["copy"]).read_text() == "text"
    (tmp_path / "s.py").write_text("import sys; print(open(sys.argv[1]).read(), end='')")
    cfg = {
        "id": "c",
        "executable": f"'{sys.executable}'",
        "script": str(tmp_path / "s.py"),
        "in": ["text"],
        "out": [["copy", ""]],
        "dir": str(tmp_path),
        "stdout": "copy",
        "preamble": "true",
        "args": ["{in.text}"],
    }
    assert Path(script([{"text": odd}], cfg)["copy"]).read_text() == "text"


def test_relative_paths(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(text).parent)
    copy = Program("copy", ["cp", "{in.text}", "{out.text}"], {"text": "txt"}, dir="results", cwd="/")
    assert copy([{"text": "greeting.txt"}]) == {"text": "results/greeting_copy.txt"}
    assert Path("results/greeting_copy.txt").read_text() == Path(text).read_text()


def test_resume_without_outputs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = Program("log", ["sh", "-c", 'echo run >> "$0"', str(log)], {}, dir=tmp_path, resume=True)
    assert (program(["a"]), program(["a"])) == ({}, {})
    assert log.read_text() == "run\nrun\n"


def test_resume(tmp_path: Path, text: str) -> None:
    command = ["sh", "-c", 'echo run >> "$LOG"; cp "$0" "$1"', "{in.text}", "{out.text}"]
    env = {"LOG": str(tmp_path / "log")}
    copy = Program("copy", command, {"text": "txt"}, dir=tmp_path, env=env, resume=True)
    first, second = copy([text]), copy([text])
    assert first == second
    assert (tmp_path / "log").read_text() == "run\n"
    later = os.path.getmtime(first["text"]) + 10
    os.utime(text, (later, later))
    copy([text])
    assert (tmp_path / "log").read_text() == "run\n" * 2


def test_outputs_must_not_be_inputs(tmp_path: Path) -> None:
    (tmp_path / "a_x-o.txt").write_text("a")
    with pytest.raises(ValueError, match="not distinct"):
        Program("x", ["true"], {"o": "txt"}, ["i", "j"], dir=tmp_path)([{"i": "a.txt", "j": tmp_path / "a_x-o.txt"}])
    assert os.listdir(tmp_path) == ["a_x-o.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": "a/b", "command": ["x"]}, "'a/b' given; must be parts of the name of a file"),
        ({"command": ["x"], "outputs": {"a": "../b"}}, "'../b' given; must be parts of the name of a file"),
        ({"command": "sort"}, "command: 'sort' given; must be a list with a program"),
        ({"command": []}, r"command: \[\] given; must be a list with a program"),
        ({"command": ["x", "{out.b}"]}, "'b' given; must be an output port that is declared; there are a"),
        (
            {"command": ["x", "{in.b}"], "inputs": []},
            "'b' given; must be an input port that is declared; there are none",
        ),
        ({"command": ["x", "{params.b}"]}, "a parameter that is declared"),
        ({"command": ["x"], "stdout": "b"}, "stdout: 'b' given; must be an output port"),
        ({"command": ["x"], "inputs": ["c"], "stdin": "b"}, "stdin: 'b' given; must be an input port"),
    ],
)
def test_misuse(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Program(**{"id": "id", "outputs": {"a": ""}, **arguments})


def test_misuse_of_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cfg: no executable, unknown key 'exe'; the keys are args, cwd, dir"):
        script([], {"id": "x", "exe": "sort"})


def test_equality_and_pickles() -> None:
    one, other = (Program("id", ["sort", "{in.a}"], {}, dir=name) for name in "ab")
    assert one == pickle.loads(pickle.dumps(one)) != other
    assert Worker(one) == Worker(pickle.loads(pickle.dumps(one)))
    assert Piper(one).worker.name == "id"


# what goes wrong -----------------------------------------------------------


def failure_of(program: Callable[..., Any], text: str, pool: IMap[Any] | None = None) -> ScriptError:
    (result,) = Dagger([Piper(program, parallel=pool, name="node")]).results([[{"text": text}]])
    assert isinstance(result, PiperError) and isinstance(result.exception, ScriptError)
    return result.exception


@pytest.mark.parametrize("kind", [None, "thread", "process"])
def test_exit_code_and_what_was_said(tmp_path: Path, text: str, kind: str | None) -> None:
    pool: IMap[Any] | None = None if kind is None else IMap(worker_type=kind, worker_num=1)
    code = ["sh", "-c", "echo output; echo reason >&2; echo half > $PAPY_OUT_o; exit 3"]
    error = failure_of(Program("bad", code, {"o": ""}, ["text"], dir=tmp_path / "out"), text, pool)
    assert (error.script, error.code, error.stdout, error.stderr) == ("bad", 3, "output\n", "reason\n")
    assert str(error) == "bad ended with exit code 3; it said:\nreason"
    assert error.args == ("bad", "ended with exit code 3", 3, "output\n", "reason\n")
    assert os.listdir(tmp_path / "out") == []


def test_killed_by_a_signal(tmp_path: Path, text: str) -> None:
    error = failure_of(Program("bad", ["sh", "-c", "kill -SEGV $$"], {}, dir=tmp_path), text)
    assert (error.code, str(error)) == (-signal.SIGSEGV, "bad ended with signal SIGSEGV")


def test_no_such_program(tmp_path: Path, text: str) -> None:
    error = failure_of(Program("none", ["no-such-program"], {}, dir=tmp_path), text)
    assert error.code is None and "none can't be started" in str(error) and "no-such-program" in str(error)
    cfg = config(tmp_path, WRITE, evaluator="no-such-shell")
    with pytest.raises(ScriptError, match=r"py can't be started.*no-such-shell"):
        script([{"text": text}], cfg)


def test_an_output_that_was_not_made(tmp_path: Path, text: str) -> None:
    error = failure_of(Program("idle", ["true"], {"a": "", "b": ""}, dir=tmp_path), text)
    assert str(error) == "idle made no output for a, b" and error.code == 0


def test_much_is_said(tmp_path: Path, text: str) -> None:
    error = failure_of(Program("loud", ["sh", "-c", "seq 1000000; exit 1"], {}, dir=tmp_path), text)
    assert len(error.stdout) == 1 << 16 and error.stdout.endswith("\n1000000\n")
    assert len(str(error)) < 3000


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        Program("cat", ["cat"], {"o": ""}, dir=tmp_path / "out", stdin="text", stdout="o")([tmp_path / "none.txt"])
    assert os.listdir(tmp_path / "out") == []


def test_a_program_is_logged_when_it_starts(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "papy")
    Program("count", ["wc", "-l", "{in.text}"], {}, dir=tmp_path)([text])
    assert [(record.name, record.message) for record in caplog.records] == [
        ("papy.util.script", f"count: wc -l '{text}'")
    ]


# when it ends --------------------------------------------------------------


def sleeper(tmp_path: Path, **more: Any) -> Program:
    """A program that tells its number, and that of a grandchild that outlives its parent, and then sleeps."""
    command = ["sh", "-c", 'sleep 600 & echo $$ $! > "$PIDS"; sleep 601; true']
    return Program(
        "sleeper", command, {"o": ""}, ["text"], dir=tmp_path / "out", env={"PIDS": str(tmp_path / "pids")}, **more
    )


def pids(tmp_path: Path) -> list[int]:
    """The numbers that the sleeper told, as soon as it did."""
    path = tmp_path / "pids"
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(word) for word in path.read_text().split()]


def gone(numbers: list[int]) -> Callable[[], bool]:
    def alive(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return lambda: not any(map(alive, numbers))


def test_time_limit(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScriptError, match=r"sleeper was killed: it ran for more than 4.0 s"):
        sleeper(tmp_path, timeout=4.0)([text])
    wait_for(gone(pids(tmp_path)))
    assert os.listdir(tmp_path / "out") == []


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path, text: str) -> None:
    command = ["sh", "-c", 'sleep 600 & echo $! > "$0"', "{out.pid}"]
    result = Program("daemon", command, {"pid": ""}, ["text"], dir=tmp_path)([text])
    wait_for(gone([int(Path(result["pid"]).read_text())]))


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("way", ["stop", "drop", "with"])
def test_the_run_is_stopped(tmp_path: Path, text: str, kind: str, way: str) -> None:
    piper = Piper(sleeper(tmp_path), parallel=IMap(worker_type=kind, worker_num=1))
    dagger = Dagger([piper])
    dagger.start([[{"text": text}] * 3])
    numbers = pids(tmp_path)
    if way == "stop":
        dagger.stop()
    elif way == "with":
        with dagger:
            pass
    del dagger, piper
    wait_for(gone(numbers))
    if kind == "thread":
        wait_for(lambda: os.listdir(tmp_path / "out") == [])


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_configuration_is_known_to_its_run(tmp_path: Path, text: str, kind: str) -> None:
    cfg = config(tmp_path, SLEEP, env={"PID_FILE": str(tmp_path / "pid")})
    piper = Piper(Worker(script, kwargs={"cfg": cfg}), parallel=IMap(worker_type=kind, worker_num=1))
    with Dagger([piper]) as dagger:
        dagger.start([[{"text": text}]])
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        pid = int((tmp_path / "pid").read_text())
    wait_for(gone([pid]))


def test_a_linear_piper_is_stopped_from_another_thread(tmp_path: Path, text: str) -> None:
    dagger = Dagger([piper := Piper(sleeper(tmp_path))])
    dagger.start([[{"text": text}]])
    stopper = threading.Thread(target=lambda: (pids(tmp_path), dagger.stop()))
    stopper.start()
    result = next(piper)
    stopper.join()
    assert "was ended together with the run" in str(result)
    wait_for(gone(pids(tmp_path)))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_piper_by_itself_is_stopped(tmp_path: Path, text: str, kind: str) -> None:
    piper = Piper(sleeper(tmp_path), IMap(worker_type=kind, worker_num=1)).connect([[text]])
    piper.start()
    numbers = pids(tmp_path)
    piper.stop(forced=True)
    piper.disconnect()
    wait_for(gone(numbers))


@pytest.mark.parametrize("kind", [None, "thread", "process"])
@pytest.mark.parametrize("way", ["stop", "drop", "pause and stop"])
def test_a_plumber_is_stopped(tmp_path: Path, text: str, kind: str | None, way: str) -> None:
    pool: IMap[Any] | None = None if kind is None else IMap(worker_type=kind, worker_num=1)
    plumber = Plumber(pipes=[(Piper(sleeper(tmp_path), pool),)])
    plumber.start([[text] * 3])
    plumber.run()
    numbers = pids(tmp_path)
    if way == "pause and stop":
        plumber.pause()
    if way != "drop":
        plumber.stop()
    del plumber, pool
    wait_for(gone(numbers))


def test_another_run_goes_on(tmp_path: Path, text: str) -> None:
    command = [
        "sh",
        "-c",
        'echo > "$1"; read -r go < "$2"; cp "$0" "$3"',
        "{in.text}",
        str(tmp_path / "began"),
        str(tmp_path / "go"),
        "{out.text}",
    ]
    os.mkfifo(tmp_path / "go")
    waiting = Dagger([piper := Piper(Program("w", command, {"text": ""}, dir=tmp_path), IMap(worker_type="thread"))])
    with waiting:
        waiting.start([[{"text": text}]])
        wait_for((tmp_path / "began").exists)
        with Dagger([Piper(Program("w", command, {"text": ""}, dir=tmp_path))]) as other:
            other.start([[{"text": text}]])
        (tmp_path / "go").write_text("go\n")
        assert list(piper) == [{"text": str(tmp_path / "greeting_w")}]


PROGRAM = """
import sys
from numap import IMap
from papy import Dagger, Piper
from papy.util.script import Program
kind, directory, text = sys.argv[1:]
program = Program("sleeper", ["sh", "-c", 'sleep 600 & echo $$ $! > "$PIDS"; sleep 601; true'], {"o": ""}, ["text"],
                  dir=directory + "/out", env={"PIDS": directory + "/pids"})
pool = None if kind == "linear" else IMap(worker_type=kind, worker_num=1)
dagger = Dagger([Piper(program, parallel=pool)])
if ENDS_ITSELF:
    dagger.start([[{"text": text}]])
    import os, time
    # The shell makes the file before it writes to it.
    while not (os.path.exists(directory + "/pids") and os.path.getsize(directory + "/pids")):
        time.sleep(0.01)
else:
    print(list(dagger.results([[{"text": text}]])))
"""


def program(kind: str, tmp_path: Path, text: str, ends_itself: bool = False) -> subprocess.Popen[str]:
    code = PROGRAM.replace("ENDS_ITSELF", str(ends_itself))
    command = [sys.executable, "-c", code, kind, str(tmp_path), text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("kind", ["linear", "serial", "thread", "process"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_program_is_ended_by_a_signal(tmp_path: Path, text: str, kind: str, number: signal.Signals) -> None:
    process = program(kind, tmp_path, text)
    numbers = pids(tmp_path)
    os.killpg(process.pid, number)
    out, error = process.communicate(timeout=60)
    # CPython itself now and then ends with 1 after a KeyboardInterrupt, where there are threads.
    assert out == "" and process.returncode in ((-number, 1) if number == signal.SIGINT else (-number,))
    assert error.count("KeyboardInterrupt") == (number == signal.SIGINT)
    wait_for(gone(numbers))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_the_program_forgets_to_stop(tmp_path: Path, text: str, kind: str) -> None:
    process = program(kind, tmp_path, text, ends_itself=True)
    out, error = process.communicate(timeout=60)
    assert (out, error.count("\n"), process.returncode) == ("", 1, 0)
    assert error.startswith("a Dagger was left at the end of the program before its results were read to their end")
    wait_for(gone(pids(tmp_path)))


def test_the_worker_is_killed(tmp_path: Path, text: str) -> None:
    piper = Piper(sleeper(tmp_path), parallel=IMap(worker_num=1))
    with Dagger([piper]) as dagger:
        dagger.start([[{"text": text}]])
        numbers = pids(tmp_path)
        worker = psutil.Process(numbers[0]).ppid()
        os.kill(worker, signal.SIGKILL)
        assert "WorkerDied" in str(next(piper))
        wait_for(gone(numbers))


def test_the_time_limit_of_the_pool(tmp_path: Path, text: str) -> None:
    pool: IMap[Any] = IMap(worker_num=1, task_timeout=4)
    (result,) = Dagger([Piper(sleeper(tmp_path), parallel=pool)]).results([[{"text": text}]])
    assert "TaskTimeout" in str(result)
    wait_for(gone(pids(tmp_path)))


def test_what_a_killed_worker_has_left_is_removed(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    with Dagger([Piper(sleeper(tmp_path), parallel=IMap(worker_num=1))]) as dagger:
        dagger.start([[{"text": text}]])
        numbers = pids(tmp_path)
        before = sorted(os.listdir(out / _workdir.NAME))  # of the worker, of the run, and what is known of outputs
        assert len(before) == 3
        _workdir.sweep(str(out))
        assert sorted(os.listdir(out / _workdir.NAME)) == before
    wait_for(gone(numbers))
    copy = Program("copy", ["cp", "{in.text}", "{out.text}"], {"text": ""}, dir=out)

    def cleaned() -> bool:
        copy([text])
        return os.listdir(out / _workdir.NAME) == ["made"] and sorted(os.listdir(out)) == [
            _workdir.NAME,
            "greeting_copy",
        ]

    wait_for(cleaned)


def test_many_at_once(tmp_path: Path, text: str) -> None:
    pool: IMap[Any] = IMap(worker_type="thread", worker_num=8)
    copy = Program("copy", ["cp", "{in.text}", "{out.text}"], {"text": "txt"}, dir=tmp_path / "out")
    for n in range(60):
        (tmp_path / f"{n}.txt").write_text(str(n))
    results = list(Dagger([Piper(copy, parallel=pool)]).results([[str(tmp_path / f"{n}.txt") for n in range(60)]]))
    assert [Path(result["text"]).read_text() for result in results] == [str(n) for n in range(60)]
    assert len(set(os.listdir(tmp_path / "out")) - {_workdir.NAME}) == 60


def test_public_names() -> None:
    import papy.util.script as module

    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__module__ == "papy.util.script"
        assert getattr(module, name).__doc__


def test_directories_come_and_go_at_the_same_time(tmp_path: Path) -> None:
    def use() -> int:
        for _ in range(300):
            with _workdir.work_directory(str(tmp_path / "out")) as own:
                assert os.listdir(own) == []
        return 300

    pool: IMap[int] = IMap(lambda _: use(), range(4), worker_type="thread", worker_num=4)
    assert list(pool) == [300] * 4
    assert os.listdir(tmp_path / "out") == []


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / _workdir.NAME).write_text("")
    with pytest.raises(NotADirectoryError), _workdir.work_directory(str(tmp_path)):
        pass


def test_a_saved_pipeline(tmp_path: Path, text: str) -> None:
    copy = Program("copy", ["cp", "{in.text}", "{out.text}"], {"text": "txt"}, dir=tmp_path, env={"A": "b"}, timeout=9)
    Plumber(pipes=[(Piper(copy), Piper(Worker(script, (config(tmp_path, WRITE),))))]).save(tmp_path / "saved.py")
    code = f"""
from papy import Plumber
plumber = Plumber()
plumber.load({str(tmp_path / "saved.py")!r})
print(*plumber.results([[{text!r}]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (
        f"{ ({'greeting': str(tmp_path / 'out' / 'greeting_copy_py-greeting.txt')}) }\n",
        "",
    )
