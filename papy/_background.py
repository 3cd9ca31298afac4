"""Background: the thread that takes the results of a run which nobody else looks at."""

from __future__ import annotations

import threading
from contextlib import suppress

from papy._line import Line

__all__ = ["Background"]


class Background:
    """A run in the background: a thread that takes its results. It doesn't refer to the pipeline."""

    def __init__(self, line: Line) -> None:
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=_drain, args=(line, self._errors), daemon=True, name="papy-background")
        line.driver = self._thread
        self._thread.start()

    @property
    def error(self) -> BaseException | None:
        """What went wrong, once the run is over and until it is raised."""
        return self._errors[0] if self._errors else None

    def ended(self) -> BaseException | None:
        """Waits for the end; returns what went wrong, once."""
        self._thread.join()
        with suppress(IndexError):  # nothing went wrong, or another thread has been told
            return self._errors.pop()
        return None

    def join(self) -> None:
        """Waits for the end; raises what went wrong, once."""
        error = self.ended()
        if error is not None:
            raise error


def _drain(line: Line, errors: list[BaseException]) -> None:
    try:
        line.drain()
    except BaseException as error:
        errors.append(error)
