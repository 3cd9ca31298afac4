"""What one worker was given and has not accounted for: which items, in which order. Plain bookkeeping, no process in sight.

Items are numbered from the birth of the worker on. The worker itself tells how many it has begun; all else follows.
"""

from __future__ import annotations

from collections import deque

from ..protocol import Job, Returned


class JobLedger:
    """What one worker was given and has not accounted for.

    Attributes:
        jobs: in the order in which they were sent. The slot shows the same deque.
        sent: number of the next item that is sent.
    """

    def __init__(self, jobs: deque[Job]) -> None:
        self.jobs = jobs
        self.sent = 0

    def add(self, job: Job) -> None:
        """A job is sent."""
        job.seq = self.sent
        self.sent += job.count
        self.jobs.append(job)

    def record(self, seq: int, count: int, last: bool) -> tuple[Job | None, int, list[Returned]]:
        """The worker told the next ``count`` outcomes of the job that began with item ``seq``.

        Returns:
            The job (None: it was taken back entirely), the place of the first outcome, and what the worker left undone.
        """
        if not self.jobs or self.jobs[0].seq != seq:
            # The end of a job that was taken back in the moment in which the worker looked at it.
            assert not count, "outcomes come in the order of the jobs"
            return None, 0, []
        job = self.jobs[0]
        first = job.first + job.done
        job.done += count
        if not last:
            return job, first, []
        self.jobs.popleft()
        return job, first, job.give_back(job.done)

    def running(self, started: int) -> tuple[Job, int] | None:
        """The job and the place in it of the item that was begun last, if that has no outcome yet."""
        for job in self.jobs:
            if job.seq + job.done < started <= job.seq + job.count:
                return job, started - job.seq - 1
        return None

    def take_back(self, started: int) -> list[Returned]:
        """The worker has begun ``started`` items and will begin no more of these; returns the others.

        An item that it began and dropped in the same moment stays, and comes back with the end of its job.
        """
        returned: list[Returned] = []
        kept: list[Job] = []
        for job in self.jobs:
            begun = min(max(started - job.seq, job.done), job.count)
            returned += job.give_back(begun)
            # A job of which nothing has begun is dropped by the worker without a word.
            if begun > 0:
                kept.append(job)
        self.jobs.clear()
        self.jobs.extend(kept)
        return returned

    def only_untold(self, started: int) -> int:
        """The items that have begun, if the last is the only one of them without an outcome; else all up to the first such one."""
        told = self.jobs[0].seq + self.jobs[0].done if self.jobs else started
        return started if started - told == 1 else min(told, started)

    def worker_died(self, started: int) -> tuple[Job | None, int, list[Returned]]:
        """The worker is dead, with ``started`` items begun.

        Returns:
            The job and the place in it of the item that was running (None: no item was), and all that must run again. That is
            what had not begun, and what was done without having been told.
        """
        returned: list[Returned] = []
        blamed, running = None, 0
        for job in self.jobs:
            if job.seq + job.done < started and blamed is None and job.done < job.count:
                blamed, running = job, min(started - job.seq, job.count) - 1
                returned += job.returned(job.done, running)
                returned += job.give_back(running + 1)
            else:
                returned += job.give_back(job.done)
        self.jobs.clear()
        return blamed, running, returned
