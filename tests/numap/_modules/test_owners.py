"""What is found by identity in a module that workers import is the module's own object there."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from numap._modules.main_export import MainExporter
from numap._modules.owners import Owners
from tests.numap._modules.test_main_export import Receiver, there, walk
from tests.numap.programs import ENGINES, STARTS, run

__all__ = ["there"]  # the fixture

PROGRAM = Path(__file__).parent / "owned.py"


@pytest.mark.parametrize("start", STARTS)
def test_62_what_a_module_has_is_that_object_in_a_worker(start: str, tmp_path: Path) -> None:
    done = run(tmp_path, argv=[str(PROGRAM), json.dumps({**ENGINES[start], "worker_num": 1})])
    assert done.stdout == "checked\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    (tmp_path / "owning_module.py").write_text("import threading\nfirst, second, lock = {}, [], threading.Lock()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("owning_module")
    del sys.modules["owning_module"]


def places(obj: object) -> list[tuple[str, str]]:
    return [(module.__name__, name) for module, name in Owners().of(obj)]


def test_62_a_module_may_change_meanwhile(module: types.ModuleType) -> None:
    first = module.first
    assert places(first) == [("owning_module", "first")]
    vars(module)["first"] = other = {"other": 1}
    assert places(first) == []
    assert places(other) == [("owning_module", "first")]


def test_62_values_without_identity_are_not_looked_for(module: types.ModuleType) -> None:
    vars(module).update(number=10**20, text="some text of its own", pair=((),))
    for value in (module.number, module.text, module.pair, None, 1, module, int, Path):
        assert places(value) == []


def test_62_the_library_has_its_own_state() -> None:
    mirror = MainExporter()
    raw = mirror.encode_code((os.environ, sys.path))
    assert mirror.log == []
    assert len(raw) < 1000


def test_62_what_the_program_has_put_into_the_library_is_its_own(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ValueError("the last one")
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    monkeypatch.setattr(sys, "of_the_program", own := Receiver.__new__(Receiver), raising=False)
    assert places(error) == places(own) == []


def test_62_what_can_not_be_sent_is_what_the_module_makes(module: types.ModuleType, there: Receiver) -> None:
    module.first["lock"] = threading.Lock()
    module.second.append(1)
    mirror = MainExporter()
    mirror.encode_code((module.first, module.second, module.lock))
    assert list(walk(mirror.log)) == ["owning_module.second"]


def test_62_nothing_is_looked_for_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look through all modules takes longer than all the rest."""
    monkeypatch.setattr(Owners, "_look", None)
    MainExporter().encode_code((lambda x, *, y=2: (places(x), y), (), None))
