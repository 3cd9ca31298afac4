"""Settings that are functions of the program, as numpy and pandas have them for how a number is written.

They need the globals of their functions. So they go to a worker by the way of the map's own functions, and are set behind these,
or later, when the worker loads the library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from .._transport.shared_objects import Code
from .latecomers import Latecomers
from .plain import State
from .settings import with_code, write

if TYPE_CHECKING:
    from .._modules.main_export import MainExporter
    from .._modules.main_import import MainImporter


def code_settings(exporter: MainExporter) -> list[tuple[str, Code]]:
    """By module, its settings that are code or hold some, as far as they can be sent."""
    return [(name, exporter.constants.encode(found, exporter.encode_code)) for name, found in _portable(exporter)]


def _portable(exporter: MainExporter) -> Iterator[tuple[str, State]]:
    for name, state in with_code():
        found = dict(_entries(state, exporter.encode_code))
        if found:
            yield name, found


def _entries(state: State, encode: Callable[[object], bytes]) -> Iterator[tuple[str, Any]]:
    """Those that can travel, as far as their own entries can: numpy may have been told to use a method of any object."""
    for key, value in state.items():
        with contextlib.suppress(Exception):
            if isinstance(value, dict):
                value = dict(_entries(value, encode))
            encode(value)
            yield key, value


def adopt_code_settings(told: Iterable[tuple[str, Code]], importer: MainImporter) -> None:
    """In a worker: sets them, now or as soon as the module is loaded."""
    _late.settle_or_wait((name, partial(importer.load, code)) for name, code in told)


def _settle(name: str, module: Any, load: Callable[[], State]) -> None:
    with contextlib.suppress(Exception):  # it can't be made here: the setting is missed by what needs it
        write(name, module, load())


_late = Latecomers(_settle)
