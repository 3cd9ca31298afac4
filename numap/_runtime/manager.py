"""The manager: the one thread that owns the state of a running map, between the pure decisions and the engine.

Inputs, consumers and workers all do things when they like, and each of them may change what is to happen next. If all of them
could decide, every count would need a lock. So all decisions are made by one thread at a time, and the others leave notes
for it and wake it if it sleeps. It never runs code of the user and never waits for it.

The way of an item, from its input to its consumer:

    input of the user
         |  InputThread pulls and pickles it, as far as it was granted           sources.py, thread "numap-input"
         |  InputController collects it, and grants more                         inputs.py
         v
    Router: places, chains, joins  ------- failed: on to the end                 router.py
         |  TaskQueue: items that are ready to run                               _schedule/task_queue.py
         v
    Planner: which task, which worker, how many                                  _schedule/planner.py
         |  Dispatcher makes a job of them                                       dispatcher.py
         v
    Engine: worker threads, processes, executors                                 engines/
         |  events: outcomes, items that come back, deaths
         v
    Dispatcher, then Outcomes: a result, a failure, or another run               outcomes.py
         |  Router: to the task that reads this one, or
         v
    Ends: order, limits, what is raised at the end                               ends.py
         |  OutputQueue: parcels of results                                      _results/
         v
    Reader: `next` in the consumer's thread

Back from there go only notes: what consumers have taken makes room (`changed_outputs`), and InputController grants as much to
the inputs. Wakeup (wakeup.py) ends the manager's sleep for what is news, and for nothing else.

An item that comes to an idle map takes a shorter way, as to wake a thread takes as long as a message to a process and back.
The thread that pulled the item stands in for the manager, which sleeps on, and makes the same steps down to the engine.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING

from .._base.errors import WorkerStartError
from .._base.options import Options
from .._base.statistics import Statistics
from .._flow.inputs import InputController
from .._flow.parts import Parts
from .._flow.sources import Source
from .._flow.wakeup import Wakeup
from .._results.output_queue import OutputQueue
from .._sync.event_queue import NEVER
from .._sync.threads import ContextThread
from ..engines.protocol import Engine, InlineEngine
from .consumers import Consumers
from .dispatcher import Dispatcher
from .log_forwarder import LogForwarder
from .shutdown import live
from .snapshot import snapshot

if TYPE_CHECKING:
    from .._progress.follower import Follower

#: Seconds that `stop` waits for the manager's thread; it never waits for user code, so this is for a busy machine.
_STOP_TIMEOUT = 10.0


def _close(outputs: Mapping[int, OutputQueue], why: str, at_exit: bool = False) -> None:
    for output in outputs.values():
        output.close(why, at_exit)


class Manager:
    """One run of a map.

    Args:
        options: of the map.
        engine: runs the items.
        parts: decide, and carry that out on the items.
    """

    def __init__(self, options: Options, engine: Engine, parts: Parts) -> None:
        self._engine = engine
        self._parts = parts
        #: By end, where its results leave.
        self.outputs = parts.outputs
        self._schedule, self._router, self._ends = parts.schedule, parts.router, parts.ends
        self._pace, self._reruns = parts.pace, parts.outcomes.reruns
        self._timed = self._pace is not None or self._reruns.waits
        self._reruns.wake = self.wake
        self.wakeup = Wakeup(engine, self._decide, self._due if self._timed else None)
        self._log_forwarder = LogForwarder()
        #: If items run in the threads of consumers.
        self._inline = None
        if isinstance(engine, InlineEngine):
            from .._flow.inline import Inline

            self._inline = Inline(engine, parts.schedule, self.wakeup, self.outputs)
        self._consumers = Consumers(self.wake, self.wakeup, self._log_forwarder, parts.ends, self.outputs, self._inline)
        for end in parts.schedule.ends:
            self.outputs[end] = OutputQueue(end, parts.labels[end], parts.policies[end], options.skip, self._consumers)
        self._inputs = InputController(parts, self.outputs, self._consumers.changed_outputs)
        self._dispatcher = Dispatcher(engine, parts, self._inputs, self._consumers, self._log_forwarder, self.crash)
        self._abandoned = self._stopping = False
        self._claims = deque([None])
        self._draining = False
        #: Items that had come when an input thread last asked to stand in for us.
        self._came = 0
        self._ended = False
        self._pid = os.getpid()
        self._failure: BaseException | None = None
        #: Something is in it when the start has come to its end.
        self.go: SimpleQueue[None] = SimpleQueue()
        self._thread = ContextThread("numap-manager", _run, (self,))

    @property
    def state(self) -> str:
        """ "running", "finished" or "failed"."""
        if self._failure is not None:
            return "failed"
        if self._ends.open:
            return "running"
        return "finished" if self._parts.tolerance.overrun is None else "failed"

    def know_streams(self, tasks_of: Mapping[int, Iterable[int]]) -> None:
        """See `Router.know_streams`."""
        self._router.know_streams(tasks_of)

    # ------------------------------------------------------------------ life; any thread

    def start(self, sources: Mapping[int, Source]) -> None:
        """Starts the workers, the readers of the inputs and the manager's thread.

        Raises:
            WorkerStartError: no worker can be started.
        """
        live.add(self)
        handled = sys.exc_info()[1]
        try:
            # First: where there is room for few, one of them has to be our thread.
            self._thread.start()
            self._engine.start()
            if self._inline is not None:
                self._inline.start(sources)
            self._inputs.start(sources)
        except BaseException as error:
            # Interrupted while the thread came up, perhaps: if it did, it ends the run; if not, it finds nothing to do.
            self._stopping = True
            self.wake()
            if self.claim():
                self.end()
            # threading.Thread.start makes a RuntimeError of an interrupt that finds it at its lock.
            interrupt = _interrupt_behind(error)
            if interrupt is not None and interrupt is not handled:
                raise interrupt from None
            if type(error) is RuntimeError:
                raise WorkerStartError(f"no thread of the map can be started: {error}") from error
            raise
        finally:
            self.go.put(None)

    def claim(self) -> bool:
        """Whether it is for the caller to end the run: the first call has to."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True

    def stop(self, at_exit: bool = False) -> None:
        """Ends the run, whatever its state; returns when nothing of it is left but what user code holds up."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        # The collector may run a finalizer of the user's, which stops us, in either of the two.
        if threading.current_thread() not in (self._thread, self.wakeup.stand_in):
            self.wake()
            if self._thread.ident is not None:
                # A RuntimeError: it is just coming up, behind an interrupt of `start`, and finds that it is to end.
                with contextlib.suppress(RuntimeError):
                    self._thread.join(_STOP_TIMEOUT)
        if self._inline is not None:
            self._inline.finalize()
        if not at_exit:
            self._log_forwarder.settle()
        self._consumers.show_last()
        _close(self.outputs, "next: not allowed after stop(); its results are gone", at_exit)

    def abandon(self) -> None:
        """The map was dropped. Runs as a finalizer, anywhere: it takes no lock, and waits for nothing but a serial map's own."""
        if os.getpid() != self._pid:
            return
        self._abandoned = self._stopping = True
        self.wake()
        self._consumers.show_last(wait=False)
        if self._inline is not None:
            self._inline.finalize()

    def show_by(self, follower: Follower) -> None:
        """How far the run is, is shown by this, until its end."""
        self._consumers.follower = follower

    def is_wanted(self) -> bool:
        """Whether the run is to go on."""
        return not self._stopping

    def drain(self) -> None:
        """Pulls nothing any more; what was pulled still gets its outcome."""
        self._draining = True
        self.wake()

    def wake(self) -> None:
        """Lets the manager look at what was changed here."""
        if not self._ended:
            self._engine.wake()

    def after_fork(self) -> None:
        """In a child of the user's: the run goes on in the parent; here it is over."""
        for output in self.outputs.values():
            output.after_fork()

    def statistics(self, state: str) -> Statistics:
        """The figures at this moment, of a map in this state."""
        return snapshot(self._parts, state, self._dispatcher.replaced)

    # ------------------------------------------------------------------ the manager's own thread from here on

    def advance(self) -> bool:
        """Decides, waits for something to happen and deals with it; False: the run is over."""
        consumers = self._consumers
        if consumers.changed_outputs or self._inputs.late:
            self._inputs.take_releases()
        if self._draining:
            self._inputs.close()
        self._inputs.poll()
        if self._stopping:
            self.end()
            return False
        if self._timed:
            self._reruns.release()
        if consumers.paused:
            self._engine.recall()
            consumers.pause_seen()
        elif self._schedule.ready:
            self._dispatcher.submit_all()
        # A consumer that wakes needs the interpreter, which we hold until we sleep. So it is woken when the work is given out,
        # but not behind what is still to do, as to wake takes a while.
        if consumers.awaited:
            consumers.announce()
        if not self._ends.open:
            self.end()
            return False
        for event in self.wakeup.wait(self._news):
            self._dispatcher.take(event)
        return True

    def _due(self) -> float:
        """When an item may begin that waits for its moment; what waits for anything else has no moment."""
        pace = self._pace
        waits = pace is not None and self._schedule.ready and not self._consumers.paused
        return min(self._reruns.due(), pace.due if pace is not None and waits else NEVER)

    def _decide(self) -> bool:
        """See `Wakeup`: gives out work, in the thread that reads an input; False: our thread is needed."""
        consumers = self._consumers
        before, self._came = self._came, sum(self._router.places)
        # Of an input that gave more than one since, the next ones are near, and better sent together.
        if self._came > before + 1 or self._stopping or self._draining or consumers.paused or self._inline is not None:
            return False
        if consumers.changed_outputs or self._inputs.late:
            self._inputs.take_releases()
        self._inputs.poll()
        # The same look as before a sleep of our own, as the marks have changed.
        return self._dispatcher.submit_all() and not self._news() and bool(self._ends.open)

    def _news(self) -> bool:
        """Whether something came between the last look and the moment from which on it would wake us."""
        more, consumers = self._inputs.settle(), self._consumers
        if consumers.awaited:
            consumers.announce()
        if self._inline is not None:
            self._inline.before_sleep()
        return more or self._stopping

    def end(self) -> None:
        """Ends workers and readers. What consumers have not taken stays with the outputs."""
        if self._ended:
            return
        self._ended = self._consumers.over = True
        self._inputs.stop()
        self._log_forwarder.close(self._engine.stop())
        self._consumers.pause_seen()
        self._consumers.announce()
        if self._abandoned:  # for inputs that read its own tasks
            _close(self.outputs, "next: the map was dropped")

    def crash(self, error: BaseException) -> None:
        """The run can't go on: no consumer may be left waiting for it."""
        self._failure = error
        self._ends.fail_all(error)
        self.end()


def _interrupt_behind(error: BaseException) -> BaseException | None:
    found = error.__context__ or error.__cause__
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__context__
    return found


def _run(manager: Manager) -> None:
    """The manager's thread."""
    manager.go.get()
    if not manager.claim():
        return
    try:
        while manager.advance():
            pass
    except BaseException as error:
        manager.crash(error if isinstance(error, WorkerStartError) else _broken(error))


def _broken(error: BaseException) -> BaseException:
    wrapped = RuntimeError("the manager of the map failed; this is a defect of numap")
    wrapped.__cause__ = error
    return wrapped
