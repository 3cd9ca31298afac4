"""Guarantees 85 and 86: libraries are imported once, in a template; and what can go wrong with one costs nothing but time."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.numap.programs import PRELUDE, Program, run

#: The modules below the library: so many that a template is worth it.
MODULES = 25

#: Below the prelude: what the programs here have in common. `lib` notes each import of it, with the name of its process.
COMMON = """
FOLDER = sys.argv[1]
sys.path.insert(0, FOLDER + "/site-packages")
NOTES = FOLDER + "/notes"
seen = 0
def use(item):
    import lib
    return lib.value
def bare(item):
    return "lib" in sys.modules
def same(item):
    return item
def each(function, count=4, **options):
    return list(IMap(function, range(count), worker_num=2, **options))
def imports():
    "How many imports there were since the last call: in templates, and in workers."
    global seen
    try:
        with open(NOTES) as file:
            file.seek(seen)
            said = file.read()
    except FileNotFoundError:
        return 0, 0
    seen += len(said)
    names = said.split()
    return names.count("numap-template"), len(names) - names.count("numap-template")
def templates():
    import psutil
    found = []
    # Children of the starter: a worker that was just forked from one has its name, too, for a moment.
    for process in [it for starter in psutil.Process().children() for it in starter.children()]:
        try:
            if process.name() == "numap-template" and process.status() != "zombie":
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found
"""

#: The first lines of the library.
NOTE = """
import os
notes = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "notes")
with open("/proc/self/comm") as _comm:
    is_template = _comm.read().strip() == "numap-template"
fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(fd, b"numap-template " if is_template else b"worker ")
os.close(fd)
value = 1
"""


def library(folder: Path, code: str = "", name: str = "lib", installed: bool = True) -> Path:
    """Makes a package, with ``code`` behind what notes its import."""
    package = folder / ("site-packages" if installed else "own") / name
    package.mkdir(parents=True, exist_ok=True)
    names = [f"m{number}" for number in range(MODULES)]
    for module in names:
        (package / f"{module}.py").touch()
    below = f"from . import {', '.join(names)}\n"
    (package / "__init__.py").write_text(NOTE + below + textwrap.dedent(code))
    return package


def program(folder: Path, code: str, library_code: str = "") -> str:
    """Runs a program with the library to its clean end, and returns what it printed."""
    library(folder, library_code)
    path = folder / "program.py"
    path.write_text(PRELUDE + COMMON + textwrap.dedent(code))
    return run(folder, argv=[str(path), str(folder)]).stdout


def test_85_what_workers_had_to_import_is_imported_once_for_the_next_maps(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        say(each(use))
        # Behind the map its template comes up, in time for the next one.
        deadline, found = time.monotonic() + 10, [0, 0]
        while not found[0] and time.monotonic() < deadline:
            found = [sum(pair) for pair in zip(found, imports())]
        say(found[0], 0 < found[1] < 3)
        for _ in range(3):
            say(each(use), *imports(), len(templates()))
        say(each(bare), *imports())
        """,
    )
    assert said.splitlines() == [
        "[1, 1, 1, 1]",
        "1 True",
        *["[1, 1, 1, 1] 0 0 1"] * 3,
        # A map that needs nothing has workers that have nothing.
        "[False, False, False, False] 0 0",
    ]


def test_85_a_library_that_the_code_refers_to_is_imported_once_for_the_first_map(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        import lib
        imports()
        def use(item):
            return lib.value
        say(each(use), *imports())
        say(each(lambda item: lib.value), *imports())
        """,
    )
    assert said.splitlines() == ["[1, 1, 1, 1] 1 0", "[1, 1, 1, 1] 0 0"]


def test_85_modules_of_the_program_are_imported_by_each_worker_unless_preload_names_them(tmp_path: Path) -> None:
    library(tmp_path, name="own", installed=False)
    said = program(
        tmp_path,
        """
        sys.path.insert(0, FOLDER + "/own")
        def use(item):
            import own
            return own.value
        for _ in range(3):
            found = each(use)
            say(*found, imports()[0])
        say(*each(use, preload=["own"]), *imports())
        say(*each(use, preload=["own"]), *imports())
        """,
    )
    assert said.splitlines() == [*["1 1 1 1 0"] * 3, "1 1 1 1 1 0", "1 1 1 1 0 0"]


def test_85_preload_asks_for_it_before_the_first_map(tmp_path: Path) -> None:
    said = program(tmp_path, "say(each(use, preload=('lib',)), *imports())")
    assert said.splitlines() == ["[1, 1, 1, 1] 1 0"]


def test_85_workers_that_take_the_place_of_others_come_from_the_template_too(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def fall(item):
            import lib
            if item == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if item == 5:
                time.sleep(600)
            return lib.value
        say(each(use, 40, max_items_per_worker=2), imports()[0])
        options = dict(preload=["lib"], on_error="return", task_timeout=0.2)
        say([type(it).__name__ for it in each(fall, 8, **options)], imports()[1])
        """,
    )
    names = ["int", "int", "int", "WorkerDied", "int", "TaskTimeout", "int", "int"]
    assert said.splitlines() == [f"{[1] * 40} 1", f"{names} 0"]


def test_85_a_library_that_has_changed_is_imported_again(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        for value in range(3):
            with open(FOLDER + "/site-packages/lib/m0.py", "w") as file:
                file.write(f"value = {'10' * (value + 1)}")
            found = set(each(lambda item: __import__("lib").m0.value, preload=["lib"]))
            say(*found, *imports())
        """,
    )
    assert said.splitlines() == ["10 1 0", "1010 1 0", "101010 1 0"]


def test_86_another_environment_path_or_directory_is_another_template(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def ask(item):
            import lib
            return lib.seen
        for variable in "aba":
            os.environ["SEEN"] = variable
            say(*set(each(ask, preload=["lib"])), *imports())
        os.chdir(FOLDER)
        say(*set(each(ask, preload=["lib"])), *imports())
        sys.argv.append("x")
        say(*set(each(ask, preload=["lib"])), *imports())
        say(*set(each(lambda item: os.getcwd() == FOLDER, preload=["lib"])), *imports())
        """,
        """
        import sys
        seen = os.environ.get("SEEN"), os.path.exists("program.py"), len(sys.argv)
        """,
    )
    told = [line.replace("('", "").replace("'", "").replace(")", "").replace(",", "") for line in said.splitlines()]
    assert told == ["a False 2 1 0", "b False 2 1 0", "a False 2 0 0", "a True 2 1 0", "a True 3 1 0", "True 0 0"]


def test_86_what_the_program_does_before_an_import_is_done_before_it(tmp_path: Path) -> None:
    # The template can't know of the variable, which only the function sets: it is not used.
    said = program(
        tmp_path,
        """
        def use(item):
            os.environ["SEEN"] = "by the function"
            import lib
            return lib.seen
        for _ in range(3):
            say(*set(each(use)), imports()[1] > 0)
        """,
        "seen = os.environ.get('SEEN')",
    )
    assert said.splitlines() == ["by the function True"] * 3


def test_86_a_library_that_sets_a_variable_itself_is_imported_once(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def ask(item):
            import lib
            return os.environ.get("SET_BY_LIB")
        for _ in range(2):
            say(*set(each(ask)))
        say(imports()[0])
        say(*set(each(ask)), *imports())
        """,
        "os.environ['SET_BY_LIB'] = 'yes'",
    )
    assert said.splitlines() == ["yes", "yes", "1", "yes 0 0"]


#: What a library changes when it is imported, and what tells it.
CHANGES = {
    "recursion": ("import sys; sys.setrecursionlimit(4321)", "sys.getrecursionlimit()"),
    "collection": ("import gc; gc.disable()", "__import__('gc').isenabled()"),
    "decimals": ("import decimal; decimal.getcontext().prec = 5", "__import__('decimal').getcontext().prec"),
    "a signal": ("import signal; signal.signal(10, signal.SIG_IGN)", "int(signal.getsignal(10))"),
    "the interrupt": ("import signal; signal.signal(2, signal.SIG_DFL)", "int(signal.getsignal(2))"),
    "the directory": ("os.chdir('/usr')", "os.getcwd()"),
    "niceness": ("os.nice(1)", "os.nice(0)"),
    "a limit": ("import resource; resource.setrlimit(4, (0, 0))", "__import__('resource').getrlimit(4)"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_86_what_a_library_changes_in_its_process_stays_changed(what: str, tmp_path: Path) -> None:
    change, look = CHANGES[what]
    said = program(
        tmp_path,
        f"""
        import decimal, signal
        def ask(item):
            import lib
            return {look}
        apart = each(ask, start_method="spawn")
        for _ in range(3):
            say(each(ask) == apart)
        """,
        change,
    )
    assert said.splitlines() == ["True"] * 3


def test_86_the_settings_of_the_program_are_there_while_a_library_is_imported(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def ask(item):
            import lib
            return lib.seen
        each(ask)
        for limit in (2345, 3456):
            sys.setrecursionlimit(limit)
            say(*set(each(ask)))
        """,
        "import sys; seen = sys.getrecursionlimit()",
    )
    assert said.splitlines() == ["2345", "3456"]


def test_86_random_states_differ_from_worker_to_worker(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def draw(item):
            import random, lib
            time.sleep(0.05)
            return os.getpid(), random.random()
        found = each(draw, 12, max_items_per_worker=1, preload=["random", "lib"])
        say(len({pid for pid, _ in found}), len({number for _, number in found}))
        """,
    )
    assert said.splitlines() == ["12 12"]


def test_86_random_states_of_a_library_differ_unless_it_has_given_a_seed(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def draw(item):
            import lib
            return os.getpid(), lib.own.random(), lib.seeded.random()
        for _ in range(3):
            found = each(draw, 6, max_items_per_worker=1)
        say(*(len(set(values)) for values in zip(*found)))
        """,
        "import random; own = random.Random(); seeded = random.Random(5)",
    )
    assert said.splitlines() == ["6 6 1"]


def test_86_numpys_random_states_differ_too(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    said = program(
        tmp_path,
        """
        import numpy
        def draw(item):
            return os.getpid(), numpy.random.random()
        found = each(draw, 12, max_items_per_worker=1)
        say(len({pid for pid, _ in found}), len({number for _, number in found}), len(templates()) > 0)
        """,
    )
    assert said.splitlines() == ["12 12 True"]


#: What a library does when it is imported, by which a template is none: it must not be forked, or is gone.
UNFIT = {
    "starts a thread": "import threading, time; threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()",
    "opens a socket": "import socket; held = socket.socketpair()",
    "opens a log": "held = open(notes + '-log', 'w')",
    "shares memory": "import mmap; held = mmap.mmap(-1, 4096)",
    "starts a process": "import subprocess; held = subprocess.Popen(['sleep', '1000'])",
    "ends the process": "if is_template: os._exit(0)",
    "leaves": "if is_template: raise SystemExit",
    "crashes": "if is_template: os.kill(os.getpid(), 11)",
    "interrupts": "if is_template: raise KeyboardInterrupt",
}


@pytest.mark.parametrize("what", UNFIT)
def test_85_a_template_that_is_not_fit_costs_nothing_but_time(what: str, tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        for _ in range(3):
            say(each(use))
        # One may come up behind the map, and is gone soon: none is there at several looks in a row.
        deadline, looks = time.monotonic() + 10, 0
        while looks < 20 and time.monotonic() < deadline:
            looks = 0 if templates() else looks + 1
            time.sleep(0.01)
        say(looks)
        """,
        UNFIT[what],
    )
    assert said.splitlines() == [*["[1, 1, 1, 1]"] * 3, "20"]


def test_85_a_template_that_waits_for_ever_is_given_up(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        began = time.monotonic()
        say(each(use, preload=["lib"]), len(templates()))
        first, began = time.monotonic() - began, time.monotonic()
        say(each(use, preload=["lib"]), len(templates()), time.monotonic() - began < first - 1)
        """,
        "import time\nif is_template: time.sleep(1e6)",
    )
    assert said.splitlines() == ["[1, 1, 1, 1] 0", "[1, 1, 1, 1] 0 True"]


def test_85_a_map_that_is_stopped_while_its_template_imports_is_stopped(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        for _ in range(3):
            imap = IMap(use, itertools.count(), worker_num=2, preload=["lib"])
            began = time.monotonic()
            imap.stop()
            say(time.monotonic() - began < 2)
        """,
        "import time\nif is_template: time.sleep(1e6)",
    )
    assert said.splitlines() == ["True"] * 3


def test_85_what_a_template_prints_is_seen_once(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        for _ in range(2):
            say(each(use, preload=["lib"]))
        """,
        "print('said by lib')",
    )
    assert sorted(said.splitlines()) == ["[1, 1, 1, 1]", "[1, 1, 1, 1]", "said by lib"]


def test_85_a_preload_that_fails_is_told_and_the_map_runs(tmp_path: Path) -> None:
    library(tmp_path, "raise ImportError('not today')")
    path = tmp_path / "program.py"
    path.write_text(PRELUDE + COMMON + "say(each(same, preload=['lib']))\nsay(each(same, preload=['lib']))")
    with Program(tmp_path, argv=[str(path), str(tmp_path)]) as ran:
        ran.check_clean_end(
            stderr="numap: preload: the module 'lib' could not be imported before the workers: ImportError: not today\n"
        )
    assert ran.stdout.splitlines() == ["[0, 1, 2, 3]"] * 2


def test_85_a_template_that_is_killed_costs_no_item(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        def use(item):
            import lib
            time.sleep(0.01)
            return item
        each(use, preload=["lib"])
        imports()
        [template] = templates()
        template.kill()
        say(sum(each(use, 100, preload=["lib"])), *imports())
        found = []
        for item in IMap(use, range(100), worker_num=2, preload=["lib"], retries=1):
            found.append(item)
            if item in (20, 60):
                for template in templates():
                    template.kill()
        say(found == list(range(100)), len(templates()))
        """,
    )
    assert said.splitlines() == ["4950 1 0", "True 1"]


def test_85_templates_are_few(tmp_path: Path) -> None:
    for number in range(7):
        library(tmp_path, name=f"lib{number}")
    said = program(
        tmp_path,
        """
        from functools import partial
        for number in range(7):
            each(partial(same), preload=[f"lib{number}"])
        deadline = time.monotonic() + 10
        while len(templates()) > 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        say(len(templates()), *imports())
        each(partial(same), preload=["lib6"])
        each(partial(same), preload=["lib0"])
        say(*imports())
        """,
    )
    assert said.splitlines() == ["4 7 0", "1 0"]


def test_85_what_escapes_from_a_worker_ends_with_the_map_and_the_template_stays(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        import psutil
        def leave(item):
            import lib
            pid = subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
            return pid
        pids = each(leave, preload=["lib"])
        [template] = templates()
        deadline = time.monotonic() + 10
        while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        say(any(map(psutil.pid_exists, pids)), templates() == [template], template.children(True))
        """,
    )
    assert said.splitlines() == ["False True []"]


def test_85_ten_workers_share_what_a_template_has_imported(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
        import psutil
        MEGABYTE = 1 << 20
        def weigh(item):
            import lib
            time.sleep(0.2)
            return os.getpid(), psutil.Process().memory_full_info().pss / MEGABYTE
        def total(**options):
            return sum(dict(IMap(weigh, range(10), worker_num=10, stride=1, **options)).values())
        apart, together = total(), total(preload=["lib", "psutil"])
        say(together < 0.4 * apart, int(together), int(apart))
        """,
        "held = [bytes(100) + str(n).encode() for n in range(100_000)]",
    )
    assert said.startswith("True"), said
