"""Guarantee 61: settings that a program makes before its map hold in items, wherever they can be read back."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from numap import IMap
from numap._environment import settings as _settings
from tests.numap.programs import ENGINES, STARTS, run

#: A program that makes settings after its first map, so that what was started for that can't have them; and what reads them.
SETTINGS = """
import calendar, csv, decimal, gc, gettext, locale, logging, multiprocessing, socket, tempfile, tracemalloc
import xml.etree.ElementTree, zoneinfo
import numpy
list(IMap(abs, [1], **OPTIONS))
sys.setrecursionlimit(5000)
sys.setswitchinterval(0.25)
sys.dont_write_bytecode = True
sys.set_coroutine_origin_tracking_depth(3)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
threading.stack_size(1 << 20)
gc.set_threshold(5000, 20, 20)
gc.disable()
tracemalloc.start(1)
socket.setdefaulttimeout(7)
csv.field_size_limit(10**9)
csv.register_dialect("ours", delimiter="|", quoting=csv.QUOTE_NONE)
tempfile.tempdir = "/nowhere"
multiprocessing.set_start_method("spawn")
multiprocessing.current_process().authkey = b"another"
decimal.getcontext().prec = 50
decimal.getcontext().traps[decimal.Inexact] = True
decimal.DefaultContext.rounding = decimal.ROUND_UP
decimal.BasicContext.prec = 7
gettext.textdomain("ours")
gettext.bindtextdomain("ours", "/nowhere")
zoneinfo.reset_tzpath(["/nowhere"])
xml.etree.ElementTree.register_namespace("ours", "http://ours")
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
numpy.seterr(divide="raise", under="call")
numpy.set_printoptions(precision=3, formatter={"int": lambda x: f"<{x}>"})
sys.tracebacklimit = 3
logging.raiseExceptions = False
logging.addLevelName(25, "NOTICE")
logging.addLevelName(30, "ATTENTION")
calendar.setfirstweekday(calendar.SUNDAY)
sys.stdout.reconfigure(errors="backslashreplace")

def look(_):
    import _thread, calendar, csv, decimal, gc, gettext, locale, logging, multiprocessing, numpy, socket, tempfile, tracemalloc
    import xml.etree.ElementTree as tree, zoneinfo
    context = decimal.getcontext()
    return {
        "sys": (sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode),
        "traceback": sys.tracebacklimit,
        "logging": (logging.raiseExceptions, logging.getLevelName(25), logging.getLevelName("ATTENTION")),
        "calendar": calendar.firstweekday(),
        "coroutines": sys.get_coroutine_origin_tracking_depth(),
        "digits": getattr(sys, "get_int_max_str_digits", int)(),
        "gc": (gc.get_threshold(), gc.isenabled()),
        "tracemalloc": tracemalloc.get_traceback_limit() * tracemalloc.is_tracing(),
        "stack": (size := _thread.stack_size(), _thread.stack_size(size))[0],
        "socket": socket.getdefaulttimeout(),
        "csv": (csv.field_size_limit(), csv.get_dialect("ours").delimiter, csv.get_dialect("ours").quoting),
        "tempfile": tempfile.gettempdir(),
        "multiprocessing": (multiprocessing.get_start_method(), bytes(multiprocessing.current_process().authkey)),
        "decimal": (context.prec, context.rounding, context.traps[decimal.Inexact], context.traps[decimal.Overflow]),
        "new decimal": (decimal.Context().rounding, decimal.BasicContext.prec),
        "gettext": (gettext.textdomain(), gettext.bindtextdomain("ours")),
        "zones": zoneinfo.TZPATH,
        "xml": tree.tostring(tree.Element("{http://ours}a")),
        "hour": time.localtime(0).tm_hour,
        "locale": locale.setlocale(locale.LC_ALL),
        "numpy": (numpy.geterr(), numpy.get_printoptions()["precision"], str(numpy.array([1, 2]))),
        "streams": sys.stdout.errors,
    }

here = look(0)
# The second item has a worker of its own, which comes when the settings are others already.
imap = IMap(look, range(2), max_items_per_worker=1, **{**OPTIONS, "worker_num": 1})
there = [next(imap)]
sys.setrecursionlimit(6000)
decimal.getcontext().prec = 60
numpy.seterr(divide="ignore")
os.environ["TZ"] = "UTC"
time.tzset()
there += imap
say({name: [it[name] for it in there] for name in here if any(it[name] != here[name] for it in there)})
"""


@pytest.mark.parametrize("start", STARTS)
def test_61_settings_hold_in_items(start: str, tmp_path: Path) -> None:
    assert run(tmp_path, SETTINGS, start).stdout == "{}\n"


#: A program whose settings are functions of its own, which use its globals.
FUNCTIONS = """
import numpy
WIDTH = 3
def written(x): return f"<{x:{WIDTH}}>"
def told(*what): LOG.append(what)
LOG = []
numpy.set_printoptions(precision=3, formatter={"int": written, "float": open(os.devnull).write})
numpy.seterr(divide="call")
numpy.seterrcall(told)

def look(_):
    LOG.clear()
    numpy.array([1]) / numpy.array([0])
    return str(numpy.array([1, 2])), numpy.get_printoptions()["precision"], numpy.geterr()["divide"], len(LOG)
def late(_):
    import numpy
    return str(numpy.array([1, 2])), numpy.get_printoptions()["precision"], numpy.geterr()["divide"], "numpy" in BEFORE
BEFORE = ()

say(look(0))
say(*IMap(look, [0], **OPTIONS), *IMap(late, [0], **OPTIONS))
"""


@pytest.mark.parametrize("start", STARTS)
def test_61_settings_that_are_functions_hold_with_the_globals_that_they_use(start: str, tmp_path: Path) -> None:
    here, there = run(tmp_path, FUNCTIONS, start).stdout.splitlines()
    assert here == "('[<  1> <  2>]', 3, 'call', 1)"
    assert there == f"{here} ('[<  1> <  2>]', 3, 'call', False)"


#: Libraries by their names, with what we know of them: the settings, and what tells them.
LIBRARIES = {
    "pandas": """
import pandas._config.config as config
values = {"a.width": 1, "a.rows": 2}
get_option, set_option = values.__getitem__, values.__setitem__
""",
    "pandas._config": "",
    "pandas._config.config": """
class Known:
    defval = 1
_registered_options = {"a.width": Known, "a.rows": Known}
""",
    "matplotlib": """
class Parameters(dict):
    def __getitem__(self, name):
        raise RuntimeError("a backend would be chosen")
rcParams, rcParamsDefault = Parameters(size=1, backend=None), Parameters(size=1, backend=None)
""",
    "sklearn": """
values = {"assume_finite": False}
get_config, set_config = (lambda: dict(values)), (lambda **new: values.update(new))
""",
    "mpmath": """
class mp:
    prec, pretty = 53, False
class iv:
    prec = 53
""",
    "broken": "import mpmath\nraise ValueError('not this time')\n",
}


def write(folder: Path) -> None:
    """Puts the libraries into a folder."""
    for name, text in LIBRARIES.items():
        place = folder.joinpath(*name.split("."))
        place.mkdir()
        (place / "__init__.py").write_text(text)


def test_61_settings_of_libraries_come_when_a_worker_imports_them(tmp_path: Path) -> None:
    write(tmp_path)
    code = """
sys.path.insert(0, os.environ["LIBRARY"])
import matplotlib, mpmath, pandas, sklearn
pandas.set_option("a.rows", 7)
matplotlib.rcParams["size"] = 5
sklearn.set_config(assume_finite=True)
mpmath.mp.prec = 200

def look(_):
    before = [name for name in ("matplotlib", "mpmath", "pandas", "sklearn") if name in sys.modules]
    import matplotlib, mpmath, pandas, sklearn
    loader = type(pandas.__loader__).__name__, type(pandas.__spec__.loader).__name__
    values = dict(pandas.values), dict(matplotlib.rcParams), sklearn.get_config(), mpmath.mp.prec, mpmath.iv.prec
    return before, loader, values

def inner(_):
    return list(IMap(look, [0], **OPTIONS))[0]

for func in (look, inner):
    before, *rest = list(IMap(func, [0], **OPTIONS))[0]
    say(before, rest == list(look(0)[1:]))
"""
    assert run(tmp_path, code, LIBRARY=str(tmp_path)).stdout == "[] True\n[] True\n"


def test_61_a_module_that_fails_at_first_gets_its_settings_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = "module_of_settings"
    (tmp_path / f"{name}.py").write_text("value = 1\nraise ValueError('not this time')\n")
    monkeypatch.setitem(_settings._VARIABLES, name, ("value",))
    monkeypatch.setitem(_settings._WAYS, name, (None, None))
    monkeypatch.setitem(_settings._late.waiting, name, {"value": 2})
    monkeypatch.setattr(sys, "meta_path", [_settings._late, *sys.meta_path])
    with pytest.raises(ValueError, match="not this time"):
        __import__(name)
    assert name in _settings._late.waiting
    (tmp_path / f"{name}.py").write_text("value = 1  # and nothing else\n")
    assert __import__(name).value == 2
    assert name not in _settings._late.waiting
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(_settings._late.waiting, "there_is_no_such_module", {})
    with pytest.raises(ModuleNotFoundError):
        __import__("there_is_no_such_module")


def test_61_the_time_zone_is_the_one_in_force_whatever_the_environment_says(tmp_path: Path) -> None:
    code = """
os.environ["TZ"] = "Asia/Tokyo"  # and no tzset
look = lambda _: (time.localtime(0).tm_hour, os.environ["TZ"])
say([list(IMap(look, [0], **{**OPTIONS, "start_method": method})) == [look(0)] for method in (None, "spawn", "fork")])
"""
    assert run(tmp_path, code, TZ="America/New_York").stdout == "[True, True, True]\n"


def draw(_: object) -> tuple[float, float]:
    import numpy

    return random.random(), float(numpy.random.random())


@pytest.mark.parametrize("start", STARTS)
def test_61_the_state_of_random_numbers_is_not_the_same_in_all_workers(start: str) -> None:
    options = {**ENGINES[start], "worker_num": 1}
    here = draw(0)
    first, second = (list(IMap(draw, range(2), max_items_per_worker=1, **options)) for _ in range(2))
    seen = [here, *first, *second]
    assert len({one for one, _ in seen}) == len({other for _, other in seen}) == 5
