"""Programs as users run them: in a session of their own, under a time limit, searched for what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
TAG = "NUMAP_TEST_TAG"
#: Seconds after which nothing may be left: what is promised takes two, and the machine may be busy.
SOON = 10.0
#: Seconds that a program may take until it says what it is waited for: long, as other programs may be busy.
LIMIT = 30.0

#: How worker processes come to be.
STARTS = ("default", "spawn", "fork")
#: What each engine of the matrix is made with.
ENGINES: dict[str, dict[str, Any]] = {
    "default": {"worker_type": "process", "worker_num": 2},
    "spawn": {"worker_type": "process", "worker_num": 2, "start_method": "spawn"},
    "fork": {"worker_type": "process", "worker_num": 2, "start_method": "fork"},
    "thread": {"worker_type": "thread", "worker_num": 2},
    "serial": {"worker_type": "serial"},
}

#: The first lines of a program whose workers are made with ``OPTIONS``.
PRELUDE = """\
import itertools, json, os, signal, subprocess, sys, threading, time
from numap import IMap
OPTIONS = json.loads(os.environ["NUMAP_TEST_OPTIONS"])
def say(*words):
    # In one write: others write to the same pipe.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

"""


def until(fact: Callable[[], Any], limit: float = LIMIT, every: float = 0.005) -> Any:
    """Waits until ``fact()`` is true and returns it, or its last value when the time is over."""
    deadline = time.monotonic() + limit
    while True:
        found = fact()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(every)


def until_main_waits(pid: int) -> None:
    """Waits until the main thread of a process has been waiting for a while.

    CPython does not see a signal that comes between its last look for one and the call that waits, until that returns.
    """
    looks = [""]

    def waits() -> bool:
        status = Path(f"/proc/{pid}/task/{pid}/status").read_text().splitlines()
        looks.append(" ".join(line for line in status if line.startswith(("State", "voluntary", "nonvoluntary"))))
        return looks[-1] == looks[-2] and "sleeping" in looks[-1]

    if os.path.exists("/proc/self/status"):
        assert until(waits, every=0.05), "its main thread never waits"


class Program:
    """A running program; as a context manager it kills at the end whatever is left of it.

    Args:
        folder: an empty directory for its output and its temporary files.
        code: given by ``-c`` after the prelude, unless ``argv`` is given.
        engine: key of ENGINES.
        argv: all arguments of the interpreter instead of ``-c code``.
        stdin: text for its standard input; None: empty.
        environment: more variables.
    """

    def __init__(
        self,
        folder: Path,
        code: str = "",
        engine: str = "default",
        argv: Sequence[str] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> None:
        self.tag = uuid.uuid4().hex
        self._folder = folder / self.tag
        self.temporary = self._folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._out, self._err = self._folder / "stdout", self._folder / "stderr"
        (self._folder / "stdin").write_text(stdin or "")
        env = dict(
            os.environ, TMPDIR=str(self.temporary), NUMAP_TEST_OPTIONS=json.dumps(ENGINES[engine]), **environment
        )
        env[TAG] = self.tag
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, *(argv if argv is not None else ("-c", PRELUDE + code))]
        with open(self._folder / "stdin") as source, open(self._out, "w") as out, open(self._err, "w") as err:
            self.process = subprocess.Popen(
                command, stdin=source, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
            )
        self.pid = self.process.pid

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for process in self.alive():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if error is not None and hasattr(error, "add_note"):
            error.add_note(f"stdout: {self.stdout}\nstderr: {self.stderr}")

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def wait_for(self, line: str, limit: float = LIMIT) -> None:
        """Waits until it has said a line."""
        said = until(lambda: line in self.stdout.split("\n")[:-1] or self.process.poll() is not None, limit)
        assert line in self.stdout.splitlines(), f"{line!r} {'not said by the end' if said else 'not said in time'}"

    def send(self, number: int) -> None:
        """A signal to this process alone."""
        self.process.send_signal(number)

    def send_group(self, number: int) -> None:
        """A signal to its process group, as a terminal sends it."""
        os.killpg(self.pid, number)

    def ends(self, code: int | None = None, limit: float = LIMIT) -> int:
        """Waits for its end, checks its exit code, and returns that."""
        found = self.process.wait(limit)
        assert code is None or found == code, f"exit code {found}, not {code}"
        return found

    def alive(self) -> list[psutil.Process]:
        """The processes that it has started, and their children, that run now."""
        return tagged(self.tag)

    def left(self, limit: float = SOON) -> list[str]:
        """What is left of it after ``limit`` seconds; returns earlier if that is nothing."""
        until(lambda: not self.alive(), limit)
        lines = []
        for process in self.alive():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                lines.append(f"{process.pid} (parent {process.ppid()}): {process.cmdline()}")
        return lines + [f"temporary file {path}" for path in self.temporary.iterdir()]

    def check_clean_end(self, code: int = 0, stderr: str = "", within: float | None = None) -> None:
        """It ends with that code and that on stderr, and leaves nothing."""
        self.ends(code, LIMIT if within is None else within)
        assert self.left() == []
        assert self.stderr == stderr


def tagged(tag: str) -> list[psutil.Process]:
    """All processes but zombies whose first environment had this tag."""
    found = []
    entry = f"{TAG}={tag}".encode()
    for pid in psutil.pids():
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environ:
            if entry in environ.read().split(b"\0"):
                found.append(pid)
    processes = []
    for pid in found:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def run(folder: Path, code: str = "", engine: str = "default", **options: Any) -> Program:
    """Runs a program to its clean end with exit code 0 and nothing on stderr."""
    with Program(folder, code, engine, **options) as program:
        program.ends()
        assert (program.process.returncode, program.stderr) == (0, "")
        assert program.left() == []
    return program


SIGINT, SIGTERM, SIGKILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
