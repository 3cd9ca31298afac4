"""Of what each output of a program was made, and by which item, so that no two items share one.

The items of a run are evaluated in processes that know nothing of each other, on several machines even. What they share is the
directory of the outputs; so the records are there, one file for each output, and a lock that is held for moments.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from papy._evaluate.current_item import CURRENT
from papy.util._script.workdir import NAME, is_alive, runs, this_host

try:
    import fcntl
except ImportError:  # Windows has no such locks, so two processes may look at the same record in the same moment
    fcntl = None  # type: ignore[assignment]

_MADE = "made"  # a directory below `NAME` with one file for each output, of the same name
_KEYS = {"claim", "item", "source", "recipe", "output", "host", "pid", "time", "name"}

# The claims of this process: one that it is said to have and is not here was left by an interrupt.
_held: set[str] = set()


class Claim:
    """A context with outputs that nothing else makes meanwhile; unless they are `made`, all is as before at its end.

    Args:
        directory: Where the outputs are.
        outputs: Their names.
        program: Its id, for the error.
        source: What they are made of: paths by their ports, or by ``""`` what else gave them their names.
        recipe: All that they depend on, in the form that JSON has.
        resume: Whether outputs that are up to date are to be left as they are.

    Attributes:
        is_up_to_date: They are there, made of the same; nothing has to be done.

    Raises:
        ValueError: By ``with``: one of them is another item's.
    """

    def __init__(
        self,
        directory: str,
        outputs: Collection[str],
        program: str,
        source: Mapping[str, str],
        recipe: Any,
        resume: bool,
    ) -> None:
        self.is_up_to_date = False
        self._resume = resume
        self._directory = directory
        self._outputs = outputs
        self._program = program
        self._before: dict[str, str | None] = {}
        item = CURRENT.get()
        self._record: dict[str, Any] = {
            "claim": os.urandom(8).hex(),
            "item": None if item is None else list(item),
            "source": dict(source),
            "recipe": recipe,
            "output": None,
            "host": this_host(),
            "pid": os.getpid(),
            "time": time.time(),
        }

    def __enter__(self) -> Claim:
        os.makedirs(self._directory, exist_ok=True)
        try:
            self._take()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _take(self) -> None:
        _held.add(self._record["claim"])
        with _locked(self._directory) as folder:
            for name in self._outputs:
                text = self._before[name] = _read(os.path.join(folder, name))
                found = _parsed(text)
                if found is not None:
                    self._check(name, found)
            states = {name: self._up_to_date(name) if self._resume else None for name in self._outputs}
            self.is_up_to_date = self._resume and None not in states.values()
            self._write_records(folder, states if self.is_up_to_date else dict.fromkeys(states))

    def made(self) -> None:
        """They have been made, and are in their places."""
        with _locked(self._directory) as folder:
            states = {name: state_of(os.path.join(self._directory, name)) for name in self._outputs}
            self._write_records(folder, states)
        self._before.clear()

    def _write_records(self, folder: str, states: Mapping[str, Any]) -> None:
        for name, state in states.items():
            _write(folder, name, json.dumps({**self._record, "output": state, "name": name}))

    def _give_back(self) -> None:
        _held.discard(self._record["claim"])
        if not self._before or self.is_up_to_date:
            return
        with _locked(self._directory) as folder:
            for name, text in self._before.items():
                path = os.path.join(folder, name)
                found = _parsed(_read(path))
                if found is None or found["claim"] != self._record["claim"]:
                    continue  # of an item that is evaluated once more, as this worker was thought to be dead
                if text is None:
                    os.remove(path)
                else:
                    _write(folder, name, text)

    def _up_to_date(self, name: str) -> Any:
        """The state of an output that was made of the same and is as it was made; None if it was not."""
        found = _parsed(self._before[name])
        if found is not None and found["output"] is not None and self._is_same_recipe(found):
            with suppress(OSError):
                state = state_of(os.path.join(self._directory, name))
                return state if state == found["output"] else None
        return None

    def _is_same_recipe(self, found: Mapping[str, Any]) -> bool:
        return json.dumps(found["recipe"]) == json.dumps(self._record["recipe"])

    def _check(self, name: str, found: Mapping[str, Any]) -> None:
        """ValueError if an output is another item's."""
        if self._record["item"] is not None and self._record["item"] == found["item"] and name == found["name"]:
            return  # evaluated again
        path = os.path.join(self._directory, name)
        why = self._why_not(found, os.path.exists(path))
        if why is not None:
            raise ValueError(
                f"{self._program}: {path} can't be made of {_listed(self._record['source'])}: {why}. So that each has an output "
                f"of its own: give unique=True, files of different names, or another dir or id; or remove that output if "
                f"it is not needed"
            )

    def _why_not(self, found: Mapping[str, Any], exists: bool) -> str | None:
        """Why an output is another item's; None: it is not, or that doesn't matter."""
        own, theirs = self._record, _listed(found["source"])
        is_held = found["output"] is None and _is_held(found)
        if not is_held and (found["output"] is None or not exists):
            return None
        if own["source"] != found["source"]:
            lost = [path for port, path in found["source"].items() if port and not os.path.exists(path)]
            if lost and not is_held:
                return None  # it can't be made of that any more
            return f"it is being made of {theirs}" if is_held else f"it was made of {theirs}"
        if own["item"] is not None and found["item"] is not None:
            if own["item"][:2] == found["item"][:2]:
                return f"item {found['item'][2]} of this run is the same file; give each file once"
            if own["item"][0] == found["item"][0]:
                return "another piper of this run makes it of the same, and has the same id and dir"
        if is_held:
            return f"process {found['pid']} on {found['host']} makes it of the same at this moment"
        if not self._is_same_recipe(found) and found["item"] is not None and found["item"][0] in runs(self._directory):
            return "another run, which goes on, has made it of the same in another way"
        return None


def state_of(path: str) -> list[Any]:
    """What changes when a file, or anything in a directory, is written to: size and times, or a sum over these.

    Raises:
        OSError: There is no such file.
    """
    state = _stat(path)
    if not os.path.isdir(path):
        return state
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(path, followlinks=False):
        folders.sort()
        for name in sorted(names):
            inner = os.path.join(folder, name)
            digest.update(
                repr((os.path.relpath(inner, path), _stat(inner, links=False))).encode(errors="surrogateescape")
            )
        digest.update(repr(sorted(folders)).encode(errors="surrogateescape"))
    return [digest.hexdigest()]


def _stat(path: str, links: bool = True) -> list[Any]:
    found = os.stat(path, follow_symlinks=links)
    # The time of change, too: that of modification can be set to what it was.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


class _Lock(NamedTuple):
    path: str
    fd: int

    def set(self, locked: bool) -> None:
        """Lock it, or unlock it; without effect where the file system has no locks."""
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(self.fd, fcntl.LOCK_EX if locked else fcntl.LOCK_UN)

    def is_at_its_place(self) -> bool:
        """Whether it is the file that others will lock; it may have been removed before we had it."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path))
        return False


@contextmanager
def _locked(directory: str) -> Iterator[str]:
    """A context with the directory of the records, in which no other process or thread is; for moments only."""
    root = os.path.join(directory, NAME)
    while True:
        for part in (root, os.path.join(root, _MADE)):
            with suppress(FileExistsError):
                os.mkdir(part)
        path = os.path.join(root, "lock")
        try:
            lock = _Lock(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
        except FileNotFoundError:  # the last one that was there has removed it meanwhile
            continue
        try:
            lock.set(True)
            if lock.is_at_its_place():
                try:
                    yield os.path.join(root, _MADE)
                    return
                finally:
                    _tidy(root, lock)
        finally:
            # Said, not left to `close`: a process that was forked meanwhile may have the descriptor, too.
            lock.set(False)
            os.close(lock.fd)


def _tidy(root: str, lock: _Lock) -> None:
    """Leave nothing behind but records."""
    with suppress(OSError):
        os.remove(lock.path)  # where open files can't be removed, it stays
    with suppress(OSError):
        os.rmdir(os.path.join(root, _MADE))
        os.rmdir(root)


def _is_held(record: Mapping[str, Any]) -> bool:
    """Whether an output is being made at this moment; on another machine it may be."""
    if record["host"] != this_host():
        return True
    if record["pid"] == os.getpid():
        return record["claim"] in _held
    return is_alive(record["pid"], record["time"])


def _read(path: str) -> str | None:
    with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return None


def _parsed(text: str | None) -> dict[str, Any] | None:
    """A record; None if it is none, as after a crash of the machine: then nothing is known of the output."""
    with suppress(ValueError):
        found = None if text is None else json.loads(text)
        if isinstance(found, dict) and found.keys() == _KEYS:
            return found
    return None


def _write(folder: str, name: str, text: str) -> None:
    draft = os.path.join(os.path.dirname(folder), "record")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, os.path.join(folder, name))


def _listed(source: Mapping[str, str]) -> str:
    return " and ".join(source.values()) or "nothing"
