"""Guarantees 37 to 39: the same program gives the same results wherever its code lives, and runs once."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.numap.programs import ENGINES, ROOT, STARTS, Program, run

#: Has no empty line inside of a block, and one after each: as it must be typed at a prompt.
PROGRAM = """\
import json, os, sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import sqrt
from numap import IMap, SerializationError, WorkerDied
OPTIONS = {**json.loads(os.environ["NUMAP_TEST_OPTIONS"]), "worker_num": 1}
with open(os.environ["NUMAP_TEST_COUNT"], "a") as file: _ = file.write("ran\\n")

def run(func, items, **options):
    return list(IMap(func, items, **OPTIONS, **options))

factor = 3
table = {"a": 1, "b": 2}

def triple(x):
    return factor * x

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def add(x, y, z=0):
    return x + y + z

def adder(offset):
    return lambda x: x + offset

def counted(x):
    global calls
    calls += 1
    return calls >= 1

calls = 0

@dataclass
class Point:
    x: float
    y: float
    def norm(self):
        return sqrt(self.x ** 2 + self.y ** 2)
    def moved(self, by):
        return Point(self.x + by, self.y)

class Mark(Point):
    @classmethod
    def at(cls, x):
        return cls(x, factor)
    @property
    def double(self):
        return super().norm() * 2

class Colour(Enum):
    RED = 1
    BLUE = 2

class Times:
    def __init__(self, n):
        self.n = n
    def __call__(self, x):
        return self.n * x

class Oops(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b

def oops(x):
    raise Oops(x, x + 1)

def connect(name):
    global db
    db = sqlite3.connect(name)

def query(x):
    return db.execute("select ? + 1", (x,)).fetchone()[0]

def is_point(p):
    return isinstance(p, Point), type(p) is Mark, p.norm()

def twice(x):
    return "old"

r = {}
r["lambda"] = run(lambda x: x ** 2, range(4))
r["global"] = run(triple, range(4))
r["import"] = run(lambda x: OrderedDict(a=sqrt(x))["a"], [4, 9])
r["each other"] = run(even, [0, 7, 10])
r["closure"] = run(adder(10), range(3))
r["partial"] = run(partial(add, 5, z=factor), range(3))
r["args"] = list(IMap(add, [1, 2], (10,), {"z": 100}, **OPTIONS))
r["bound method"] = run(Point(3, 4).moved, range(2)) == [Point(3, 4), Point(4, 4)]
r["classmethod"] = run(Mark.at, [4]) == [Mark(4, 3)]
r["method of str"] = run("x{}y".format, range(2))
r["callable object"] = run(Times(7), range(3))
r["lambda as item"] = run(lambda f: f(5), [lambda x: x + factor, triple])
r["class as item"] = [t is Point for t in run(lambda t: t, [Point])]
points = run(lambda p: p.moved(1), [Point(1, 2), Mark(3, 4)])
r["isinstance here"] = [isinstance(p, Point) and p == Point(*xy) for p, xy in zip(points, [(2, 2), (4, 4)])]
r["isinstance there"] = run(is_point, [Point(3, 4), Mark(6, 8)])
r["subclass"] = [type(m) is Mark and m.double for m in run(Mark.at, [4])]
r["enum"] = [c is Colour.BLUE for c in run(lambda c: Colour(c.value + 1), [Colour.RED])]
r["initializer"] = run(query, range(3), initializer=connect, initargs=(":memory:",))
r["snapshot"] = all(run(counted, range(50))) and calls == 0
r["redefined"] = run(twice, range(2))

def twice(x):
    return "new"

r["redefined"] += run(twice, range(2))
factor = 100
r["redefined"] += run(triple, range(2))
imap = IMap(**OPTIONS)
a = imap.add_task(lambda x: Point(x, 0), range(3))
b = imap.add_task(lambda p: isinstance(p, Point) and p.norm() + factor, a)
with imap: r["chained"] = list(b)

errors = run(oops, [1], on_error="return")
r["exception"] = [(type(e) is Oops, e.args, e.b, "raise Oops(x, x + 1)" in str(e.__cause__)) for e in errors]
r["elsewhere"] = os.getpid() not in run(lambda x: os.getpid(), range(4))
r["name"] = run(lambda x: (__name__, Point.__module__, triple.__module__), [0])
print("\\n" + json.dumps(r))
"""

EXPECTED: dict[str, Any] = {
    "lambda": [0, 1, 4, 9],
    "global": [0, 3, 6, 9],
    "import": [2, 3],
    "each other": [True, False, True],
    "closure": [10, 11, 12],
    "partial": [8, 9, 10],
    "args": [111, 112],
    "bound method": True,
    "classmethod": True,
    "method of str": ["x0y", "x1y"],
    "callable object": [0, 7, 14],
    "lambda as item": [8, 15],
    "class as item": [True],
    "isinstance here": [True, True],
    "isinstance there": [[True, False, 5], [True, True, 10]],
    "subclass": [10],
    "enum": [True],
    "initializer": [1, 2, 3],
    "snapshot": True,
    "redefined": ["old", "old", "new", "new", 0, 100],
    "chained": [100, 101, 102],
    "exception": [[True, [1], 2, True]],
    "elsewhere": True,
    "name": [["__main__", "__main__", "__main__"]],
}

#: Without files there are no source lines to show, unless the session keeps them.
SOURCES = {"script", "module", "ipython", "cells"}
if sys.version_info >= (3, 13):
    SOURCES |= {"command", "interactive"}

CELLS = """\
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in {cells!r}:
    shell.run_cell(cell, store_history=True).raise_error()
"""


def script(folder: Path) -> dict[str, Any]:
    (folder / "program.py").write_text(PROGRAM)
    return {"argv": [str(folder / "program.py")]}


def module(folder: Path) -> dict[str, Any]:
    package = folder / "somewhere"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "program.py").write_text(PROGRAM)
    return {"argv": ["-m", "somewhere.program"], "cwd": folder}


def cells(folder: Path) -> dict[str, Any]:
    pytest.importorskip("IPython")
    return {"argv": ["-c", CELLS.format(cells=PROGRAM.split("\n\n"))], "IPYTHONDIR": str(folder)}


def ipython(folder: Path) -> dict[str, Any]:
    pytest.importorskip("IPython")
    return {"argv": ["-m", "IPython", "--no-banner", "-c", PROGRAM], "IPYTHONDIR": str(folder)}


MODES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "script": script,
    "command": lambda folder: {"argv": ["-c", PROGRAM]},
    "stdin": lambda folder: {"argv": ["-"], "stdin": PROGRAM},
    "interactive": lambda folder: {"argv": ["-q", "-i"], "stdin": "import sys; sys.ps1 = sys.ps2 = ''\n" + PROGRAM},
    "module": module,
    "cells": cells,
    "ipython": ipython,
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("mode", MODES)
def test_37_to_39(tmp_path: Path, mode: str, start: str) -> None:
    count = tmp_path / "count"
    with Program(tmp_path, engine=start, NUMAP_TEST_COUNT=str(count), **MODES[mode](tmp_path)) as program:
        program.ends(0)
        assert program.stderr.replace(">>> ", "").strip() == ""
        expected = EXPECTED if mode in SOURCES else {**EXPECTED, "exception": [[True, [1], 2, False]]}
        assert json.loads(program.stdout.splitlines()[-1]) == expected
        assert count.read_text() == "ran\n"
        assert program.left() == []


#: Makes the standard input the controlling terminal, so that a key may be a signal, and becomes another program.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """An interactive interpreter on a terminal of its own."""

    def __init__(self, **environment: str) -> None:
        self._fd, theirs = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON_BASIC_REPL": "1", "TERM": "dumb", **environment}
        command = [sys.executable, "-c", TAKE_TERMINAL, sys.executable, "-q"]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, end: str, limit: float = 30.0) -> str:
        """What it shows until ``end``."""
        deadline = time.monotonic() + limit
        while end not in self.text:
            readable, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{end!r} is not in {self.text!r}"
            self.text += os.read(self._fd, 4096).decode()
        shown, self.text = self.text.split(end, 1)
        return shown

    def type(self, line: str) -> str:
        """Types a line and returns what is shown until the next prompt, without the line."""
        os.write(self._fd, line.encode() + b"\n")
        return self.read_until(">>> ").replace("\r", "").partition("\n")[2]

    def press(self, key: bytes) -> None:
        os.write(self._fd, key)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture(params=STARTS)
def terminal(request: pytest.FixtureRequest) -> Any:
    terminal = Terminal(NUMAP_TEST_OPTIONS=json.dumps(ENGINES[request.param]))
    terminal.read_until(">>> ")
    terminal.type("import json, os, time; from numap import IMap")
    terminal.type("OPTIONS = json.loads(os.environ['NUMAP_TEST_OPTIONS'])")
    yield terminal
    terminal.close()


def test_37_at_a_prompt_on_a_terminal(terminal: Terminal) -> None:
    assert terminal.type("k = 3") == ""
    assert terminal.type("list(IMap(lambda x: k * x, range(4), **OPTIONS))") == "[0, 3, 6, 9]\n"
    assert terminal.type("k = 4") == ""
    assert terminal.type("list(IMap(lambda x: k * x, range(4), **OPTIONS))") == "[0, 4, 8, 12]\n"
    os.write(terminal._fd, b"exit()\n")
    assert terminal.process.wait(10) == 0


def test_18_after_ctrl_c_the_same_session_goes_on(terminal: Terminal) -> None:
    terminal.type("def slow(x): os.write(1, b'started\\n'); time.sleep(600)\n")
    os.write(terminal._fd, b"list(IMap(slow, [0], **OPTIONS))\n")
    terminal.read_until("started\r\n")
    terminal.press(b"\x03")
    shown = terminal.read_until(">>> ")
    assert shown.count("Traceback") == 1
    assert shown.rstrip().endswith("KeyboardInterrupt")
    assert terminal.type("list(IMap(lambda x: -x, range(4), **OPTIONS))") == "[0, -1, -2, -3]\n"
    os.write(terminal._fd, b"exit()\n")
    assert terminal.process.wait(10) == 0


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython is not installed")
def test_38_a_function_of_an_ipython_cell_shows_its_source(tmp_path: Path) -> None:
    code = CELLS.format(cells=["from numap import IMap", "def f(x):\n    return 1 / x", "list(IMap(f, [0]))"])
    with Program(tmp_path, argv=["-c", code], IPYTHONDIR=str(tmp_path)) as program:
        program.ends(1)
        assert "return 1 / x" in program.stderr.partition("RemoteTraceback")[2]


def test_1_a_module_that_maps_while_it_is_imported(tmp_path: Path) -> None:
    """Whoever would import it for a pickle would wait for the import, which waits for the results."""
    (tmp_path / "maps_at_import.py").write_text(
        "import json, os\nfrom numap import IMap\nOPTIONS = json.loads(os.environ['NUMAP_TEST_OPTIONS'])\n"
        "class Point:\n    def __init__(self, x):\n        self.x = x\n"
        "def func(point):\n    return Point(point.x + 1)\n"
        "FOUND = list(IMap(func, [Point(1)], **OPTIONS))\n"
        "print(FOUND[0].x, type(FOUND[0]) is Point)\n"
    )
    for engine in STARTS:
        found = run(
            tmp_path, "sys.path.insert(0, os.environ['LIBRARY'])\nimport maps_at_import", engine, LIBRARY=str(tmp_path)
        )
        assert found.stdout == "2 True\n"


#: Modules that map while they are imported: what of, and in which circles, is the point.
AT_IMPORT = {
    "jobs.py": """import enum, typing
class Point:
    def __init__(self, x): self.x = x
class Colour(enum.Enum):
    RED = 1
class Missing:
    def __reduce__(self): return "MISSING"
MISSING, T, state = Missing(), typing.TypeVar("T"), {}
def moved(point): return Point(point.x + 1)
def kept(x): state[x] = x; return dict(state)
(found,) = IMap(moved, [Point(1)], **OPTIONS)
check(type(found) is Point and found.x == 2)
check(list(IMap(lambda x: x, [Colour.RED, MISSING, T], **OPTIONS)) == [Colour.RED, MISSING, T])
check(list(IMap(kept, [1], **OPTIONS)) == [{1: 1}])
""",
    "package/__init__.py": """from . import below, later
from .below import Item, plus
check(list(IMap(plus, [1, 2], **OPTIONS)) == [2, 3])
check(list(IMap(lambda x: (below.plus(x), plus(x), later.five(x)), [1], **OPTIONS)) == [(2, 2, 6)])
(found,) = IMap(below.same, [Item(1)], **OPTIONS)
check(type(found) is Item and found.x == 6)
""",
    "package/below.py": """class Item:
    def __init__(self, x): self.x = x
def plus(x): return x + 1
def same(item):
    from . import later
    from .later import five
    return Item(five(item.x))
""",
    "package/later.py": "def five(x): return x + 5\n",
    "circle.py": """VALUE = 7
import other_half, third
check(list(IMap(other_half.use, [1], **OPTIONS)) == [8])
check(list(IMap(other_half.use_later, [1], **OPTIONS)) == [8])
check(list(IMap(third.use, [1], **OPTIONS)) == [8])
""",
    "other_half.py": """import circle
def use(x): return circle.VALUE + x
def use_later(x):
    import circle
    from circle import VALUE
    return VALUE + x if circle.VALUE == VALUE else None
""",
    "third.py": "from circle import VALUE\nimport other_half\ndef use(x): return other_half.use(x)\n",
}

MAPS = """import json, os, sys
from numap import IMap
OPTIONS = {**json.loads(os.environ["NUMAP_TEST_OPTIONS"]), "worker_num": 1}
os.write(1, f"imports {__name__}\\n".encode())
def check(fact):
    if not fact: raise AssertionError
"""


@pytest.mark.parametrize("start", STARTS)
def test_81_modules_that_map_while_they_are_imported(start: str, tmp_path: Path) -> None:
    maps = ("jobs.py", "package/__init__.py", "circle.py")
    (tmp_path / "package").mkdir()
    for name, text in AT_IMPORT.items():
        (tmp_path / name).write_text((MAPS if name in maps else "") + text)
    code = "sys.path.insert(0, os.environ['LIBRARY'])\nimport jobs, package, circle\n"
    found = run(tmp_path, code, start, LIBRARY=str(tmp_path))
    assert found.stdout.splitlines() == ["imports jobs", "imports package", "imports circle"], "each once, in no worker"


LATER = """sys.path.insert(0, os.environ['LIBRARY'])
import importlib, jobs, package, circle, user
print([it.x for it in IMap(jobs.moved, [jobs.Point(1)], **OPTIONS)], list(IMap(user.look, [package.Item(1)], **OPTIONS)))
print(list(IMap(lambda x: (circle.VALUE, package.below.plus(x), package.later.five(x)), [1], **OPTIONS)))
importlib.reload(jobs)
"""


@pytest.mark.parametrize("start", STARTS)
def test_81_modules_that_have_mapped_while_they_were_imported(start: str, tmp_path: Path) -> None:
    maps = ("jobs.py", "package/__init__.py", "circle.py")
    (tmp_path / "package").mkdir()
    for name, text in AT_IMPORT.items():
        (tmp_path / name).write_text((MAPS if name in maps else "") + text)
    (tmp_path / "user.py").write_text("import package\ndef look(item): return type(item) is package.Item and item.x\n")
    found = run(tmp_path, LATER, start, LIBRARY=str(tmp_path)).stdout.splitlines()
    assert found == ["imports jobs", "imports package", "imports circle", "[2] [1]", "[(7, 2, 6)]", "imports jobs"]


@pytest.mark.parametrize("start", STARTS)
def test_81_modules_that_map_in_threads_can_be_imported_by_workers(start: str, tmp_path: Path) -> None:
    text = "from numap import IMap\nfound = [*IMap(abs, [-3], worker_type='thread'), *IMap(abs, [-4], worker_type='serial')]\n"
    (tmp_path / "tables.py").write_text(text + "def look(x): return found\n")
    code = "sys.path.insert(0, os.environ['LIBRARY'])\nimport tables\nprint(*IMap(tables.look, [1], **OPTIONS))\n"
    assert run(tmp_path, code, start, LIBRARY=str(tmp_path)).stdout == "[3, 4]\n"
