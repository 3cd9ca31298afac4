"""papy.util.config: logging that is set up for papy and numap, and for nobody else."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

from numap import IMap
from papy.util.config import start_logger, stop_logger


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test does, the loggers are afterwards as they were."""
    loggers = [logging.getLogger(name) for name in (None, "papy", "numap")]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    stop_logger()
    assert [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers] == before


def test_a_stream() -> None:
    stream = StringIO()
    log = start_logger(log_to_stream=True, log_stream=stream)
    log.debug("no")
    logging.getLogger("papy.core").error("yes, %s", "this")
    logging.getLogger("numap").info("this, too")
    logging.getLogger("elsewhere").error("no")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"ERROR \d\d:\d\d:\d\d,\d{3} \[papy\.core\] - yes, this", first)
    assert re.fullmatch(r"INFO \d\d:\d\d:\d\d,\d{3} \[numap\] - this, too", second)
    stop_logger()
    log.error("no")
    assert not stream.closed and len(stream.getvalue().splitlines()) == 2


def test_standard_error_is_the_default_stream(capsys: pytest.CaptureFixture[str]) -> None:
    start_logger(log_to_stream=True).info("here")
    assert capsys.readouterr().err.endswith("[papy] - here\n")


@pytest.mark.parametrize("level", ["DEBUG", logging.DEBUG])
def test_a_file_and_a_stream_with_levels_of_their_own(tmp_path: Path, level: int | str) -> None:
    stream, name = StringIO(), tmp_path / "log"
    log = start_logger(True, True, level, "ERROR", name, stream)
    log.debug("1")
    log.error("2")
    assert [line[-1] for line in name.read_text().splitlines()] == ["1", "2"]
    assert [line[-1] for line in stream.getvalue().splitlines()] == ["2"]


def test_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start_logger(log_to_file=True)
    start_logger(log_to_file=True, log_rotate=False)
    start_logger(log_to_file=True, log_rotate=False, log_filename="mine")
    first, second, third = sorted(path.name for path in tmp_path.iterdir())
    assert (first, third) == ("PaPy_log", "mine")
    assert re.fullmatch(r"PaPy_log_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", second)


def test_rotation(tmp_path: Path) -> None:
    log = start_logger(log_to_file=True, log_filename=tmp_path / "log", log_size=100, log_number=2)
    for _ in range(20):
        log.info("x" * 30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]


def test_a_second_call_replaces_the_first() -> None:
    one, two = StringIO(), StringIO()
    start_logger(log_to_stream=True, log_stream=one)
    start_logger(log_to_stream=True, log_stream=two).info("once")
    assert one.getvalue() == "" and two.getvalue().count("once") == 1


def test_a_call_that_fails_changes_nothing(tmp_path: Path) -> None:
    stream = StringIO()
    log = start_logger(log_to_stream=True, log_stream=stream)
    with pytest.raises(OSError):
        start_logger(log_to_stream=True, log_to_file=True, log_filename=tmp_path / "none" / "log")
    with pytest.raises(ValueError, match="LOUD"):
        start_logger(log_to_file=True, log_filename=tmp_path / "log", log_to_file_level="LOUD")
    log.info("still here")
    assert "still here" in stream.getvalue()


def test_handlers_of_the_program_get_it_too(caplog: pytest.LogCaptureFixture) -> None:
    start_logger(log_to_stream=True, log_stream=StringIO()).info("for all")
    assert [record.message for record in caplog.records] == ["for all"]


def test_nothing_to_log_to() -> None:
    assert start_logger() is logging.getLogger("papy")


def say(text: str) -> None:
    logging.getLogger("papy").warning(text)


def test_in_worker_processes(tmp_path: Path) -> None:
    initializer = partial(start_logger, log_to_file=True, log_filename=str(tmp_path / "log"), log_rotate=False)
    list(IMap(say, ["a", "b"], worker_num=1, initializer=initializer))
    assert [line[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["a", "b"]


def test_75_by_default_nothing_is_said_but_that_items_failed() -> None:
    code = """
from papy import Dagger, Piper
import papy.util.config
inverse = Piper(lambda x: 1 / x, unpack=True, name="inverse")
print(list(Dagger([inverse]).results([[2, 1]]))[1])
print(list(Dagger([inverse]).results([[0, 1]]))[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    said = (
        "1 item failed: 1 of 2 on inverse; the first: inverse failed on item 0: ZeroDivisionError: division by zero\n"
    )
    assert (done.stdout, done.stderr) == ("1.0\n1.0\n", said)
