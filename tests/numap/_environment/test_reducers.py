"""Guarantee 61, of `copyreg`: what a program has told of how to pickle a class holds for items and for results."""

from __future__ import annotations

import copyreg
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from numap._environment import reducers as _reducers
from numap._environment.reducers import adopt_reducers, reducers
from numap._modules.main_export import MainExporter
from numap._modules.main_import import MainImporter
from tests.numap.programs import STARTS, run

#: Modules of the program, by name. Objects of these classes can't be pickled without a reducer.
MODULES = {
    "shapes": """
import copyreg
class Own:
    def __init__(self, size): self.size = size
    def __reduce_ex__(self, protocol): raise TypeError("not so")
class Other(Own): pass
class Third(Own): pass
class Late(Own): pass
class Numbered: pass
def make(kind, size): return globals()[kind](size)
copyreg.pickle(Own, lambda it: (make, ("Own", it.size + 10)))
""",
    "ways": """
import shapes
calls = []
def other(it):
    calls.append(it)
    return shapes.make, ("Other", it.size + 10)
""",
}

PROGRAM = """
sys.path.insert(0, os.environ["MODULES"])
import copyreg, shapes, ways

class Mine:
    def __init__(self, size):
        self.size = size
        self.lock = threading.Lock()

OFFSET = 10
def make(size): return Mine(size)
def mine(it): return make, (it.size + OFFSET,)

copyreg.pickle(Mine, mine)
copyreg.pickle(shapes.Other, ways.other)
copyreg.pickle(shapes.Third, lambda it: (shapes.make, ("Third", it.size + OFFSET)))
copyreg.pickle(shapes.Late, lambda it: (shapes.make, ("Late", it.size + OFFSET)))
copyreg.pickle(type(threading.Lock()), lambda it: (threading.Lock, ()))
copyreg.add_extension("shapes", "Numbered", 70001)
# What can't be sent is left out, and costs the others nothing.
copyreg.pickle(type("Nameless", (), {"held": threading.Lock()}), (lambda file: lambda it: file)(open(os.devnull)))

def size(it): return it.size
def late(size):
    import shapes
    return shapes.Late(size)
def is_loaded(_): return "shapes" in sys.modules

found = [
    list(map(size, IMap(Mine, [1, 2], **OPTIONS))),
    list(IMap(size, [Mine(1), shapes.Other(2), shapes.Third(3)], **OPTIONS)),
    *(list(map(size, IMap(kind, [1], **OPTIONS))) for kind in (shapes.Own, shapes.Other, shapes.Third)),
    list(map(size, IMap(late, [1], **OPTIONS))),
    [type(it).__name__ for it in IMap(lambda x: x, [threading.Lock(), shapes.Numbered()], **OPTIONS)],
    ways.calls == [] or len(ways.calls),
]
say(found)
"""


@pytest.mark.parametrize("start", STARTS)
def test_61_what_copyreg_was_told_holds_for_items_and_results(start: str, tmp_path: Path) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    expected = "[[11, 12], [11, 12, 13], [11], [11], [11], [11], ['lock', 'Numbered'], 1]\n"
    assert run(tmp_path, PROGRAM, start, MODULES=str(tmp_path)).stdout == expected


def test_61_a_reducer_imports_no_class_for_itself(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(MODULES["shapes"])
    code = """
sys.path.insert(0, os.environ["MODULES"])
import copyreg, shapes
def reduce(it): return dict, ()
copyreg.pickle(shapes.Other, reduce)
def is_loaded(when):
    before = "shapes" in sys.modules
    import shapes
    return before, copyreg.dispatch_table[shapes.Other].__module__
say(list(IMap(is_loaded, [0], **{**OPTIONS, "worker_num": 1})))
say([*IMap(lambda _: "shapes" in sys.modules, [0], **{**OPTIONS, "worker_num": 1})])
"""
    assert run(tmp_path, code, MODULES=str(tmp_path)).stdout == "[(False, '__main__')]\n[False]\n"


# ---------------------------------------------------------------------- without processes


class Thing:
    """Something to pickle."""


def reduce_thing(it: Thing) -> tuple[Any, ...]:
    """One way to do it."""
    return Thing, ()


def test_61_libraries_send_nothing_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reducers(MainExporter()) == []
    monkeypatch.setitem(copyreg.dispatch_table, Thing, reduce_thing)
    assert reducers(MainExporter()) == [(__name__, "Thing", (__name__, "reduce_thing"))]


def test_61_a_reducer_by_name_goes_on_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that maps has what it was told, and tells it to its own workers."""
    told = [(__name__, "Thing", (__name__, "reduce_thing"))]
    monkeypatch.setattr(copyreg, "dispatch_table", {})
    adopt_reducers(told, MainImporter(None))  # type: ignore[arg-type]
    assert copyreg.dispatch_table[Thing](Thing()) == (Thing, ())
    assert reducers(MainExporter()) == told


def test_61_what_a_module_has_told_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copyreg, "dispatch_table", {Thing: reduce_thing})
    adopt_reducers([(__name__, "Thing", (__name__, "reduce_thing"))], MainImporter(None))
    assert copyreg.dispatch_table == {Thing: reduce_thing}


def test_61_reducers_wait_for_the_module_of_the_class(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(copyreg, "dispatch_table", {})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(_reducers._late, "waiting", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "module_of_a_reducer_that_waits"
    (tmp_path / f"{name}.py").write_text("class Thing: pass\n")
    adopt_reducers([(name, "Thing", (__name__, "reduce_thing"))], MainImporter(None))
    assert copyreg.dispatch_table == {}
    try:
        module: ModuleType = __import__(name)
    finally:
        sys.modules.pop(name, None)
    assert list(copyreg.dispatch_table) == [module.Thing]
    assert type(module.__loader__).__name__ == "SourceFileLoader"
