"""Leftovers: what becomes of a pipeline that is dropped, or still there when the program ends."""

from __future__ import annotations

import atexit
import os
import weakref
from _thread import start_new_thread
from contextlib import suppress
from functools import partial
from typing import Any, Final

from papy._pipeline.input_queue import InputQueue
from papy._pipeline.pipeline_run import PipelineRun
from papy._stages.accounting import LateEntries

__all__ = ["made", "release", "tell_unread", "wait_at_exit"]

# Seconds that the end of the program waits for what a dropped pipeline has to tell.
_PATIENCE: Final = 5.0
#: The runs of all pipelines, for the end of the interpreter.
made: weakref.WeakSet[Any] = weakref.WeakSet()


def release(intake: InputQueue, drained: LateEntries, pid: int) -> None:
    """The pipeline was dropped. In a thread of its own: the user's queue has a lock, which the thread at hand may hold."""
    if os.getpid() != pid:  # that of a fork: the queue is the other process's
        return
    with suppress(RuntimeError):  # at its end the interpreter starts no thread, and nobody needs the queue
        start_new_thread(intake.release, (drained,))


def wait_at_exit(runs: Any, line: PipelineRun) -> None:
    """At the end of the program, finish what was put; or if the pipeline was dropped before, have that told."""
    reference, ending = weakref.ref(runs), line.supervisor

    def finish() -> None:
        found = reference()
        if found is not None:
            found.stop()
        else:
            ending.told.wait(_PATIENCE)

    atexit.register(finish)
    # It holds the supervisor, and that nothing of the pipeline's but what has run.
    ending.at_end = partial(atexit.unregister, finish)
    if ending.told.is_set():
        ending.at_end()


def _unread(intake: InputQueue, pid: int) -> str:
    """What was put in, and no run has read or reads; in the process in which the pipeline was made."""
    return intake.waiting() if os.getpid() == pid and not intake.is_read else ""


def tell_unread(intake: InputQueue, pid: int) -> None:
    """The pipeline was dropped. In a thread of its own: the thread at hand may hold a lock of logging's."""
    found = _unread(intake, pid)
    if found:
        with suppress(RuntimeError):  # at its end the interpreter starts no thread
            start_new_thread(_log_unread, (found,))


def _log_unread(found: str) -> None:
    import logging

    logging.getLogger("papy").warning("a pipeline ends without having run what was put in (%s): run() does that", found)


@atexit.register
def _tell_all_unread() -> None:
    for runs in list(made):
        found = _unread(runs.intake, runs.pid)
        if found:
            _log_unread(found)
