"""The hub of an executor: the one thread that lends its workers, to maps and to single calls, by turns.

Each map decides for itself what is to run, in a thread of its own, and calls come from anywhere. If they all had the
workers, each of them would have to know the others. So they hand their jobs to the hub. A job waits there, not in a worker,
until it is its turn: so a map whose items take hours leaves room for others with each item, and what has not begun is easily
taken back.

Two kinds of threads have the hub's lock: its own, and those of maps that give jobs. Threads of the user never have it, as an
interrupt could leave it locked: they leave notes, and wait for answers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue

from .._base.errors import StateError, WorkerStartError
from .._runtime.log_forwarder import LogForwarder
from .._runtime.shutdown import live
from .._sync.event_queue import NEVER
from .._sync.threads import ContextThread
from ..engines.protocol import Event, SideOutput, StartFailed
from .broken import broken
from .pool import Pool
from .turns import Tenant, Turns


class HubLock:
    """A lock that knows which thread has it: a finalizer that runs there must not wait for the hub."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *exc_info: object) -> None:
        self._holder = 0
        self._lock.release()

    def is_here(self) -> bool:
        """Whether this thread has it."""
        return self._holder == threading.get_ident()


class Hub:
    """Lends the workers of one executor.

    Args:
        make: makes the workers.
        name: of the executor.

    Attributes:
        lock: see above.
        pool: the workers.
        failure: why there are no workers any more.
        ended: nothing is lent any more.
    """

    def __init__(self, make: Callable[[], Pool], name: str) -> None:
        self.pool = make()
        self.name = name
        self.lock = HubLock()
        self.pid = os.getpid()
        self.failure: Exception | None = None
        self.ended = self.closing = self.exiting = False
        #: Told when nothing is left that has to come to its end.
        self.settled: list[SimpleQueue[None]] = []
        #: What threads of the user tell: a call each, made with the lock.
        self.notes: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = False
        self._due = NEVER
        self._started = self._killed = False
        self._stopping = False
        self._numbers = count()
        self._turns = Turns(self.pool)
        self._tenants = self._turns.tenants
        self._owners: dict[int, Tenant] = {}
        #: Called at the end, with what went wrong.
        self.on_end: list[Callable[[], None]] = []
        self.log_forwarder = LogForwarder()
        self.thread = ContextThread("numap-executor", self._run)

    # ------------------------------------------------------------------ any thread

    def start(self) -> None:
        """Starts the hub's thread."""
        live.add(self)
        self.thread.start()

    def tell(self, note: Callable[[], None]) -> None:
        """Has ``note`` called by the hub; if that has ended, at once."""
        self.notes.put(note)
        if self.ended:
            self._take_notes()
            self._tell_settled()
        elif self._idle:
            self._idle = False
            self.pool.wake()

    def check(self, call: str) -> None:
        """StateError if nothing can be given to the hub any more."""
        if self.pid != os.getpid():
            raise StateError(
                f"{call}: this executor belongs to the process that started it; make a new one in the child"
            )
        if self.failure is not None:
            raise broken(self.failure)
        if self.closing:
            raise StateError(f"{call}: not allowed after shutdown()")
        if self.exiting:
            raise StateError(f"{call}: not allowed at the end of the interpreter")

    def stop(self, at_exit: bool = False) -> None:
        """Ends the workers, whatever they are at."""
        if self.pid == os.getpid():
            self.close(stop=True)
            if threading.current_thread() is not self.thread:
                self.thread.join()
            if not at_exit:
                self.log_forwarder.settle()

    def close(self, stop: bool = False, kill: bool = False) -> None:
        """Takes nothing new; ends when all is done, or (``stop``) at once, or without finalizers, too (``kill``)."""
        self.closing = True
        self._stopping = self._stopping or stop or kill
        self._killed = self._killed or kill
        self.tell(_nothing)

    def after_fork(self) -> None:
        """In a child of the user's there is no executor."""

    # ------------------------------------------------------------------ tenants, with the lock

    def join(self, tenant: Tenant, programs: int = 0) -> int:
        """Lends to a tenant from now on; returns the number of the first of its programs."""
        if tenant not in self._tenants:
            tenant.turn = min((it.turn for it in self._tenants), default=0)
            self._tenants.append(tenant)
        numbers = [self.number_for(tenant) for _ in range(programs)]
        return numbers[0] if numbers else 0

    def number_for(self, tenant: Tenant) -> int:
        """The number of another program."""
        number = next(self._numbers)
        self._owners[number] = tenant
        return number

    def forget(self, numbers: Iterable[int]) -> None:
        """No job will come for these programs any more."""
        gone = list(numbers)
        for number in gone:
            self._owners.pop(number, None)
        if not self.ended:
            self.pool.forget(gone)

    def leave(self, tenant: Tenant) -> None:
        """Lends to a tenant no more."""
        if tenant in self._tenants:
            self._tenants.remove(tenant)
        if not self.ended and self._idle:
            self._idle = False
            self.pool.wake()  # it may have been the last

    def recall(self, tenant: Tenant) -> None:
        """Asks for what workers have not begun of a tenant's."""
        self._turns.recall(tenant)

    def give(self) -> None:
        """Gives out what can begin: there is something new."""
        if self.ended or self.failure is not None:
            return
        if not self._started:
            self.pool.wake()  # it starts them
            return
        self._turns.give()
        if self.pool.due() < self._due:
            self.pool.wake()

    # ------------------------------------------------------------------ the hub's thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:
            wrapped = RuntimeError("the hub of the executor failed; this is a defect of numap")
            wrapped.__cause__ = error
            self._fail(wrapped)
        finally:
            self._end()

    def _step(self) -> bool:
        self._idle = True
        self.pool.listen(0.0 if not self.notes.empty() else self._due)
        self._idle = False
        with self.lock:
            self._take_notes()
            if self._started:
                self._take_events()
            if self.failure is not None or self._stopping or (self.closing and not self._close_tenants()):
                return False
            if self.settled and not any(tenant.is_busy() for tenant in self._tenants):
                self._tell_settled()
            if any(tenant.waiting for tenant in self._tenants):
                self._start()
                self._turns.give()
            self._due = self.pool.due() if self._started else NEVER
        return True

    def _tell_settled(self) -> None:
        while self.settled:
            self.settled.pop().put(None)

    def _close_tenants(self) -> bool:
        """Lends only to what has to come to its end; returns whether there is such a tenant."""
        for tenant in list(self._tenants):
            if not tenant.is_busy():
                tenant.on_failed(_shut_down())
        return any(tenant.is_busy() for tenant in self._tenants)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            try:
                self.pool.start()
            except Exception as error:
                self.failure = error
                raise

    def _take_notes(self) -> None:
        with suppress(Empty):
            while True:
                self.notes.get(False)()

    def _take_events(self) -> None:
        if self.pool.due() == 0.0 or not self._stopping:
            for event in self.pool.events():
                self._route(event)
        self._turns.look()

    def _route(self, event: Event) -> None:
        if isinstance(event, StartFailed):
            self.failure = self.failure or event.error
        elif not self._turns.route(event, self._owners) and isinstance(event, SideOutput):
            self.log_forwarder.hear(event)

    # ------------------------------------------------------------------ the end

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error

    def _end(self) -> None:
        with self.lock:
            said: Sequence[SideOutput] = ()
            with suppress(Exception):
                said = self.pool.kill() if self._killed else self.pool.stop()
            self.ended = self.closing = True
            last = [event._replace(program=None, place=None) for event in said]
            self.log_forwarder.close(last)
            error = self.failure or _shut_down()
            for tenant in list(self._tenants):
                tenant.on_failed(error)
            self._take_notes()
            self._tell_settled()
            for call in self.on_end:
                call()


def _shut_down() -> Exception:
    return WorkerStartError("the executor was shut down while this map ran on its workers")


def _nothing() -> None:
    """Only wakes the hub."""
