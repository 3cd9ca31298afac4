"""Guarantees 68 to 70: which Python is started, with which rights, and what becomes of maps where the system has no room."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import numap
from numap import IMap, WorkerStartError
from numap._system.rights import Rights
from tests.numap import work
from tests.numap.programs import ENGINES, PRELUDE, STARTS, run

BY_STARTER = ("default", "spawn")


def script(folder: Path, name: str, *lines: str) -> str:
    """A program of the shell that can be started."""
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


# ---------------------------------------------------------------------- 68

#: What sys.executable and sys.frozen are made, and what the message says. APP is a program that notes that it was started.
STRANGE = {
    "frozen": ("sys.frozen, sys.executable = True, APP", "frozen application"),
    "frozen-with-the-name-of-a-python": ("sys.frozen = True", "frozen application"),
    "embedded": ("sys.executable = APP", "has not the name of a Python"),
    "none": ("sys.executable = None", "sys.executable is None"),
    "empty": ("sys.executable = ''", "sys.executable is ''"),
    "gone": ("sys.executable = '/nowhere/python3'", "No such file"),
    "not-a-program": ("sys.executable = TEXT", "can't be executed"),
    "ends-at-once": ("sys.executable = FALSE", "ended before it was ready (exit code 3): no, thanks"),
    "silent": ("sys.executable = SILENT", "has not answered"),
    "chosen-and-silent": ("numap.set_executable(SILENT_APP)", "has not answered"),
    # The same Python, and what it is asked whether it is.
    "another-python": (
        "numap.engines.processes.starter_client.check_of_likeness = lambda: check().replace('cpython', 'other')",
        "and this program runs in",
    ),
}


@pytest.mark.parametrize("engine", BY_STARTER)
def test_68_what_may_be_no_python_is_an_error_soon_and_never_the_application(engine: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    programs = {
        "APP": script(tmp_path, "application", f"echo x >> '{started}'"),
        "TEXT": str(tmp_path / "python-text"),
        "FALSE": script(tmp_path, "python-false", "echo no, thanks >&2", "exit 3"),
        "SILENT": script(tmp_path, "python-silent", "exec sleep 600"),
        "SILENT_APP": script(tmp_path, "silent", "sleep 600"),
    }
    Path(programs["TEXT"]).write_text("no program")
    code = f"""
import numap, numap.engines.processes.starter_client
{"; ".join(f"{key} = {value!r}" for key, value in programs.items())}
numap.engines.processes.starter_client.ANSWER_TIMEOUT = 0.2
own, wrong = sys.executable, []
check = numap.engines.processes.starter_client.check_of_likeness
for name, (how, text) in {STRANGE!r}.items():
    exec(how)
    try:
        wrong.append((name, list(IMap(abs, [-1, -2], **OPTIONS))))
    except numap.WorkerStartError as error:
        for part in (text, "numap.set_executable(path)", "start_method='fork'"):
            if part not in str(error): wrong.append((name, part, str(error)))
    sys.executable, sys.frozen = own, False
    numap.set_executable(None)
    numap.engines.processes.starter_client.check_of_likeness = check
say(wrong)
sys.executable, sys.frozen = APP, True
say(list(IMap(abs, [-1, -2], **dict(OPTIONS, start_method="fork"))))
numap.set_executable(own)
numap.engines.processes.starter_client.ANSWER_TIMEOUT = numap.engines.processes.starter_client.ANSWER_TIMEOUT_AT_WORK
say(list(IMap(abs, [-1, -2], **OPTIONS)))
"""
    assert run(tmp_path, code, engine).stdout == "[]\n[1, 2]\n[1, 2]\n"
    assert not started.exists()


@pytest.mark.parametrize("engine", BY_STARTER)
def test_68_a_program_in_the_place_of_a_python_starts_itself_once(engine: str, tmp_path: Path) -> None:
    """It has the name of one, or was chosen, so it is started; what it starts in its turn would be the same again."""
    program, started = tmp_path / "program.py", tmp_path / "started"
    path = script(tmp_path, "python3", f"echo x >> '{started}'", f'exec "{sys.executable}" "{program}"')
    code = f"import numap\nnumap.set_executable({path!r})\nsay(list(IMap(abs, [1], **OPTIONS)))\n"
    program.write_text(PRELUDE + code)
    said = f"""
try:
    exec({code!r})
except numap.WorkerStartError as error:
    say([f"process {{os.getpid()}} has started this program" in str(error), "ended before it was ready" in str(error)])
say([name for name in os.environ if name.startswith("NUMAP_STARTED")])
"""
    assert run(tmp_path, "import numap\n" + said, engine).stdout == "[True, True]\n[]\n"
    assert started.read_text() == "x\n"


@pytest.mark.parametrize("engine", BY_STARTER)
def test_68_items_and_what_they_start_know_nothing_of_how_their_starter_was_started(engine: str) -> None:
    code = "import os; print([it for it in os.environ if it.startswith('NUMAP_STARTED')])"
    (said,) = IMap(subprocess.check_output, [[sys.executable, "-c", code]], **ENGINES[engine])
    assert said == b"[]\n"


@pytest.mark.parametrize("engine", BY_STARTER)
def test_68_the_chosen_python_may_be_a_script_that_says_something(engine: str, tmp_path: Path) -> None:
    path = script(tmp_path, "own", "echo garbage", "echo garbage >&2", f'exec "{sys.executable}" "$@"')
    try:
        numap.set_executable(path)
        assert list(IMap(work.attribute, [("sys", "frozen")], **ENGINES[engine], on_error="return"))
        (pid,) = IMap(work.pid, [0], **ENGINES[engine])
        assert pid != os.getpid()
    finally:
        numap.set_executable(None)


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (3, TypeError, "int"),
        (b"x", TypeError, "bytes"),
        ("/nowhere", ValueError, "no file"),
        (__file__, ValueError, "executed"),
    ],
    ids=["a number", "bytes", "no file", "no program"],
)
def test_68_set_executable_refuses_what_is_no_program(path: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        numap.set_executable(path)
    assert str(caught.value).startswith("path: ")


# ---------------------------------------------------------------------- 69

ROOT = hasattr(os, "getuid") and os.getuid() == 0
needs_root = pytest.mark.skipif(not ROOT or not sys.platform.startswith("linux"), reason="only root can give up rights")

#: What a program does between two maps, and what its items and itself tell of it then.
CHANGES = """
    (lambda: os.umask(0o027), lambda _: os.umask(0o027)),
    (lambda: os.nice(3), lambda _: os.nice(0)),
    (lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}), lambda _: os.sched_getaffinity(0)),
    (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (777, hard)), lambda _: resource.getrlimit(resource.RLIMIT_NOFILE)),
    (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (776, 888)), lambda _: resource.getrlimit(resource.RLIMIT_NOFILE)),
    (lambda: resource.setrlimit(resource.RLIMIT_NPROC, (3000, 3001)), lambda _: resource.getrlimit(resource.RLIMIT_NPROC)),
"""
RIGHTS = """
    (lambda: os.setgroups([54321]), lambda _: os.getgroups()),
    (lambda: os.setresgid(0, 0, 54321), lambda _: os.getresgid()[:2]),
    (lambda: libc().unshare(0x04000000), lambda _: os.readlink("/proc/self/ns/uts")),
    (lambda: libc().prctl(24, 25, 0, 0, 0), lambda _: status("CapBnd")),
    (lambda: libc().prctl(38, 1, 0, 0, 0), lambda _: status("NoNewPrivs")),
    (lambda: os.setresgid(54321, 54321, 54321), lambda _: os.getresgid()),
    (lose_capabilities, lambda _: status("CapEff", "CapPrm")),
"""
SEEN = """
import ctypes, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
def libc():
    return ctypes.CDLL(None)
def status(*names):
    with open("/proc/self/status") as file:
        return [line for line in file if line.startswith(names)]
def lose_capabilities():
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(1 << 10, 1 << 10)
    assert libc().capset(header, data) == 0
OPTIONS["worker_num"] = 1
changes = [CHANGES]
list(IMap(abs, [1], **OPTIONS))
wrong = []
for change, what in changes:
    before = what(0)
    change()
    (seen,) = IMap(what, [0], **OPTIONS)
    if seen != what(0): wrong.append((before, seen, what(0)))
say(wrong)
"""


@pytest.mark.parametrize("engine", STARTS)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have others")
def test_69_items_have_the_limits_that_the_program_has_when_their_map_starts(engine: str, tmp_path: Path) -> None:
    assert run(tmp_path, SEEN.replace("CHANGES", CHANGES), engine).stdout == "[]\n"


@needs_root
@pytest.mark.parametrize("engine", STARTS)
def test_69_items_have_the_rights_that_the_program_has_when_their_map_starts(engine: str, tmp_path: Path) -> None:
    assert run(tmp_path, SEEN.replace("CHANGES", RIGHTS), engine).stdout == "[]\n"


GIVEN_UP = """
def who(x):
    return os.getresgid()
imap = IMap(who, range(4), **dict(OPTIONS, worker_num=1, max_items_per_worker=1, buffer=1))
found = [next(imap)]
BETWEEN
found += imap
say(found[1:])
"""


@needs_root
@pytest.mark.parametrize("engine", STARTS)
def test_69_a_replaced_worker_has_no_right_that_the_program_has_given_up(engine: str, tmp_path: Path) -> None:
    said = run(tmp_path, GIVEN_UP.replace("BETWEEN", "os.setresgid(54321, 54321, 54321)"), engine).stdout
    # The worker that waits already for its first item is as the program was.
    assert said in [f"{[3 * (0,)] * old + [3 * (54321,)] * (3 - old)}\n" for old in (0, 1)]


@needs_root
def test_69_a_replaced_worker_has_no_right_that_the_map_had_not(tmp_path: Path) -> None:
    between = """
os.seteuid(0)
found.append(next(imap))
try:
    next(imap)
except numap.WorkerStartError as error:
    say("has other rights" in str(error))
"""
    # What is imported late would not be found later.
    before = "import numap\nlist(IMap(abs, [1], **OPTIONS))\nos.seteuid(54321)\n"
    code = before + GIVEN_UP.replace("getresgid", "geteuid").replace("BETWEEN", between)
    assert run(tmp_path, code, "fork").stdout == "True\n[54321]\n"


def rights(users: tuple[int, ...], capabilities: int, **more: Any) -> Rights:
    return Rights(users, (0,), b"CapEff:\t%016x\n" % capabilities, (1, 2), ("net:[1]",))._replace(**more)


def test_69_which_rights_are_the_lesser() -> None:
    everything = 1 << 41
    root, user, other = rights((0, 0, 0), everything - 1), rights((5, 5, 5), 0), rights((6, 6, 6), 0)
    assert user.at_most(root) and not root.at_most(user)
    assert user.at_most(user) and not user.at_most(other) and not other.at_most(user)
    assert rights((0, 0, 0), 0).at_most(root) and not root.at_most(rights((0, 0, 0), 0))
    assert not user._replace(root=(1, 3)).at_most(user) and user._replace(root=(1, 3)).at_most(root)
    assert not user._replace(namespaces=("net:[2]",)).at_most(user)
    assert not user._replace(groups=(0, 7)).at_most(user) and user.at_most(user._replace(groups=(0, 7)))
    bare = Rights((0, 0), (0,), b"", (1, 2), ())  # a system without capabilities
    assert bare._replace(users=(5, 5)).at_most(bare) and not bare.at_most(bare._replace(users=(5, 5)))


@pytest.mark.parametrize("engine", BY_STARTER)
def test_69_a_running_map_keeps_its_workers_when_the_starter_becomes_another(engine: str, tmp_path: Path) -> None:
    code = """
import numap, resource
def slow(x):
    time.sleep(0.002)
    return x, os.getppid()
first = IMap(slow, range(60), **OPTIONS)
found = [next(first)]
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (3000, hard))
second = list(IMap(slow, range(4), **OPTIONS))
found += first
first.stop()
say([x for x, _ in found] == list(range(60)), len({starter for _, starter in found}), found[0][1] != second[0][1])
import psutil
del first
until = time.monotonic() + 20
while len(psutil.Process().children()) > 1 and time.monotonic() < until: time.sleep(0.01)
say([child.pid for child in psutil.Process().children()] == [second[0][1]], first_statistics)
""".replace(", first_statistics", "")
    assert run(tmp_path, code, engine).stdout == "True 1 True\nTrue\n"


# ---------------------------------------------------------------------- 70

LIMITED = """
import contextlib, psutil
from numap import WorkerStartError
def slow(x):
    time.sleep(0.002)
    return x
def limit(room):
    own = psutil.Process()
    family = [own, *own.children(recursive=True)]
    tasks = 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # workers of the map before may be on their way
            tasks += process.num_threads()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_NPROC, (5000 if room is None else tasks + room, 5000))
wrong = []
# Workers of the first map may start a thread each in the meantime, where the machine is slow.
for room in (0, 10):
    first = IMap(slow, range(80), **OPTIONS)
    found = [next(first), next(first)]
    limit(room)
    try:
        second = list(IMap(slow, range(12), **dict(OPTIONS, worker_num=12)))
    except WorkerStartError as error:
        second = list(range(12)) if room == 0 else [error]
    found += first
    if found != list(range(80)) or second != list(range(12)) or first.statistics().replaced:
        wrong.append((room, found, second))
    del first
    limit(None)
# A worker that is replaced needs the room of the one before it.
limited = threading.Event()
def source():
    yield from range(2)
    limited.wait()
    yield from range(2, 12)
imap = IMap(slow, source(), **dict(OPTIONS, worker_num=1, max_items_per_worker=3))
found = [next(imap), next(imap)]
limit(0)
limited.set()
found += imap
if found != list(range(12)): wrong.append(found)
say(wrong)
"""

#: Numbers of users who have no process.
UNUSED = itertools.count(100_000 + 100 * os.getpid())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets the limit of another process be set")
@pytest.mark.parametrize("engine", STARTS)
def test_70_with_room_for_few_tasks_a_map_has_fewer_workers_or_none_and_others_go_on(
    engine: str, tmp_path: Path
) -> None:
    if not ROOT:
        assert run(tmp_path, LIMITED, engine).stdout == "[]\n"
        return
    # Root has no such limit, so the program becomes another user, who may read where only root may. The limit is for all that
    # this user has: it is one who has nothing else, also while other tests run.
    user = [
        "setpriv",
        f"--reuid={next(UNUSED)}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    start = f"os.execvp('setpriv', {user} + [sys.executable, '-c', {PRELUDE + LIMITED!r}])"
    assert run(tmp_path, start, engine).stdout == "[]\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
def test_70_a_fork_that_is_refused_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the room of the next try, which comes when the worker before has gone."""
    from numap.engines.processes.fork import ForkSupervisor

    def refused() -> int:
        raise BlockingIOError(11, "no room")

    supervisor = ForkSupervisor()
    before = os.listdir("/proc/self/task")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refused)
        for _ in range(3):
            with pytest.raises(BlockingIOError):
                supervisor.spawn(None)
            assert os.listdir("/proc/self/task") == before
    supervisor.close()


def test_70_what_the_starter_is_refused_costs_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a successor a map goes on with the workers that it has, and ends only with the last of them."""
    from numap.engines.processes.supervisor import WorkerSupervisor

    spawn = WorkerSupervisor.spawn
    room = [2]

    def limited(self: WorkerSupervisor, memory: int | None) -> Any:
        if not room[0]:
            raise BlockingIOError(11, "no room")
        room[0] -= 1
        return spawn(self, memory)

    monkeypatch.setattr(WorkerSupervisor, "spawn", limited)
    with IMap(work.kill_at, range(30), (7,), worker_num=5, on_error="return") as imap:
        found = list(imap)
    assert [x for x in found if isinstance(x, int)] == [x for x in range(30) if x != 7]
    room[0] = 1
    with pytest.raises(WorkerStartError, match="no room"):
        list(IMap(work.kill_at, range(30), (7,), worker_num=5, on_error="return"))
    room[0] = 0
    with pytest.raises(WorkerStartError, match="no room"):
        IMap(work.identity, range(30), worker_num=5)
