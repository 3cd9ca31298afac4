"""Logging for programs that use papy: one call that shows or keeps what its loggers say.

A library leaves logging to the program. So nothing is set up unless you call this, and what you call it for are the
loggers of papy and numap only; the root logger, and with it the rest of your program, are left alone.
"""

from __future__ import annotations

import logging
import os
import time
from logging.handlers import RotatingFileHandler
from threading import Lock
from typing import IO, Any, Final

from numap.interop import checks
from papy._base.checks import check_flag, check_path

__all__ = ["start_logger", "stop_logger"]

FORMAT: Final = "%(levelname)s %(asctime)s,%(msecs).3d [%(name)s] - %(message)s"
NAMES: Final = ("papy", "numap")

_lock = Lock()
# What `start_logger` has added, and the levels that the loggers had before.
_handlers: list[logging.Handler] = []
_levels: dict[str, int] = {}


def start_logger(
    log_to_file: bool = False,
    log_to_stream: bool = False,
    log_to_file_level: int | str = logging.INFO,
    log_to_stream_level: int | str = logging.INFO,
    log_filename: str | os.PathLike[str] | None = None,
    log_stream: IO[str] | None = None,
    log_rotate: bool = True,
    log_size: int = 524288,
    log_number: int = 3,
) -> logging.Logger:
    """Log what papy and numap say to a file, a stream, or both; a second call replaces the first.

    Lines look like ``WARNING 12:30:59,123 [papy.core] - message``. What is logged here still goes to the handlers of
    the root logger, if there are any. Programs that have a configuration of their own need none of this: they configure
    the loggers "papy" and "numap" like any others. In a worker process it is called by an ``initializer``.

    Args:
        log_to_file: Write to a file.
        log_to_stream: Write to a stream.
        log_to_file_level: The least level for the file, a number or a name.
        log_to_stream_level: The least level for the stream.
        log_filename: The file; None: ``PaPy_log``, or without rotation ``PaPy_log_`` and the time, in the current
            directory.
        log_stream: The stream, which stays open; None: standard error.
        log_rotate: When the file is full, rename it and begin a new one.
        log_size: Bytes of a full file.
        log_number: How many full files are kept.

    Returns:
        The logger "papy".

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If there is no such level.
        OSError: If the file can't be opened. Nothing has changed then.

    >>> import sys
    >>> log = start_logger(log_to_stream=True, log_stream=sys.stdout, log_to_stream_level="WARNING")
    >>> log.warning("mind the gap")
    WARNING ... [papy] - mind the gap
    >>> log.info("all is well")
    >>> stop_logger()
    """
    for what, flag in (("log_to_file", log_to_file), ("log_to_stream", log_to_stream), ("log_rotate", log_rotate)):
        check_flag(what, flag)
    for what, number in (("log_size", log_size), ("log_number", log_number)):
        checks.whole(what, number, 0)
    check_path("log_filename", log_filename, or_none=True)
    if log_stream is not None and not hasattr(log_stream, "write"):
        raise checks.wrong_type("log_stream", "an open file or None", log_stream)
    made: list[logging.Handler] = []
    handler: logging.Handler
    try:
        if log_to_stream:
            made.append(_prepared(logging.StreamHandler(log_stream), log_to_stream_level))
        if log_to_file:
            handler = _file_handler(log_filename, log_rotate, log_size, log_number)
            made.append(handler)
            _prepared(handler, log_to_file_level)
    except BaseException:
        for handler in made:
            handler.close()
        raise
    with _lock:
        _take_down()
        _put_up(made)
    return logging.getLogger(NAMES[0])


def stop_logger() -> None:
    """Undo `start_logger`: close the file, and leave the loggers as they were; nothing happens without one."""
    with _lock:
        _take_down()


def _file_handler(filename: Any, rotate: bool, size: int, number: int) -> logging.FileHandler:
    if rotate:
        return RotatingFileHandler(filename or "PaPy_log", maxBytes=size, backupCount=number, encoding="utf-8")
    return logging.FileHandler(filename or time.strftime("PaPy_log_%Y-%m-%d_%H-%M-%S"), encoding="utf-8")


def _prepared(handler: logging.Handler, level: int | str) -> logging.Handler:
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(FORMAT, "%H:%M:%S"))
    return handler


def _put_up(handlers: list[logging.Handler]) -> None:
    lowest = min((handler.level for handler in handlers), default=None)
    for name in NAMES if lowest is not None else ():
        logger = logging.getLogger(name)
        _levels[name] = logger.level
        logger.setLevel(lowest or logging.NOTSET)
        for handler in handlers:
            logger.addHandler(handler)
    _handlers[:] = handlers


def _take_down() -> None:
    for name, level in _levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for handler in _handlers:
            logger.removeHandler(handler)
    for handler in _handlers:
        handler.close()
    _handlers.clear()
    _levels.clear()


for _public in (start_logger, stop_logger):
    _public.__module__ = __name__
del _public
