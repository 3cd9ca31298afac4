"""Code by value: local functions and classes in another process and back."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
import threading
import types
from collections.abc import Callable
from random import Random
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pytest

from numap._modules.main_export import MainExporter
from numap._serialize.lookup import NameResolver, find, global_names
from numap._serialize.pickler import CodePickler
from tests.numap._modules.test_main_export import Receiver, there
from tests.numap.tools import each_seed

__all__ = ["there"]  # the fixture

sample = 5


def names(source: str, stores: bool = False) -> set[str]:
    """The globals of a function that is given by its source."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return set(global_names(namespace["f"].__code__, stores))


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): return a", {"a"}),
        ("def f(): return a.b.c", {"a"}),
        ("def f(a): return a.b", set()),
        ("def f(): return g(b)(c=d)", {"g", "b", "d"}),
        ("def f():\n import a\n return a.b", set()),
        ("def f():\n def g(): return a\n return g", {"a"}),
        ("def f(): return lambda: [x for x in (b for c in d)]", {"b", "d"}),
        ("def f():\n class C(a):\n  b = c\n  def d(self): return e\n return C", {"a", "c", "e"}),
        ("def f(a=b): return 1\nf = f", set()),
        ("def f():\n global a\n a = b", {"b"}),
        ("def f():\n a = 1\n return a", set()),
        ("def f():\n try: a()\n except b: c()", {"a", "b", "c"}),
        ("async def f():\n async with a: await b", {"a", "b"}),
        ("def f(): return f'{a!r:{b}}'", {"a", "b"}),
    ],
)
def test_names_that_code_reads(source: str, expected: set[str]) -> None:
    source = source.replace("(a=b)", "(a=0)")
    assert names(source) - {"__name__", "__class__"} == expected


def test_names_that_code_assigns() -> None:
    source = "def f():\n global a, b\n a = c\n del b\n def g():\n  global d\n  d = 1"
    assert names(source, stores=True) == {"a", "b", "d"}
    assert names(source) == {"c"}


def test_names_beyond_the_reach_of_one_byte() -> None:
    """More than 255 names: their numbers need a prefix."""
    many = [f"name_{n}" for n in range(700)]
    source = "def f():\n" + "\n".join(f" {name}.attribute_{name}()" for name in many)
    assert names(source) == set(many)


@each_seed(100)
def test_names_of_random_code(random: Random) -> None:
    """Globals and attributes of the same names, in random order."""
    words = [f"w{n}" for n in range(random.choice([5, 50, 400]))]
    used: set[str] = set()
    lines = []
    for _ in range(random.randint(1, 400)):
        base, attribute = random.choice(words), random.choice(words)
        used.add(base)
        lines.append(random.choice([f" {base}.{attribute}", f" {base}.{attribute}.{attribute}()", f" g = {base}"]))
    assert names("def f():\n" + "\n".join(lines)) == used


def test_find() -> None:
    assert find(functools, "partial.__call__") is functools.partial.__call__
    assert find(functools, "nothing") is None
    assert find(functools, "partial.nothing.more") is None


# ---------------------------------------------------------------------- functions


def test_lambdas(there: Receiver) -> None:
    assert there(lambda x, y=2, *, z=3: (x, y, z), 1) == (1, 2, 3)
    assert there(lambda y: (lambda x: lambda: x + sample)(y)(), 1) == 6


def test_attributes_of_functions(there: Receiver) -> None:
    def func(a: int, b: int = 2, *, c: int = 3) -> str:
        """Text."""
        return ""

    func.mark = [1]  # type: ignore[attr-defined]

    def look(f: Any) -> Any:
        return (
            f.__name__,
            f.__qualname__,
            f.__doc__,
            f.__module__,
            f.__defaults__,
            f.__kwdefaults__,
            f.__annotations__,
            f.mark,
        )

    assert there(look, func) == look(func)


def test_a_function_comes_back_as_good_as_new(there: Receiver) -> None:
    offset = 10

    def func(x: int) -> int:
        return x + offset + sample

    assert there(lambda f: f, func)(1) == 16


def test_a_function_that_is_made_there(there: Receiver) -> None:
    def make(n: int) -> Callable[[int], int]:
        return lambda x: x * n + sample

    assert there(make, 3)(2) == 11


def test_closures_share_cells_in_one_message(there: Receiver) -> None:
    value = [0]

    def increment() -> None:
        nonlocal value
        value = [value[0] + 1]

    def get() -> list[int]:
        return value

    def both(f: Any, g: Any) -> Any:
        f()
        f()
        return g(), f.__closure__[0] is g.__closure__[0]

    assert there(both, increment, get) == ([2], True)
    assert value == [0]


def test_recursion_through_a_closure(there: Receiver) -> None:
    def ackermann(m: int, n: int) -> int:
        if m == 0:
            return n + 1
        return ackermann(m - 1, 1 if n == 0 else ackermann(m, n - 1))

    def ping(n: int) -> str:
        return "ping" if n == 0 else pong(n - 1)

    def pong(n: int) -> str:
        return "pong" if n == 0 else ping(n - 1)

    assert there(ackermann, 2, 3) == 9
    assert there(ping, 7) == "pong"


def test_one_function_twice_is_one_function(there: Receiver) -> None:
    def func() -> None: ...

    assert there(lambda a, b: (a is b, a[0] is a[1] if isinstance(a, list) else None), func, func) == (True, None)


def test_wrappers(there: Receiver) -> None:
    def plus(func: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(func)
        def wrapper(*args: Any) -> int:
            return func(*args) + 1

        return wrapper

    @plus
    @plus
    def base(x: int) -> int:
        """Base."""
        return x * sample

    assert there(base, 2) == 12
    assert there(lambda f: (f.__name__, f.__doc__, f.__wrapped__.__wrapped__(2)), base) == ("base", "Base.", 10)


def test_caches(there: Receiver) -> None:
    @functools.lru_cache(maxsize=3, typed=True)
    def square(x: int) -> int:
        return x * x

    square(2)
    assert there(lambda f: (f(3), f(3), f.cache_info().hits, f.cache_parameters()), square) == (
        9,
        9,
        1,
        {"maxsize": 3, "typed": True},
    )


def test_partials_and_methods(there: Receiver) -> None:
    class Scale:
        def __init__(self, by: int) -> None:
            self.by = by

        def __call__(self, x: int) -> int:
            return x * self.by

        def method(self, x: int) -> int:
            return self(x) + 1

    assert there(functools.partial(lambda a, b, c: (a, b, c), 1, c=3), 2) == (1, 2, 3)
    assert there(Scale(3), 4) == 12
    assert there(Scale(3).method, 4) == 13
    assert there(functools.partial(Scale(3).method), 4) == 13


def test_code_objects_and_modules(there: Receiver) -> None:
    code = compile("sample + 1", "text", "eval")
    assert there(lambda code: eval(code, {"sample": 1}), code) == 2
    assert there(lambda module: module.sqrt(9), __import__("math")) == 3
    assert there(lambda kind: kind.__name__, types.FunctionType) == "function"
    assert there(lambda x: x["a"], types.MappingProxyType({"a": 1})) == 1


def test_a_function_with_its_own_globals(there: Receiver) -> None:
    namespace: dict[str, Any] = {"base": 10, "unused": threading.Lock()}
    exec("def f(x): return x + base + g()\ndef g(): return 1", namespace)
    assert there(namespace["f"], 1) == 12


# ---------------------------------------------------------------------- classes


def test_a_local_class_comes_back_as_itself(there: Receiver) -> None:
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    def work(item: Any) -> Any:
        return type(item)(item.x + 1), item, Local(3)

    new, old, made = there(work, Local(1))
    assert [type(it) for it in (new, old, made)] == [Local] * 3
    assert (new.x, old.x, made.x) == (2, 1, 3)


def test_a_class_that_is_made_there(there: Receiver) -> None:
    def make(n: int) -> Any:
        class Made:
            value = n

            def get(self) -> int:
                return self.value + sample

        return Made(), Made()

    one, two = there(make, 3)
    assert type(one) is type(two)
    assert (type(one).__name__, one.get()) == ("Made", 8)


def test_local_classes_of_all_kinds(there: Receiver) -> None:
    T = TypeVar("T")

    class Base:
        @classmethod
        def name(cls) -> str:
            return cls.__name__

    class Sub(Base):
        __slots__ = ("x",)

        def name(self) -> str:  # type: ignore[override]
            return super().name() + "!"

    @dataclasses.dataclass(frozen=True)
    class Data:
        x: int
        y: tuple[int, ...] = dataclasses.field(default=(1,))

    class Color(enum.Enum):
        RED = enum.auto()
        BLUE = enum.auto()

        def other(self) -> Color:
            return Color.BLUE if self is Color.RED else Color.RED

    class Row(NamedTuple):
        a: int
        b: str = "b"

        def both(self) -> str:
            return f"{self.a}{self.b}"

    class Box(Generic[T]):
        def __init__(self, value: T) -> None:
            self.value = value

    class HasName(Protocol):
        def name(self) -> str: ...

    class Meta(type):
        def __len__(cls) -> int:
            return 7

    class Seven(metaclass=Meta):
        pass

    class Loop:
        me: Any

    Loop.me = Loop

    def work() -> Any:
        return (
            Sub().name(),
            Data(1),
            Data(1) == Data(1),
            Color.RED.other(),
            Row(1).both(),
            Row(2),
            Box[int](3).value,
            len(Seven),
            Loop.me is Loop,
            HasName.__name__,
            [field.name for field in dataclasses.fields(Data)],
        )

    found = there(work)
    assert found == work()
    assert type(found[1]) is Data and found[3] is Color.BLUE and type(found[5]) is Row


def test_a_class_is_sent_whole_once_per_message() -> None:
    class Local:
        text = "x" * 10_000

    mirror = MainExporter()
    assert len(mirror.encode([Local() for _ in range(50)])) < 12_000


def test_changes_of_a_class_after_its_first_journey(there: Receiver) -> None:
    """A class that is known over there stays as it is within a run; a new run has the new form."""

    class Local:
        value = 1

    assert there(lambda kind: kind.value, Local) == 1
    Local.value = 2
    assert there(lambda kind: kind.value, Local) == 2


def test_a_class_that_refers_to_what_can_not_travel() -> None:
    class Local:
        lock = threading.Lock()

    with pytest.raises(Exception, match=r"lock"):
        MainExporter().encode(Local)


def test_the_plain_scope_uses_names_for_what_this_process_has() -> None:
    encode = CodePickler(NameResolver()).encode
    assert b"global_names" in encode(global_names)
    assert len(encode(global_names)) < 100


def test_a_pickler_remembers_nothing() -> None:
    encode = CodePickler(NameResolver()).encode
    value = ["some text", "some text"]
    assert encode(value) == encode(value)


def test_data_is_left_to_the_pickler() -> None:
    import pickle

    encode = CodePickler(NameResolver()).encode
    for value in ([1, 2], {"a": (1, None)}, "x" * 10_000, 1.5, sys.maxsize, {1, 2}, frozenset("a"), bytearray(b"x")):
        assert pickle.loads(encode(value)) == value
        assert len(encode(value)) <= len(pickle.dumps(value, 5)) + 8


class Chooser:
    """Holds what survives."""

    def __init__(self, *held: object) -> None:
        self.held = held

    def __reduce__(self) -> tuple[object, ...]:
        raise AssertionError("not asked")

    def __numap_reduce__(self, copied: Callable[[object], object]) -> tuple[object, ...]:
        return Chooser, tuple(it for it in self.held if _survives(it, copied))


def _survives(it: object, copied: Callable[[object], object]) -> bool:
    try:
        return type(copied(it)) is type(it)
    except TypeError:
        return False


def test_a_class_chooses_by_what_survives_the_way(there: Receiver) -> None:
    class Local:
        pass

    count = there(lambda chooser: len(chooser.held), Chooser(Local(), threading.Lock(), lambda: 1, 2))
    assert count == 3
