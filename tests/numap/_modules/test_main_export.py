"""Code of a main module in another process: by name there, shared, once, and nothing that is not needed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from numap import SerializationError
from numap._modules.main_export import MainExporter, main_identity
from numap._transport.shared_objects import size_of_code
from tests.numap._modules.receiver import LENGTH
from tests.numap.tools import says, shown

HERE = Path(__file__).parent
SOURCE = HERE / "mirrored.py"


def walk(log: list[Any]) -> Iterator[str]:
    """The qualified names in a log."""
    return (f"{it.module}.{it.name}" for it in log)


def load(name: str) -> types.ModuleType:
    """The module of cases under a name by which nobody can import it."""
    module = types.ModuleType(name)
    module.__file__ = str(SOURCE)
    sys.modules[name], before = module, sys.modules.get(name)
    try:
        exec(compile(SOURCE.read_text(encoding="utf-8"), str(SOURCE), "exec"), vars(module))
    finally:
        if before is not None:
            sys.modules[name] = before
    return module


MAIN = load("__main__")
OTHER = load("mirrored_elsewhere")
CASES = [name for name in vars(MAIN) if name.startswith("case_")]


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", MAIN)
    monkeypatch.setitem(sys.modules, "mirrored_elsewhere", OTHER)


@contextmanager
def defined(source: str) -> Iterator[None]:
    """For a while the main module has what this source defines."""
    before = dict(vars(MAIN))
    try:
        exec(source, vars(MAIN))
        yield
    finally:
        vars(MAIN).clear()
        vars(MAIN).update(before)


class Receiver:
    """Another process; see `receiver`."""

    def __init__(self) -> None:
        path = HERE.parent.parent.parent
        code = f"import sys; sys.path.insert(0, {str(path)!r}); from tests.numap._modules.receiver import main; main()"
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        self._process.communicate()

    def run(self, calls: list[tuple[Any, tuple[Any, ...]]], mirror: MainExporter) -> list[Any]:
        """Sends several functions and what they are called with; returns their results."""
        blob = mirror.encode(calls)
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump((main_identity(), mirror.log, blob), self._process.stdin, 5)
        self._process.stdin.flush()
        (length,) = LENGTH.unpack(self._process.stdout.read(LENGTH.size))
        good, found = pickle.loads(self._process.stdout.read(length))
        assert good, found
        return list(found)

    def __call__(self, func: Callable[..., Any], *args: Any) -> Any:
        """What a function returns there."""
        (result,) = self.run([(func, args)], MainExporter())
        return result


@pytest.fixture(scope="module")
def there() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def same(left: Any, right: Any) -> bool:
    """Equal, and of the very same types all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return all(map(same, left.items(), right.items()))
    return True


def needed(obj: Any) -> set[str]:
    """The names that would be defined there for an object."""
    mirror = MainExporter()
    mirror.encode(obj)
    names = list(walk(mirror.log))
    assert len(names) == len(set(names)), "each name once"
    return {name.removeprefix("__main__.") for name in names}


@pytest.mark.parametrize("module", [MAIN, OTHER], ids=["main", "other"])
@pytest.mark.parametrize("case", CASES)
def test_cases(case: str, module: types.ModuleType, there: Receiver) -> None:
    vars(module)["calls"] = 0
    found = there(getattr(module, case))
    vars(module)["calls"] = 0
    expected = getattr(module, case)()
    vars(module)["calls"] = 0
    assert same(found, expected), f"there: {found!r}\nhere:  {expected!r}"


# ---------------------------------------------------------------------- results and arguments


@pytest.mark.parametrize(
    "value",
    [
        MAIN.Plain(3),
        MAIN.Derived(3),
        MAIN.Point(1, [2]),
        MAIN.Point3(1, z=2),
        MAIN.Frozen(5),
        MAIN.Keywords(a=1),
        MAIN.Slots(4),
        MAIN.Color.BLUE,
        MAIN.Access.RW,
        MAIN.Level.HIGH,
        MAIN.Bits.A | MAIN.Bits.B,
        MAIN.Planet.EARTH,
        MAIN.Word.YES,
        MAIN.Pair(1, 2),
        MAIN.Record("k"),
        MAIN.Words(["a"]),
        MAIN.Missing(a=1),
        MAIN.Version(1, 2),
        MAIN.Tricky(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_instances_go_and_come_back(value: Any, there: Receiver) -> None:
    found = there(lambda x: (x, isinstance(x, type(x)), [x]), value)
    assert same(found, (value, True, [value]))


@pytest.mark.parametrize(
    "name", [name for name, value in vars(MAIN).items() if isinstance(value, type) and value.__module__ == "__main__"]
)
def test_classes_go_and_come_back(name: str, there: Receiver) -> None:
    kind = getattr(MAIN, name)
    assert there(lambda x: x, kind) is kind


def test_functions_go_and_come_back(there: Receiver) -> None:
    for func in (
        MAIN.even,
        MAIN.defaults,
        MAIN.adder,
        MAIN.decorated,
        MAIN.cached,
        MAIN.lambda_with_global,
        MAIN.Derived.static,
    ):
        back = there(lambda x: x, func)
        if func is MAIN.lambda_with_global:
            assert back(2) == func(2)  # its name is "<lambda>", which is no place to find it at
        else:
            assert back is func


def test_is_instance_holds_there(there: Receiver) -> None:
    with defined("def check(v): return type(v) is Plain, Plain(3) == v, isinstance(v, Plain)"):
        assert there(MAIN.check, MAIN.Plain(3)) == (True, True, True)


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (partial(MAIN.defaults, 1, c=5), (2,)),
        (partial(partial(MAIN.defaults, 1), d=MAIN.Frozen(1)), (2,)),
        (MAIN.Adder(5), (1,)),
        (MAIN.Plain(5).total, ()),
        (MAIN.Derived.make, (4,)),
        (MAIN.Derived(3).make, (4,)),
        (MAIN.Record("a", 3).text, ()),
        (MAIN.adder(5), (1,)),
        (MAIN.factorial(), (5,)),
        (MAIN.unbound(), ()),
        (MAIN.decorated, (4,)),
        (MAIN.cached, (4,)),
        (MAIN.lambda_with_global, (4,)),
        (MAIN.Point, (1, [2])),
        (MAIN.Color, (1,)),
        (MAIN.Pair, (1,)),
        (MAIN.Box, (1,)),
        (str.upper, ("a",)),
        ("abc".index, ("c",)),
    ],
    ids=shown,
)
def test_all_kinds_of_callables(func: Any, args: tuple[Any, ...], there: Receiver) -> None:
    found = there(func, *args)
    expected = func(*args)
    assert type(found) is type(expected)
    assert isinstance(expected, MAIN.Box) or found == expected


def test_two_functions_share_a_cell(there: Receiver) -> None:
    increment, get = MAIN.counter()
    increment()
    assert there.run([(get, ()), (increment, ()), (increment, ()), (get, ())], MainExporter()) == [1, 2, 3, 3]
    assert get() == 1, "here nothing has changed"


def test_functions_share_globals(there: Receiver) -> None:
    assert there.run([(MAIN.count, ()), (MAIN.counted, ()), (MAIN.count, ())], MainExporter()) == [1, 1, 2]
    assert MAIN.calls == 0


def test_a_global_that_changes_is_a_snapshot(there: Receiver) -> None:
    with defined("factor = 4"):
        assert there(MAIN.lambda_with_global, 10) == 40
    assert there(MAIN.lambda_with_global, 10) == 30


def test_mutable_globals_are_one_object_there(there: Receiver) -> None:
    with defined("def mutate():\n table['b'] = 2\ndef look():\n return table"):
        assert there.run([(MAIN.mutate, ()), (MAIN.look, ())], MainExporter()) == [None, {"a": 1, "b": 2}]
        assert MAIN.table == {"a": 1}


def test_what_comes_later_is_added(there: Receiver) -> None:
    """One mirror serves a run: an item may need definitions that no function needed."""
    mirror = MainExporter()
    mirror.encode(MAIN.even)
    assert set(walk(mirror.log)) == {"__main__.even", "__main__.odd"}
    assert there.run([(len, ([MAIN.Point(1)],))], mirror) == [1]
    assert {"__main__.even", "__main__.Point"} <= set(walk(mirror.log))


def test_a_name_that_was_bound_anew(there: Receiver) -> None:
    with defined("def odd(n): return 'new'"):
        assert there(MAIN.even, 3) == "new"
    assert there(MAIN.even, 3) is False


# ---------------------------------------------------------------------- what is sent, and what is not


def test_only_what_is_used_is_defined() -> None:
    assert needed(MAIN.even) == {"even", "odd"}
    assert needed(MAIN.lambda_with_global) == {"factor"}
    assert needed(MAIN.counted) == {"counted", "calls"}
    assert needed(MAIN.Plain) == {"Plain", "factor"}
    assert needed(abs) == set()
    assert needed([1, "a", None]) == set()


def test_an_attribute_does_not_drag_a_global_along(there: Receiver) -> None:
    mirror = MainExporter()
    raw = mirror.encode(MAIN.attributes)
    assert set(walk(mirror.log)) == {"__main__.attributes"}
    assert len(raw) + sum(size_of_code(it.code) for it in mirror.log) < 5000
    assert there(MAIN.attributes, type("X", (), {"huge": 1, "lock": 2})()) == (1, 1, 2)


def test_a_global_is_sent_once() -> None:
    with defined("def one(): return huge\ndef two(): return len(huge)"):
        mirror = MainExporter()
        raw = mirror.encode([MAIN.one, MAIN.two, MAIN.one])
        for _ in range(3):
            raw += mirror.encode(MAIN.two)
        sent = len(raw) + sum(size_of_code(it.code) for it in mirror.log)
        assert len(MAIN.huge) < sent < len(MAIN.huge) + 5000


def test_what_can_be_imported_goes_by_name() -> None:
    for obj in (subprocess.run, Path, pytest.raises, says, MainExporter, SOURCE):
        assert needed(obj) == set()
        assert len(MainExporter().encode(obj)) < 300


def test_an_unpicklable_global_names_itself_and_who_uses_it() -> None:
    with pytest.raises(SerializationError) as error:
        MainExporter().encode(MAIN.uses_locked)
    assert says(error, "'lock'", "'__main__'", "locked", "initializer")
    assert isinstance(error.value.__cause__, Exception)


def test_an_unpicklable_global_is_an_error_each_time() -> None:
    mirror = MainExporter()
    for _ in range(2):
        with pytest.raises(SerializationError, match="'lock'"):
            mirror.encode(MAIN.locked)


def test_the_global_that_an_initializer_makes_is_not_sent(there: Receiver) -> None:
    mirror = MainExporter()
    mirror.exempt(MAIN.connect)
    assert there.run([(MAIN.connect, ("db",)), (MAIN.connected, ())], mirror) == [None, "db"]
    assert "__main__.connection" not in set(walk(mirror.log))
    with pytest.raises(SerializationError, match="'connection'"):
        MainExporter().encode(MAIN.connected)


def test_a_global_that_does_not_exist_is_missed_there_too(there: Receiver) -> None:
    with defined("def careless():\n try:\n  return nobody\n except NameError as error:\n  return str(error)"):
        assert there(MAIN.careless) == "name 'nobody' is not defined"


def test_the_identity_of_the_main_module(there: Receiver) -> None:
    with defined("def who(): return __name__, __file__, __doc__"):
        assert there(MAIN.who) == ("__main__", str(SOURCE), MAIN.__doc__)


def test_a_main_module_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -c``, stdin, a prompt."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    assert "__file__" not in main_identity()
