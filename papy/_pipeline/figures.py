"""The figures of one run of a pipeline: what each step has passed on, and how it stands with all entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from numap.interop import Look, Row, follow
from papy._base.checks import counted
from papy._monitor.debugger import PipelineRuntimeDebugger
from papy._monitor.reporters import Resources
from papy._pipeline.entry_reader import EntryReader
from papy._stages.accounting import EntryCounts, RunState
from papy._stages.base import Stage
from papy._stages.upstream import FromMap, StageOutput


class RunFigures:
    """What users see of a run, while it goes on and afterwards.

    Args:
        state: Of the run.
        reading: What its first step reads.
        stages: Its stages; empty until they are made.
        debugger: Told what the steps do, or None.
    """

    def __init__(
        self, state: RunState, reader: EntryReader, stages: Sequence[Stage], debugger: PipelineRuntimeDebugger | None
    ) -> None:
        self._state = state
        self._reader = reader
        self._stages = stages
        self._debugger = debugger
        self._final: EntryCounts | None = None
        self._follower: Any = None

    def show_by(self, progress: Any, total: int | None) -> None:
        """Has it shown how far the steps are, until the run is over.

        Args:
            progress: Whether, and by what, see `numap.interop.follow`.
            total: How many entries there will be; None: that is not known.
        """
        self._follower = follow(partial(self._look, total), progress)

    def _look(self, total: int | None) -> Look:
        rows, came = [], self._state.taken
        for stage, passed, _ in self._passed():
            name, done = stage.spec.name, passed + stage.output.fallen
            total = None if stage.spec.iterates else total
            rows.append(Row(name, done, self._state.failed_in.get(name, 0), total, max(0, came - done)))
            total = None if total is None else max(0, total - stage.output.fallen)
            came = passed
        return Look(rows, self._final is not None)

    def report(self, force: bool = False) -> None:
        """Shows what the steps have done so far, if it is time for that; an error of a reporter ends the run."""
        if self._debugger is not None and self._debugger.due(force):
            steps = [
                (stage.spec.name, Resources(passed + output.throughput.more, *stage.times()))
                for stage, passed, output in self._passed()
            ]
            try:
                self._debugger.show([("source", Resources(self._state.taken + self._reader.throughput.more)), *steps])
            except Exception as error:
                self._fail(error)

    def report_last(self) -> None:
        """The same at the end of the run, where whatever a reporter raises is an error of the run."""
        try:
            self.report(force=True)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._state.fail(error, "raised by a reporter of the debugger", entries=0)

    def flows(self) -> Iterator[tuple[str, int]]:
        """What `Pipeline.counter` shows."""
        came = self._state.taken
        for stage, passed, _ in self._passed():
            yield stage.spec.name, passed
            if isinstance(stage.output, FromMap):
                yield f"{stage.spec.name} in", max(0, came - passed - stage.output.fallen)
            came = passed

    def came(self) -> dict[str, int]:
        """Entries that came to each step and left it in whatever way."""
        return {stage.spec.name: passed + stage.output.fallen for stage, passed, _ in self._passed()}

    def _passed(self) -> Iterator[tuple[Stage, int, StageOutput]]:
        """The stages of the steps, with what they have passed on, and where that is read."""
        own = [stage for stage in self._stages if stage.own]
        for stage in own[:-1]:
            yield stage, stage.output.passed, stage.output
        if own:
            yield own[-1], self._state.count, self._stages[-1].output

    def settle(self) -> None:
        """The run is over: what was not accounted for otherwise has been skipped."""
        self._final = self._state.counts(over=True)
        if self._follower is not None:
            self._follower.end()

    def lost(self) -> int:
        """How many entries the end of the run has cut off; once it is over."""
        return self.counts().skipped - self._state.counts(over=False).skipped

    def log_cut(self, text: str) -> None:
        """Tells of these, if there are any."""
        lost = self.lost()
        if lost > 0:
            import logging

            has, are = ("has", "is") if lost == 1 else ("have", "are")
            logging.getLogger("papy").warning(text, f"{counted(lost, 'entry', 'entries')} {has}", are)

    def counts(self) -> EntryCounts:
        """The counts of the run. Once it is over they change no more, but for what producers still put in a queue."""
        if self._final is None:
            return self._state.counts(over=False)
        late = self._state.late.taken + self._state.late.read_late
        saved = self._state.count - self._final.count  # the reader of results may have had one in its hands
        return self._final.plus(EntryCounts(taken=late, count=saved, skipped=late - saved))
