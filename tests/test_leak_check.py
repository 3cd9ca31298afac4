"""What the check for leaks takes for ours, and what it leaves to the other programs of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Inventory

MEMORY = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="no /dev/shm here")


@pytest.fixture
def name() -> Iterator[str]:
    name = f"other-{uuid4().hex}"
    yield name
    for path in MEMORY.glob(f"*{name}"):
        path.unlink()


def test_names_of_other_programs_do_not_count(name: str) -> None:
    before = Inventory.take()
    (MEMORY / name).write_bytes(b"x")
    assert Inventory.take().left_since(before) == []


@pytest.mark.parametrize("word", ["numap", "papy"])
def test_names_of_the_packages_count(name: str, word: str) -> None:
    before = Inventory.take()
    (MEMORY / f"tmp_{word}_{name}").write_bytes(b"x")
    assert Inventory.take().left_since(before) == [f"shared memory /dev/shm/tmp_{word}_{name}"]


def test_what_is_held_here_counts(name: str) -> None:
    before = Inventory.take()
    path = MEMORY / name
    with path.open("wb+") as file:
        file.write(bytes(4096))
        file.flush()
        assert f"shared memory {path}" in Inventory.take().left_since(before)
        mapped = mmap(file.fileno(), 4096)
    assert f"shared memory {path}" in Inventory.take().left_since(before)
    mapped.close()
    assert Inventory.take().left_since(before) == []


def test_what_a_descendant_holds_counts(name: str) -> None:
    before = Inventory.take()
    program = "import sys; file = open(sys.argv[1], 'w'); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, os.fspath(MEMORY / name)], **pipes) as child:  # type: ignore[call-overload]
        child.stdout.readline()
        left = Inventory.take().left_since(before)
        child.stdin.close()
    assert f"shared memory /dev/shm/{name}" in left
