"""What becomes of runs that were forgotten: dropped, or left at the end of the program, while there was something to do.

A run that ends without a word looks like one that has finished. So the log tells what was lost, once, unless the caller
has been told by an exception. A finalizer may run anywhere, also where its thread holds a lock that closing needs. So it only
puts a word into a queue, and a thread that waits for that word does the rest.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event
from typing import Final, Protocol

from papy._base.errors import PiperError
from papy._base.threads import ContextThread, launch
from papy._dagger.background import BackgroundRunner
from papy._dagger.graph_run import GraphRun


class ThreadedFinalizer:
    """Does something in a thread of its own when an object was dropped, unless it is released before.

    Args:
        owner: The object; what is to be done may not hold it.
        close: What to do, in this order.
    """

    def __init__(self, owner: object, *close: Callable[[], object]) -> None:
        self._words: SimpleQueue[bool] = SimpleQueue()
        self._finalizer = weakref.finalize(owner, self._words.put, True)
        self._finalizer.atexit = False  # at the end of the interpreter the IMaps stop by themselves
        self._done = Event()
        self._thread = ContextThread(_wait, "papy-finalizer", (self._words, self._done, close))

    def start(self) -> None:
        """Start the thread; by then the owner has to know this object, so that it can be released after an interrupt."""
        launch(self._thread)

    def wait(self, seconds: float) -> None:
        """Wait until it has done what is to be done, if the object was dropped."""
        self._done.wait(seconds)

    def release(self) -> None:
        """Nothing is to be done any more."""
        self._finalizer.detach()
        self._words.put(False)


def _wait(words: SimpleQueue[bool], done: Event, calls: tuple[Callable[[], object], ...]) -> None:
    try:
        if words.get():
            for call in calls:
                call()
    finally:
        done.set()


# Seconds in which inputs that may be endless can come to their end when the program does; as those of a `papy.Pipeline`.
EXIT_TIMEOUT: Final = 5.0


class _Exits(Protocol):
    def at_exit(self) -> None:
        """The program ends."""


def log_unread(run: GraphRun, what: str) -> None:
    """Log what has become of a Dagger while this run had been started, if there was something to read."""
    if not run.is_read():
        import logging

        logging.getLogger("papy").warning(
            "a Dagger %s before its results were read to their end%s; stop(), or a with block, says that nothing more is wanted",
            what,
            ", and what its workers had begun is lost" if run.parallel else "",
        )


def untold(runner: BackgroundRunner) -> BaseException | None:
    """What ended a run, or made it fail while it was stopped, and has not been raised or logged."""
    # While a run is stopped inputs end where they are, so that one may seem to be shorter than another.
    counts = runner.state == "failed" or isinstance(runner.error, PiperError)
    return runner.error if counts and not runner.told else None


def log_failure(runner: BackgroundRunner | None) -> None:
    """Log what ended the run of a Plumber, if that is not known yet."""
    error = None if runner is None else untold(runner)
    if runner is not None and error is not None:
        import logging

        runner.told = True
        text = "the run of a Plumber has failed, which wait() would have raised"
        logging.getLogger("papy").error(text, exc_info=error)


def log_forgotten(runner: BackgroundRunner, run: GraphRun, what: str, state: str | None = None) -> None:
    """Log what has become of the run of a Plumber that was forgotten in a state, the present one by default."""
    state = runner.state if state is None else state
    if untold(runner) is not None:
        log_failure(runner)
    elif state not in ("finished", "failed"):
        import logging

        when = "before it was told to run" if state == "started" else f"while it was {state}"
        advice = "run() and wait() finish it, stop() says that nothing more is wanted"
        logging.getLogger("papy").warning("a Plumber %s %s: %s; %s", what, when, run.state_text(), advice)


def call_at_exit(graph: _Exits, run: object, finalizer: ThreadedFinalizer | None, seconds: float) -> None:
    """At the end of the program, before the maps stop, call a graph that is still there, and whose ``run`` is.

    If it was dropped, in this moment perhaps, its finalizer has so many ``seconds`` to tell that.
    """
    reference = weakref.ref(graph)

    def look() -> None:
        found = reference()
        if found is not None:
            found.at_exit()
        elif finalizer is not None:
            finalizer.wait(seconds)

    atexit.register(look)
    weakref.finalize(run, atexit.unregister, look).atexit = False
