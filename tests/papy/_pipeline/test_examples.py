"""The example programs of pipelines, run as a user runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run(*args: object) -> list[str]:
    """What a program prints; anything on stderr is a failure."""
    done = subprocess.run(
        [sys.executable, *map(str, args)], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_steps() -> None:
    assert run(EXAMPLES / "steps.py") == [
        *("one: 3", "three: 5", "seventeen: 9"),
        "[0, 1, 4, 9, 16]",
        "FROM ANYWHERE IN THE PROGRAM",
        "invalid literal for int() with base 10: 'three'",
        "[('a', 'b'), ('c', 'd'), ('e', 'f'), ('g', None)]",
        "[3, 9, 27, 81, 243]",
        "2450",
        "[2, 1]",
        *("source: 2", "abs: 2", "str: 2", "['1', '1']"),
    ]


@pytest.mark.parametrize("database", ["pages.db", None])
def test_downloads_with_sixteen_threads_and_one_for_the_database(tmp_path: Path, database: str | None) -> None:
    size = sum(len(b"page %d " % n) * n for n in range(1, 201) if n % 10)
    assert run(EXAMPLES / "downloads.py", *([tmp_path / database] if database else [])) == [
        "200 taken, 180 stored, 20 skipped, 0 failed",
        f"in the database: 180 pages, {size} bytes",
    ]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service and its address."""
    pytest.importorskip("aiohttp", reason="the service needs the extra: pip install 'papy[service]'")
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "service.py", tmp_path / "words.db", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("listening on ").strip()
    yield process, f"http://{address}"
    process.kill()
    process.communicate(timeout=60)


def ask(url: str, data: bytes | None = None) -> Any:
    with urlopen(url, data=data, timeout=10) as answer:
        return json.loads(answer.read())


def test_service_loses_nothing_when_it_is_told_to_end(
    service: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = service
    taken: list[int] = []

    def post(n: int) -> None:
        if n == 150:
            process.send_signal(signal.SIGTERM)
        try:
            taken.append(ask(f"{url}/texts", f"to be or not {n}".encode())["number"])
        except (URLError, OSError):  # it takes no more
            pass

    health = ask(f"{url}/health")
    assert (health["alive"], health["put"]) == (True, 0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, range(300)))
    out, err = process.communicate(timeout=60)
    # Asyncio of this version says so where a server and a connection end at once.
    if sys.version_info[:3] == (3, 13, 0):
        err = re.sub(
            r"Exception ignored in: <function _SelectorTransport\.__del__.*?not iterable\n", "", err, flags=re.S
        )
    assert (err, process.returncode) == ("", 0)
    assert len(taken) >= 100
    with closing(sqlite3.connect(tmp_path / "words.db")) as connection:
        stored = dict(connection.execute("select number, words from texts").fetchall())
    assert set(taken) <= set(stored)
    assert out == f"{len(stored)} texts stored, 0 lost\n"
    assert all(json.loads(words)["to"] == 1 for words in stored.values())


def test_service_answers(service: tuple[subprocess.Popen[str], str]) -> None:
    process, url = service
    number = ask(f"{url}/texts", b"to be or not to be")["number"]
    while ask(f"{url}/health")["stored"] < 1:
        pass
    assert ask(f"{url}/texts/{number}") == {"to": 2, "be": 2, "or": 1, "not": 1}
    with pytest.raises(HTTPError, match="404"):
        ask(f"{url}/texts/99")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("1 texts stored, 0 lost\n", "")
