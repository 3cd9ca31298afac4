"""Executor: workers that stay, for single calls and for maps, as its users see it."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as _Base
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ._base.checks import function, sequence, timeout_seconds, whole
from ._base.errors import SerializationError, StateError
from ._base.habits import MAP_HABITS, checked
from ._base.options import Options
from ._base.public import public
from ._base.task_spec import TaskSpec
from ._executor.calls import Calls
from ._executor.completion import Completion
from ._executor.functions import Functions
from ._executor.futures import Asking, Call
from ._executor.hub import Hub
from ._items.call import Each
from ._life import _prepare, inside_worker

if TYPE_CHECKING:
    from ._executor.pool import Pool

T = TypeVar("T")

#: Those whose calls are to be finished before the interpreter ends.
_unfinished: weakref.WeakSet[_Workers] = weakref.WeakSet()


class _Workers:
    """All that an executor consists of but the object that its users have, which may be dropped.

    Args:
        options: like those of a map.
        name: to show.
    """

    def __init__(self, options: Options, name: str) -> None:
        self.hub = hub = Hub(partial(_pool, options, name), name)
        self.completion = completion = Completion()
        self.calls = calls = Calls(hub, completion, options.retries)
        hub.join(calls)
        hub.on_end.append(completion.end)
        self.functions = Functions(hub.pool, self._number, self._retire, options.task_timeout, options.retries > 0)
        self.asking = Asking(hub.tell, calls.cancel, completion.is_here, self._in_hub)
        try:
            completion.start()
            hub.start()
        except BaseException:
            # Interrupted between the two, perhaps.
            hub.close(stop=True)
            completion.end()
            raise
        _unfinished.add(self)

    def _in_hub(self) -> bool:
        return threading.current_thread() is self.hub.thread or self.hub.lock.is_here()

    def _number(self) -> int:
        return self.hub.number_for(self.calls)

    def _retire(self, program: int) -> None:
        self.hub.tell(partial(self.calls.retire, program))

    def submit(self, func: Any, label: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """A call begins as soon as a worker has room for it."""
        try:
            ready = self.functions.find(func, label)
            call = Call(ready.made, ready.program, label, self.functions.entry(ready, func, args, kwargs))
        except SerializationError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed
        call.belongs_to(self.asking, self.hub.pool.has_begun, self.completion.help)
        self.hub.tell(partial(self.calls.add, call))
        return call

    def finish(self) -> None:
        """At the end of the interpreter: takes no calls any more, and waits for those that there are."""
        done: SimpleQueue[None] = SimpleQueue()
        self.hub.exiting = True
        self.hub.tell(partial(self.hub.settled.append, done))
        done.get()
        self.completion.settle_all()

    def shut_down(self, wait: bool, cancel: bool, end: Callable[[], None]) -> None:
        """Takes nothing new, and ends when what it has is done."""
        hub = self.hub
        if hub.pid != os.getpid():
            return
        if cancel:
            hub.tell(self.calls.cancel_all)
        end()
        if wait and threading.current_thread() not in (hub.thread, self.completion.thread):
            hub.thread.join()
            self.completion.settle()
            hub.log_forwarder.settle()


class _Whole(_Base):
    """The executor as the worker type of one map that is finished even if nobody asks for its results."""

    def __init__(self, workers: _Workers, options: Options) -> None:
        self.hub = workers.hub
        self.whole = self
        self.task_timeout = options.task_timeout
        self._max_workers = options.workers
        self.__numap_workers = options.kind
        #: Kept until it has ended.
        self.imap: Any = None

    @property
    def __numap_workers__(self) -> str:
        return self.__numap_workers

    def let_go(self) -> None:
        """The map has ended."""
        self.imap = None


@public
class Executor(_Base):
    """A `concurrent.futures.Executor` whose workers stay: for calls, and for maps that are made with ``worker_type=executor``.

    Workers come when there is something to do, and keep what the initializer and functions have made in them: globals, models,
    connections. A worker that dies costs the call that it was running, whose future raises `WorkerDied`; a new one
    takes its place, and the executor is none the worse. Functions may live anywhere, as those of `IMap`; one that was defined again
    runs in its new form. At the end of the interpreter the calls that were submitted are finished.

    Args:
        worker_num: number of workers at most; None: the CPUs that this process may use (threads: 4 more, 32 at most).
        worker_type: ``"process"`` or ``"thread"``.
        max_workers: another name of ``worker_num``.
        start_method: see `IMap`, like those that follow.
        initializer: called once in each worker, with ``initargs``.
        initargs: arguments of the initializer.
        finalizer: called once, without arguments, in each worker that was initialised, at every orderly end.
        preload: modules that a process imports once, of which all workers are forked.
        max_items_per_worker: a worker is replaced after so many calls and items.
        max_tasks_per_child: another name of it.
        task_timeout: seconds that one call may run, and an item of a map that says nothing else; a process over it is killed and
            replaced, and the future raises `TaskTimeout`.
        retries: how often a call is run again after it raised, its worker died or it ran too long. A map has its own.
        name: shown in messages.

    Raises:
        TypeError, ValueError: an argument is not allowed; the message names it.

    >>> with Executor(2, worker_type="thread") as executor:
    ...     executor.submit(pow, 7, 2).result()
    49
    """

    @checked("Executor", MAP_HABITS)
    def __init__(
        self,
        worker_num: int | None = None,
        worker_type: str = "process",
        *,
        max_workers: int | None = None,
        start_method: str | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        finalizer: Callable[..., Any] | None = None,
        preload: Iterable[str] = (),
        max_items_per_worker: int | None = None,
        max_tasks_per_child: int | None = None,
        task_timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
    ) -> None:
        worker_num = _either("worker_num", worker_num, "max_workers", max_workers)
        room = _either("max_items_per_worker", max_items_per_worker, "max_tasks_per_child", max_tasks_per_child)
        if worker_type not in ("process", "thread"):
            raise ValueError(f"worker_type: {worker_type!r} given; allowed: 'process', 'thread'")
        if worker_num is None and worker_type == "process" and inside_worker():
            worker_num = 1
        if worker_type == "process" and inside_worker(loading=True):
            raise StateError("Executor: not allowed while a worker imports or unpickles code; make it in a function")
        self._options = Options(
            worker_type=worker_type,
            worker_num=worker_num,
            start_method=start_method,
            initializer=initializer,
            initargs=sequence("initargs", initargs),
            finalizer=finalizer,
            preload=sequence("preload", preload, "names of modules"),
            max_items_per_worker=room,
            task_timeout=task_timeout,
            retries=retries,
            name=name,
        )
        self.name = name if name is not None else f"executor_{id(self):x}"
        self._max_workers = self._options.workers
        _finish_at_exit()
        _prepare(self._options)
        self._workers = _Workers(self._options, self.name)
        # When it is dropped, as when it is shut down without waiting; at the end of the interpreter there is another way.
        weakref.finalize(self, self._workers.hub.close).atexit = False

    # ------------------------------------------------------------------ for maps

    #: Its maps end when they are dropped.
    whole = None

    @property
    def __numap_workers__(self) -> str:
        return self._options.kind

    @property
    def hub(self) -> Hub:
        """For the engine of a map."""
        return self._workers.hub

    @property
    def task_timeout(self) -> float | None:
        """Seconds that one call, or an item of a map that says nothing else, may run; None: no limit."""
        return self._options.task_timeout

    # ------------------------------------------------------------------ calls

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Has ``fn(*args, **kwargs)`` called in a worker, and returns the future of that.

        The future can be cancelled as long as the call has not begun in its worker, and `Future.running` tells whether it has. It
        raises what the call raised, with the remote traceback as cause; `WorkerDied`, `TaskTimeout`, or a `SerializationError`
        where function, arguments or result can't be sent.

        Raises:
            StateError: the executor was shut down, or belongs to another process. It is a RuntimeError, too.
            TypeError: ``fn`` can't be called.
            WorkerStartError: the initializer has failed, or no worker could be started. It is a BrokenExecutor, too.
        """
        self._workers.hub.check("submit")
        function("fn", fn)
        return self._workers.submit(fn, TaskSpec(fn, (), (), {}).label, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """``map(fn, *iterables)`` on the workers, in order; the first error of an item ends it.

        The inputs are read at once, and all is done even if nothing asks for the results; with a ``buffersize`` as few items are
        taken ahead of the results. Items travel in batches by themselves.

        Args:
            fn: called with an item of each input.
            iterables: the inputs; the shortest ends the map.
            timeout: seconds from now on within which the results must come; None: without limit.
            chunksize: at least 1; the size of batches follows from what items take.
            buffersize: items taken and not yet given as results at most; None: all of them.

        Raises:
            StateError: the executor was shut down, or belongs to another process.
            TimeoutError: by the iterator, for a result that did not come in time.
        """
        self._workers.hub.check("map")
        function("fn", fn)
        timeout_seconds("timeout", timeout)
        whole("chunksize", chunksize, 1)
        whole("buffersize", buffersize, 1, "no limit", index=True)
        # Of one input the items go as they are: many of them share a pickle, which tuples can't.
        items: Any = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=False)
        until = None if timeout is None else monotonic() + timeout
        if buffersize is None:
            items = list(items)
            if not items:
                return iter(())
        func: Any = fn if len(iterables) == 1 else Each(fn, TaskSpec(fn, (), (), {}).label)
        return _results(self._start_map(func, items, buffersize), until)

    def _start_map(self, fn: Any, items: Any, buffersize: int | None) -> Any:
        from ._imap import IMap

        options: dict[str, Any] = {"retries": self._options.retries, "name": self.name}
        if buffersize is not None:
            return IMap(fn, items, worker_type=self, buffer=buffersize, **options)
        kept = _Whole(self._workers, self._options)
        # So much room that the end of the input is found though no result leaves.
        room = 2 * len(items) + 8
        made = IMap(fn, items, worker_type=kept, buffer=room, buffer_bytes=_NO_LIMIT, **options)
        kept.imap = made
        if made.statistics().state != "running":
            kept.let_go()
        return made

    # ------------------------------------------------------------------ the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes nothing new, and ends the workers when the calls that it has are done.

        A map that was made with this executor as its ``worker_type``, and still runs, ends with a WorkerStartError.

        Args:
            wait: return when that is over.
            cancel_futures: cancel the calls that have not begun.
        """
        self._workers.shut_down(wait, cancel_futures, self._workers.hub.close)

    def terminate_workers(self) -> None:
        """Ends the workers whatever they are at, with their finalizers; calls that have not begun are cancelled."""
        self._workers.shut_down(True, True, partial(self._workers.hub.close, stop=True))

    def kill_workers(self) -> None:
        """Kills the workers whatever they are at; calls that have not begun are cancelled."""
        self._workers.shut_down(True, True, partial(self._workers.hub.close, kill=True))

    def __repr__(self) -> str:
        kind = self._options.type_name
        return (
            f"<Executor {self.name}: {self._options.workers} {kind} worker{'s' * (self._options.workers != 1)} at most>"
        )

    def __reduce__(self) -> Any:
        raise TypeError("an Executor can't be pickled: it belongs to the process that made it")


#: Bytes of results that may wait for one that never asks.
_NO_LIMIT = 1 << 60


def _results(imap: Any, until: float | None) -> Iterator[Any]:
    """The results of a map, up to the first error."""
    try:
        if until is None:
            yield from imap
            return
        while True:
            try:
                yield imap.next(max(0.0, until - monotonic()))
            except StopIteration:
                return
    finally:
        imap.stop()


def _either(name: str, value: Any, other: str, alias: Any) -> Any:
    if value is not None and alias is not None:
        raise TypeError(f"{other}: given beside {name}, of which it is another name; give one of them")
    return alias if value is None else value


def _pool(options: Options, label: str) -> Pool:
    if options.worker_type == "thread":
        from ._executor.threads import ThreadPool

        return ThreadPool(options, label)
    from ._executor.processes import ProcessPool

    return ProcessPool(options, label)


_registered = False


def _finish_at_exit() -> None:
    """Has calls finished at the end of the interpreter, before its threads stand still."""
    global _registered
    if not _registered:
        register: Any = getattr(threading, "_register_atexit", None)
        if register is None:
            import atexit

            register = atexit.register
        register(_finish_all)
        _registered = True


def _finish_all() -> None:
    for workers in list(_unfinished):
        workers.finish()


if sys.platform != "win32":

    def _after_fork() -> None:
        _unfinished.clear()

    with suppress(AttributeError):
        os.register_at_fork(after_in_child=_after_fork)
