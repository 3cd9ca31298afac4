"""A run in the background: a thread reads its results, as without a reader a run would come to a halt.

The thread must not hold the pipeline, or a pipeline that was dropped would go on for ever. So what goes wrong in it has two ways
to the user: the call that waits for its end, or if the pipeline was dropped before, the log.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from papy._base.interrupts import Flag
from papy._base.threads import ContextThread, launch
from papy._pipeline.leftovers import run_apart
from papy._pipeline.pipeline_run import PipelineRun


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
