"""Writes errors.rst: a gallery of the errors as a user sees them.

python doc/make_errors.py > doc/errors.rst

Process ids and paths are replaced, so that the page only changes when a text does; a test compares them.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from numap import IMap, join, tee

HEAD = """\
Errors
======

What each error says, shown by programs that provoke it. A message names what happened, to which task and item, in which
process, and what to do. The page is made by ``doc/make_errors.py``, and a test says whether it is up to date.

::

    NumapError
     |- ItemError            a function raised something that is not an Exception
     |- WorkerDied           the process that ran the item is gone
     |- TaskTimeout          the item ran longer than task_timeout
     |- SerializationError   an item, a result or a function can't be pickled
     |- WorkerStartError     workers can't be started: the map has ended
     |- TooManyFailures      more items failed than max_failures allows: what ran has ended
     |- SourceError          an input raised, or joined inputs have unequal lengths
     |- StateError           a call that the state of the map forbids
     '- NextTimeout          no result in time
"""


def reciprocal(x: int) -> float:
    return 1 / x


def leave(x: int) -> None:
    raise SystemExit(x)


def die(x: int) -> None:
    os._exit(x)


def broken() -> Iterator[int]:
    yield 1
    raise OSError("the disk is gone")


def no_connection() -> None:
    raise ConnectionError("no route to the database")


def started() -> IMap[Any]:
    return IMap(abs, count(), worker_type="thread")


def second(items: Any) -> Any:
    next(items)
    return next(items)


def stopped() -> Any:
    imap = started()
    imap.stop()
    return next(imap)


def one_for_two() -> Any:
    imap: IMap[Any] = IMap()
    lines = iter(["a", "b"])
    return imap.add_task(len, lines), imap.add_task(str.upper, lines)


def far_ahead() -> Any:
    left, right = tee(range(9), limit=2)
    return [next(left) for _ in range(3)], right


GALLERY: list[tuple[str, Callable[[], Any]]] = [
    ("A function raises", lambda: next(IMap(reciprocal, [0], worker_num=1))),
    ("A function raises what is no Exception", lambda: next(IMap(leave, [3], worker_num=1))),
    ("A worker dies", lambda: next(IMap(die, [3], worker_num=1))),
    ("An item takes too long", lambda: next(IMap(time.sleep, [999], worker_num=1, task_timeout=0.1))),
    ("An item can't be pickled", lambda: next(IMap(id, [threading.Lock()], worker_num=1))),
    ("A result can't be pickled", lambda: next(IMap(lambda x: threading.Lock(), [1], worker_num=1))),
    ("An initializer raises", lambda: next(IMap(abs, [1], worker_num=1, initializer=no_connection))),
    ("An input raises", lambda: second(IMap(abs, broken(), worker_num=1))),
    ("Joined inputs have unequal lengths", lambda: second(join([1, 2], [1]))),
    ("A branch is read too far ahead", far_ahead),
    ("Too many items fail", lambda: second(IMap(reciprocal, [1, 0], worker_num=1, max_failures=0))),
    ("An iterator is given to two tasks", one_for_two),
    ("Several inputs are given by position", lambda: IMap(pow, [1, 2, 3], [3, 3])),
    ("An argument has another name", lambda: IMap(abs, [1], n_jobs=4)),
    ("Nothing is ready", lambda: IMap(time.sleep, [999], worker_num=1).next(timeout=0.01)),
    ("The map was stopped", stopped),
    ("The map runs", lambda: started().add_task(abs, [1])),
    ("The map was not started", lambda: next(IMap(worker_type="thread").add_task(abs, [1]))),
    ("The buffer is too small", lambda: IMap(abs, [1], stride=4, buffer=2)),
    ("A name is misspelt", lambda: IMap(abs, [1], worker_type="proces")),
    ("A thread can't be killed", lambda: IMap(abs, [1], worker_type="thread", task_timeout=3)),
]


def show(error: BaseException) -> str:
    """The end of a traceback as Python prints it, with what differs from run to run replaced."""
    notes = "".join("\n" + note for note in getattr(error, "__notes__", []))
    cause = "" if error.__cause__ is None else f"{cause_text(error.__cause__)}\n\n"
    module = type(error).__module__
    name = type(error).__name__ if module == "builtins" else f"{module}.{type(error).__name__}"
    return plain(f"{cause}{name}: {error}{notes}")


def cause_text(cause: BaseException) -> str:
    text = str(cause).strip() if type(cause).__name__ == "RemoteTraceback" else f"{type(cause).__name__}: {cause}"
    return f"{text}\n\nThe above exception was the direct cause of the following exception:"


def plain(text: str) -> str:
    text = re.sub(r"process(es)? \d+", r"process\1 4711", text)
    text = re.sub(r'File "[^"]*[/\\]([^"/\\]+)", line \d+', r'File "\1", line 1', text)
    return re.sub(r"^ +[~^]+\n", "", text, flags=re.MULTILINE)


def gallery() -> str:
    """The page."""
    parts = [HEAD]
    for title, provoke in GALLERY:
        try:
            provoke()
        except Exception as error:
            body = "\n".join(("    " + line).rstrip() for line in show(error).splitlines())
        else:
            raise AssertionError(f"{title}: no error")
        parts.append(f"\n{title}\n{'-' * len(title)}\n\n::\n\n{body}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(gallery())
