"""The names that PaPy's users import."""

from __future__ import annotations

import pytest

import papy


def test_error_classes() -> None:
    for name in ("WorkerError", "PiperError", "DaggerError", "PlumberError"):
        assert getattr(papy, name).__bases__ == (Exception,)
        assert issubclass(getattr(papy, name), Exception)


@pytest.mark.parametrize("module", ["papy", "papy.core"])
def test_all_of_the_core_can_be_imported_at_once(module: str) -> None:
    before = {"time": "mine", "sys": "mine", "tee": "mine"}
    names = dict(before)
    exec(f"from {module} import *", names)
    assert {"Dagger", "Piper", "Plumber", "Worker", "WorkerError"} <= names.keys()
    assert {name: names[name] for name in before} == before
