"""The engine without workers: items run in the thread that asks for results, for debugging and doctests."""

from __future__ import annotations

from collections.abc import Sequence
from opcode import opmap
from time import perf_counter

from .._errors import WorkerStartError
from .._options import Options
from .._outcome import FAILED, RAW, Failure, Segment, safe_text, trace_of
from .._serialize import item_of
from . import Capabilities, Event, Job, Output, Program, Slot
from .threads import bind

_RAISE = opmap["RAISE_VARARGS"]


class SerialEngine:
    """Runs each job within `wait`.

    Args:
        programs: the functions.
        options: of the map; the initializer runs before the first item, the finalizer at the end.
    """

    capabilities = Capabilities(pickles=False, kills=False, inline=True, describes="serial")

    def __init__(self, programs: Sequence[Program], options: Options) -> None:
        self._calls = [bind(program) for program in programs]
        self._initializer = options.initializer
        self._initargs = options.initargs
        self._finalizer = options.finalizer
        self.slots = [Slot()]

    def start(self) -> None:
        """Runs the initializer.

        Raises:
            WorkerStartError: it raised.
        """
        if self._initializer is None:
            return
        try:
            self._initializer(*self._initargs)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not _raised_by_code(error):
                raise
            raise WorkerStartError(f"the initializer raised: {type(error).__name__}: {safe_text(error)}") from error

    def submit(self, slot: Slot, job: Job) -> None:
        """Keeps a job for the next `wait`."""
        slot.jobs.append(job)

    def wait(self, timeout: float | None) -> list[Event]:
        """Runs the job that waits, if there is one.

        A KeyboardInterrupt from outside leaves the job where it is, to run again.
        """
        slot = self.slots[0]
        if not slot.jobs:
            return []
        job = slot.jobs[0]
        call = self._calls[job.program]
        began = perf_counter()
        outcome: Segment
        try:
            outcome = RAW, 1, [call(item_of(job.segments[0]))]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not _raised_by_code(error):
                raise
            outcome = FAILED, 1, Failure(error, trace_of(error))
        slot.jobs.popleft()
        first = job.first + job.done
        job.done += 1
        return [Output(job, first, 1, [outcome], perf_counter() - began)]

    def wake(self) -> None:
        """Nobody ever waits here."""

    def recall(self) -> None:
        """Nothing begins by itself here."""

    def stop(self) -> None:
        """Forgets what has not run, and runs the finalizer."""
        self.slots[0].jobs.clear()
        finalizer, self._finalizer = self._finalizer, None
        if finalizer is not None:
            finalizer()


def _raised_by_code(error: KeyboardInterrupt) -> bool:
    """Whether a ``raise`` statement raised it, not the interpreter for a signal between two instructions."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb is not None and tb.tb_frame.f_code.co_code[tb.tb_lasti] == _RAISE
