"""A program at work on files: the command as it is run, and whether it has done what it should.

What it writes to standard output and error goes to files: a pipe would be held open by what it leaves behind, and the end of
the pipe would come with the end of that only.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from papy._base.external_programs import ExternalRun
from papy.util._script import process as _process
from papy.util._script.ports import environment, filled

_log = logging.getLogger("papy.util.script")

_TAIL = 1 << 16  # bytes of standard output and error that an error holds: the ends, where the reason mostly is
_SHOWN = 2000  # characters of these in its text


class ScriptError(Exception):
    """A program failed; ``args`` are its id, what happened in words, exit code, standard output and standard error.

    Attributes:
        script: The id.
        code: The exit code, below 0 the number of the signal that killed it; None: it was not started, or was ended by
            us.
        stdout: The end of what it wrote to standard output, unless that is a port.
        stderr: The end of what it wrote to standard error.
    """

    def __init__(self, script: str, why: str, code: int | None = None, stdout: str = "", stderr: str = "") -> None:
        super().__init__(script, why, code, stdout, stderr)
        self.script = script
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        said = (self.stderr.strip() or self.stdout.strip())[-_SHOWN:]
        return f"{self.args[0]} {self.args[1]}" + (f"; it said:\n{said}" if said else "")


def execute(program: Any, work: str, inputs: dict[str, str], made: dict[str, str], running: ExternalRun) -> None:
    """Run a program, and raise a ScriptError unless it made what it should.

    Args:
        program: The `Program`, which stands above this file.
        work: A directory for what it is given and what it says.
        inputs: The absolute paths of its inputs, by their ports.
        made: Where it is to make its outputs.
        running: Where it can be ended.
    """
    os.mkdir(os.path.join(work, "out"))
    values: dict[str, Mapping[str, Any]] = {"params": program.params, "in": inputs, "out": made}
    args = os.path.join(os.path.abspath(work), "args.json")
    with open(args, "w", encoding="utf-8") as file:
        json.dump(values, file)
    command = [filled(word, values, args) for word in program.command]
    logs = [os.path.join(work, name) for name in ("stdout", "stderr")]
    if program.stdout is not None:
        logs[0] = made[program.stdout]
    env = {**os.environ, **environment(values), **program.env}
    with ExitStack() as stack:
        stdin = os.devnull if program.stdin is None else inputs[program.stdin]
        stack.enter_context(open(stdin, "rb"))  # one that can't be read is no fault of the program
        stdout, stderr = (stack.enter_context(open(name, "wb")) for name in logs)
        _log.info("%s: %s", program.id, shlex.join(command))
        try:
            outcome = _process.run(
                command,
                (stdin, stdout, stderr),
                running,
                timeout=program.timeout,
                env=env,
                cwd=None if program.cwd is None else os.fspath(program.cwd),
            )
        except OSError as error:
            raise ScriptError(program.id, f"can't be started: {error}") from error
    said = ("" if program.stdout is not None else _tail(logs[0]), _tail(logs[1]))
    if isinstance(outcome, str):
        raise ScriptError(program.id, outcome, None, *said)
    if outcome:
        raise ScriptError(program.id, f"ended with {_exit_text(outcome)}", outcome, *said)
    missing = [port for port, path in made.items() if not os.path.exists(path)]
    if missing:
        raise ScriptError(program.id, f"made no output for {', '.join(missing)}", outcome, *said)


def _exit_text(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    from signal import Signals

    try:
        return f"signal {Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _tail(path: str) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        return file.read().decode(errors="replace")
