"""The results of one run of a pipeline, one by one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from numap import StateError
from papy._pipeline.pipeline_run import PipelineRun
from papy._stages.accounting import DROPPED, STOPPED, RunState
from papy._stages.entries import Meta
from papy._stages.upstream import FromMap

__all__ = ["PipelineResults"]


class PipelineResults(Iterator[Any]):
    """The results of one run of a pipeline, for one thread at a time.

    The run begins with the first ``next``, and ends with this object.

    Args:
        make: Makes the line of a run, without effect.
        begin: Makes it that of its pipeline.
    """

    def __init__(self, make: Callable[[], PipelineRun], begin: Callable[[PipelineRun], None]) -> None:
        self._make: Callable[[], PipelineRun] | None = make
        self._begin = begin
        self._line: PipelineRun | None = None
        self._box: list[Any] = []
        self._interrupted = False
        self._closed = False
        self._output: FromMap

    def __iter__(self) -> PipelineResults:
        return self

    def __next__(self) -> Any:
        line = self._line
        if line is None:
            line = self._start()
        books = line.books
        line.is_driven = True
        line.report()
        while True:
            box = self._box
            if not box:
                # A single call: an interrupt comes before an entry is taken, or when it is in the box.
                try:
                    box.extend(islice(self._output.task, 1))
                except Exception as error:
                    if line.is_elsewhere():
                        raise StateError(
                            "next: not allowed in a fork of the process in which the pipeline runs"
                        ) from error
                    if self._output.lost(error):
                        continue
                if not box:
                    line.close()
                    self._check_stopped(books)
                    raise StopIteration
            entry = box[0]
            if self._output.weight.wanted:
                self._output.weight.add(entry)
            fresh: list[Any] = []
            if type(entry) is tuple:
                value = entry[1]
                # Without a call from here on: an interrupt comes before it or after it.
                self._box, books.count, line.is_driven = fresh, books.count + 1, False
                return value
            if type(entry) is Meta:
                books.count += 1
            else:
                self._output.drop(entry)
            self._box = fresh

    def _start(self) -> PipelineRun:
        if self._interrupted:
            raise StateError(
                "results: the run was interrupted at its start, and its entries are gone; call results() again"
            )
        if self._make is None:
            raise StopIteration
        make, self._make = self._make, None
        line = None
        try:
            line = make()
            self._begin(line)
            weakref.finalize(self, line.books.end, DROPPED).atexit = False
            line.start(readable=True)
            self._output = line.output
            self._line, line.is_driven = line, False
        except BaseException as error:
            self._give_up_start(line, None if isinstance(error, Exception) else make)
            raise
        return line

    def _give_up_start(self, line: PipelineRun | None, again: Callable[[], PipelineRun] | None) -> None:
        """It failed, or an interrupt came; then who goes on begins anew, if no entry is lost by that."""
        self._interrupted, self._line = again is not None, None
        if line is not None:
            line.abort()
        if line is None or not line.begun or line.is_untouched():
            self._interrupted, self._make = False, again

    def _check_stopped(self, books: RunState) -> None:
        """Raises once, where it would look like the end of all entries."""
        if books.reason == STOPPED and not self._closed:
            self._closed = True
            raise StateError("next: stop() has ended the run before its end; what was on its way is skipped")

    def close(self) -> None:
        """Ends the run; what is still on its way is skipped. Again, or before the first ``next``, is no error."""
        self._make = None
        self._interrupted = False
        self._closed = True
        if self._line is not None and not self._line.is_elsewhere():
            self._line.is_driven = True
            self._line.books.end(STOPPED)
            self._line.close()
