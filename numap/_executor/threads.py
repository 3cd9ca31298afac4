"""Worker threads that stay: the engine of a map's threads, which come on demand, and get functions while they live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._base.options import Options
from .._items.call import bound
from ..engines.protocol import Job, SideOutput, Slot
from ..engines.threads import ThreadEngine, ThreadSlot
from .pool import Function


class ThreadPool(ThreadEngine):
    """The worker threads of an executor.

    Args:
        options: of the executor, like those of a map.
        label: the executor's name.
    """

    def __init__(self, options: Options, label: str) -> None:
        super().__init__([], options)
        self._hooks = self._hooks._replace(label=label)
        self._functions: dict[int, Function] = {}
        self._calls: Any = {}
        for slot in self.slots:
            slot.open = False

    # ------------------------------------------------------------------ workers

    def start(self) -> None:
        """No thread is started yet."""

    def grow(self) -> None:
        """See `Pool.grow`."""
        for slot in self.slots:
            if slot not in self._workers:
                try:
                    self._make_thread(slot, []).start()
                except RuntimeError as error:
                    del self._workers[slot]
                    slot.open = False
                    if not self._workers:
                        self._on_event("exhausted", error)
                return

    def lacking(self) -> bool:
        """See `Pool.lacking`."""
        return not self._stopped and len(self._workers) < len(self.slots)

    def coming(self) -> int:
        """See `Pool.coming`."""
        return sum(1 for slot in self._workers if not slot.open and not slot.jobs)

    def kill(self) -> Sequence[SideOutput]:
        """See `Pool.kill`."""
        self._hooks = self._hooks._replace(finalizer=None)
        return self.stop()

    # ------------------------------------------------------------------ functions

    def exporter(self) -> None:
        """See `Pool.exporter`."""

    def function(self, label: str, call: Any, settings: Any) -> Function:
        """See `Pool.function`."""
        func, args, kwargs = call
        return Function(bound(func, args, kwargs or {}), None, None, False, label)

    def encoder_of(self, exporter: Any) -> None:
        """See `Pool.encoder_of`."""

    def add(self, number: int, function: Function) -> None:
        """See `Pool.add`."""
        self._functions[number] = function
        self._calls[number] = function.code

    def knows(self, number: int) -> bool:
        """See `Pool.knows`."""
        return number in self._functions

    def forget(self, numbers: Sequence[int]) -> None:
        """See `Pool.forget`."""
        for number in numbers:
            self._functions.pop(number, None)
            self._calls.pop(number, None)

    # ------------------------------------------------------------------ jobs

    def recall_from(self, slot: Slot) -> None:
        """See `Pool.recall_from`."""
        assert isinstance(slot, ThreadSlot), "one of ours"
        self._take_back(slot)

    def has_begun(self, slot: Slot, job: Job, place: int) -> bool:
        """See `Pool.has_begun`."""
        work = self._jobs.get(job)
        return work is not None and work.started > place
