"""IMap, the parallel map: the one file that knows both the pure decisions and the engines."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ._base.checks import flag, sequence, shown, timeout_seconds
from ._base.errors import StateError, TooManyFailures, WorkerStartError
from ._base.habits import MAP_HABITS, NEXT_HABITS, TASK_HABITS, checked
from ._base.lifecycle import FAILED, FINISHED, IDLE, STOPPED, move
from ._base.options import Options
from ._base.public import public
from ._base.statistics import Statistics, TaskStatistics
from ._base.task_spec import TaskSpec, task_spec
from ._results.reader import Reader
from ._results.stream import least, length_of
from ._runtime.sources import check_free
from ._system.processes import fill_standard_streams
from ._task import TaskIterator, iterator, remaining
from ._task_inputs import check_input, check_members, check_unread, detach_all, members_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ._results.output_queue import OutputQueue
    from ._results.tracking import Track

T = TypeVar("T")


def _share(imap: IMap[Any], maps: int) -> None:
    """The map is one of so many that share the room of one, if its ``buffer_bytes`` is automatic; before it starts."""
    imap._options = imap._options._replace(sharing=maps)


@public
class IMap(Reader[T]):
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
            stays yours.
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
        max_items_per_worker: a worker is replaced after so many items.
        task_timeout: seconds that one item may run, from when its function begins; a process over it is killed and replaced.
        retries: how often an item is run again after its function raised, its worker died or it ran too long.
        on_error: ``"raise"`` a failed item's error at its place (iteration can go on), ``"return"`` it as the result, or
            ``"skip"`` the item.
        max_failures: how many items may fail, after their retries; one more ends the map with a `TooManyFailures` behind the
            results before it. None: no limit.
        buffer_bytes: bytes of the items and results in flight at most, about, as `sizeof` tells them; the inputs share them. One
            item of each always has room. None: 64 MB, or what keeps all workers busy.

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
        max_items_per_worker: int | None = None,
        task_timeout: float | None = None,
        retries: int = 0,
        on_error: str = "raise",
        max_failures: int | None = None,
        buffer_bytes: int | None = None,
    ) -> None:
        if (func is None) != (iterable is None):
            missing, given = ("func", "iterable") if func is None else ("iterable", "func")
            raise ValueError(f"{missing}: missing; {given} was given, and they go together")
        if worker_num is None and worker_type == "process" and "numap._worker.loop" in sys.modules and _inside_worker():
            worker_num = 1
        self._options = Options(
            worker_type,
            worker_num,
            worker_remote,
            stride,
            buffer,
            ordered,
            skip,
            name,
            start_method,
            initializer,
            sequence("initargs", initargs),
            finalizer,
            max_items_per_worker,
            task_timeout,
            retries,
            on_error,
            max_failures,
            buffer_bytes,
        )
        self.name = name if name is not None else f"imap_{id(self):x}"
        self._state = IDLE
        self._specs: list[TaskSpec] = []
        #: For each task the tasks of this map that it reads.
        self._inputs: list[list[int]] = []
        #: For each task how many items it will have; None: nobody knows.
        self._lengths: list[int | None] = []
        #: What keeps the outcomes of tasks that were added with ``track``.
        self._tracks: dict[int, Track] = {}
        #: Tasks whose results come in order though the map is unordered, as they are joined by place.
        self._in_order: set[int] = set()
        #: While it starts: the tasks that the input of one is made of.
        self._streamed: list[int] = []
        self._manager: Any = None
        self._finalizer: Any = None
        #: The figures of the last run, once it was stopped.
        self._last: Statistics | None = None
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
        track: bool = False,
    ) -> TaskIterator[Any]:
        """Adds a task and returns the iterator of its results.

        Args:
            func: the function of one item.
            iterable: the input; another task of this map makes a chain: ``func`` gets the results of that task, and a
                failed item is not given to it.
            args: constant positional arguments after the item.
            kwargs: constant keyword arguments.
            timeout: seconds that a ``next`` on the iterator waits at most; None: without limit.
            block: False: ``next`` on the iterator never waits.
            track: keep every outcome, in `TaskIterator.tracked`, also where another task reads this one.

        Raises:
            StateError: the map is started.
            TypeError, ValueError: an argument is not allowed, or the iterator is the input of another task.
        """
        state = move(self._current(), "add_task")
        spec = task_spec(func, iterable, args, kwargs, timeout, block, track)
        check_input(self, len(self._specs), iterable)
        members = members_of(self, iterable)
        if members:
            check_members(members, self._inputs)
            # The iterator holds this map; to hold the iterator would be a circle.
            spec = spec._replace(iterable=())
        elif not isinstance(iterable, (list, tuple, range)):
            # Who is no iterable learns it here; an iterator gives itself, so nothing is pulled.
            items = iter(iterable)
            check_unread(items, self._specs)
            spec = spec._replace(iterable=items)
        self._state = state
        self._lengths.append(least([self._lengths[member] for member in members]) if members else length_of(iterable))
        self._specs.append(spec)
        self._inputs.append(members)
        found = iterator(self, len(self._specs) - 1, timeout, block)
        if track:
            from ._results.tracking import Track

            found._track = self._tracks[found.task] = Track()
        return found

    __call__ = add_task
    __numap_share__ = _share

    def pop_task(self, number: int | bool = 1) -> None:
        """Removes the last ``number`` tasks; True: all of them.

        Raises:
            StateError: the map is started.
        """
        self._state = move(self._current(), "pop_task")
        if isinstance(number, bool) or not isinstance(number, int):
            if number is not True:
                raise TypeError(f"number: must be a whole number of tasks or True, not {shown(number)}")
        elif number < 0:
            raise ValueError(f"number: {number} given; must be at least 0, or True for all tasks")
        count = len(self._specs) if number is True else int(number)
        if count > 0:
            del self._specs[-count:]
            del self._inputs[-count:]
            del self._lengths[-count:]
            self._tracks = {task: track for task, track in self._tracks.items() if task < len(self._specs)}

    def get_task(self, task: int = 0, timeout: float | None = None, block: bool = True) -> TaskIterator[Any]:
        """A further iterator over the results of a task, which it shares with the others.

        Raises:
            ValueError: there is no such task.
        """
        timeout_seconds("timeout", timeout)
        flag("block", block)
        self._check_task(task)
        found = iterator(self, task, timeout, block)
        found._track = self._tracks.get(task)
        return found

    def _check_task(self, task: int) -> None:
        if isinstance(task, bool) or not isinstance(task, int):
            raise TypeError(f"task: must be the index of a task, not {shown(task)}")
        if not 0 <= task < len(self._specs):
            raise ValueError(f"task: there is no task {task}; the map has {len(self._specs)}")

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Starts the workers; without effect on a map that runs.

        Raises:
            StateError: there is no task, or the map has ended and was not stopped.
            ValueError: the buffer is too small for these tasks, or another map reads the same iterator.
            SerializationError: a function can't be sent to a worker.
            WorkerStartError: no worker can be started.
        """
        state = move(self._current(), "start")
        if self._manager is not None:
            return
        if not self._specs:
            gone = "its tasks went with stop(), or at the end of its `with` block; make a new map, or add tasks again"
            raise StateError(
                f"start: the map has no task; {gone if self._state == STOPPED else 'call add_task() first'}"
            )
        if self._options.worker_type not in ("thread", "serial") and _inside_worker(loading=True):
            raise StateError("start: not allowed while a worker imports or unpickles code; start the map in a function")
        for spec in self._specs:
            check_free(spec.iterable)
        _prepare(self._options)
        from ._runtime.build import build

        in_order = [self._options.ordered or task in self._in_order for task in range(len(self._specs))]
        manager, sources = build(self._options, self._specs, self._inputs, in_order, self._tracks)
        # Before its threads start: an input that is made of other tasks of this map asks it for their results. And before
        # anybody else may stop it.
        self._finalizer = _when_dropped(self, manager.abandon)
        self._manager, self._state = manager, state
        manager.know_streams(detach_all(self, self._specs))
        # The inputs are the sources' from here on, and go with them.
        self._specs = [spec._replace(iterable=()) for spec in self._specs]
        try:
            manager.start(sources)
        except BaseException:
            manager.abandon()  # it may have been started just before an interrupt
            self._finalizer.detach()
            self._manager, self._state = None, STOPPED
            self._forget_tasks()
            raise
        self._outlet = manager.outlets.get(0)

    def _current(self) -> str:
        """The state, with what the manager knows."""
        if self._manager is not None:
            self._state = self._manager.state
        return self._state

    def stop(self, ends: Iterable[int] | None = None) -> None:
        """Ends the workers and forgets what was not taken; in any state, from any thread, any number of times.

        Args:
            ends: tasks whose items that were taken from the inputs are finished first, and their results discarded.
        """
        if ends is not None:
            ends = self._checked_ends(ends)
        manager = self._manager
        if manager is not None:
            if ends:
                _drain(self, ends)
            manager.stop()
            figures = manager.figures()
            self._last = _snapshot(figures, self._specs, self._options.workers, STOPPED, figures("in_flight"))
            self._finalizer.detach()
            self._state = STOPPED
            self._manager = None
        self._forget_tasks()

    def _forget_tasks(self) -> None:
        self._specs, self._inputs, self._lengths = [], [], []
        self._tracks = {}
        self._in_order = set()

    def close(self) -> None:
        """`stop`."""
        self.stop()

    def _checked_ends(self, ends: Iterable[int]) -> list[int]:
        found = _listed(ends)
        if self._manager is not None:
            for task in found:
                self._check_task(task)
        return found

    def __enter__(self) -> IMap[T]:
        self._start_unless_started()
        return self

    def _start_unless_started(self) -> None:
        # A map that began to run when it was made may have ended before its with block is entered.
        if self._current() not in (FINISHED, FAILED):
            self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ results

    async def __aenter__(self) -> IMap[T]:
        self._start_unless_started()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """`stop`, without holding up the event loop."""
        import asyncio

        await asyncio.to_thread(self.stop)

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
            return self._outlet_of(task).take(timeout, block)
        finally:
            del self  # whoever keeps an error must not keep the map; not sooner, as nobody else may hold it

    def _find_outlet(self) -> OutputQueue:
        return self._outlet_of(0)

    def _claim_order(self) -> None:
        self._deliver_in_order(0)

    def _deliver_in_order(self, task: int) -> None:
        if not self._options.ordered:
            if self._manager is not None:
                raise StateError(
                    "join: results of a started, unordered map have lost their places; join before start()"
                )
            self._in_order.add(task)

    def _outlet_of(self, task: int) -> OutputQueue:
        move(self._current(), "next")
        self._check_task(task)
        try:
            outlet: OutputQueue = self._manager.outlets[task]
        except KeyError:
            raise StateError(
                f"next: task {task} ({self._specs[task].label}) is read by another task; read the end of the chain"
            ) from None
        return outlet

    def __length_hint__(self) -> int:
        """How many results of task 0 are still to come, where that is known; see `TaskIterator.__length_hint__`."""
        return remaining(self, 0)

    # ------------------------------------------------------------------ looks

    @property
    def options(self) -> dict[str, Any]:
        """What the map was made with, by the names of the arguments; ``worker_num`` is set."""
        return {name: value for name, value in self._options._asdict().items() if name != "sharing"}

    def statistics(self) -> Statistics:
        """The map's figures at this moment."""
        manager, state, workers = self._manager, self._current(), self._options.workers
        if manager is None:
            if self._last is not None and not self._specs:
                return self._last
            tasks = tuple(TaskStatistics(spec.label, 0, 0, 0, 0, 0, 0) for spec in self._specs)
            return Statistics(state, workers, self._options.buffer or 0, 0, 0, 0, 0, 0, tasks)
        return _snapshot(manager.figures(), self._specs, workers, state)

    def __repr__(self) -> str:
        figures = self.statistics()
        options = self._options
        pending = figures.pulled - figures.yielded
        tail = f", {pending} pending" if self._manager is not None else ""
        return (
            f"<IMap {self.name}: {figures.state}, {options.workers} {options.type_name} "
            f"worker{'s' * (options.workers != 1)}, {len(self._specs)} task{'s' * (len(self._specs) != 1)}{tail}>"
        )

    def __reduce__(self) -> Any:
        raise TypeError("an IMap can't be pickled: it belongs to the process that made it")


def _drain(imap: IMap[Any], ends: list[int]) -> None:
    """Finishes what a map has taken for these tasks, and discards it."""
    imap._manager.drain()
    for task in ends:
        reader = imap.get_task(task)
        while True:
            try:
                reader._next_outcome()
            except (StopIteration, TooManyFailures):
                break


def _prepare(options: Options) -> None:
    """Has the starter of worker processes come up while the caller imports the rest."""
    if options.worker_type != "process":
        return
    fill_standard_streams()
    if options.start_method != "fork":
        from .engines.processes.starter_client import prepare

        # What can't be started now is reported when workers are asked for.
        with suppress(OSError, WorkerStartError):
            prepare()


def _when_dropped(imap: IMap[Any], call: Callable[[], None]) -> weakref.finalize[[], IMap[Any]]:
    """Calls when the map is dropped, but not at the end of the interpreter, which has a way of its own."""
    finalizer = weakref.finalize(imap, call)
    finalizer.atexit = False
    return finalizer


def _listed(ends: Iterable[int]) -> list[int]:
    if isinstance(ends, (str, bytes)) or not hasattr(type(ends), "__iter__"):
        raise TypeError(f"ends: must be a sequence of task indices or None, not {shown(ends)}")
    return list(ends)


def _snapshot(
    get: Callable[[str], Any], specs: list[TaskSpec], workers: int, state: str, discarded: int = 0
) -> Statistics:
    """The figures of a manager as the caller sees them."""
    tasks = tuple(
        TaskStatistics(
            spec.label,
            get("pulled")[n],
            get("done")[n],
            get("failed")[n],
            get("yielded").get(n, 0),
            get("waiting")[n],
            get("inside")[n],
        )
        for n, spec in enumerate(specs)
    )
    return Statistics(
        state,
        workers,
        get("bound"),
        sum(get("pulled")),
        sum(get("yielded").values()),
        sum(get("failed")),
        discarded,
        get("replaced"),
        tasks,
        get("bound_bytes"),
    )


def _inside_worker(loading: bool = False) -> bool:
    """Whether this process is a worker of ours (with ``loading``: one that imports or unpickles its caller's code)."""
    worker = sys.modules.get("numap._worker.loop")
    if worker is None:
        return False
    return bool(worker.loading if loading else worker.serving == os.getpid())


NuMap = IMap
