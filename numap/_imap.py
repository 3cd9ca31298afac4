"""IMap, the parallel map, as its users see it: arguments, tasks, life and results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._base.checks import flag, is_coroutine_function, sequence, timeout_seconds
from ._base.errors import StateError, TooManyFailures
from ._base.habits import MAP_HABITS, NEXT_HABITS, TASK_HABITS, checked
from ._base.lifecycle import FAILED, FINISHED
from ._base.option_table import OPTIONS
from ._base.options import Options, RetryOn
from ._base.public import public
from ._base.statistics import Statistics
from ._base.task_spec import task_spec
from ._draw.drawn import Drawn
from ._life import Life, WithBlock, inside_worker
from ._results.reader import Reader
from ._shown import described, pictured
from ._task import TaskIterator, iterator, remaining
from ._tasks import Tasks

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ._draw.picture import Picture
    from ._results.output_queue import OutputQueue

T = TypeVar("T")


@public
class IMap(Reader[T], WithBlock, Drawn):
    """A lazy map over worker processes or threads: bounded, ordered or not, one or several tasks on one pool.

    Every item that is taken from an input gives exactly one result or one error at its place. Nothing is taken before
    the start, and afterwards never more than the bound ahead of what was handed over. With ``func`` and ``iterable``
    the map has one task and starts at once; without, add tasks and `start` it. It stops when it is dropped, at the end of
    ``with``, by `stop`, and at the end of the interpreter.

    Args:
        func: the function of one item of the first task.
        iterable: its input; may be infinite, may block.
        args: constant positional arguments after the item.
        kwargs: constant keyword arguments.
        worker_type: ``"process"``, ``"thread"``, ``"serial"`` (in the caller's thread), or a `concurrent.futures.Executor`, which
            stays yours: on a `numap.Executor` the map runs as on workers of its own.
        worker_num: number of workers, 10,000 at most; None: the CPUs that this process may use (threads: 4 more, 32 at most).
        worker_remote: address of an engine that has one; None for all worker types here.
        stride: items of one task inside the workers at most, and per turn; None: automatic.
        buffer: items taken from the inputs and not yet handed over at most, all tasks together; None: automatic.
        ordered: the n-th result is that of the n-th item; else results come as they are ready.
        skip: a result that a ``next`` with a timeout did not get in time is given up; else it can still be had.
        name: shown in messages.
        start_method: of processes: ``"forkserver"`` (forks of a clean one of ours), ``"spawn"`` (fresh interpreters), ``"fork"``
            (of the caller), or None: the best safe one here.
        initializer: called once in each worker, with ``initargs``.
        initargs: arguments of the initializer.
        finalizer: called once, without arguments, in each worker that was initialised, at every orderly end. At the end of the map
            a worker has 1 s for the item it is in, finalizers have 2 s in all. What fails is a warning on the logger ``numap``.
        preload: modules that a process imports once, of which all workers are forked: ``("pandas",)``. Libraries that workers were
            seen to import are preloaded by themselves from then on; this asks for it before the first map, and for modules of the
            program, too. What they do when they are imported they do once, not in each worker.
        max_items_per_worker: a worker is replaced after so many items.
        task_timeout: seconds that one item may run, from when its function begins; a process over it is killed and replaced.
        retries: how often an item is run again after its function raised, its worker died or it ran too long.
        on_error: ``"raise"`` a failed item's error at its place (iteration can go on), ``"return"`` it as the result, or
            ``"skip"`` the item.
        max_failures: how many items may fail, after their retries; one more ends the map with a `TooManyFailures` behind the
            results before it. None: no limit.
        buffer_bytes: bytes of the items and results in flight at most, about, as `sizeof` tells them; the inputs share them. One
            item of each always has room. None: 64 MB, or what keeps all workers busy.
        backoff: seconds before an item is run again for the first time, twice as long each further time; others go on meanwhile.
        max_backoff: seconds that such a pause lasts at most.
        retry_on: the exceptions after which an item is run again: a class, a tuple of classes, or a function of the exception; also
            `WorkerDied` and `TaskTimeout`. None: after all.
        rate: items of each task that begin to run in a second, in all workers together; None: as many as can. One begins after the
            other; of more than 50 a second, some begin together.
        track: of each task every outcome is kept, in `TaskIterator.tracked`.
        progress: True or a title: show how far each task is, on the standard error stream: in a terminal by rich, if that is
            installed, in a notebook under the cell, else by a line every five seconds. Or a bar to be told: of tqdm (or
            whatever has ``update(n)``), or a ``rich.progress.Progress``.

    Raises:
        TypeError, ValueError: an argument is not allowed; the message names it.
        SerializationError: the function can't be sent to a worker.
        WorkerStartError: no worker can be started.

    >>> list(IMap(abs, [-1, 2, -3], worker_type="serial"))
    [1, 2, 3]

    Two tasks that share the workers, the second one chained to the first:

    >>> imap = IMap(worker_type="serial")
    >>> lengths = imap.add_task(len, ["a", "bcd"])
    >>> texts = imap.add_task(str, lengths)
    >>> with imap:
    ...     print(list(texts))
    ['1', '3']
    """

    @checked("IMap", MAP_HABITS, constants=3)
    def __init__(
        self,
        func: Callable[..., T] | None = None,
        iterable: Iterable[Any] | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        worker_type: str | Executor = "process",
        worker_num: int | None = None,
        worker_remote: object = None,
        stride: int | None = None,
        buffer: int | None = None,
        ordered: bool = True,
        skip: bool = False,
        name: str | None = None,
        *,
        start_method: str | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        finalizer: Callable[..., Any] | None = None,
        preload: Iterable[str] = (),
        max_items_per_worker: int | None = None,
        task_timeout: float | None = None,
        retries: int = 0,
        on_error: str = "raise",
        max_failures: int | None = None,
        buffer_bytes: int | None = None,
        backoff: float = 0.0,
        max_backoff: float = 60.0,
        retry_on: RetryOn = None,
        rate: float | None = None,
        track: bool = False,
        progress: object = None,
    ) -> None:
        _check_pair(func, iterable)
        if worker_num is None and worker_type == "process" and "numap._worker.loop" in sys.modules and inside_worker():
            worker_num = 1
        self._options = Options(
            worker_type=worker_type,
            worker_num=worker_num,
            worker_remote=worker_remote,
            stride=stride,
            buffer=buffer,
            ordered=ordered,
            skip=skip,
            name=name,
            start_method=start_method,
            initializer=initializer,
            initargs=sequence("initargs", initargs),
            finalizer=finalizer,
            preload=sequence("preload", preload, "names of modules"),
            max_items_per_worker=max_items_per_worker,
            task_timeout=task_timeout,
            retries=retries,
            on_error=on_error,
            max_failures=max_failures,
            buffer_bytes=buffer_bytes,
            backoff=backoff,
            max_backoff=max_backoff,
            retry_on=retry_on,
            rate=rate,
            track=track,
            progress=progress,
            asynchronous=worker_type == "thread" and is_coroutine_function(func),
        )
        self.name = name if name is not None else f"imap_{id(self):x}"
        self._tasks = Tasks(ordered)
        self._life = Life()
        if func is not None and iterable is not None:
            self.add_task(func, iterable, args=args, kwargs=kwargs)
            self.start()
        elif args is not None or kwargs is not None:
            raise ValueError("args, kwargs: given without func and iterable; give them to add_task")

    # ------------------------------------------------------------------ tasks

    @checked("add_task", TASK_HABITS, constants=3)
    def add_task(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        block: bool = True,
        track: bool | None = None,
        *,
        task_timeout: float | None = None,
        retries: int | None = None,
        backoff: float | None = None,
        max_backoff: float | None = None,
        retry_on: RetryOn = None,
        on_error: str | None = None,
        rate: float | None = None,
    ) -> TaskIterator[Any]:
        """Adds a task and returns the iterator of its results. What is None is as the map says.

        Args:
            func: the function of one item.
            iterable: the input; another task of this map makes a chain: ``func`` gets the results of that task, and a
                failed item is not given to it.
            args: constant positional arguments after the item.
            kwargs: constant keyword arguments.
            timeout: seconds that a ``next`` on the iterator waits at most; None: without limit.
            block: False: ``next`` on the iterator never waits.
            track: keep every outcome, in `TaskIterator.tracked`, also where another task reads this one.
            task_timeout: seconds that one item may run; for worker processes, and for coroutine functions in threads.
            retries: how often an item that failed in this task is run again.
            backoff: seconds before that.
            max_backoff: seconds that such a pause lasts at most.
            retry_on: the exceptions after which an item is run again.
            on_error: what becomes of an item that failed in this task, wherever its error comes out.
            rate: items that begin to run in a second, in all workers together.

        Raises:
            StateError: the map is started.
            TypeError, ValueError: an argument is not allowed, or the iterator is the input of another task.
        """
        state = self._life.after("add_task")
        own: list[Any] = [retries, backoff, max_backoff, retry_on, on_error, rate, task_timeout]
        spec = task_spec(func, iterable, args, kwargs, timeout, block, track, self._options, own)
        task = self._tasks.add(self, spec, self._options.track if track is None else track)
        self._life.state = state
        return self._iterator(task, timeout, block)

    def _iterator(self, task: int, timeout: float | None, block: bool) -> TaskIterator[Any]:
        found = iterator(self, task, timeout, block)
        found._track = self._tasks.tracks.get(task)
        return found

    __call__ = add_task

    def pop_task(self, number: int | bool = 1) -> None:
        """Removes the last ``number`` tasks; True: all of them.

        Raises:
            StateError: the map is started.
        """
        self._life.state = self._life.after("pop_task")
        self._tasks.pop(number)

    def get_task(self, task: int = 0, timeout: float | None = None, block: bool = True) -> TaskIterator[Any]:
        """A further iterator over the results of a task, which it shares with the others.

        Raises:
            ValueError: there is no such task.
        """
        timeout_seconds("timeout", timeout)
        flag("block", block)
        self._tasks.check(task)
        return self._iterator(task, timeout, block)

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Starts the workers; without effect on a map that runs.

        Raises:
            StateError: there is no task, or the map has ended and was not stopped.
            ValueError: the buffer is too small for these tasks, or another map reads the same iterator.
            SerializationError: a function can't be sent to a worker.
            WorkerStartError: no worker can be started.
        """
        manager = self._life.start(self, self._options, self._tasks)
        if manager is not None:
            self._output = manager.outputs.get(0)

    def stop(self, ends: Iterable[int] | None = None) -> None:
        """Ends the workers and forgets what was not taken; in any state, from any thread, any number of times.

        Args:
            ends: tasks whose items that were taken from the inputs are finished first, and their results discarded.
        """
        manager = self._life.manager
        tasks = [] if ends is None else self._tasks.checked_ends(ends, manager is not None)
        if manager is not None:
            if tasks:
                manager.drain()
                _discard(self, tasks)
            self._life.stop()
        self._tasks.forget()

    def close(self) -> None:
        """`stop`."""
        self.stop()

    def _start_unless_started(self) -> None:
        # A map that began to run when it was made may have ended before its with block is entered.
        if self._life.current() not in (FINISHED, FAILED):
            self.start()

    # ------------------------------------------------------------------ results

    @checked("next", NEXT_HABITS)
    def next(self, timeout: float | None = None, task: int = 0, block: bool = True) -> Any:
        """The next result of a task.

        Args:
            timeout: seconds to wait at most; None: without limit.
            task: index of the task.
            block: False: do not wait at all.

        Raises:
            StopIteration: the task has ended.
            NextTimeout: no result in time; it can still be had.
            StateError: the map is not started, or was stopped.
        """
        timeout_seconds("timeout", timeout)
        flag("block", block)
        try:
            return self._output_of(task).take(timeout, block)
        finally:
            # A caller that keeps an error must not keep the map; not sooner, as this may be the last that holds it.
            del self

    def _find_output(self) -> OutputQueue:
        return self._output_of(0)

    def _claim_order(self) -> None:
        self._deliver_in_order(0)

    def _deliver_in_order(self, task: int) -> None:
        self._tasks.deliver_in_order(task, self._life.manager is not None)

    def _output_of(self, task: int) -> OutputQueue:
        manager = self._life.run_for("next")
        self._tasks.check(task)
        try:
            return manager.outputs[task]
        except KeyError:
            raise _read_elsewhere(task, self._tasks.specs[task].label) from None

    def __length_hint__(self) -> int:
        """How many results of task 0 are still to come, where that is known; see `TaskIterator.__length_hint__`."""
        return remaining(self, 0)

    # ------------------------------------------------------------------ looks

    @property
    def options(self) -> dict[str, Any]:
        """What the map was made with, by the names of the arguments; ``worker_num`` is set."""
        return {name: value for name, value in self._options._asdict().items() if name in OPTIONS}

    def statistics(self) -> Statistics:
        """The map's figures at this moment."""
        return self._life.statistics(self._options, self._tasks)

    def __repr__(self) -> str:
        return described(self)

    def _picture(self) -> Picture:
        return pictured(self)

    def __reduce__(self) -> Any:
        raise TypeError("an IMap can't be pickled: it belongs to the process that made it")


def _discard(imap: IMap[Any], tasks: list[int]) -> None:
    """Takes the outcomes of these tasks to their end."""
    for task in tasks:
        reader = imap.get_task(task)
        while True:
            try:
                reader._next_outcome()
            except (StopIteration, TooManyFailures):
                break


def _read_elsewhere(task: int, label: str) -> StateError:
    return StateError(f"next: task {task} ({label}) is read by another task; read the end of the chain")


def _check_pair(func: object, iterable: object) -> None:
    if (func is None) != (iterable is None):
        missing, given = ("func", "iterable") if func is None else ("iterable", "func")
        raise ValueError(f"{missing}: missing; {given} was given, and they go together")


NuMap = IMap
