"""Piper: a Worker at its place in a pipeline, evaluated here or by an IMap. Knows nothing of the graph.

A piper is a description that can be run by itself or by a Dagger, many times. All that belongs to one life (streams, task,
readers) is in a few attributes, which `_LIFE` names: they are let go together, and a copy of the piper has none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from numap import IMap, TaskIterator
from numap.interop import detach, keep_order
from papy._base.checks import check_flag, refused_as
from papy._base.errors import PiperError
from papy._base.external_programs import end_of
from papy._base.forks import FORKED, live
from papy._base.public import public
from papy._base.threads import Flag
from papy._piper.inboxes import checked_inbox, starts
from papy._piper.lifecycles import PIPER
from papy._piper.piper_options import PiperOptions
from papy._piper.wiring import Run, Wiring, start_imap, wire
from papy._streams.results import DaggerResults
from papy._streams.source import StreamSource
from papy._streams.streams import DeferredStream, branches, items_of

# What a copy of a piper doesn't have.
_LIFE: Final = frozenset(("_state", "_owned", "_finished", "_wiring", "_run", "_ups", "_readers", "_items", "_lent"))


@public
class Piper(PiperOptions):
    """A node of a pipeline: one call of its functions for each item of its inputs, in their order.

    A function takes an *inbox*: a list with one item for each upstream piper, or with the one item of the input data.
    Where it raises, a `PiperError` travels on in the item's place, also if what it raises is no Exception (SystemExit, for
    example). A KeyboardInterrupt in a linear piper is raised to the reader of the results. So is whatever a signal handler
    written in Python raises there, or on a serial IMap. If the reader goes on, the item is evaluated again.

    With ``produce=n`` each call has n results. With ``consume=n`` the inbox of a call is a list of n such lists. With
    ``spawn=n`` a piper between such pipers handles n items a round. What a piper gives, ``produce * spawn`` items a round,
    has to be what those behind it take, ``consume * spawn``. If its IMap has a ``stride`` s, then the first results of s
    calls come first, then their second results, and so on, and are collected in the same way; at the end there may be
    fewer calls.

    Pipers are compared by identity: two pipers with equal workers are two nodes, and so are a piper and its copy. A piper runs
    in a `Dagger`, or by itself: `connect` it to its inputs, `start` it, iterate over it, `stop` and `disconnect` it.

    Args:
        worker: A callable, a `Worker`, a list or tuple of these, or a piper, of which the worker is taken.
        parallel: The `numap.IMap` that evaluates the functions, shared with other pipers or not. An unordered one gives
            results as they come, but in order if results are paired anywhere in the Dagger: by a piper with several
            upstream pipers, or as there are several outputs. Or what makes a map of the piper's own: a number of workers, a type
            of workers (``"process"``, ``"thread"``, ``"serial"`` or an executor), or True. False: a linear piper, which is
            evaluated in the thread of the reader of its results, when they are read. None: as the Dagger says, or else linear.
        consume: How many items of each input go into one call.
        produce: How many results a call has: the function returns a sequence of so many.
        spawn: How many times the piper handles an item in a round.
        timeout: Seconds that the reader of a result waits for it; then there is a failure in its place. If the IMap has
            ``skip=False``, and nothing is paired by its place, the result follows later. For parallel pipers only; to end
            an item that takes too long is the IMap's ``task_timeout``.
        branch: Where the piper stands among its like, for example among several outputs: None, a number, a string, or
            anything that can be compared with the others.
        debug: The same as ``on_error="raise"``.
        name: Shown in errors; None: ``piper_`` and a number.
        track: Keep all results, in `tracked`.
        repeat: With ``produce=n`` the one result of a call, whatever it is, is given n times.
        unpack: Call the functions with the items of the inbox: ``f(item)`` with one upstream piper, ``f(a, b)`` with
            two. In this way plain functions are welcome.
        on_error: What is done with an item that failed here: ``"return"`` a `PiperError` in its place, ``"skip"`` it in the
            whole run, or ``"raise"`` the PiperError, which ends the run. None: as the Dagger says, or else ``"return"``.
        retries: How often an item is evaluated again after a function raised, its worker died, or it took longer than the
            IMap's ``task_timeout``: all together, so that with n it is evaluated n + 1 times at most. None: as the Dagger
            says, or else the IMap with its ``retries``, or else not.
        flatten: Each value in what the functions return, an iterable or a generator, is an item, in their order. A linear piper
            makes a value when it is asked for; a parallel one makes those of one call in the worker, and they travel together.
            What is raised between values is a failure behind those before it.
        batch: One call gets so many items, in the end perhaps fewer: ``f(items)`` with ``unpack=True``, else an inbox with one
            list for each upstream piper. Items that failed or were dropped pass by.
        batch_seconds: A batch is complete so many seconds after its first item, also if no other comes.
        batch_bytes: A batch has so many bytes at most, as `numap.sizeof` counts them, or one item.
        batch_key: A function of an item (of a list of them, with several upstream pipers), called where the input is read;
            neighbours for which it gives the same are a batch.
        route: What the functions return is the ``branch`` of the downstream pipers that get the item, as it was given; for the
            others it is dropped. What failed goes on to all of them.
        merge: A call gets one item of one of several upstream pipers, instead of one of each: in the order of their places,
            where these are the same places of the same input and each IMap is ordered, or else as they come. Then none of them
            waits for another; they may have different numbers of items.

    With ``flatten``, ``batch`` and ``merge`` the number of items behind the piper depends on the items. So these can't be paired
    with those of a piper that has another number of them; this is refused when they are connected.

    Raises:
        PiperError: If this is not what a piper can be made of.

    >>> from numap import IMap
    >>> from papy import Dagger
    >>> def total(inbox):
    ...     return sum(inbox)
    >>> pool = IMap(worker_type="serial")
    >>> root = Piper(abs, parallel=pool, unpack=True)
    >>> double = Piper(lambda x: 2 * x, parallel=pool, unpack=True, name="double")
    >>> double
    Piper('double', Worker(<lambda>), parallel)
    >>> dagger = Dagger(pipes=[(root, double, Piper(total))])
    >>> list(dagger.results([[1, -2, 3]]))
    [2, 4, 6]

    By itself:

    >>> both = Piper(lambda x: (x, -x), produce=2, unpack=True)
    >>> both.connect([[1, 2]]).start()
    >>> list(both)
    [1, -1, 2, -2]

    With other numbers of items:

    >>> words = Piper(str.split, unpack=True, flatten=True)
    >>> kind = Piper(lambda word: "number" if word.isdigit() else "text", unpack=True, route=True)
    >>> number, text = Piper(int, unpack=True, branch="number"), Piper(str.upper, unpack=True, branch="text")
    >>> pairs = Piper(list, unpack=True, merge=True, batch=2)
    >>> dagger = Dagger(pipes=[(words, kind, number, pairs), (kind, text, pairs)])
    >>> list(dagger.results([["one 2 3", "four 5"]]))
    [['ONE', 2], [3, 'FOUR'], [5]]
    """

    _state = "idle"
    _owned = False  # by a Dagger, which then leads its life
    _finished = False  # in the life before, if it has none now
    _wiring = Wiring()
    _run: Run | None = None
    _ups: tuple[Piper, ...] = ()
    _readers: tuple[DeferredStream, ...] = ()
    _items: Iterator[Any] | None = None

    # what it is ------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether it has inputs."""
        return self._state != "idle"

    @property
    def started(self) -> bool:
        """Whether it runs; it still does when it has given its last result, until it is stopped."""
        return self._current() in ("started", "finished")

    @property
    def finished(self) -> bool:
        """Whether it has given its last result; also when it was stopped and disconnected then, until it is connected again."""
        return self._current() == "finished" or (self._state in ("stopped", "idle") and self._finished)

    @property
    def inbox(self) -> tuple[Iterable[Any], ...]:
        """The streams that it reads; none, if it isn't connected."""
        return tuple(source.stream for source in self._wiring.sources)

    @property
    def outbox(self) -> Iterable[Any] | None:
        """The stream of its results; None, if it isn't connected."""
        return None if self._wiring.output is None else self._wiring.output.stream

    @property
    def imap_tasks(self) -> list[TaskIterator[Any]]:
        """The iterator of its task; none, if it isn't connected or is linear."""
        return [] if self._wiring.task is None else [self._wiring.task]

    @property
    def tracked(self) -> list[dict[int, Any]]:
        """With ``track=True`` the results of the last run by the index of their call: one dictionary for each spawn.

        With ``produce=n`` a result is what the call returned. A result is here when it has been computed, and stays
        until the piper is connected again.
        """
        return self._wiring.tracked(self.spawn)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a life of its own, which has not begun.
        return {name: value for name, value in vars(self).items() if name not in _LIFE}

    # its life by itself ----------------------------------------------------

    def connect(self, inbox: Sequence[Any]) -> Piper:
        """Take inputs; nothing is read yet. ``piper(inbox)`` is the same.

        Args:
            inbox: Pipers that are connected and not started, and any other iterables. The inbox of a call has one item of
                each, in this order.

        Returns:
            The piper.

        Raises:
            PiperError: If the piper is connected, or its IMap is running; if one of the inputs can't be read, or gives
                something else in a round than the piper takes.
        """
        state = self._allowed("connect")
        ups = checked_inbox(self.name, inbox)
        run = Run(len(ups) > 1 and not self.merge, started=Flag())
        sources = tuple(
            up._new_reader() if isinstance(up, Piper) else StreamSource(up, f"input {place} of {self.name}")
            for place, up in enumerate(ups)
        )
        wiring = wire(self, sources, run)
        for up, source in zip(ups, sources, strict=True):
            if isinstance(up, Piper):
                assert isinstance(source.stream, DeferredStream)
                up._readers = (*up._readers, source.stream)
                if len(ups) > 1 and not self.merge:
                    up._keep_order()
        self._wiring, self._run, self._state, self._finished = wiring, run, state, False
        self._ups = tuple(up for up in ups if isinstance(up, Piper))
        return self

    __call__ = connect

    def start(self, stages: Sequence[int] | None = None) -> None:
        """Start the IMap, if it has one; then the piper can be iterated over, or those that read it can be started.

        Args:
            stages: Not needed. PaPy's stages 0 and 1 start the piper, stage 2 alone has nothing left to do.

        Raises:
            PiperError: If the piper is not connected, or runs, or a piper that it reads has not been started.
            numap.WorkerStartError, numap.SerializationError: If its IMap can't be started.
        """
        if stages is not None and not starts(stages) and self.started:
            return
        state = self._allowed("start")
        for up in self._ups:
            if not up.started:
                raise PiperError(f"{self.name}: start is not possible before {up.name}, which it reads, is started")
        assert self._wiring.output is not None and self._run is not None
        self._run.enter()
        output, readers = self._wiring.output, self._readers
        items = None if readers else DaggerResults(items_of(output), False, self._run.report)
        for reader, branch in zip(readers, branches(output, len(readers)), strict=True):
            reader.read_from(items_of(branch))
        if self.imap is not None:
            if self.imap.statistics().state in ("idle", "stopped"):  # else that was done for another piper
                start_imap(self.imap, self.name)
            for reader in readers:  # its reader may be on the same IMap, which started before
                detach(reader, self.imap)
        self._items = items
        self._state = state
        live.add(self)
        self._run.started.set()

    def stop(self, forced: bool = False, ends: Sequence[int] | None = None) -> None:
        """End it and its IMap, and with it all pipers that share the IMap.

        Args:
            forced: Also when there may be results left, which are lost.
            ends: Tasks of the IMap whose items that were taken from the inputs are finished first; see `numap.IMap.stop`.

        Raises:
            PiperError: If the piper was not started, or has not finished and ``forced`` is False.
        """
        state = self._allowed("stop(forced=True)" if forced else "stop")
        if state == FORKED:
            return
        self._finished = self.finished
        if self.imap is not None:
            self.imap.stop(ends)
        end_of(self.worker.owners())
        if self._run is not None:
            self._run.report.over = True
            self._run.leave()
        self._items = None
        self._state = state

    def disconnect(self, forced: bool = False) -> None:
        """Let go of all inputs.

        Args:
            forced: Also remove the tasks that other pipers have on the same IMap.

        Raises:
            PiperError: If the piper is not connected, or has not been stopped, its IMap is running, or others were
                connected after it to the same IMap and ``forced`` is False: disconnect the last one first.
        """
        with refused_as(PiperError):
            check_flag("forced", forced)
        state = self._allowed("disconnect")
        task = self._wiring.task
        if task is not None and self.imap is not None:
            figures = self.imap.statistics()
            if figures.state == "running":
                raise PiperError(f"{self.name}: disconnect is not possible while its IMap is running; stop that first")
            # After a stop the IMap has no tasks any more.
            if self._state == "connected" and figures.tasks:
                if task.task != len(figures.tasks) - 1 and not forced:
                    raise PiperError(f"{self.name}: disconnect first what was connected after it to the same IMap")
                self.imap.pop_task(True if forced else 1)
        self._let_go(state)

    def __iter__(self) -> Iterator[Any]:
        """The piper itself: it has one stream of results."""
        return self

    def __next__(self) -> Any:
        """The next result, or the `PiperError` in its place.

        Raises:
            PiperError: If the piper has not been started, or other pipers read it; or an item failed where
                ``on_error="raise"``. Then the iteration can go on.
            DaggerError: If an input ended the run.
            numap.WorkerStartError: If the workers of an IMap can't be started.
        """
        items, run = self._items, self._run
        if items is None:
            self._allowed("next")
            raise PiperError(f"{self.name} can't be read: it feeds other pipers")
        # No call may stand between the item and the return; see `ResumableStream`.
        for item in items:
            return item
        if self._state != "finished" and run is not None and (run.report.closed or run.report.over):
            raise PiperError(f"{self.name} was stopped while its results were read")
        self._state = "finished"
        raise StopIteration

    def _allowed(self, call: str) -> str:
        """The state that a call leads to; PiperError if it is not allowed now."""
        if self._owned and call != "next":
            raise PiperError(f"{self.name}: {call} is not possible: it is in a running Dagger already")
        return PIPER.after(self._current(), call, self.name)

    def _current(self) -> str:
        if self._state == "started" and self._readers and all(reader.ended for reader in self._readers):
            self._state = "finished"  # those that read it are at its end
        return self._state

    def _new_reader(self) -> StreamSource:
        """What one more consumer reads."""
        output, run = self._wiring.output, self._run
        if self._owned or self._state != "connected" or output is None or run is None:
            where = "in a running Dagger" if self._owned else self._state
            raise PiperError(f"{self.name} can't be an input: it is {where}; connect to it before it is started")
        return output._replace(stream=DeferredStream(run.started))

    def after_fork(self) -> None:
        """In a child that the user forked: what it was doing goes on in the parent."""
        if self._state != "idle":
            self._state, self._items = FORKED, None

    def _keep_order(self) -> None:
        """What comes of this will be paired by place."""
        ahead, seen = [self], {self}
        for piper in ahead:
            if piper._wiring.task is not None:
                keep_order(piper._wiring.task)
            ahead += [up for up in piper._ups if up not in seen]
            seen.update(piper._ups)

    def _let_go(self, state: str) -> None:
        self._finished = self.finished
        if self._run is not None:
            self._run.started.set()  # a reader that waits for it finds nothing
        wiring = self._wiring._replace(sources=(), output=None, task=None)
        life = (wiring, None, (), (), None, False, None, state)
        # In one statement, without a call: an interrupt comes before it or after it.
        self._wiring, self._items, self._ups, self._readers, self._run, self._owned, self._lent, self._state = life

    # in a Dagger -----------------------------------------------------------

    def attach(self, sources: tuple[StreamSource, ...], run: Run, imap: IMap[Any] | None) -> StreamSource:
        """Become part of a run, for a Dagger, until `detach`, also if this fails; nothing is read yet.

        Args:
            sources: What it reads.
            run: The run.
            imap: What evaluates it there: its own map, or the Dagger's.

        Returns:
            What the piper puts out.

        Raises:
            PiperError: If the piper is connected already, its IMap is running, or its inputs don't fit.
        """
        # Before the streams are made: after an interrupt the run has to `detach` this piper, and only a run that has it.
        self._state, self._run, self._owned, self._finished = self._allowed("connect"), run, True, False
        self._lent = imap
        self._wiring = wire(self, sources, run)
        assert self._wiring.output is not None
        return self._wiring.output

    def run(self, items: Iterator[Any] | None) -> None:
        """All IMaps have been started; with items it is an output, and iterating over it gives these."""
        self._items = items
        self._state = PIPER.after(self._state, "start", self.name)

    def detach(self, run: Run) -> None:
        """This run is over, or has not come about; no effect if it is not ours."""
        if self._run is run:
            self._let_go("idle")
