"""Settings that functions look at: read in the caller when a map starts, set in its workers.

Only what the program has loaded is read, and nothing is imported for it. A worker sets what belongs to a module that it has not
loaded yet when it loads it.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from typing import Any

from .latecomers import Latecomers
from .plain import State, parts, plain

#: How a setting is passed to what sets it: as one argument, as several, or by name.
_ONE, _SEVERAL, _NAMED = range(3)

#: By module, what tells a setting, what sets it, and how.
_TOLD: dict[str, tuple[tuple[str, str, int], ...]] = {
    "sys": (
        ("getrecursionlimit", "setrecursionlimit", _ONE),
        ("get_int_max_str_digits", "set_int_max_str_digits", _ONE),
        ("getswitchinterval", "setswitchinterval", _ONE),
        ("getdlopenflags", "setdlopenflags", _ONE),
        ("get_coroutine_origin_tracking_depth", "set_coroutine_origin_tracking_depth", _ONE),
    ),
    "gc": (("get_threshold", "set_threshold", _SEVERAL), ("get_debug", "set_debug", _ONE)),
    "socket": (("getdefaulttimeout", "setdefaulttimeout", _ONE),),
    "calendar": (("firstweekday", "setfirstweekday", _ONE),),
    "csv": (("field_size_limit", "field_size_limit", _ONE),),
    "numpy": (
        ("geterr", "seterr", _NAMED),
        ("geterrcall", "seterrcall", _ONE),
        ("getbufsize", "setbufsize", _ONE),
        ("get_printoptions", "set_printoptions", _NAMED),
    ),
    "sklearn": (("get_config", "set_config", _NAMED),),
    "torch": (
        ("get_default_dtype", "set_default_dtype", _ONE),
        ("is_grad_enabled", "set_grad_enabled", _ONE),
        ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms", _ONE),
    ),
}

#: By module, its variables that are settings.
_VARIABLES: dict[str, tuple[str, ...]] = {
    "sys": ("dont_write_bytecode", "pycache_prefix", "warnoptions", "_xoptions", "tracebacklimit"),
    "logging": ("raiseExceptions",),
    "tempfile": ("tempdir",),
    "mpmath": ("mp.prec", "mp.pretty", "iv.prec"),
}

#: What holds for the whole process, so that a worker has to set it at its start.
_AT_ONCE = frozenset(("sys", "gc", "copyreg", "_thread", "socket", "_locale", "_tracemalloc"))

#: A state, or its pickle, where it may hold what only that module can make.
Found = State | bytes


def settings() -> dict[str, Found]:
    """By module, its settings in this thread, for `adopt`."""
    found: dict[str, Found] = dict(_late.waiting)
    for name in _WAYS:
        module = sys.modules.get(name)
        if module is not None:
            # Whatever it raises: it is some other module of that name, or another version of it.
            with contextlib.suppress(Exception):
                state = _read(name, module)
                found[name] = state if name in _AT_ONCE else _pickled(state)
    return found


def adopt(found: Mapping[str, Found]) -> None:
    """In a worker: sets what `settings` has found, now or as soon as the module is loaded."""
    for name in found.keys() & _AT_ONCE:
        __import__(name)
    _late.settle_or_wait(found.items())


def _pickled(state: State) -> bytes:
    return plain(state) or pickle.dumps(parts(state)[0], 5)


def with_code() -> Iterator[tuple[str, State]]:
    """The settings that `settings` has to leave out, as they hold functions, by module."""
    for name in _WAYS.keys() - _AT_ONCE:
        module = sys.modules.get(name)
        if module is not None:
            with contextlib.suppress(Exception):  # as in `settings`
                state = _read(name, module)
                if plain(state) is None:
                    yield name, parts(state)[1]


# ---------------------------------------------------------------------- one module


def _read(name: str, module: Any) -> State:
    state = {get: getattr(module, get)() for get, _, _ in _TOLD.get(name, ()) if hasattr(module, get)}
    state.update((path, _variable(module, path)) for path in _VARIABLES.get(name, ()))
    read = _WAYS[name][0]
    if read is not None:
        state.update(read(module))
    return state


def _variable(module: Any, path: str) -> Any:
    # None for what isn't there: `sys.tracebacklimit` is not, unless the program has set it.
    for part in path.split("."):
        module = getattr(module, part, None)
    return module


def write(name: str, module: Any, found: Found) -> None:
    """Sets what was read of a module, or some of that."""
    # An error here is nothing that an item has to do with: that module of this name has no such setting.
    with contextlib.suppress(Exception):
        state = pickle.loads(found) if isinstance(found, bytes) else found
        for get, put, how in _TOLD.get(name, ()):
            if get in state and not _holds(getattr(module, get)(), state[get]):
                with contextlib.suppress(Exception):
                    _set(getattr(module, put), how, state[get])
        for path in _VARIABLES.get(name, ()):
            if path in state and _variable(module, path) != state[path]:
                where, _, last = path.rpartition(".")
                setattr(_variable(module, where) if where else module, last, state[path])
        write = _WAYS[name][1]
        if write is not None:
            write(module, state)


def _holds(now: Any, wanted: Any) -> bool:
    """Whether it is so; of settings by name perhaps not all are told."""
    return bool(now == wanted or (isinstance(wanted, dict) and {name: now.get(name) for name in wanted} == wanted))


def _set(put: Callable[..., object], how: int, value: Any) -> None:
    if how == _NAMED:
        put(**value)
    elif how == _SEVERAL:
        put(*value)
    else:
        put(value)


_late = Latecomers(write)


# ---------------------------------------------------------------------- what the tables can't say


def _read_logging(module: Any) -> State:
    return {"names": dict(module._levelToName)}


def _write_logging(module: Any, state: State) -> None:
    for level, name in state["names"].items():
        if module.getLevelName(level) != name:
            module.addLevelName(level, name)


def _read_thread(module: Any) -> State:
    # To ask is to set it to 0.
    size = module.stack_size()
    if size:
        module.stack_size(size)
    return {"stack": size}


def _write_thread(module: Any, state: State) -> None:
    module.stack_size(state["stack"])


def _read_gc(module: Any) -> State:
    return {"enabled": module.isenabled()}


def _write_gc(module: Any, state: State) -> None:
    if module.isenabled() != state["enabled"]:
        (module.enable if state["enabled"] else module.disable)()


def _read_copyreg(module: Any) -> State:
    # By these numbers pickles speak of classes and functions. What is said of how to pickle is sent by `reducers`.
    return {"numbers": dict(module._extension_registry)}


def _write_copyreg(module: Any, state: State) -> None:
    for (home, name), number in state["numbers"].items():
        with contextlib.suppress(ValueError):  # it stands for something else here
            module.add_extension(home, name, number)


def _read_locale(module: Any) -> State:
    return {"all": module.setlocale(module.LC_ALL, None)}


def _write_locale(module: Any, state: State) -> None:
    if module.setlocale(module.LC_ALL, None) != state["all"]:
        module.setlocale(module.LC_ALL, state["all"])


def _read_tracing(module: Any) -> State:
    return {"limit": module.get_traceback_limit() if module.is_tracing() else 0}


def _write_tracing(module: Any, state: State) -> None:
    if state["limit"]:
        module.start(state["limit"])
    elif module.is_tracing():
        module.stop()


_CONTEXTS = ("DefaultContext", "BasicContext", "ExtendedContext")
_DECIMAL = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _read_decimal(module: Any) -> State:
    # In a copy: where this thread has no context yet, to look would give it one.
    current = copy_context().run(module.getcontext)
    return {"current": _told_decimal(current), **{name: _told_decimal(getattr(module, name)) for name in _CONTEXTS}}


def _told_decimal(context: Any) -> tuple[State, list[str]]:
    traps = [signal.__name__ for signal, trapped in context.traps.items() if trapped]
    return {name: getattr(context, name) for name in _DECIMAL}, traps


def _write_decimal(module: Any, state: State) -> None:
    for name, told in state.items():
        if name == "current":
            module.setcontext(module.Context())
        context = module.getcontext() if name == "current" else getattr(module, name)
        if _told_decimal(context) != told:
            values, traps = told
            for key, value in values.items():
                setattr(context, key, value)
            for signal in context.traps:
                context.traps[signal] = signal.__name__ in traps


_DIALECT = (
    "delimiter",
    "doublequote",
    "escapechar",
    "lineterminator",
    "quotechar",
    "quoting",
    "skipinitialspace",
    "strict",
)


def _read_csv(module: Any) -> State:
    dialects = {name: module.get_dialect(name) for name in module.list_dialects()}
    return {"dialects": {name: {key: getattr(it, key) for key in _DIALECT} for name, it in dialects.items()}}


def _write_csv(module: Any, state: State) -> None:
    for name, told in state["dialects"].items():
        module.register_dialect(name, **told)


def _read_pandas(module: Any) -> State:
    known = sys.modules["pandas._config.config"]._registered_options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {name: module.get_option(name) for name in known}
    return {"options": {name: value for name, value in values.items() if value != known[name].defval}}


def _write_pandas(module: Any, state: State) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an option will go some day was said where the program set it
        for name, value in state["options"].items():
            module.set_option(name, value)


def _read_matplotlib(module: Any) -> State:
    # Not by its own methods: these choose a backend, and perhaps start it.
    ours, default = dict(dict.items(module.rcParams)), dict(dict.items(module.rcParamsDefault))
    return {"rc": {name: value for name, value in ours.items() if name not in default or default[name] != value}}


def _write_matplotlib(module: Any, state: State) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.rcParams.update(state["rc"])


def _read_process(module: Any) -> State:
    return {"key": bytes(module.current_process().authkey)}


def _write_process(module: Any, state: State) -> None:
    module.current_process().authkey = state["key"]


def _read_gettext(module: Any) -> State:
    return {"domain": module.textdomain(), "folders": dict(module._localedirs)}


def _write_gettext(module: Any, state: State) -> None:
    module.textdomain(state["domain"])
    for domain, folder in state["folders"].items():
        module.bindtextdomain(domain, folder)


def _read_zoneinfo(module: Any) -> State:
    return {"path": module.TZPATH}


def _write_zoneinfo(module: Any, state: State) -> None:
    if state["path"] != module.TZPATH:
        module.reset_tzpath(state["path"])


def _read_xml(module: Any) -> State:
    return {"prefixes": dict(module._namespace_map)}


def _write_xml(module: Any, state: State) -> None:
    module._namespace_map.update(state["prefixes"])


def _read_multiprocessing(module: Any) -> State:
    return {"method": module.get_start_method(allow_none=True)}


def _write_multiprocessing(module: Any, state: State) -> None:
    if state["method"] != module.get_start_method(allow_none=True):
        module.set_start_method(state["method"], force=True)


#: By module, what reads and what sets that for which the tables have no words.
_WAYS: dict[str, tuple[Callable[[Any], State] | None, Callable[[Any, State], None] | None]] = {
    **dict.fromkeys((*_TOLD, *_VARIABLES), (None, None)),
    "logging": (_read_logging, _write_logging),
    "gc": (_read_gc, _write_gc),
    "_thread": (_read_thread, _write_thread),
    "copyreg": (_read_copyreg, _write_copyreg),
    "_locale": (_read_locale, _write_locale),
    "_tracemalloc": (_read_tracing, _write_tracing),
    "decimal": (_read_decimal, _write_decimal),
    "csv": (_read_csv, _write_csv),
    "pandas": (_read_pandas, _write_pandas),
    "matplotlib": (_read_matplotlib, _write_matplotlib),
    "gettext": (_read_gettext, _write_gettext),
    "zoneinfo": (_read_zoneinfo, _write_zoneinfo),
    "xml.etree.ElementTree": (_read_xml, _write_xml),
    "multiprocessing": (_read_multiprocessing, _write_multiprocessing),
    # The key is what lets a process talk to the managers of the program.
    "multiprocessing.process": (_read_process, _write_process),
}
