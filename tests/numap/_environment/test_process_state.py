"""Guarantee 54 and what else a worker knows of its caller: a map sees what its caller sees when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import numap
from numap import IMap
from numap._system.processes import cpu_count
from tests.numap import work
from tests.numap.programs import ENGINES, STARTS, Program, run


def ask(func: Any, start: str, *args: Any) -> Any:
    """What ``func(*args)`` returns in a worker."""
    (answer,) = IMap(work.call, [None], (func, *args), **ENGINES[start])
    return answer


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest) -> str:
    """The start method; the starter runs already, so that nothing can come from its own environment."""
    assert ask(int, request.param) == 0
    return str(request.param)


def test_54_environment_variables(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAP_TEST_ONE", "1")
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # see 52
    assert ask(work.environ, start) == dict(os.environ)
    assert ask(os.getenv, start, "PATH") is None
    monkeypatch.setenv("NUMAP_TEST_ONE", "2")
    # What programs of the worker see, too.
    assert ask(work.shell, start, "echo $NUMAP_TEST_ONE") == "2\n"


def test_52_the_libraries_of_all_workers_together_use_no_more_threads_than_there_are_cpus(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]
    for variable in [variable for variable in os.environ if variable.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(variable)
    cpus = cpu_count()
    for workers in {1, 2, cpus + 1}:
        threads = list(IMap(os.getenv, names, **{**ENGINES[start], "worker_num": workers}))
        assert threads == [str(max(1, cpus // workers))] * len(names)
    for name in names[1:]:
        with monkeypatch.context() as patch:
            patch.setenv(name, "5")
            mine = [ask(os.getenv, start, it) for it in (name, "OMP_NUM_THREADS")]
            assert mine == ["5", str(max(1, cpus // 2))]
    monkeypatch.setenv("OMP_NUM_THREADS", "6")  # they all look at it, unless there is their own
    assert ask(os.getenv, start, "OMP_NUM_THREADS") == "6"
    assert ask(os.getenv, start, "BLIS_NUM_THREADS") is None


def test_54_the_working_directory(start: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    assert ask(os.getcwd, start) == str(tmp_path)
    assert ask(os.path.exists, start, "here")


def test_54_a_working_directory_that_is_gone(start: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert ask(int, start) == 0


def test_54_sys_path(start: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"found_only_there_{start}"
    (tmp_path / f"{name}.py").write_text("def func(x):\n    return x, __file__\n")
    monkeypatch.syspath_prepend(tmp_path)
    func = __import__(name).func
    assert list(IMap(func, [1], **ENGINES[start])) == [(1, str(tmp_path / f"{name}.py"))]
    assert ask(work.attribute, start, "sys", "path") == sys.path
    monkeypatch.delitem(sys.modules, name)


def test_54_a_relative_entry_of_sys_path_leads_where_it_led_first(start: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "found_by_a_relative_entry.py").write_text("def func(x):\n    return x + 1\n")
    code = """
sys.path.insert(0, "lib")
import found_by_a_relative_entry
os.chdir("/")
say(list(IMap(found_by_a_relative_entry.func, [1], **OPTIONS)))
"""
    assert run(tmp_path, code, start, cwd=tmp_path).stdout == "[2]\n"


def test_54_the_starter_has_the_numap_that_a_relative_entry_leads_to(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "numap").symlink_to(Path(numap.__file__).parent)
    code = """
import os, sys
sys.path.insert(0, "lib")
import numap
os.chdir("/")
print(list(numap.IMap(lambda x: sys.modules["numap"].__file__, [1], worker_type="process")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"['{tmp_path}/lib/numap/__init__.py']\n"


def test_54_sys_argv(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "--option"])
    assert ask(work.attribute, start, "sys", "argv") == ["program", "--option"]


def test_54_changes_after_the_start_are_not_seen(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAP_TEST_ONE", "before")
    with IMap(work.call, range(50), (os.getenv, "NUMAP_TEST_ONE"), **ENGINES[start]) as imap:
        assert next(imap) == "before"
        monkeypatch.setenv("NUMAP_TEST_ONE", "after")
        assert set(imap) == {"before"}


def test_the_umask(start: str) -> None:
    before = os.umask(0o057)
    try:
        # Setting it again is the one way to read it.
        assert ask(os.umask, start, 0) == 0o057
    finally:
        os.umask(before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform has no affinity")
def test_the_affinity(start: str) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(before)})
        assert ask(os.sched_getaffinity, start, 0) == {max(before)}
        assert IMap().statistics().workers == 1
    finally:
        os.sched_setaffinity(0, before)
    assert ask(os.sched_getaffinity, start, 0) == before


def test_warning_filters(start: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="careful"):
            ask(work.warn, start, "careful")
        warnings.simplefilter("ignore")
        assert ask(work.warn, start, "careful") is None


def test_standard_input_is_empty(start: str, tmp_path: Path) -> None:
    code = """
say(list(IMap(lambda _: (sys.stdin.read(), os.read(0, 100)), range(2), **OPTIONS)))
say(sys.stdin.read())
"""
    assert run(tmp_path, code, start, stdin="mine").stdout == "[('', b''), ('', b'')]\nmine\n"


def test_input_in_a_worker_is_an_error_and_no_hang(start: str) -> None:
    with pytest.raises(EOFError):
        ask(input, start)


def test_print_in_a_worker_reaches_the_standard_streams(start: str, tmp_path: Path) -> None:
    code = """
def func(x):
    print(f"out {x}")
    print(f"err {x}", file=sys.stderr)
    os.write(1, b"raw %d\\n" % x)
list(IMap(func, range(3), **OPTIONS))
"""
    with Program(tmp_path, code, start) as program:
        program.ends(0)
        assert sorted(program.stdout.splitlines()) == [f"{word} {x}" for word in ("out", "raw") for x in range(3)]
        assert sorted(program.stderr.splitlines()) == [f"err {x}" for x in range(3)]


def test_what_was_printed_is_there_before_the_result(start: str, tmp_path: Path) -> None:
    code = """
for y in IMap(lambda x: print("in", x), range(3), **{**OPTIONS, "worker_num": 1}):
    pass
say("end")
"""
    assert run(tmp_path, code, start).stdout == "in 0\nin 1\nin 2\nend\n"


def test_streams_that_are_redirected_when_the_map_starts(start: str, tmp_path: Path) -> None:
    """Descriptors are taken at the start: a program may send its workers' output elsewhere."""
    code = """
there = os.open(os.environ["TMPDIR"] + "/../there", os.O_CREAT | os.O_WRONLY)
here = os.dup(1)
os.dup2(there, 1)
imap = IMap(lambda x: print("in", x), range(2), **OPTIONS)
os.dup2(here, 1)
list(imap)
"""
    with Program(tmp_path, code, start) as program:
        program.ends(0)
        assert program.stdout == "" and program.stderr == ""
        assert sorted((program.temporary.parent / "there").read_text().splitlines()) == ["in 0", "in 1"]


def test_standard_streams_that_are_closed(start: str, tmp_path: Path) -> None:
    code = """
out = os.dup(1)
sys.stdout = sys.stderr = None
for fd in (0, 1, 2): os.close(fd)
found = list(IMap(lambda x: print("nowhere", x) or x, range(3), **OPTIONS))
os.write(out, str(found).encode())
"""
    with Program(tmp_path, code, start) as program:
        program.ends(0)
        assert program.stdout == "[0, 1, 2]"


def test_the_hash_seed_and_flags_are_those_of_the_caller(start: str, tmp_path: Path) -> None:
    code = (
        "from numap import IMap; import json, os, sys; O = json.loads(os.environ['NUMAP_TEST_OPTIONS']); "
        "flags = lambda x: (sys.flags.optimize, sys.flags.dont_write_bytecode, __debug__); "
        "print(list(IMap(flags, [0], **O)) == [flags(0)])"
    )
    with Program(tmp_path, engine=start, argv=["-O", "-B", "-c", code]) as program:
        program.ends(0)
        assert (program.stdout, program.stderr) == ("True\n", "")


def test_standard_output_in_a_worker_is_no_pipe_of_ours(start: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(print, start, "heard") is None
    assert capfd.readouterr().out == "heard\n"
