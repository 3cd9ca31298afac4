"""The results of one run of a pipeline, one by one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from numap import StateError
from papy._pipeline.pipeline_run import PipelineRun
from papy._stages.accounting import DROPPED, STOPPED, RunState
from papy._stages.entries import Meta, Returned
from papy._stages.upstream import FromMap


class PipelineResults(Iterator[Any]):
    """The results of one run of a pipeline, for one thread at a time.

    The run begins with the first ``next``, and ends with this object.

    Args:
        make: Makes a run, without effect.
        begin: Makes it that of its pipeline.
    """

    def __init__(self, make: Callable[[], PipelineRun], begin: Callable[[PipelineRun], None]) -> None:
        self._make: Callable[[], PipelineRun] | None = make
        self._begin = begin
        self._run: PipelineRun | None = None
        self._pending: list[Any] = []
        self._interrupted = False
        self._closed = False
        self._output: FromMap

    def __iter__(self) -> PipelineResults:
        return self

    def __next__(self) -> Any:
        run = self._run
        if run is None:
            run = self._start()
        state = run.state
        run.is_driven = True
        run.report()
        while True:
            if not self._pending and not self._read(run, self._pending):
                continue
            entry = self._pending[0]
            if self._output.throughput.wanted:
                self._output.throughput.add(entry)
            fresh: list[Any] = []
            if type(entry) is tuple:
                value = entry[1]
                if self._output.restore is not None:
                    self._output.restore(entry)
                # Without a call from here on: an interrupt comes before it or after it.
                self._pending, state.count, run.is_driven = fresh, state.count + 1, False
                return value
            if type(entry) is Meta:
                state.count += 1
            elif (returned := self._output.drop(entry)) is not None:
                letter = returned.letter
                self._pending, run.is_driven = fresh, False
                return letter
            self._pending = fresh

    def _read(self, run: PipelineRun, pending: list[Any]) -> bool:
        """Puts the next that comes among those that are pending; False: there was none, and it is to be asked again."""
        # A single call: an interrupt comes before an entry is taken, or when it is in the list of pending ones.
        try:
            pending.extend(islice(self._output.task, 1))
        except Exception as error:
            if run.is_elsewhere():
                raise StateError("next: not allowed in a fork of the process in which the pipeline runs") from error
            instead = self._output.lost(error)
            if isinstance(instead, Returned):
                pending.append(instead)
            elif instead:
                return False
        if not pending:
            run.close()
            self._check_stopped(run.state)
            raise StopIteration
        return True

    def _start(self) -> PipelineRun:
        if self._interrupted:
            raise StateError(
                "results: the run was interrupted at its start, and its entries are gone; call results() again"
            )
        if self._make is None:
            raise StopIteration
        make, self._make = self._make, None
        run = None
        try:
            run = make()
            self._begin(run)
            weakref.finalize(self, run.state.end, DROPPED).atexit = False
            run.start(readable=True)
            self._output = run.output
            self._run, run.is_driven = run, False
        except BaseException as error:
            self._abort_start(run, None if isinstance(error, Exception) else make)
            raise
        return run

    def _abort_start(self, run: PipelineRun | None, again: Callable[[], PipelineRun] | None) -> None:
        """It failed, or an interrupt came; then the next call begins anew, if no entry is lost by that."""
        self._interrupted, self._run = again is not None, None
        if run is not None:
            run.abort()
        if run is None or not run.begun or run.is_untouched():
            self._interrupted, self._make = False, again

    def _check_stopped(self, state: RunState) -> None:
        """Raises once, where it would look like the end of all entries."""
        if state.reason == STOPPED and not self._closed:
            self._closed = True
            raise StateError("next: stop() has ended the run before its end; what was on its way is skipped")

    def close(self) -> None:
        """Ends the run; what is still on its way is skipped. Again, or before the first ``next``, is no error."""
        self._make = None
        self._interrupted = False
        self._closed = True
        if self._run is not None and not self._run.is_elsewhere():
            self._run.is_driven = True
            self._run.state.end(STOPPED)
            self._run.close()
