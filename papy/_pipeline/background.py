"""Runs that no caller reads: in the background, of a pipeline that was dropped, or left when the program ends.

Without a reader a run would come to a halt, so a thread reads the results. It must not hold the pipeline, or one that was
dropped would go on for ever. What goes wrong in it has two ways to the user: the call that waits for its end, or if the
pipeline was dropped before, the log. Entries that were put and never run are told of, too. But a finalizer may run anywhere, also
in a thread that holds a lock of the user's queue or of logging; so what it has to say or to do is left to a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from papy._base.threads import ContextThread, Flag, launch
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


class Background:
    """A run in the background: a thread that takes its results. It doesn't refer to the pipeline.

    What goes wrong goes to the log if this is dropped before the user was told.
    """

    def __init__(self, run: PipelineRun) -> None:
        self._run = run
        #: Not empty when the errors can't be asked for any more. A list, as a finalizer takes no lock.
        self._dropped: list[bool] = []
        self._errors: list[BaseException] = []
        self._over = Flag()
        args = run, self._errors, self._dropped, self._over
        self._thread = ContextThread(_drain, "papy-background", args)

    def start(self) -> None:
        """Starts the thread."""
        launch(self._thread)
        # Not before: until then a signal handler may not wait for the end of the run.
        self._run.supervisor.in_background, self._run.driver = True, self._thread

    @property
    def error(self) -> BaseException | None:
        """What went wrong, once the run is over and until it is raised."""
        return self._errors[0] if self._errors else None

    def ended(self) -> BaseException | None:
        """Waits for the end; returns what went wrong, once."""
        self._over.wait()
        with suppress(IndexError):  # nothing went wrong, or another thread has been told
            return self._errors.pop()
        return None

    def join(self) -> None:
        """Waits for the end; raises what went wrong, once."""
        error = self.ended()
        if error is not None:
            raise error

    def __del__(self) -> None:
        if not hasattr(self, "_over"):  # an interrupt left it half made
            return
        # In this order: the thread adds an error first, and then looks whether it can still be asked for.
        self._dropped.append(True)
        if self._errors:
            run_apart(_log_in_thread, self._errors)


def _drain(run: PipelineRun, errors: list[BaseException], dropped: list[bool], over: Flag) -> None:
    try:
        run.drain()
    except BaseException as error:
        errors.append(error)
    over.set()
    if dropped:
        _log(errors)


def _log_in_thread(errors: list[BaseException]) -> None:
    # Logging in a thread without an object makes one that stays; and a finalizer must not wait for the start of one with it.
    threading.Thread(target=_log, args=(errors,), daemon=True, name="papy-log").start()


def _log(errors: list[BaseException]) -> None:
    import logging

    with suppress(IndexError):  # the other one has done it
        error = errors.pop()
        logging.getLogger("papy").error(
            "a pipeline in the background has failed, and was dropped before stop() could tell", exc_info=error
        )
