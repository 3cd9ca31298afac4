"""What becomes of a pipeline that is dropped, or still there when the program ends.

Entries that were put and never run are told of. But a finalizer may run anywhere, also in a thread that holds a lock of the
user's queue or of logging; so what it has to say or to do is left to a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from papy._pipeline.input_queue import InputQueue
from papy._pipeline.pipeline_run import PipelineRun
from papy._stages.accounting import LateEntries

# Seconds that the end of the program waits for what a dropped pipeline has to tell.
_LOG_TIMEOUT: Final = 5.0
#: The runs of all pipelines, for the end of the interpreter.
made: weakref.WeakSet[Any] = weakref.WeakSet()


def run_apart(call: Callable[..., object], *args: object) -> None:
    """Has something done soon in a thread of its own; or not at all at the end of the interpreter, which starts none."""
    with suppress(RuntimeError):
        start_new_thread(call, args)


def release(inputs: InputQueue, late: LateEntries, pid: int) -> None:
    """The pipeline was dropped: its queue is left to others."""
    if os.getpid() != pid:  # that of a fork: the queue is the other process's
        return
    run_apart(inputs.release, late)


def wait_at_exit(runs: Any, run: PipelineRun) -> None:
    """At the end of the program, finish what was put; or if the pipeline was dropped before, have that told."""
    reference, ending = weakref.ref(runs), run.supervisor

    def finish() -> None:
        found = reference()
        if found is not None:
            found.stop()
        else:
            ending.told.wait(_LOG_TIMEOUT)

    atexit.register(finish)
    # It holds the supervisor, and that nothing of the pipeline's but what has run.
    ending.at_end = partial(atexit.unregister, finish)
    if ending.told.is_set():
        ending.at_end()


def _unread(inputs: InputQueue, pid: int) -> str:
    """What was put in, and no run has read or reads; in the process in which the pipeline was made."""
    return inputs.waiting() if os.getpid() == pid and not inputs.is_read else ""


def tell_unread(inputs: InputQueue, pid: int) -> None:
    """The pipeline was dropped: what it never ran is told of."""
    found = _unread(inputs, pid)
    if found:
        run_apart(_log_unread, found)


def _log_unread(found: str) -> None:
    import logging

    logging.getLogger("papy").warning("a pipeline ends without having run what was put in (%s): run() does that", found)


@atexit.register
def _tell_all_unread() -> None:
    for runs in list(made):
        found = _unread(runs.inputs, runs.pid)
        if found:
            _log_unread(found)
