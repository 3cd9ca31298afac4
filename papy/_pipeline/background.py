"""Background: the thread that takes the results of a run which nobody else looks at."""

from __future__ import annotations

import threading
from _thread import start_new_thread
from contextlib import suppress

from papy._base.interrupts import Flag
from papy._base.threads import ContextThread, launch
from papy._pipeline.pipeline_run import PipelineRun

__all__ = ["Background"]


class Background:
    """A run in the background: a thread that takes its results. It doesn't refer to the pipeline.

    What goes wrong goes to the log if this is dropped before anybody was told.
    """

    def __init__(self, line: PipelineRun) -> None:
        self._line = line
        #: Not empty when nobody can ask for the errors any more. A list, as a finalizer takes no lock.
        self._dropped: list[bool] = []
        self._errors: list[BaseException] = []
        self._over = Flag()
        args = line, self._errors, self._dropped, self._over
        self._thread = ContextThread(_drain, "papy-background", args)

    def start(self) -> None:
        """Starts the thread."""
        launch(self._thread)
        # Not before: until then a signal handler may not wait for the end of the run.
        self._line.supervisor.in_background, self._line.driver = True, self._thread

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
        # In this order: the thread adds an error first, and then looks whether anybody can ask for it.
        self._dropped.append(True)
        if self._errors:
            with suppress(RuntimeError):  # at its end the interpreter starts no thread
                start_new_thread(_log_in_thread, (self._errors,))


def _drain(line: PipelineRun, errors: list[BaseException], dropped: list[bool], over: Flag) -> None:
    try:
        line.drain()
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
