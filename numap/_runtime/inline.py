"""The work of those who ask for results of a map without workers: items run in their threads, and inputs are read there."""

from __future__ import annotations

from collections.abc import Mapping

from .._results.output_queue import OutputQueue
from .._schedule.scheduler import Scheduler
from ..engines.protocol import InlineEngine
from .inline_source import AskedSource
from .sources import Source
from .wakeup import Wakeup


class Inline:
    """What consumers do in the place of workers.

    Args:
        engine: has the item to run.
        schedule: knows which inputs lead where.
        wakeup: knows whether the manager sleeps.
        outputs: where results are waited for.
    """

    def __init__(
        self, engine: InlineEngine, schedule: Scheduler, wakeup: Wakeup, outputs: Mapping[int, OutputQueue]
    ) -> None:
        self._engine = engine
        self._schedule = schedule
        self._wakeup = wakeup
        self._outputs = outputs
        self._sources: dict[int, AskedSource] = {}
        engine.offer = self.offer

    def start(self, sources: Mapping[int, Source]) -> None:
        """Learns of the inputs, by root."""
        self._sources = {root: source for root, source in sources.items() if isinstance(source, AskedSource)}

    def offer(self) -> None:
        """There is something to do, perhaps: wakes those who wait."""
        for output in self._outputs.values():
            output.waiters.announce()

    def before_sleep(self) -> None:
        """The manager, who has nothing to do, has said so: those who found it busy may read."""
        if self._sources:
            self.offer()

    def help(self, task: int, patient: bool) -> bool:
        """See `Hooks.help`."""
        if self._engine.run_one():
            return True
        # Only if all that was read has come out: then the manager sleeps, and no job is where its outcome waits to be seen.
        if self._sources and self._wakeup.idle and not self._engine.slots[0].jobs:
            for root in self._schedule.roots_of[task]:
                if root in self._sources:
                    self._sources[root].pull(patient)
        return False

    def finalize(self) -> None:
        """Runs the finalizer in this thread, if it has not run."""
        self._engine.finalize()
