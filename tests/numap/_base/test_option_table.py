"""The table of options is what arguments, defaults and the manual are held against."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from numap._base.capabilities import CAPABILITIES
from numap._base.option_table import OPTIONS, PLACES, check_option, check_worker, options_of
from numap._base.options import Options
from numap._base.task_spec import TaskSettings

PAGE = Path(__file__).parents[3] / "doc" / "options.rst"
#: What takes options beside the table's: its own arguments, which say what it does, not how.
OWN: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "IMap": (IMap.__init__, {"self", "func", "iterable", "args", "kwargs"}),
    "task": (IMap.add_task, {"self", "func", "iterable", "args", "kwargs", "timeout", "block"}),
}


def names(place: str) -> set[str]:
    return {option.name for option in options_of(place)}


@pytest.mark.parametrize("place", OWN)
def test_arguments_are_those_of_the_table(place: str) -> None:
    call, own = OWN[place]
    assert set(inspect.signature(call).parameters) - own == names(place)


def test_defaults_are_those_of_the_table() -> None:
    signature = inspect.signature(IMap.__init__)
    for option in options_of("IMap"):
        assert signature.parameters[option.name].default == option.default
        assert Options._field_defaults[option.name] == option.default
    for option in options_of("task"):
        assert inspect.signature(IMap.add_task).parameters[option.name].default is None, "as the map says"
    for name, default in TaskSettings._field_defaults.items():
        assert default == OPTIONS[name].default


def test_each_default_passes_its_check() -> None:
    for option in OPTIONS.values():
        check_option(option.name, option.default)
        for kind in CAPABILITIES:
            check_worker(option.name, option.default, kind)
        assert set(option.places) <= set(PLACES)


GOOD: dict[str, Any] = {
    "start_method": "spawn",
    "initializer": print,
    "finalizer": print,
    "preload": ("json",),
    "max_items_per_worker": 3,
    "task_timeout": 3,
    "worker_remote": "tcp://host",
}


@pytest.mark.parametrize("kind", ["thread", "serial"])
@pytest.mark.parametrize("name", GOOD)
def test_what_workers_can_not_do_is_refused_in_one_wording(name: str, kind: str) -> None:
    option = OPTIONS[name]
    if option.can(kind):
        IMap(worker_type=kind, **{name: GOOD[name]})
        return
    with pytest.raises(ValueError) as caught:
        IMap(worker_type=kind, **{name: GOOD[name]})
    text = str(caught.value)
    assert text.startswith(f"{name}: needs {option.needs}, and worker_type is {kind!r}; ")
    assert f"allowed: {option.default!r}" in text


def test_the_manual_shows_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = page.partition(".. list-table::")[2].split("   * - ")[2:]
    shown = [[cell.strip() for cell in row.split("\n\n")[0].split("\n     - ")] for row in rows]
    assert shown == [_row(name) for name in OPTIONS]


def _row(name: str) -> list[str]:
    option = OPTIONS[name]
    able = [kind for kind in CAPABILITIES if option.can(kind)]
    words = "".join(f", ``{alias}``" for alias in sorted(set(option.aliases.values())))
    workers = "all" if len(able) == len(CAPABILITIES) else ", ".join(able) or "none so far"
    return [f"``{name}``{words}", f"``{option.default!r}``", option.meaning, ", ".join(option.places), workers]
