"""The public names, and what importing the packages costs."""

from __future__ import annotations

import importlib
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import get_origin

import pytest

HEAVY = ("asyncio", "ctypes", "dill", "multiprocessing.pool", "psutil", "subprocess")
MOST = 0.030  # seconds that importing numap may add to the start of Python


@pytest.fixture(params=["numap", "papy"])
def package(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def definitions(package: ModuleType) -> dict[str, type | FunctionType]:
    """The public classes and functions."""
    public = {name: getattr(package, name) for name in package.__all__}
    return {name: obj for name, obj in public.items() if isinstance(obj, type | FunctionType)}


def test_all_is_a_sorted_list(package: ModuleType) -> None:
    assert isinstance(package.__all__, list)
    assert package.__all__ == sorted(set(package.__all__))


def test_every_public_name_exists(package: ModuleType) -> None:
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_public_objects_say_that_they_live_in_the_package(package: ModuleType) -> None:
    where = {name: obj.__module__ for name, obj in definitions(package).items()}
    assert where == dict.fromkeys(where, package.__name__)


def test_public_objects_are_documented(package: ModuleType) -> None:
    assert [name for name, obj in definitions(package).items() if not obj.__doc__] == []


def test_the_door_for_libraries_is_sorted_and_documented() -> None:
    from numap import interop

    assert interop.__all__ == sorted(set(interop.__all__))
    # An alias of a type has no text of its own.
    assert [name for name, it in definitions(interop).items() if not it.__doc__ and get_origin(it) is None] == []


def test_package_is_typed(package: ModuleType) -> None:
    assert package.__file__ is not None
    assert Path(package.__file__).with_name("py.typed").is_file()


def test_numap_is_an_alias() -> None:
    import numap

    assert numap.NuMap is numap.IMap


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_numap_is_light() -> None:
    assert sorted((modules_after("import numap") - modules_after("pass")) & {*HEAVY, "numap.interop"}) == []


def seconds(statement: str, cache: Path) -> float:
    """How much CPU a fresh interpreter uses for a statement: it waits for nothing, and a busy machine adds little.

    Bytecode is kept in ``cache``, whatever the settings here are: users have it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def test_importing_numap_is_quick(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    seconds("import numap", tmp_path)  # fills the caches of bytecode and disk
    bare, full = [], []
    while True:
        # In turns, and the best of each: whatever else the machine does can only add.
        bare.append(seconds("pass", tmp_path))
        full.append(seconds("import numap", tmp_path))
        extra = min(full) - min(bare)
        if len(full) >= 5 and (extra < MOST or len(full) >= 40):
            break
    with capsys.disabled():
        print(f"\nimport numap: {1000 * extra:.1f} ms more than bare Python ({1000 * min(bare):.1f} ms)")
    assert extra < MOST
