"""A program that maps code of many kinds and tells for each whether the results are those of ``map``; its argument: options."""

import abc
import concurrent.futures
import dataclasses
import enum
import functools
import importlib.util
import json
import logging.handlers
import sys
import types
import typing
import urllib.request
import weakref
import xml.etree.ElementTree

from numap import IMap

OPTIONS = json.loads(sys.argv[1])


def check(name, func, items, same=lambda a, b: a == b):
    items = list(items)
    try:
        found = list(IMap(func, items, **OPTIONS))
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}")
        return
    wanted = list(map(func, items))
    right = len(found) == len(wanted) and all(map(same, found, wanted))
    print(f"{name}: {'right' if right else f'{found} instead of {wanted}'}")


def identical(a, b):
    return a is b


# ---------------------------------------------------------------------- modules below packages


def nested(text):
    def inner():
        return xml.etree.ElementTree.fromstring(text).tag, concurrent.futures.ThreadPoolExecutor.__name__

    return inner()


class Fetcher:
    def quote(self, text):
        return urllib.request.quote(text)


check("a module below a package", lambda text: urllib.request.quote(text), ["a b"])  # noqa: PLW0108 - the global is the point
check("modules below packages in a nested function", nested, ["<a/>"])
check("a module below a package in a method", Fetcher().quote, ["a b"])
check("one below a module", lambda _: logging.handlers.QueueHandler.__name__, [1])

# ---------------------------------------------------------------------- methods


class Base:
    def work(self, x):
        return "base", x


class Derived(Base):
    def work(self, x):
        return "derived", x

    def above(self):
        return super().work

    def __private(self, x):
        return "private", x

    def private(self):
        return self.__private

    unnamed = lambda self, x: ("unnamed", x)  # noqa: E731

    @classmethod
    def of_class(cls, x):
        return cls.__name__, x

    made = classmethod(lambda cls, x: (cls.__name__, x))


def unwrapped(func):
    def other(self, x):
        return func(self, x), "decorated"

    return other


Derived.decorated = unwrapped(Base.work)
derived = Derived()
patched = derived.work
derived.work = lambda x: "the patch"
check("a method of the base class", derived.above(), [1])
check("a private method", derived.private(), [1])
check("a lambda as a method", derived.unnamed, [1])
check("a method with a decorator without wraps", derived.decorated, [1])
check("a method that was taken before a patch", patched, [1])
check("methods of classes", Derived.of_class, [1])
check("a lambda as a method of a class", Derived.made, [1])
check("a function as a method of one object", types.MethodType(lambda self, x: (type(self).__name__, x), derived), [1])
check("methods as items", lambda method: method(1), [derived.above(), derived.private(), Derived.made])

# ---------------------------------------------------------------------- dispatch, weak references


@functools.singledispatch
def show(x):
    return "object"


@show.register(Base)
def show_base(x):
    return "base"


@show.register
def _(x: int):
    return "int"


class Shower:
    @functools.singledispatchmethod
    def show(self, x):
        return "object"

    @show.register
    def _(self, x: int):
        return "int"


weak = weakref.WeakKeyDictionary({Base: "base"})
reference = weakref.ref(Base)
gone = weakref.ref(type("Gone", (), {}))
check("singledispatch", show, [derived, 1, "a"])
check("singledispatch as a global", lambda x: show(x), [derived, 1, "a"])  # noqa: PLW0108 - the global is the point
check("singledispatchmethod", Shower().show, [1, "a"])
check("a weak dictionary", lambda x: weak[x], [Base])
check("weak references", lambda x: (reference() is Base, gone is None), [1])

# ---------------------------------------------------------------------- classes that know each other


class Shape:
    kinds: typing.ClassVar = {}

    def __init_subclass__(cls):
        Shape.kinds[cls.__name__] = cls


class Square(Shape):
    pass


class Meta(type):
    registry: typing.ClassVar = {}

    def __new__(meta, name, bases, namespace):
        made = meta.registry[name] = super().__new__(meta, name, bases, namespace)
        return made


class First(metaclass=Meta):
    pass


class Second(First):
    pass


class Abstract(abc.ABC):
    known: typing.ClassVar = []

    @abc.abstractmethod
    def size(self): ...


@dataclasses.dataclass(frozen=True)
class Concrete(Abstract):
    value: int = 3

    def size(self):
        return self.value


Abstract.known += [Concrete, Concrete(4)]
Base.below, Derived.above_me = Derived, Base


class Colour(enum.Enum):
    RED = 1


Colour.owner = Shape
Shape.colour = Colour


def ask(x):
    return ask.helper.answer(x)


class Helper:
    answer = staticmethod(lambda x: (x, ask is Helper.asker))
    asker = ask


ask.helper = Helper
check("a registry of derived classes", lambda name: Shape.kinds[name], ["Square"], identical)
check("an instance of a registered class", lambda x: type(x), [Square()], identical)  # noqa: PLW0108 - the global is the point
check("a registry in a metaclass", lambda name: Meta.registry[name], ["First", "Second"], identical)
check("classes in each other", lambda cls: cls.below.above_me, [Base, Derived], identical)
check("an abstract class that knows what derives from it", lambda n: Abstract.known[n], [0], identical)
check("its instances", lambda n: Abstract.known[1].size() + n, [1])
check("a class and an enumeration", lambda x: (x.owner.colour.RED, x.owner), [Colour.RED])
check("a function and a class", ask, [1])

# ---------------------------------------------------------------------- modules that nobody can import

MODULE = "A = 5\ndef func(x):\n    return x + A\nclass C:\n    value = A\n"
unknown = types.ModuleType("unknown_module")
exec(MODULE, vars(unknown))
known = sys.modules["known_module"] = types.ModuleType("known_module")
exec(MODULE, vars(known))
spec = importlib.util.spec_from_loader("specified_module", None)
specified = importlib.util.module_from_spec(spec)
exec(MODULE, vars(specified))
check("a function of a module that is not in sys.modules", unknown.func, [1])
check("one of a module that is", known.func, [1])
check("such modules as globals", lambda x: (unknown.func(x), known.func(x), specified.func(x)), [1])
check("such a module as an item", lambda module: module.func(module.C.value), [known])
check("a class of it as a result", lambda x: known.C, [1], identical)
check("an instance as an item", lambda x: type(x), [known.C()], identical)  # noqa: PLW0108 - the global is the point

# ---------------------------------------------------------------------- what pickles as its own name


class Missing:
    def __reduce__(self):
        return "MISSING"


class Single:
    def __reduce__(self):
        return get_single, ()


def get_single():
    return SINGLE


MISSING, SINGLE = Missing(), Single()
UserId = typing.NewType("UserId", int)
Parameters = typing.ParamSpec("Parameters")
Kind = typing.TypeVar("Kind", bound=Base)


def with_default(x, default=MISSING):
    return default is MISSING


check("a sentinel as a default", with_default, [1])
check("a sentinel as an item", lambda x: x is MISSING, [MISSING, 1])
check("a sentinel as a result", lambda x: MISSING, [1], identical)
check("one that a function looks up", lambda x: x is SINGLE, [SINGLE, 1])
check("a new type", lambda x: UserId(x), [1])  # noqa: PLW0108 - the global is the point
check("parameters of a type", lambda x: (str(Parameters), Kind.__bound__), [1])
if sys.version_info >= (3, 12):
    exec("type Number = int")
    check("a name of a type", lambda x: str(Number), [1])  # noqa: F821

# ---------------------------------------------------------------------- classes of factories


def make():
    class Point:
        def __init__(self, x):
            self.x = x

    return Point


Point = make()
Dynamic = type("SomeName", (Base,), {})
check(
    "an instance of a class of a factory",
    lambda x: Point(x),  # noqa: PLW0108 - the global is the point
    [1],
    lambda a, b: type(a) is type(b) is Point and a.x == b.x,
)
check("one of a class that was made by type", lambda x: Dynamic(), [1], lambda a, b: type(a) is type(b) is Dynamic)

# ---------------------------------------------------------------------- one object with several names and places

NOTHING = object()
NEVER = NOTHING
cache = other_name = {}


class Store:
    shared = cache

    def __init__(self, content):
        self.content = content


store = Store(cache)
log = []
handlers = [log.append]
tangled: list = []


def with_nothing(x, default=NOTHING):
    return default is NOTHING, default is NEVER


def with_default(x, default=cache, stores=(store,)):
    cache[x] = x
    return default is cache, other_name is cache, x in store.content, Store.shared is cache, stores[0] is store


def logs(x):
    handlers[0](x)
    return log[-1]


def needs_itself(x, own=tangled):
    return own[0] is needs_itself


tangled.append(needs_itself)
check("a sentinel that is a plain object", with_nothing, [1])
check("such a one as an item", lambda x: x is NOTHING, [NOTHING, 1])
check("such a one as a result", lambda x: NOTHING, [1], identical)
check("a global in other globals, in classes and in defaults", with_default, [1])
check("a method of one global in another one", logs, [1])
check("a function that is in its own default", needs_itself, [1])
check("a constant argument that is a global", functools.partial(lambda one, x: one is cache, cache), [1])
check("an item is no global: it may change meanwhile", lambda x: x.content, [Store(1), Store(2)])
