"""The caller's side of what workers say beside results: a thread in which its handlers run, as these are the user's code."""

from __future__ import annotations

import contextlib
import pickle
import threading
import warnings
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from ._farewell import say
from .engines import Aside

#: What was said, a mark to be given back, or the end.
_Entry = Aside | SimpleQueue[None] | None

#: Seconds that is waited for handlers at the end of a map.
PATIENCE = 2.0

#: Listeners whose handlers may still have something to do, for the end of the interpreter.
busy: set[Listener] = set()
#: By file, what `warnings` knows of warnings that were shown.
_shown: dict[str, dict[Any, Any]] = {}


class Listener:
    """Hands log records and warnings of the workers of one map to the handlers of this process, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Entry] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = False

    def hear(self, aside: Aside) -> None:
        """Takes what was said; the thread begins with the first."""
        self._queue.put(aside)
        if self._thread is None:
            busy.add(self)
            thread = threading.Thread(target=self._run, daemon=True, name="numap-log")
            # At the end of the interpreter no thread can be started: who waits for us then does it all.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def settle(self) -> None:
        """Waits, not for ever, until all that was heard before has been handled."""
        if self not in busy or self._thread is threading.current_thread():
            return
        if self._thread is None:
            self._queue.put(None)
            self._run()
            return
        mark: SimpleQueue[None] = SimpleQueue()
        self._queue.put(mark)
        # In this order: a thread that ends says so, then looks into the queue for the last time.
        if self._ended:
            self._thread.join(PATIENCE)
            return
        with contextlib.suppress(Empty):
            mark.get(True, PATIENCE)

    def close(self, last: Sequence[Aside]) -> None:
        """Hears these, and then nothing more; the thread ends when it has handled all."""
        for aside in last:
            self.hear(aside)
        self._queue.put(None)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            _take(entry)
        self._ended = True
        with contextlib.suppress(Empty):
            while True:
                _take(self._queue.get(False))
        busy.discard(self)


def _take(entry: _Entry) -> None:
    if isinstance(entry, Aside):
        try:
            _TAKERS[entry.kind](entry, pickle.loads(entry.content))
        except Exception as error:
            # As if it had been raised by a thread of the user's: what is heard later is handled all the same.
            args = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(args))
    elif entry is not None:
        entry.put(None)


def _log(aside: Aside, fields: dict[str, Any]) -> None:
    import logging

    record = logging.makeLogRecord({"task": aside.program, "index": aside.place, **fields})
    record.levelname = logging.getLevelName(record.levelno)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _warn(aside: Aside, warning: tuple[Any, type[Warning], str, int]) -> None:
    message, category, filename, lineno = warning
    if isinstance(message, str):
        message = category(message)
    with contextlib.suppress(AttributeError):
        message.task, message.index, message.pid = aside.program, aside.place, aside.pid
    try:
        warnings.warn_explicit(message, category, filename, lineno, registry=_shown.setdefault(filename, {}))
    except Warning:
        # A filter that makes it an error, but the item did not see it so: its worker does not know the category.
        warnings.showwarning(message, category, filename, lineno)


def _say(_: Aside, text: str) -> None:
    say(text)


#: Who takes an aside of a kind.
_TAKERS: dict[str, Callable[[Aside, Any], None]] = {"log": _log, "warning": _warn, "notice": _say}
