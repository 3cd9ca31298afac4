"""The caller's end of the starter: starts it, knows whether it answers, and has another one when the program has become another.

It knows no worker. A starter that the program no longer matches serves the maps that it has, and then ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic
from typing import NamedTuple

from ..._base.errors import WorkerStartError
from ..._environment.process_state import absolute
from ..._environment.python import ADVICE, STARTED_BY, check_of_likeness, executable
from ..._system.memory import memory_file
from ..._system.processes import exit_text, hard_limits, is_at_work, kill_all, kill_group, process_limit, process_tree
from ..._system.rights import Rights, capabilities_to_keep, namespaces, rights
from ..._worker.template import write_request
from .templates import NumberedRequest

_BOOT = (
    "{check}; import os; os.environ.pop({mark!r}, None); sys.path[:] = {path!r}; "
    "from numap._worker.starter import main; main({control}, {life}, {keep})"
)
#: Seconds that the end of the starter is waited for: it kills at once, so this is for a machine that swaps.
_EXIT_TIMEOUT = 2.0
#: Seconds after which a starter that has never answered and is idle is none; it takes some 30 ms, on a busy machine a second.
ANSWER_TIMEOUT = 5.0
#: The same for one that is at work. The caller has just read what it reads, so this is for a machine that swaps.
ANSWER_TIMEOUT_AT_WORK = 30.0
#: What the system says of a file that can't be started, whatever else there is room for.
_NO_PROGRAM = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOEXEC,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
)
#: Bytes of what a starter said before its end that are shown.
_SHOWN = 2000


class Inherited(NamedTuple):
    """What a starter takes over from the program, and workers can't change."""

    executable: str
    rights: Rights
    processes: tuple[int, int]
    limits: tuple[float, ...]

    def serves(self, now: Inherited) -> bool:
        """Whether workers of a starter that was started as this one are right for the program as it is now.

        They lower their limits themselves; only the number of processes counts before they could.
        """
        return self[:3] == now[:3] and all(then >= limit for then, limit in zip(self.limits, now.limits, strict=True))


def inherited() -> Inherited:
    """That of this process now.

    Raises:
        WorkerStartError: there is no Python to start.
    """
    return Inherited(executable(), rights(), process_limit(), hard_limits())


class StarterClient:
    """A starter process of this process, and the pipe that lives as long as we do.

    Raises:
        OSError: the system has no room for it.
        WorkerStartError: the Python can't be started.
    """

    def __init__(self, inherited: Inherited) -> None:
        self.inherited = inherited
        #: It has answered.
        self.answers = False
        #: Connections in use.
        self.links = 0
        self._error_output = ""
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            stack.callback(ours.close)
            with theirs:
                life, self._life = os.pipe()
                stack.callback(os.close, self._life)
                try:
                    # A worker opens it anew, perhaps as another user.
                    os.fchmod(life, 0o444)
                    self._stderr = memory_file(0)
                    stack.callback(os.close, self._stderr)
                    self._process = _start(inherited.executable, theirs.fileno(), life, self._stderr)
                finally:
                    os.close(life)
            stack.pop_all()
        self._control = ours
        if "" in inherited.rights.namespaces:
            # A namespace of processes begins with the first of them.
            self.inherited = inherited._replace(rights=inherited.rights._replace(namespaces=namespaces()))

    def alive(self) -> bool:
        """Whether the starter runs."""
        return self._process.poll() is None

    def connect(self, template: NumberedRequest | None) -> socket.socket:
        """A new connection for one map, to a template where one is asked for and can be."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                theirs.setblocking(True)  # with socket.setdefaulttimeout it would not, over there either
                with contextlib.ExitStack() as stack:
                    fds = [theirs.fileno()]
                    if template is not None:
                        fds.append(memory_file(0))
                        stack.callback(os.close, fds[-1])
                        write_request(fds[-1], *template)
                        for stream in (1, 2):
                            fds.append(standard_stream(stream))
                            stack.callback(os.close, fds[-1])
                    socket.send_fds(self._control, [b"+"], fds)
        except BaseException:
            ours.close()
            raise
        return ours

    def is_starting(self) -> bool:
        """Whether it is at work, though it has not answered yet."""
        return self.alive() and is_at_work([self._process.pid, *process_tree(self._process.pid)])

    def was_no_starter(self) -> bool:
        """Of one that is about to end: whether it never was a starter. One that was killed would perhaps have become one."""
        if self.answers:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_EXIT_TIMEOUT) != -signal.SIGKILL
        return True

    def failure(self) -> WorkerStartError:
        """What to say of one that has never answered. It is no Python, or not ours, and ended here."""
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0 if self.alive() else _EXIT_TIMEOUT)
        why = (
            f"has not answered within {ANSWER_TIMEOUT:.0f} s"
            if code is None
            else f"ended before it was ready ({exit_text(code)})"
        )
        self._kill()
        self._read_stderr()
        return WorkerStartError(
            f"no worker process can be started: {self.inherited.executable!r}, which was to be a Python like this one, "
            f"{why}{': ' * bool(self._error_output)}{self._error_output}; {ADVICE}"
        )

    def _read_stderr(self) -> None:
        if self._stderr >= 0:
            size = os.fstat(self._stderr).st_size
            found = os.pread(self._stderr, _SHOWN, max(0, size - _SHOWN))
            self._error_output = found.decode("utf-8", "replace").strip()

    def _kill(self) -> None:
        tree = process_tree(self._process.pid)
        # It may have become another user's when this program became another user; then it ends with its socket.
        with contextlib.suppress(PermissionError):
            self._process.kill()
        kill_group(self._process.pid)
        kill_all(tree)

    def close(self) -> None:
        """Ends the starter and with it every worker."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # a fork of the program may still have a copy
        self._control.close()
        try:
            self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_TIMEOUT)
        os.close(self._life)
        self._read_stderr()
        stderr, self._stderr = self._stderr, -1
        os.close(stderr)

    def abandon(self) -> None:
        """In a forked child: closes what belongs to the parent, and touches nothing else of it."""
        self._control.close()
        os.close(self._life)
        os.close(self._stderr)
        self._process.returncode = 0


def standard_stream(fd: int) -> int:
    """A duplicate of a standard stream, or of the null device where it is closed."""
    try:
        return os.dup(fd)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _start(executable: str, control: int, life: int, stderr: int) -> subprocess.Popen[bytes]:
    path = [absolute(entry) or os.getcwd() for entry in sys.path]
    keep = capabilities_to_keep()
    code = _BOOT.format(check=check_of_likeness(), mark=STARTED_BY, path=path, control=control, life=life, keep=keep)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    try:
        return subprocess.Popen(
            [executable, *flags, "-c", code],
            pass_fds=(control, life),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=os.sep,
            env={**os.environ, STARTED_BY: str(os.getpid())},
        )
    except OSError as error:
        if error.errno not in _NO_PROGRAM:
            raise
        raise WorkerStartError(
            f"no worker process can be started: {executable!r} can't be executed: {error}; {ADVICE}"
        ) from error


class Link:
    """A map's connection to a starter; `connect` makes it.

    Attributes:
        socket: the connection, non-blocking.
        client: the starter.
        template: number of the template that was asked for; 0: none.
    """

    def __init__(self, client: StarterClient, template: NumberedRequest | None) -> None:
        self.client = client
        self.template = 0 if template is None else template.number
        self.socket = client.connect(template)
        self.socket.setblocking(False)
        self._began = monotonic()
        self._until = self._began + ANSWER_TIMEOUT
        client.links += 1

    def due(self) -> float:
        """When to `check` whether the starter has answered; `NEVER` once it has."""
        return float("inf") if self.client.answers else self._until

    def check(self) -> None:
        """To be called when that is due.

        Raises:
            WorkerStartError: it has not, and will not.
        """
        if self.client.answers:
            return
        now = monotonic()
        self._until = now + ANSWER_TIMEOUT
        if now > self._began + ANSWER_TIMEOUT_AT_WORK or not self.client.is_starting():
            raise self.client.failure()

    def close(self) -> None:
        """Ends the workers that came by it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # a fork of the program may still have a copy
        self.socket.close()
        with _lock:
            self.client.links -= 1
            if not self.client.links and self.client in _retired:
                _retired.remove(self.client)
                self.client.close()


_current: StarterClient | None = None
#: Starters that are none for new maps, and still have others.
_retired: list[StarterClient] = []
#: Reentrant, as a signal handler of the user's may end the starter in the middle of `connect`.
_lock = threading.RLock()


def prepare() -> None:
    """Has the starter come up, if there is none, while the caller does something else.

    Raises:
        OSError, WorkerStartError: no process can be started.
    """
    with _lock:
        if _current is None:
            _running()


def connect(template: NumberedRequest | None = None) -> Link:
    """A connection to the starter, which is started if there is none that is right for what the program is now.

    Args:
        template: what the workers are to be forked from, where that can be; None: from the starter.

    Raises:
        OSError, WorkerStartError: no process can be started.
    """
    with _lock:
        client = _running()
        try:
            return Link(client, template)
        except OSError as error:
            if client is _current:
                if client.alive() and not isinstance(error, ConnectionError):
                    raise
                _retire()
                if client.was_no_starter():
                    raise client.failure() from error
            # It died, or a signal handler ended it, between the look and the call.
            return Link(_running(), template)


def _running() -> StarterClient:
    global _current
    now = inherited()
    if _current is not None and not (_current.alive() and _current.inherited.serves(now)):
        _retire()
    if _current is None:
        _current = StarterClient(now)
    return _current


def _retire() -> None:
    global _current
    client, _current = _current, None
    if client is None:
        return
    if client.links and client.alive():
        _retired.append(client)
    else:
        client.close()


def _take_all() -> list[StarterClient]:
    """All starters; none of them is there for a new map any more."""
    global _current
    clients = [*_retired, *([_current] if _current is not None else [])]
    _current = None
    _retired.clear()
    return clients


def shutdown_starter() -> None:
    """Ends the starter, if there is one, and those that are none any more."""
    with _lock:
        for client in _take_all():
            client.close()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for client in _take_all():
        client.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
