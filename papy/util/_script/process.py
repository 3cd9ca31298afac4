"""One run of an external program, which never outlives the process that waits for it.

A program starts others, and any of the three may be killed. So it gets a session of its own, which can be killed as a whole, and a
guard outside of it does that when this process is gone. The program begins when the guard is there, not before.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from shutil import which
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO

from papy._base.checks import LONGEST_POLL, limited
from papy._base.external_programs import ExternalRun, Watchdog

Outcome = int | str

# The program begins when the guard is there, and not at all if we are gone before.
_GATE = 'read -r go && exec "$@" <"$0"'


def run(
    command: Sequence[str],
    streams: tuple[str, IO[bytes], IO[bytes]],
    running: ExternalRun,
    *,
    timeout: float | None,
    env: Mapping[str, str],
    cwd: str | None,
) -> Outcome:
    """Run a program to its end, and kill what it leaves behind.

    It runs in a session of its own, and is killed with all of that session if its time is over or its run is ended. So it is if an
    exception such as KeyboardInterrupt comes while it is waited for, or this process ends, even by SIGKILL.

    Args:
        command: The program and its arguments; no shell is involved.
        streams: The path of the file for standard input, and open files for standard output and error. Files, as a pipe
            would be held open by what it leaves behind.
        running: What may end it.
        timeout: Seconds it may run.
        env: Its environment.
        cwd: Its directory.

    Returns:
        The exit code, below 0 the number of a signal; or what else ended it, in words.

    Raises:
        OSError: If it can't be started.
    """
    _find(command[0], env, cwd)
    process = _start(command, streams, env, cwd)
    guard = None
    try:
        guard = Watchdog("kill", "-s", "KILL", "--", f"-{process.pid}")
        running.started(lambda: _kill(process))
        _open_gate(process)
        in_time = _wait(process, timeout)
    finally:
        try:
            _kill(process)
            process.wait()
        finally:  # an unreleased guard would one day kill the process that has the number then
            if guard is not None:
                guard.release()
    if running.ended:
        return "was ended together with the run"
    return process.returncode if in_time else f"was killed: it ran for more than {timeout} s"


def _start(
    command: Sequence[str], streams: tuple[str, IO[bytes], IO[bytes]], env: Mapping[str, str], cwd: str | None
) -> Popen[bytes]:
    """Start a program behind a gate, in a session of its own; on systems without these just start it."""
    name, stdout, stderr = streams
    if os.name != "posix":
        with open(name, "rb") as stdin:
            return Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd)
    gated = ["/bin/sh", "-c", _GATE, name, *command]
    return Popen(gated, stdin=PIPE, stdout=stdout, stderr=stderr, env=env, cwd=cwd, start_new_session=True)


def _find(program: str, env: Mapping[str, str], cwd: str | None) -> None:
    """Raise FileNotFoundError unless there is such a program: a shell would only say it on standard error."""
    path = os.path.join(cwd or "", program) if os.path.dirname(program) else program
    if which(path, path=env.get("PATH", os.defpath)) is None:
        raise FileNotFoundError(f"no program {program!r}")


def _open_gate(process: Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin as gate:
            gate.write(b"\n")


def _wait(process: Popen[bytes], timeout: float | None) -> bool:
    """Wait until a process ends, and leave it unburied so that its number stays its own; False: the time is over."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:
            pass  # an old kernel, or one that forbids it
        else:
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                left = limited(timeout)
                while left is not None and left > LONGEST_POLL:
                    if poll.poll(1000 * LONGEST_POLL):
                        return True
                    left -= LONGEST_POLL
                return bool(poll.poll(None if left is None else 1000 * left))
            finally:
                os.close(fd)
    with suppress(TimeoutExpired):
        process.wait(limited(timeout))
        return True
    return False


def _kill(process: Popen[bytes]) -> None:
    """Kill a process and its session; nothing happens if it is buried already, as its number may be another's."""
    if process.returncode is not None:
        return
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
