"""The caller's side of what workers say beside results: log records and warnings.

Handlers and filters are the user's code, which may block or fail. The manager must not wait for it, so a thread of its own
runs it, and what waits for a slow handler has a limit.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Collection, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from .._items.finalizers import say
from .._items.side_output import standard_logging
from .._sync.threads import ContextThread
from .._sync.timed_queue import timed
from ..engines.protocol import SideOutput

#: What was said, a mark to be given back, or the end.
_Entry = SideOutput | SimpleQueue[None] | None

#: Seconds that is waited for handlers at the end of a map; what is left then, they do in the background.
HANDLERS_TIMEOUT = 2.0
#: Seconds that is waited for them at the end of the interpreter, as long as they get something done in `HANDLERS_TIMEOUT`.
EXIT_TIMEOUT = 10.0
#: Bytes that may wait for handlers, of all maps together. What comes then is counted and dropped: a worker that had to wait
#: instead would hold up results.
ROOM = 64 << 20
#: Bytes of what waits, besides its content.
_OVERHEAD = 500
#: The loggers that handle what is no record of one: warnings where they are captured, and what we tell ourselves.
_LOGGERS = {"warning": "py.warnings", "notice": "numap"}

#: Forwarders whose handlers may still have something to do, for the end of the interpreter.
busy: set[LogForwarder] = set()
#: By file, what `warnings` knows of warnings that were shown.
_shown: dict[str, dict[Any, Any]] = {}


class LogForwarder:
    """Hands log records and warnings of the workers of one map to the handlers of this process, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Entry] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = False
        #: What was heard, how many bytes that is, and what found no room; written by `hear`, which runs in one thread at a time.
        self._heard = self._came = self._refused = 0
        #: What was handled, and how many bytes have left; written by the thread.
        self.handled = self._left = 0
        #: The logger whose handlers are at it.
        self.logger: str | None = None
        #: The interpreter ends: nothing more is to be handled.
        self._given_up = False
        self._claims = deque([None])

    @property
    def waiting(self) -> int:
        """Bytes that wait for handlers."""
        return self._came - self._left

    def hear(self, output: SideOutput) -> None:
        """Takes what was said, if there is room; the thread begins with the first."""
        size = _size(output)
        if size + sum(forwarder.waiting for forwarder in list(busy)) > ROOM:
            self._refused += 1
        else:
            self._heard += 1
            self._came += size
            self._queue.put(output)
        if self._thread is None:
            busy.add(self)
            thread = ContextThread("numap-log", self._run)
            # At the end of the interpreter no thread can be started: the thread that waits for us then does it all.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def settle(self, timeout: float | None = None) -> bool:
        """Waits, not for ever, until all that was heard before has been handled; returns whether it has."""
        if self not in busy or self._thread is threading.current_thread():
            return True
        if self._thread is None:
            self._queue.put(None)
            self._run()
            return True
        timeout = HANDLERS_TIMEOUT if timeout is None else timeout
        mark: SimpleQueue[None] = timed(SimpleQueue())
        self._queue.put(mark)
        # In this order: a thread that ends says so, then looks into the queue for the last time.
        if self._ended:
            self._thread.join(timeout)
            return self not in busy
        try:
            mark.get(True, timeout)
        except Empty:
            return False
        if self._ended:
            self._thread.join(timeout)
        return True

    def close(self, last: Sequence[SideOutput]) -> None:
        """Hears these, and then nothing more; the thread ends when it has handled all."""
        for output in last:
            self.hear(output)
        self._queue.put(None)

    def give_up(self) -> tuple[int, int]:
        """Has nothing more handled; returns how much that is, and how much found no room."""
        self._given_up = True
        # What is being handled counts, if it comes to its end.
        self.settle()
        busy.discard(self)
        return (self._heard - self.handled, self._refused) if self._claim() else (0, 0)

    def _claim(self) -> bool:
        """Whether it is for the caller to tell what was not handled: the first call has to."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._take(entry)
        self._ended = True
        with contextlib.suppress(Empty):
            while True:
                self._take(self._queue.get(False))
        if not self._given_up and self._claim():
            _tell_of_lost(0, self._refused)
        busy.discard(self)

    def _take(self, entry: _Entry) -> None:
        if isinstance(entry, SideOutput):
            if not self._given_up:
                self._handle(entry)
                self.handled += 1
            self._left += _size(entry)
        elif entry is not None:
            entry.put(None)

    def _handle(self, output: SideOutput) -> None:
        try:
            content = pickle.loads(output.content)
            self.logger = content["name"] if output.kind == "log" else _LOGGERS[output.kind]
            _TAKERS[output.kind](output, content)
        except BaseException as error:
            # As if it had been raised by a thread of the user's: what is heard later is handled all the same, also behind a
            # handler that calls `sys.exit`, which in a thread ends nothing else.
            args = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(args))
        self.logger = None


def settle_all() -> None:
    """At the end of the interpreter: waits for handlers as long as they get on, and tells what they did not get done."""
    slow, deadline = list(busy), monotonic() + EXIT_TIMEOUT
    try:
        for forwarder in slow:
            before = -1
            while (left := deadline - monotonic()) > 0 and forwarder.handled > before:
                before = forwarder.handled
                if forwarder.settle(min(left, HANDLERS_TIMEOUT)):
                    break
    except KeyboardInterrupt:
        pass  # the user waits no longer, and is told what that costs
    slow = [forwarder for forwarder in slow if forwarder in busy]
    if slow:
        undone, refused = map(sum, zip(*[forwarder.give_up() for forwarder in slow], strict=True))
        _tell_of_lost(undone, refused, {forwarder.logger for forwarder in slow} - {None})


def _tell_of_lost(undone: int, refused: int, stuck: Collection[str | None] = ()) -> None:
    """One warning of what was not handled. ``stuck``: loggers whose handlers are at something else and can't take it."""
    if not undone + refused:
        return
    reasons = []
    if refused:
        reasons.append(f"{refused} found {ROOM >> 20} MB waiting for the handlers already")
    if undone:
        reasons.append(f"{undone} were left when the program ended")
    text = (
        f"{undone + refused} log records and warnings of workers were not handled, as the handlers of this program are too slow: "
        f"{', '.join(reasons)}"
    )
    logging: Any = standard_logging()
    ours = set() if logging is None else _handlers(logging, "numap")
    if logging is None or any(ours & _handlers(logging, name) for name in stuck):
        sys.stderr.write(f"numap: {text}\n")
    else:
        logging.getLogger("numap").warning(text)


def _handlers(logging: Any, name: str | None) -> set[Any]:
    """What handles the records of a logger."""
    logger, found = logging.getLogger(name), set()
    while logger is not None:
        found.update(logger.handlers)
        logger = logger.parent if logger.propagate else None
    return found or {logging.lastResort}


def _size(output: SideOutput) -> int:
    return len(output.content) + _OVERHEAD


def _log(output: SideOutput, fields: dict[str, Any]) -> None:
    import logging

    record = logging.makeLogRecord({"task": output.program, "index": output.place, **fields})
    record.levelname = logging.getLevelName(record.levelno)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _warn(output: SideOutput, warning: tuple[Any, type[Warning], str, int]) -> None:
    message, category, filename, lineno = warning
    if isinstance(message, str):
        message = category(message)
    with contextlib.suppress(AttributeError):
        message.task, message.index, message.pid = output.program, output.place, output.pid
    try:
        warnings.warn_explicit(message, category, filename, lineno, registry=_shown.setdefault(filename, {}))
    except Warning:
        # A filter that makes it an error, but the item did not see it so: its worker does not know the category.
        warnings.showwarning(message, category, filename, lineno)


def _say(_: SideOutput, text: str) -> None:
    say(text)


#: What handles a side output, by its kind.
_TAKERS: dict[str, Callable[[SideOutput, Any], None]] = {"log": _log, "warning": _warn, "notice": _say}
