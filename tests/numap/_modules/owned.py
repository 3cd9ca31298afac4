"""A program that uses objects of modules that workers import; it prints where they are not those of the modules."""

# ruff: noqa: E402 - the modules are written first

import functools
import json
import random
import sys
import tempfile
from pathlib import Path

from numap import IMap

OPTIONS = json.loads(sys.argv[1])
folder = tempfile.TemporaryDirectory()
sys.path.insert(0, folder.name)


def write(name, text):
    path = Path(folder.name, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


write(
    "config.py",
    """
import array, collections, contextvars, logging, re, threading, types
class Settings:
    def __init__(self): self.level = 1
class Slotted:
    __slots__ = ("level",)
class Registry(dict):
    def __setitem__(self, key, value): raise TypeError("through register only")
    def register(self, func): super().__setitem__(func.__name__, func); return func
class Guarded:
    def __init__(self): self.lock, self.level = threading.Lock(), 1
class Reduced:
    def __init__(self, level): self.level = level
    def __reduce__(self): return Reduced, (self.level,)
settings, slotted, registry, guarded, reduced = Settings(), Slotted(), Registry(), Guarded(), Reduced(1)
slotted.level = 1
cache, names, seen, queue, counts = {}, [], set(), collections.deque(maxlen=3), collections.defaultdict(int)
table, space, pattern = array.array("i", [1]), types.SimpleNamespace(level=1), re.compile("a+b")
lock, local, MISSING = threading.RLock(), threading.local(), object()
variable, log = contextvars.ContextVar("v"), logging.getLogger("x")
double = lambda x: 2 * x
push = names.append
def look(name): return globals()[name]
""",
)
write("package/__init__.py", "from .inner import tools, tools as utensils\n")
write("package/inner.py", "tools = []\ndef look(): return tools\n")
write("late.py", "")

import config
import late
import package.inner
from config import (
    MISSING,
    counts,
    double,
    guarded,
    local,
    lock,
    log,
    names,
    pattern,
    push,
    queue,
    reduced,
    registry,
    seen,
    settings,
    slotted,
    space,
    table,
    variable,
)
from config import cache as renamed
from package import utensils


@registry.register
def handler(x):
    return x + settings.level


settings.level = slotted.level = space.level = reduced.level = 5
settings.itself = settings
names.append("program")
renamed["names"] = names
seen.add(3)
queue.extend(range(5))
counts["a"] += 2
table.append(2)
late.cache = patched = {"patched": 1}
append = config.names.append


def check(name, func, items=(1,), wanted=True, **constants):
    try:
        found = list(IMap(func, items, **constants, **OPTIONS))
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    if found != [wanted] * len(items):
        print(f"{name}: {found}")


def same(x):
    pairs = [
        (settings, "settings"),
        (renamed, "cache"),
        (names, "names"),
        (seen, "seen"),
        (queue, "queue"),
        (counts, "counts"),
        (table, "table"),
        (lock, "lock"),
        (local, "local"),
        (variable, "variable"),
        (log, "log"),
        (MISSING, "MISSING"),
        (slotted, "slotted"),
        (registry, "registry"),
        (guarded, "guarded"),
        (reduced, "reduced"),
        (space, "space"),
        (pattern, "pattern"),
        (double, "double"),
        (push, "push"),
    ]
    return [name for it, name in pairs if it is not getattr(config, name) or config.look(name) is not it]


def state(x):
    return (
        settings.level,
        settings.itself is settings,
        slotted.level,
        space.level,
        reduced.level,
        names,
        renamed["names"] is names,
        seen,
        list(queue),
        queue.maxlen,
        counts["a"],
        counts["b"],
        list(table),
        registry["handler"](1),
    )


def appends(x):
    append(x)
    push(x)
    return config.names[-2:] == [x, x] and names is config.names


def default(x, one=settings, *, other=(renamed, [names])):
    return one is config.settings and other[0] is config.cache and other[1][0] is config.names


def closure():
    kept = settings
    return lambda x: kept is config.settings


class Callable:
    def __init__(self):
        self.settings, self.held = settings, {"lock": lock}

    def __call__(self, x):
        return self.settings is config.settings and self.held["lock"] is config.lock

    def method(self, x):
        return self(x)


def constants(x, one, other=None):
    return one is config.settings and other is config.lock


def initialize(one, two):
    global given
    given = one is config.settings and two[0] is config.lock


check("by identity", same, wanted=[])
check("state", state, wanted=state(1))
check("methods of an object", appends)
check("defaults", default)
check("a closure", closure())
check("a callable object", Callable())
check("its method", Callable().method)
check("constants", constants, args=(settings,), kwargs={"other": lock})
check("a partial object", functools.partial(lambda one, x: one is config.settings, settings))
check("arguments of the initializer", lambda x: given, initializer=initialize, initargs=(settings, [lock]))
check("through a package", lambda x: utensils is package.tools is package.inner.tools is package.inner.look())
check("a name that the program has set", lambda x: patched is late.cache and patched == {"patched": 1})
check("a sentinel as an item", lambda x: x is config.MISSING, [MISSING, MISSING])
check("a sentinel as a result", lambda x: MISSING, wanted=MISSING)
check("a function without a name as an item", lambda x: x is config.double, [double])
check("one as a result", lambda x: config.double, wanted=double)
check("an item is a copy", lambda x: x == [1, 2] or x == ["program"], [names, [1, 2]])
config.cache = {"new": 1}
from config import cache

check("what has been set since", lambda x: cache is config.cache and cache["new"] == 1 and renamed is not cache)
uniform = random.random
state_here = random.getstate()
check("a method of an object of the library", lambda x: uniform == random.random)
print("checked")
