"""What each type of worker can do, as a table: arguments are checked against it, and the manager asks it.

The package asks what a type can do rather than which one it is. So a new type is a row here, and is refused what it can't do.
"""

from __future__ import annotations

from typing import NamedTuple


class Capabilities(NamedTuple):
    """What an engine can do.

    Attributes:
        pickles: items leave this process, so they travel as pickles.
        kills: a running item can be ended.
        start_methods: ways to bring a worker to life that can be asked for.
        extra_workers: by default, so many more workers than CPUs, as they mostly wait; at most ``most_workers``.
        most_workers: the most workers by default.
        prefetch_below_seconds: an item that takes longer than this has nothing put behind it before it is done. What waits in
            another process comes back by way of a look at its page, what waits for a thread at once.
        fuses: a worker goes on with its own results, see `Fusion`.
        ahead: items run before their results are asked for, so it helps to have more of them where the consumer has to wait.
    """

    pickles: bool
    kills: bool
    start_methods: tuple[str, ...] = ()
    extra_workers: int = 0
    most_workers: int | None = None
    prefetch_below_seconds: float = 0.004
    fuses: bool = False
    ahead: bool = True


_PROCESS = Capabilities(pickles=True, kills=True, start_methods=("forkserver", "spawn", "fork"), fuses=True)
_THREAD = Capabilities(pickles=False, kills=False, extra_workers=4, most_workers=32, prefetch_below_seconds=0.020)

#: "executor": any `concurrent.futures.Executor`, which is given as it is. With a colon: one of ours, by its own type of worker.
CAPABILITIES = {
    "process": _PROCESS,
    "thread": _THREAD,
    "executor:process": _PROCESS._replace(start_methods=()),
    "executor:thread": _THREAD,
    "executor": Capabilities(pickles=False, kills=False, prefetch_below_seconds=0.020),
    "serial": Capabilities(pickles=False, kills=False, most_workers=1, ahead=False),
}
