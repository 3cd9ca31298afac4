"""The logging of a worker: what no handler of its own takes goes to the loggers of its caller.

Imported only where the caller uses `logging`, as that takes longer to import than all the rest of a worker. A handler of the
worker's own, which an initializer or the code of an item sets up, goes first: what it takes is not told twice.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from .._items.side_output import Tell, flattened, portable

_FORMATTER = logging.Formatter()


class LogCapture(logging.Handler):
    """The handler at the root of a worker's loggers.

    Args:
        tell: gets each record.
    """

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._pid = os.getpid()
        self._last_resort = logging.lastResort
        self._configure = logging.basicConfig

    def attach(self) -> None:
        """Hears all loggers from now on, also those below which a handler is put that takes nothing."""
        logging.root.addHandler(self)  # again, without effect
        logging.basicConfig = self._configure

    def wait(self) -> None:
        """Until it is attached, what would set up a handler by the way attaches it: the first ``logging.info(...)``, say."""
        logging.basicConfig = self._configure_or_attach

    def _configure_or_attach(self, **options: Any) -> None:
        if options:
            self._configure(**options)
        else:
            self.attach()

    def emit(self, record: logging.LogRecord) -> None:
        """Forwards a record, unless another handler of this process has it."""
        if os.getpid() != self._pid:
            # A process that an item forked has no part in the worker's channel.
            if self._last_resort is not None and record.levelno >= self._last_resort.level:
                self._last_resort.handle(record)
        elif not self._is_taken(record.name):
            try:
                fields = _fields(record)
                self._tell("log", portable(fields, flattened(fields)))
            except RecursionError:
                raise
            except Exception:
                self.handleError(record)

    def _is_taken(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(it is not self and not isinstance(it, logging.NullHandler) for it in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """A record as `logging.makeLogRecord` takes it, without the objects that its text was made of."""
    fields = dict(record.__dict__, msg=record.getMessage(), args=None, exc_info=None, processName="numap-worker")
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = _FORMATTER.formatException(record.exc_info)
    return fields


def listen(levels: dict[str, Any], tell: Tell) -> LogCapture:
    """Sets this worker's loggers as those of its caller are, but with the handlers over there.

    The handler hears what no handler takes, until it is attached: so an initializer may configure the logging here as if there
    were none yet. Handlers that came with the code, by import or by a fork, are copies of those that the caller has. Those that an
    initializer sets afterwards are meant: what they take is not forwarded.
    """
    manager = logging.root.manager
    for logger in [logging.root, *manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    logging.root.setLevel(levels["root"])
    for name, level in levels["levels"].items():
        logging.getLogger(name).setLevel(level)
    for name in levels["disabled"]:
        logging.getLogger(name).disabled = True
    logging.disable(levels["threshold"])
    if levels["captures warnings"]:
        logging.captureWarnings(False)  # a fork has it already, with the caller's way to show them behind it
        logging.captureWarnings(True)
    capture = logging.lastResort = LogCapture(tell)
    capture.wait()
    return capture
