"""Plumber.save and load: the same pipeline in a fresh interpreter, readable, and a clear error for what can't be written."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Piper, Plumber, PlumberError, Worker
from tests.papy import saved_program, work

ROOT = Path(__file__).resolve().parents[3]


def python(code: str, *args: str, folder: Path | None = None) -> str:
    """Run a program in a fresh interpreter, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder or ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def described(plumber: Plumber) -> list[Any]:
    """Everything that makes a pipeline, in plain values."""
    options = "consume produce spawn timeout debug track repeat unpack on_error retries".split()
    names = {piper: place for place, piper in enumerate(plumber)}
    pools: list[Any] = []
    found: list[Any] = [plumber.on_error, plumber.retries]
    for piper in plumber:
        if piper.imap is not None and piper.imap not in pools:
            pools.append(piper.imap)
        pool = None if piper.imap is None else (pools.index(piper.imap), piper.imap.options)
        name = piper.name if piper.name != f"piper_{piper.number}" else None
        ups = [names[up] for up in plumber.inbox_order(piper)]
        steps = [(step.function.__class__, step.args, step.kwargs, step.unpack) for step in piper.worker.steps]
        said = {option: getattr(piper, option) for option in options}
        found.append((name, said, plumber[piper].branch, plumber[piper].xtra, pool, ups, piper.worker.name, steps))
    return found


def test_a_main_program_saved_and_loaded_in_a_fresh_interpreter(tmp_path: Path) -> None:
    path, again = tmp_path / "pipeline.py", tmp_path / "again.py"
    program = str(ROOT / "tests" / "papy" / "saved_program.py")
    done = subprocess.run(
        [sys.executable, program, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = python(
        """
        import logging, sys
        from papy import Plumber
        logging.getLogger("papy").setLevel("ERROR")  # its items fail
        plumber = Plumber()
        plumber.load(sys.argv[1])
        plumber.save(sys.argv[2])
        print(plumber.run([[[1, 2]], [4.0]]).results, [piper.worker.name for piper in plumber.get_outputs()])
        """,
        str(path),
        str(again),
        folder=tmp_path,
    )
    assert loaded == done.stdout
    assert path.read_text() == again.read_text()
    assert "def second(x: float, power: float) -> Point:" in path.read_text()


def test_every_option_comes_back(tmp_path: Path) -> None:
    plumber, loaded = saved_program.pipeline(), Plumber()
    plumber.save(tmp_path / "p.py")
    loaded.load(tmp_path / "p.py")
    assert described(loaded) == described(plumber)
    assert "import tests.papy.saved_program" in (tmp_path / "p.py").read_text()


def test_loading_adds(tmp_path: Path) -> None:
    plumber = Plumber(pipes=[(work.total, work.total)])
    plumber.save(tmp_path / "p.py")
    plumber.load(tmp_path / "p.py")
    assert len(plumber) == 4 and plumber.run([[1], [2]]).results == 1


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.q.py"
    Plumber(pipers=[Piper(abs, unpack=True)]).save(path)
    for text in ("abs", "str"):
        path.write_text(path.read_text().replace("abs", text))
        loaded = Plumber()
        loaded.load(path)
        assert list(loaded.results([[-1]])) == [1 if text == "abs" else "-1"]


def local() -> Any:
    def inner(inbox: Any) -> Any:
        return inbox

    return inner


@pytest.mark.parametrize(
    "value",
    [complex("nan+1j"), complex("1-infj"), complex(-0.0, -0.0), complex(2), slice(float("inf"), None, 2j), slice(3)],
)
def test_numbers_and_slices_are_read_as_they_were(tmp_path: Path, value: Any) -> None:
    Plumber(pipers=[Worker(work.total, (value,))]).save(tmp_path / "p.py")
    plumber = Plumber()
    plumber.load(tmp_path / "p.py")
    (piper,) = plumber
    assert repr(piper.worker.args) == repr(((value,),))


@pytest.mark.parametrize(
    ("piper", "message"),
    [
        (
            lambda: Piper(lambda inbox: inbox),
            r"a lambda \(.*test_codefile.py, line \d+\) has no name .*; make it a def",
        ),
        (lambda: Piper(local()), "local.<locals>.inner .* is defined in a function"),
        (lambda: Piper(functools.partial(work.tagged, tag=object())), "is no plain value"),
        (lambda: Piper(Worker(work.total, (threading_lock(),))), "is no plain value"),
        (lambda: Piper(work.total, IMap(worker_type="thread", initializer=lambda: None)), "a lambda"),
        (lambda: Piper("abc".join), "built-in method join|no plain value|has no name"),
    ],
)
def test_what_can_not_be_written(tmp_path: Path, piper: Any, message: str) -> None:
    path = tmp_path / "p.py"
    path.write_text("# the old one")
    with pytest.raises(PlumberError, match=f"the pipeline can't be saved: .*({message})"):
        Plumber(pipers=[piper()]).save(path)
    assert path.read_text() == "# the old one" and list(tmp_path.iterdir()) == [path]


def threading_lock() -> Any:
    import threading

    return threading.Lock()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"no function pipeline\(\)"),
        ("def pipeline(:", "SyntaxError"),
        ("raise OSError('gone')", "OSError: gone"),
        ("import sys; sys.exit('gone')", "SystemExit: gone"),
        ("import sys\ndef pipeline(): sys.exit('gone')", "SystemExit: gone"),
        ("def pipeline(): return 3", "TypeError"),
        ("def pipeline(): return [3], None, []", "no Piper can be made of 3"),
        ("def pipeline(): return [abs], None, [(len, len, 7)]", "no Piper"),
        (None, "FileNotFoundError"),
    ],
)
def test_what_can_not_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "p.py"
    if text is not None:
        path.write_text(text)
    plumber = Plumber(pipers=[work.total])
    modules = set(sys.modules)
    with pytest.raises(PlumberError, match=message):
        plumber.load(path)
    assert len(plumber) == 1 and (set(sys.modules) <= modules or "pipeline" in str(text))
    with pytest.raises(PlumberError, match=r"ending \.py"):
        plumber.load(tmp_path / "p.txt")


def test_loading_is_a_change(tmp_path: Path) -> None:
    plumber = Plumber(pipers=[work.total])
    plumber.save(tmp_path / "p.py")
    with plumber:
        plumber.start([[1]])
        plumber.save(tmp_path / "p.py")
        with pytest.raises(PlumberError, match="load is not possible while the Plumber is started"):
            plumber.load(tmp_path / "p.py")


def test_names_of_the_file_itself_are_refused(tmp_path: Path) -> None:
    code = """
        import sys
        from papy import Plumber, PlumberError
        open("program.py", "w").write('''
        import sys
        from papy import Plumber, PlumberError
        def pipers(inbox):
            return inbox
        try:
            Plumber(pipers=[pipers]).save("p.py")
        except PlumberError as error:
            print(error)
        '''.replace("\\n        ", "\\n"))
        import runpy, subprocess
        print(subprocess.run([sys.executable, "program.py"], capture_output=True, text=True).stdout)
    """
    assert "this name is needed for the file itself, rename what the program calls so: pipers" in python(
        code, folder=tmp_path
    )


def test_worker_names_and_unpacking() -> None:
    worker = Worker([Worker(work.total), Worker(str, unpack=True)], name="both")
    assert worker.named == "both" and worker([[1], [2]][0]) == "1"


# Parts of programs.
SINGLE = "import functools\n@functools.singledispatch\ndef show(x): return 'object'\n"
WRAP = "import functools\ndef deco(g):\n    @functools.wraps(g)\n    def inner(i): return [g(i)]\n    return inner\n"


def saved_by(program: str, folder: Path, name: str = "p.py") -> str:
    """Run a main program that defines a function `f`, save a Plumber of it; what was printed, or the error."""
    (folder / "program.py").write_text(
        "import sys\nfrom papy import Plumber, PlumberError\n"
        + textwrap.dedent(program)
        + f"\ntry:\n    Plumber(pipers=[f]).save({name!r})\nexcept PlumberError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "result"),
    [
        (
            "import functools\n@functools.lru_cache(None)\ndef g(x): return [x]\ndef f(i): return g(i[0]) is g(i[0])",
            True,
        ),
        ("import functools\n@functools.lru_cache\ndef f(i): return [i] and 5", 5),
        ("import xml.dom.minidom\ndef f(i): return xml.dom.minidom.Node.TEXT_NODE", 3),
        ("import xml as y, xml.dom.minidom\nclass A:\n    x = y.dom.minidom.Node\ndef f(i): return A.x.TEXT_NODE", 3),
        ("from papy import Piper as Worker, Piper\ndef f(i): return Worker is Piper", True),
        ("x = [1]\ny = [x, x]\ndef f(i): return y", [[1], [1]]),
        ("x = [1]\ny = [x, x]\ndef f(i): x.append(2); return y", [[1, 2], [1, 2]]),
        ("_x = [1]\ny = {3: _x}\nz = y\ndef f(i): _x.append(2); return z, y is z", ({3: [1, 2]}, True)),
        ("def f(i): return table[1](5)\ndef g(x): return x, table[0] is f\ntable = [f, g]", (5, True)),
        ("from functools import partial\ndef g(i, k): return k, f.args\nf = partial(g, k=3)", (3, ())),
        (
            f"{SINGLE}@show.register(int)\ndef _(x): return 'int'\ndef f(i): return show(i[0]), show('')",
            ("int", "object"),
        ),
        (f"{SINGLE}@show.register\ndef show_int(x: int): return 'int'\ndef f(i): return show(i[0])", "int"),
        (f"{SINGLE}class A: pass\ndef late(x): return 'A'\nshow.register(A, late)\ndef f(i): return show(A())", "A"),
        (f"{WRAP}@deco\ndef f(i): return i[0]", [1]),
        ("def f(i): return f.count\nf.count = 7", 7),
        ("import re\nwords = re.compile('A+', re.I)\ndef f(i): return words.findall('aab')", ["aa"]),
        (
            "from typing import NamedTuple as N\nclass P(N):\n    x: int\np = P(3)\ndef f(i): return p.x, type(p) is P",
            (3, True),
        ),
        ("from random import randint, random\ndef f(i): return randint(4, 4), 0 <= random() < 1", (4, True)),
        (
            "from random import randint as r\nfrom random import random as randint\ndef f(i): return r(4, int(randint()) + 4)",
            4,
        ),
        ("from time import sleep, time\ndef g(t=time): return t\ndef f(i): sleep(0); return g()() > 0", True),
        ("from time import sleep, time\ndef f(i): return time() > 0, late[0](0)\nlate = [sleep]", (True, None)),
        ("import random\nrandint = random.randint\ndef f(i): return randint(2, 2), random.randint(3, 3)", (2, 3)),
        ("import logging\nlog = logging.getLogger('a.b')\ndef f(i): return log is logging.getLogger('a.b')", True),
        ("from logging import getLogger\nlog = getLogger(__name__)\ndef f(i): return log.name", "__main__"),
        ("import logging\nlogs = {1: logging.getLogger()}\ndef f(i): return logs[1] is logging.getLogger()", True),
        ("from typing import TypeVar\nT = TypeVar('T')\ndef f(i: T) -> T: return i[0]", 1),
        (
            "from typing import Generic, TypeVar\nB = TypeVar('B', bound='G', covariant=True)\nC = TypeVar('C', int, str)\n"
            "class G(Generic[B, C]): pass\n"
            "def f(i): return B.__bound__.__forward_arg__, B.__covariant__, len(C.__constraints__), G.__parameters__ == (B, C)",
            ("G", True, 2, True),
        ),
        ("class A:\n    def m(self): return 1\ndef m(self): return 2\nA.m = m\ndef f(i): return A().m()", 2),
        (
            "class A:\n    table = {}\ndef g(): return A\nA.table[1] = g\nA.more = 3\ndef f(i): return A.table[1]().more",
            3,
        ),
        (
            "class A:\n    __slots__ = ('x', '__dict__')\n    def m(self): return __class__\ndef f(i): return A().m() is A",
            True,
        ),
        (
            "class _A:\n    __n = 1\n    def __m(self): return self.__n\n    def use(self): return self.__m()\n"
            "    use = property(use)\n_A._A__n = 5\ndef f(i): return _A().use",
            5,
        ),
        ("LIMIT = 3\ndef g(x=LIMIT, *, y=[LIMIT]): return x, y\ndef f(i): return g()", (3, [3])),
        (
            "from dataclasses import dataclass\n@dataclass\nclass C:\n    n: int\n"
            "    def __post_init__(self): self.m = add(self.n)\n"
            "def add(n): return n + one\none = 1\nc = C(2)\ncs = [c]\ndef f(i): return cs[0].m, cs[0] is c",
            (3, True),
        ),
    ],
)
def test_what_a_main_program_refers_to_is_there(tmp_path: Path, program: str, result: Any) -> None:
    assert saved_by(program, tmp_path) == ""
    assert (
        repr(result)
        == python(
            """
        from papy import Plumber
        plumber = Plumber()
        plumber.load("p.py")
        print(repr(plumber.get_inputs()[0].worker((1,))))
        """,
            folder=tmp_path,
        ).strip()
    )


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("class Piper: pass\ndef f(i): return Piper", "rename what the program calls so: Piper"),
        ("import json as Piper\ndef f(i): return Piper.loads(i)", "rename what the program calls so: Piper"),
        (
            "class C:\n    def __call__(self, x): return x\ng = C()\ng.__qualname__ = 'g'\ng.__module__ = '__main__'\n"
            "def f(i): return g(i)",
            "has that name, but no source of its own",
        ),
        ("a = [1]\na.append({2: a})\ndef f(i): return a", "the global a: a list contains itself"),
        ("x = [[1]] * 2\ndef f(i): return x", "the global x: the same list is in it twice; give it a name"),
        (f"{WRAP}def f(i): return i[0]\nf = deco(f)", "f is not what its source says: something was put around it"),
        (
            f"{WRAP}@deco\ndef f(i): return i[0]\nf = deco(f)",
            "f is not what its source says: something was put around it",
        ),
        (
            "import functools\ndef g(x): return x\ng = functools.lru_cache(3)(g)\ndef f(i): return g(i[0])",
            "g is not what its source says: something was put around it",
        ),
        (
            f"{SINGLE}@show.register(int)\ndef _(x): return 1\n@show.register(str)\ndef _(x): return 2\n"
            "def f(i): return show(i[0])",
            "show was changed since it was defined: __main__._ is something else",
        ),
        ("class A:\n    def m(self): return 1\ndel A.m\ndef f(i): return A", "A.m was deleted since it was defined"),
        ("n = 1\ndef f(i, k=n): return k\nn = 2", "f: the default of k was n, which is something else by now"),
        (
            "known = {}\ndef keep(name):\n    def deco(g):\n        known[name] = g\n        return g\n    return deco\n"
            "@keep('a')\ndef a(x): return x\ndef f(i): return known",
            "a and known: they need each other when the file is loaded",
        ),
        ("def f(i): return 1\ndef g(i): return 2\nf.__code__ = g.__code__", "f is something else than its source says"),
        (
            "import random\nrng = random.Random(1)\nr = rng.random\ndef f(i): return r()",
            "random is a method of <random.Random .*has no name",
        ),
        ("import logging\nlog = logging.Logger('x')\ndef f(i): return log", "<Logger x .* is no plain value"),
        (
            "import time\nimport functools\ng = functools.partial(time.sleep, 0)\ntime = time.time\ndef f(i): return time(), g()",
            "rename what the program calls so: time",
        ),
        ("a = []\nfor _ in range(5000): a = [a]\ndef f(i): return a", "nested too deeply"),
        (
            "if True:\n    def f(i):\n        '''This\nand that.'''\n        return i",
            "f (.*program.py, line 4) is indented, and can't be moved to the left margin",
        ),
    ],
)
def test_what_of_a_main_program_can_not_be_written(tmp_path: Path, program: str, message: str) -> None:
    said = saved_by(program, tmp_path)
    assert said.startswith("the pipeline can't be saved: ")
    assert all(part in said for part in message.split(".*"))
    assert not (tmp_path / "p.py").exists()


def test_a_name_with_dots_is_loaded_and_runs_in_processes(tmp_path: Path) -> None:
    program = (
        "from numap import IMap\nfrom papy import Piper\ndef g(i): return i[0] + 1\nf = Piper(g, IMap(worker_num=1))"
    )
    assert saved_by(program, tmp_path, "my.pipe-1.0.py") == ""
    assert "[2, 3]" in python(
        """
        from papy import Plumber
        plumber = Plumber()
        plumber.load("my.pipe-1.0.py")
        print(list(plumber.results([[1, 2]])))
        """,
        folder=tmp_path,
    )


@pytest.mark.parametrize("name", ["pipeline", "p.txt", "p.py.old"])
def test_a_name_that_can_not_be_loaded_is_not_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlumberError, match=r"can't be saved: a file with the ending \.py is needed"):
        Plumber(pipers=[work.total]).save(tmp_path / name)
    assert not list(tmp_path.iterdir())
