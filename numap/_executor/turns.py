"""Whose turn it is: which job goes to a worker next, and how many workers there should be.

A turn goes to the tenant that has the fewest workers, and among those to the one that has waited longest. So tenants share the
workers evenly in time, whatever their items take.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Protocol

from ..engines.protocol import EngineWarning, Event, Output, ProgramFailed, Slot, StartFailed
from .pool import LentJob, Pool


class Tenant(Protocol):
    """What workers are lent to. All methods are called with the lock of the hub."""

    #: Jobs of it that are in workers, and when it had its last turn.
    placed: int
    turn: int

    @property
    def waiting(self) -> int:
        """Items of it that wait at the hub, about."""
        ...

    @property
    def quick(self) -> bool:
        """What waits first takes so little time that it may wait in a worker."""
        ...

    def is_busy(self) -> bool:
        """Whether a hub that closes waits for it."""
        ...

    def next_job(self, room: int) -> LentJob | None:
        """What goes next, of ``room`` items at most."""
        ...

    def on_event(self, event: Event, job: LentJob | None) -> None:
        """Something happened to items of it."""

    def on_over(self, job: LentJob) -> None:
        """A job has left its worker."""

    def on_sent(self, slot: Slot, job: LentJob) -> None:
        """A job is in a worker."""

    def on_failed(self, error: Exception) -> None:
        """There are no workers any more."""


class Turns:
    """The jobs in the workers of one executor. All methods are called with the lock of the hub.

    Args:
        pool: the workers.

    Attributes:
        tenants: what they are lent to.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.tenants: list[Tenant] = []
        self._counter = count(1)
        #: By slot, the jobs in it.
        self._placed: dict[Slot, list[LentJob]] = {slot: [] for slot in pool.slots}

    def look(self) -> None:
        """Tells tenants of jobs that have left their workers."""
        for slot, jobs in self._placed.items():
            if jobs and len(jobs) != len(slot.jobs):
                for job in [job for job in jobs if job not in slot.jobs]:
                    jobs.remove(job)
                    job.tenant.placed -= 1
                    job.tenant.on_over(job)

    def route(self, event: Event, owners: Mapping[int, Tenant]) -> bool:
        """Tells whom it concerns of an event; False: it concerns no tenant. ``owners``: of programs."""
        if isinstance(event, Output):
            assert isinstance(event.job, LentJob), "no others are given out"
            event.job.tenant.on_event(event, event.job)
            return True
        if isinstance(event, EngineWarning):
            for tenant in self.tenants:
                tenant.on_event(event, None)
            return True
        if isinstance(event, StartFailed) or event.program is None or event.program not in owners:
            return False
        told = StartFailed(event.error) if isinstance(event, ProgramFailed) else event
        owners[event.program].on_event(told, None)
        return True

    def recall(self, tenant: Tenant) -> None:
        """Asks for what workers have not begun of a tenant's."""
        for slot, jobs in self._placed.items():
            if any(job.tenant is tenant for job in jobs):
                self._pool.recall_from(slot)

    def give(self) -> None:
        """Gives out what can begin."""
        if not self._fill_idle() or not self._grow() or not self._fill_idle():
            return
        for slot in self._pool.slots:
            if slot.open and len(slot.jobs) == 1 and not slot.stuck and self._placed[slot]:
                self._place(slot, True)

    def _fill_idle(self) -> bool:
        """Gives each idle worker something; returns whether all have."""
        return all(self._place(slot, False) for slot in self._pool.slots if slot.open and not slot.jobs)

    def _grow(self) -> bool:
        """Has as many workers come as there is work for; returns whether there is any that waits."""
        pool = self._pool
        wanted = sum(tenant.waiting for tenant in self.tenants)
        left = wanted - pool.coming()
        while left > 0 and pool.lacking():
            pool.grow()
            left -= 1
        return wanted > 0

    def _place(self, slot: Slot, ahead: bool) -> bool:
        """Gives what goes next to a worker; ``ahead``: it has to wait there. Returns whether there was something."""
        if ahead and not self._placed[slot][0].tenant.quick:
            return False
        tenants = [tenant for tenant in self.tenants if tenant.waiting and (tenant.quick or not ahead)]
        for tenant in sorted(tenants, key=_share):
            job = tenant.next_job(slot.room)
            if job is not None:
                tenant.turn = next(self._counter)
                tenant.placed += 1
                self._placed[slot].append(job)
                self._pool.submit(slot, job)
                tenant.on_sent(slot, job)
                return True
        return False


def _share(tenant: Tenant) -> tuple[int, int]:
    return tenant.placed, tenant.turn
