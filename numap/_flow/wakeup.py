"""Wakes the manager of a map, which sleeps while nothing is to be decided.

A wake-up of a thread costs more than most of what there is to tell, and takes as long as a message to a process and back.
So a sleeping manager is woken only for news, and where nothing is in any worker, not even for that: the thread with the news
decides in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..engines.protocol import Engine, Event, Slot


class Wakeup:
    """Wakes the manager if it is about to sleep or sleeping, or has the thread that asks for that stand in for it.

    The manager's role is to decide and to touch the engine. One thread at a time has it: the manager's own, whenever it is not
    asleep, or the one that stands in for it.

    Args:
        engine: of the map.
        decide: gives out work as the manager would; returns whether it did, and the manager may sleep on.
        due: when there is something to do beside what the engine knows of; None: never.
    """

    __slots__ = ("_decide", "_due", "_engine", "_next", "_role", "fault", "idle", "stand_in")

    def __init__(self, engine: Engine, decide: Callable[[], bool], due: Callable[[], float] | None = None) -> None:
        self._engine = engine
        self._next = engine.due if due is None else lambda: min(engine.due(), due())
        self._decide = decide
        self._role = threading.Lock()
        self._role.acquire()
        #: When the manager wakes though nothing happens.
        self._due = 0.0
        #: The manager has nothing to do; set by it alone, and taken back by the thread that wakes it.
        self.idle = False
        #: The thread that stands in for the manager, and what it failed with.
        self.stand_in: threading.Thread | None = None
        self.fault: BaseException | None = None

    @property
    def is_asleep(self) -> bool:
        """Whether the manager sleeps and no thread stands in for it."""
        return self.idle and not self._role.locked()

    def notify(self) -> None:
        """There is something new. For threads of ours, where no interrupt comes."""
        if self.idle and not self._decide_instead():
            self.idle = False
            self._engine.wake()

    def wait(self, news: Callable[[], bool]) -> list[Event]:
        """Lets the manager sleep until something happens. ``news`` is a last look at what came before we could be woken.

        Raises:
            Exception: the thread that stood in for it failed.
        """
        engine = self._engine
        self.idle = True
        more = news()
        self._due = self._next()
        self._role.release()
        try:
            engine.listen(0.0 if more else self._due)
        finally:
            self._role.acquire()
        self.idle = False
        if self.fault is not None:
            raise self.fault
        return engine.events()

    def _decide_instead(self) -> bool:
        """Decides in the place of the manager; returns whether that may sleep on."""
        slots = self._engine.slots
        if not _are_idle(slots) or not self._role.acquire(blocking=False):
            return False
        self.stand_in = threading.current_thread()
        try:
            # The manager has to know if there is something to look at sooner than it thought, and what could not be sent.
            return self._decide() and self._next() >= self._due
        except BaseException as error:
            self.fault = error
            return False
        finally:
            self.stand_in = None
            self._role.release()


def _are_idle(slots: Sequence[Slot]) -> bool:
    """Whether nothing is in any worker, and one could be given something."""
    ready = False
    for slot in slots:
        if slot.jobs:
            return False
        ready = ready or slot.open
    return ready
