"""A main module with all kinds of code; a process that can't import it runs its cases.

Each ``case_`` function returns what can be compared; it must give the same there as here.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import math as mathematics
import operator
import re
import threading
import typing
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypedDict, TypeVar, runtime_checkable

factor = 3
table = {"a": 1}
calls = 0
pattern = re.compile(r"(\w+)@(\w+)")
huge = bytes(1 << 20)
lock = threading.Lock()
connection: Any = lock
T = TypeVar("T")
Half = Fraction
Alias = dict[str, list[int]]


# ---------------------------------------------------------------------- functions


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def count() -> int:
    global calls
    calls += 1
    return calls


def counted() -> int:
    return calls


def defaults(a: int, b: int = 2, *args: int, c: int = 3, d: Any = table, **kwargs: int) -> tuple[Any, ...]:
    return a, b, args, c, d, kwargs


def adder(offset: int) -> Callable[[int], int]:
    def add(x: int) -> int:
        """Adds."""
        return x + offset + factor

    return add


def counter() -> tuple[Callable[[], int], Callable[[], int]]:
    value = 0

    def increment() -> int:
        nonlocal value
        value += 1
        return value

    def get() -> int:
        return value

    return increment, get


def factorial() -> Callable[[int], int]:
    def inner(n: int) -> int:
        return 1 if n < 2 else n * inner(n - 1)

    return inner


def unbound() -> Callable[[], str]:
    def look() -> str:
        try:
            return str(later)
        except NameError as error:
            return type(error).__name__

    if factor == 0:
        later = 3
    return look


def twice(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return 2 * func(*args, **kwargs)

    return wrapper


@twice
def decorated(x: int) -> int:
    """Is decorated."""
    return x + factor


@functools.lru_cache(maxsize=7)
def cached(x: int) -> int:
    return x + factor


@functools.lru_cache(None)
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@contextlib.contextmanager
def appending(to: list[str]) -> Iterator[None]:
    to.append("in")
    yield
    to.append("out")


def generator(n: int) -> Iterator[int]:
    for i in range(n):
        yield i * factor


def attributes(x: Any) -> Any:
    """Has attributes whose names are those of globals, and must not drag these along."""
    return getattr(x, "huge", None), x.huge, x.lock


def locked() -> bool:
    return lock.locked()


def uses_locked() -> bool:
    return locked()


def connect(value: str) -> None:
    global connection
    connection = value


def connected() -> Any:
    return connection


decorated.mark = "a mark"  # type: ignore[attr-defined]
lambda_with_global = lambda x: x * factor  # noqa: E731
itself: list[Any] = []
itself.append(itself)


# ---------------------------------------------------------------------- classes


class Plain:
    number = 1

    def __init__(self, x: int = 0) -> None:
        self.x = x

    def total(self) -> int:
        return self.x + self.number + factor

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.x)


class Derived(Plain):
    def total(self) -> int:
        return super().total() + 100

    @property
    def double(self) -> int:
        """Twice x."""
        return 2 * self.x

    @double.setter
    def double(self, value: int) -> None:
        self.x = value // 2

    @classmethod
    def make(cls, x: int) -> Derived:
        return cls(x)

    @staticmethod
    def static(x: int) -> int:
        return x + factor

    @functools.cached_property
    def costly(self) -> int:
        return self.x + count()


class Slots:
    __slots__ = ("__private", "a", "b")

    def __init__(self, a: int) -> None:
        self.a = a
        self.__private = a + 1

    def private(self) -> int:
        return self.__private

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slots) and (self.a, self.private()) == (other.a, other.private())

    __hash__ = None  # type: ignore[assignment]


class Outer:
    class Inner:
        class Core:
            depth = 3

        value = 5

    def inner(self) -> Outer.Inner:
        return self.Inner()


class Adder:
    def __init__(self, offset: int) -> None:
        self.offset = offset

    def __call__(self, x: int) -> int:
        return x + self.offset + factor


@dataclasses.dataclass
class Point:
    x: int
    y: list[int] = dataclasses.field(default_factory=list)
    total: ClassVar[int] = 7
    scale: dataclasses.InitVar[int] = 1
    hidden: int = dataclasses.field(default=0, repr=False, compare=False)

    def __post_init__(self, scale: int) -> None:
        self.x *= scale


@dataclasses.dataclass(order=True)
class Point3(Point):
    z: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int = 3

    def moved(self) -> Frozen:
        return dataclasses.replace(self, x=self.x + 1)


@dataclasses.dataclass(kw_only=True)
class Keywords:
    a: int
    b: int = 2


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    AZURE = 2  # noqa: PIE796 - an alias

    @property
    def pretty(self) -> str:
        return self.name.lower()

    @classmethod
    def first(cls) -> Color:
        return next(iter(cls))


class Access(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    RW = R | W


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Word(str, enum.Enum):
    YES = "yes"


class Planet(enum.Enum):
    EARTH = (5.97e24, 6.37e6)

    def __init__(self, mass: float, radius: float) -> None:
        self.mass = mass
        self.radius = radius


class Grade(enum.Enum):
    """With a ``__new__`` and a ``_missing_`` of its own."""

    def __new__(cls, value: int, text: str) -> Grade:
        made = object.__new__(cls)
        made._value_ = value
        made.text = text
        return made

    text: str
    GOOD = (1, "good")
    POOR = (5, "poor")

    @classmethod
    def _missing_(cls, value: object) -> Grade:
        return cls.POOR


class Automatic(enum.Enum):
    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> str:
        return name.lower()

    ONE = enum.auto()
    TWO = enum.auto()


Pair = collections.namedtuple("Pair", "left right", defaults=[9])


class Record(NamedTuple):
    key: str
    value: int = 4

    def text(self) -> str:
        return f"{self.key}={self.value * factor}"


class Abstract(abc.ABC):
    @abc.abstractmethod
    def go(self) -> int: ...

    @property
    @abc.abstractmethod
    def speed(self) -> int: ...


class Concrete(Abstract):
    def go(self) -> int:
        return self.speed

    @property
    def speed(self) -> int:
        return factor


Abstract.register(Adder)


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    def get(self) -> T:
        return self.value


class IntBox(Box[int]):
    pass


@runtime_checkable
class Sized(Protocol):
    def size(self) -> int: ...


class Shirt:
    def size(self) -> int:
        return 42


class Meta(type):
    registry: ClassVar[list[str]] = []

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Meta:
        cls = super().__new__(mcs, name, bases, namespace)
        cls.label = name.lower()  # type: ignore[attr-defined]
        return cls

    def shout(cls) -> str:
        return cls.__name__.upper()


class WithMeta(metaclass=Meta):
    pass


class Movie(TypedDict):
    title: str
    year: int


class PartialMovie(TypedDict, total=False):
    title: str


class Node:
    root: ClassVar[Node]

    def __init__(self, name: str) -> None:
        self.name = name
        self.next: Node = self

    @classmethod
    def top(cls) -> Node:
        return cls.root


Node.root = Node("root")


class Named:
    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else f"<{self.name}>"


class HasNamed:
    first = Named()
    second = Named()


@functools.total_ordering
class Version:
    def __init__(self, *parts: int) -> None:
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.parts == other.parts

    def __lt__(self, other: Version) -> bool:
        return self.parts < other.parts

    __hash__ = None  # type: ignore[assignment]


class Registered:
    children: ClassVar[list[str]] = []

    def __init_subclass__(cls, **options: Any) -> None:
        Registered.children.append(cls.__name__)


class Child(Registered):
    pass


class Kind:
    kind = ""

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind


class Special(Kind, kind="special"):
    pass


class Fault(Exception):
    def __init__(self, code: int, *, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code


class Words(list[str]):
    def longest(self) -> str:
        return max(self, key=len)


class Missing(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return factor


class Tricky:
    """Operators, pickling of its own, and a class attribute that is a function."""

    convert: ClassVar[Callable[[str], int]] = int
    halve = functools.partialmethod(pow, 2)

    def __init__(self, value: int) -> None:
        self.value = value
        self.lock = threading.Lock()

    def __getstate__(self) -> int:
        return self.value

    def __setstate__(self, value: int) -> None:
        self.__init__(value)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tricky) and self.value == other.value

    def __index__(self) -> int:
        return self.value

    def __pow__(self, other: int) -> int:
        return int(self.value**other)

    __hash__ = None  # type: ignore[assignment]


# ---------------------------------------------------------------------- cases


def case_lambda() -> Any:
    return (lambda x: x + factor)(1), lambda_with_global(2)


def case_mutual_recursion() -> Any:
    return even(10), odd(10)


def case_shared_globals() -> Any:
    return count(), count(), counted(), calls


def case_defaults() -> Any:
    return defaults(1), defaults(1, 5, 6, 7, c=8, d=9, e=10), defaults.__kwdefaults__, defaults.__defaults__


def case_closure() -> Any:
    func = adder(10)
    return func(1), func.__name__, func.__qualname__, func.__doc__, func.__module__


def case_nested_functions_and_comprehensions() -> Any:
    def outer(x: int) -> list[int]:
        def inner(y: int) -> int:
            return x * y * factor

        return [inner(y) for y in range(3)] + [y * factor for y in range(x)]

    return outer(2), {k: v * factor for k, v in table.items()}


def case_generator() -> Any:
    return list(generator(4)), sum(x * factor for x in range(3))


def case_context_manager() -> Any:
    seen: list[str] = []
    with appending(seen):
        seen.append("between")
    return seen


def case_decorated() -> Any:
    wrapped: Any = decorated
    return decorated(1), wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__(1), wrapped.mark


def case_lru_cache() -> Any:
    first: Any = cached
    return cached(1), cached(1), first.cache_info().hits, first.cache_parameters(), fibonacci(30)


def case_imports() -> Any:
    return (
        mathematics.sqrt(16),
        operator.itemgetter(1)([1, 2]),
        pattern.sub(r"\2", "a@b"),
        typing.get_origin(Alias) is dict,
    )


def case_data_that_contains_itself() -> Any:
    return itself[0] is itself


def case_super() -> Any:
    return Derived(5).total(), Derived.__mro__[1] is Plain, Derived(1)


def case_property() -> Any:
    it = Derived(3)
    it.double = 8
    return it.double, it, Derived.__dict__["double"].__doc__


def case_classmethod_and_staticmethod() -> Any:
    return Derived.make(3), Derived.static(4), type(Derived.make(1)) is Derived


def case_cached_property() -> Any:
    it = Derived(3)
    return it.costly == it.costly, "costly" in vars(it)


def case_slots() -> Any:
    it = Slots(3)
    try:
        it.c = 3  # type: ignore[attr-defined]
    except AttributeError:
        return it, it.private(), hasattr(it, "b"), hasattr(it, "__dict__")
    return None


def case_nested_classes() -> Any:
    return Outer().inner().value, type(Outer().inner()) is Outer.Inner, Outer.Inner.Core.depth, Outer.Inner.__qualname__


def case_callable_object() -> Any:
    return Adder(3)(4), list(map(Adder(1), range(2)))


def case_dataclass() -> Any:
    point = Point(1, scale=3)
    return (
        point,
        [field.name for field in dataclasses.fields(Point)],
        dataclasses.asdict(point),
        Point.total,
        repr(point),
        dataclasses.is_dataclass(point),
        point == Point(3),
        Point(1).y is Point(1).y,
    )


def case_dataclass_inheritance() -> Any:
    return (
        Point3(1, z=3),
        Point3(1) < Point3(2),
        [f.name for f in dataclasses.fields(Point3)],
        isinstance(Point3(1), Point),
    )


def case_dataclass_frozen_with_slots() -> Any:
    it = Frozen(4)
    try:
        it.x = 3  # type: ignore[misc]
    except dataclasses.FrozenInstanceError:
        return it, it.moved(), hash(it) == hash(Frozen(4)), hasattr(it, "__dict__"), {it: 1}
    return None


def case_dataclass_keywords() -> Any:
    return Keywords(a=1), dataclasses.replace(Keywords(a=1), b=5)


def case_enum() -> Any:
    return (
        Color(1) is Color.RED,
        Color["BLUE"] is Color.BLUE,
        Color.AZURE is Color.BLUE,
        list(Color),
        Color.RED.pretty,
        Color.first(),
        len(Color),
        Color.RED in Color,
        dict(Color.__members__),
        repr(Color.RED),
    )


def case_flag() -> Any:
    return (
        Access.R | Access.W is Access.RW,
        Access.RW & Access.R,
        list(Access),
        Access(3),
        bool(Access.R & Access.W),
        ~Access.R,
    )


def case_int_enum() -> Any:
    return Level.HIGH + 1, Level(10), sorted(Level), Bits.A | Bits.B, Bits(3), isinstance(Level.LOW, int)


def case_enum_with_data() -> Any:
    return Planet.EARTH.mass, Planet.EARTH, Planet((5.97e24, 6.37e6)), Word.YES == "yes", Word("yes")


def case_enum_with_its_own_making() -> Any:
    return Grade.GOOD.text, Grade(1), Grade(17), Automatic.TWO.value, Automatic("one")


def case_namedtuple() -> Any:
    return Pair(1), Pair(1, 2)._replace(left=3), Pair._fields, Pair._field_defaults, Pair(1)._asdict()


def case_namedtuple_with_method() -> Any:
    return Record("a"), Record("a", 2).text(), Record._fields, Record.__annotations__.keys() == {"key", "value"}


def case_abc() -> Any:
    try:
        Abstract()  # type: ignore[abstract]
    except TypeError:
        return Concrete().go(), isinstance(Concrete(), Abstract), sorted(Abstract.__abstractmethods__)
    return None


def case_abc_registered() -> Any:
    return isinstance(Adder(1), Abstract), issubclass(Adder, Abstract), isinstance(3, Abstract)


def case_imported_classes_stay_what_they_are() -> Any:
    import argparse
    import fractions

    try:
        raise argparse.ArgumentTypeError("there")
    except ArgumentTypeError as error:
        caught = str(error)
    return Fraction is fractions.Fraction, isinstance(fractions.Fraction(1, 2), Fraction), caught, Half is Fraction


def case_generic() -> Any:
    return (
        Box[int](3).get(),
        IntBox(4).get(),
        typing.get_args(Box[int]),
        IntBox.__orig_bases__ == (Box[int],),
        T.__name__,
    )  # type: ignore[attr-defined]


def case_protocol() -> Any:
    return isinstance(Shirt(), Sized), isinstance(3, Sized)


def case_metaclass() -> Any:
    return WithMeta.label, WithMeta.shout(), type(WithMeta) is Meta, isinstance(WithMeta(), WithMeta)  # type: ignore[attr-defined]


def case_typed_dict() -> Any:
    movie: Movie = Movie(title="x", year=3)
    return movie, typing.get_type_hints(Movie), Movie.__total__, PartialMovie.__total__, typing.is_typeddict(Movie)


def case_class_that_refers_to_itself() -> Any:
    return Node.top().name, type(Node.root) is Node, Node.root.next is Node.root


def case_descriptor() -> Any:
    return HasNamed().first, HasNamed().second, HasNamed.first.name


def case_total_ordering() -> Any:
    return Version(1, 2) >= Version(1), sorted([Version(2), Version(1)])[0].parts


def case_init_subclass() -> Any:
    return Registered.children, Child.__mro__[1] is Registered


def case_init_subclass_with_keywords() -> Any:
    return Special.kind, Special.__mro__[1] is Kind


def case_exception() -> Any:
    try:
        raise Fault(3, text="no")
    except Fault as fault:
        return fault.code, fault.args


def case_builtin_subclasses() -> Any:
    return Words(["a", "bcd"]).longest(), Words(["x"]), Missing(a=1)["b"], Missing(a=1)


def case_class_with_its_own_pickling() -> Any:
    return Tricky(3), Tricky.convert("4"), Tricky(3).halve(), [1, 2, 3, 4][Tricky(2)]


def case_results_of_all_classes() -> Any:
    return [
        Plain(1),
        Derived(2),
        Point(3),
        Frozen(4),
        Color.RED,
        Access.RW,
        Pair(1),
        Record("a"),
        Words("ab"),
        Slots(1),
    ]
