"""Modules that a fresh interpreter can't import, or gets otherwise: workers run the code that the program runs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, SerializationError
from numap._modules import origins as _origins
from numap._modules.main_export import MainExporter
from numap._modules.origins import Origins
from tests.numap._modules.test_main_export import Receiver, there
from tests.numap.programs import ENGINES, STARTS, run
from tests.numap.tools import says

__all__ = ["there"]  # the fixture

PROGRAM = Path(__file__).parent / "hooked.py"


@pytest.mark.parametrize("start", STARTS)
def test_63_a_function_does_in_an_item_what_it_does_in_the_caller(start: str, tmp_path: Path) -> None:
    done = run(tmp_path, argv=[str(PROGRAM), json.dumps({**ENGINES[start], "worker_num": 1})])
    assert done.stdout == "checked plain.py\n"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules are imported, and forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class Found:
    """Finds one module elsewhere, as the finder of an editable package does."""

    def __init__(self, name: str, file: Path) -> None:
        self._spec = lambda: importlib.util.spec_from_file_location(name, file)
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        return self._spec() if name == self.name else None


def test_63_a_finder_that_every_interpreter_has_is_no_hook(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = library / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "found_module.py").write_text("")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Found("found_module", elsewhere / "found_module.py")])
    module = importlib.import_module("found_module")
    assert not Origins().importable(module)
    monkeypatch.setattr(_origins, "_at_start", lambda: {"tests"})
    assert Origins().importable(module)


def test_63_what_an_interpreter_starts_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "__editable__.some.pth").write_text(
        "import __editable___some_finder; __editable___some_finder.install()\n"
    )
    (folder / "paths.pth").write_text("/somewhere\n")
    monkeypatch.setattr(sys, "path", [str(folder), str(tmp_path / "missing" / "site-packages")])
    assert {"__editable___some_finder", "sitecustomize"} <= _origins._at_start.__wrapped__()


def test_63_what_is_installed_is_what_is_in_its_file(library: Path) -> None:
    """Plugins of pytest and what agents instrument have loaders of these."""
    folder = library / "site-packages"
    folder.mkdir()
    (folder / "installed_module.py").write_text("")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("installed_module")
        assert module.__spec__ is not None
        module.__spec__.loader = Found("", folder)  # type: ignore[assignment]
        assert Origins().importable(module)
        module.__spec__.origin = str(library / "installed_module.py")
        assert not Origins().importable(module)
    finally:
        sys.path.remove(str(folder))


def test_63_the_library_and_its_users_go_by_name() -> None:
    for name in ("json.decoder", "numap", "pytest", "tests.numap.tools"):
        assert Origins().importable(importlib.import_module(name)), name


def test_63_what_is_no_python_code_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import _struct

    file = "somewhere" + importlib.machinery.EXTENSION_SUFFIXES[0]
    module = types.ModuleType("hooked_extension")
    module.__spec__ = importlib.machinery.ModuleSpec("hooked_extension", None, origin=file)
    vars(module)["calc"] = _struct.calcsize
    monkeypatch.setitem(sys.modules, "hooked_extension", module)
    with pytest.raises(SerializationError) as error:
        MainExporter().encode_code(lambda x: module.calc(x))  # noqa: PLW0108 - the global is the point
    assert says(error, "'hooked_extension'", file, "without a hook")


def test_63_a_failing_assert_of_a_nested_function_is_an_assertion_error(there: Receiver) -> None:
    def check(x: int) -> int:
        assert x == 3
        return x

    assert there(check, 3) == 3
    for method in (None, "spawn", "fork"):
        (error,) = IMap(check, [4], start_method=method, worker_num=1, on_error="return")
        assert type(error) is AssertionError and "assert 4 == 3" in str(error)
