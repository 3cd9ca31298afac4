"""Piper: a Worker at its place in a pipeline, evaluated here or by an IMap. Knows nothing of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from numap import IMap, NumapError, TaskIterator
from papy._base.checks import check_flag, check_list, type_error, value_error
from papy._base.errors import PiperError, add_note
from papy._base.external_programs import end_of
from papy._base.forks import FORKED, live
from papy._base.interrupts import Flag
from papy._base.public import public
from papy._dagger.piper_options import Settings
from papy._dagger.wiring import Run, Wiring, keep_order, wire
from papy._streams.results import Results
from papy._streams.source import Source
from papy._streams.streams import DeferredStream, branches, items_of

__all__ = ["Piper"]

# The state, and a call that it allows, lead to the next state.
_MOVES: Final = {
    ("idle", "connect"): "connected",
    ("connected", "start"): "started",
    ("connected", "disconnect"): "idle",
    ("started", "next"): "started",
    ("started", "stop(forced=True)"): "stopped",
    ("finished", "next"): "finished",
    ("finished", "stop"): "stopped",
    ("finished", "stop(forced=True)"): "stopped",
    ("stopped", "disconnect"): "idle",
    (FORKED, "stop"): FORKED,
    (FORKED, "stop(forced=True)"): FORKED,
}

_ADVICE: Final = {
    ("idle", "start"): "connect it to its inputs first",
    ("idle", "next"): "connect and start it first, or start the Dagger that it is in",
    ("connected", "next"): "start it first",
    ("started", "stop"): "read it to its end, or use stop(forced=True)",
    ("started", "disconnect"): "stop it first",
    ("finished", "disconnect"): "stop it first",
    ("stopped", "connect"): "disconnect it first",
    ("stopped", "next"): "its results are gone",
}

_LIFE: Final = frozenset(("_state", "_owned", "_finished", "_wiring", "_run", "_ups", "_taps", "_items"))


@public
class Piper(Settings):
    """A node of a pipeline: one call of its functions for each item of its inputs, in their order.

    A function takes an *inbox*: a list with one item for each upstream piper, or with the one item of the input data.
    Where it raises a `PiperError` travels on in the item's place, also if it is no Exception (SystemExit, for example). Only a
    KeyboardInterrupt in a linear piper, and what a signal handler written in Python raises there or on a serial IMap (an
    Exception, too), are for whoever takes the results; who goes on has the item evaluated again.

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
            upstream pipers, or as there are several outputs. None or False: a linear piper, which is evaluated in the
            thread of whoever takes its results, when they are taken.
        consume: How many items of each input go into one call.
        produce: How many results a call has: the function returns a sequence of so many.
        spawn: How many times the piper handles an item in a round.
        timeout: Seconds that whoever reads a result waits for it; then there is a failure in its place. If the IMap has
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
    """

    _state = "idle"
    _owned = False  # by a Dagger, which then leads its life
    _finished = False  # in the life before, if it has none now
    _wiring = Wiring()
    _run: Run | None = None
    _ups: tuple[Piper, ...] = ()
    _taps: tuple[DeferredStream, ...] = ()
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
            PiperError: If the piper is connected, its IMap is running, one of the inputs can't be read, or what one of
                them gives in a round is not what the piper takes.
        """
        state = self._allowed("connect")
        ups = _checked_inbox(self.name, inbox)
        run = Run(len(ups) > 1, started=Flag())
        taps = [up._tap() if isinstance(up, Piper) else None for up in ups]
        sources = tuple(
            Source(up, f"input {place} of {self.name}") if tap is None else tap
            for place, (up, tap) in enumerate(zip(ups, taps, strict=True))
        )
        wiring = wire(self, sources, run)
        for up, tap in zip(ups, taps, strict=True):
            if isinstance(up, Piper) and tap is not None:
                assert isinstance(tap.stream, DeferredStream)
                up._taps = (*up._taps, tap.stream)
                if len(ups) > 1:
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
        if stages is not None:
            stages = list(check_list("stages", "a list of numbers or None", stages, PiperError))
        if stages is not None and 0 not in stages and 1 not in stages and self.started:
            return
        state = self._allowed("start")
        for up in self._ups:
            if not up.started:
                raise PiperError(f"{self.name}: start is not possible before {up.name}, which it reads, is started")
        assert self._wiring.output is not None and self._run is not None
        self._run.enter()
        items = items_of(self._wiring.output)
        if self._taps:
            for tap, branch in zip(self._taps, branches(self._wiring.output, len(self._taps)), strict=True):
                tap.items = items_of(branch)
        else:
            self._items = Results(items, False, self._run.report)
        if self.imap is not None:
            self._start_imap(self.imap)
            for tap in self._taps:  # its reader may be on the same IMap, which started before
                tap.__numap_detach__(self.imap)
        self._state = state
        live.add(self)
        self._run.started.set()

    def _start_imap(self, imap: IMap[Any]) -> None:
        """Start it, unless that was done for another piper; it may have come to its end meanwhile."""
        if imap.statistics().state not in ("idle", "stopped"):
            return
        try:
            imap.start()
        except BaseException as error:
            self._items = None
            if isinstance(error, NumapError):
                add_note(error, f"on the IMap of {self.name}")
            raise

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
        check_flag("forced", forced, PiperError)
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
        # No call may stand between the item and the return; see Steady.
        for item in items:
            return item
        if self._state != "finished" and run is not None and (run.report.shut or run.report.over):
            raise PiperError(f"{self.name} was stopped while its results were read")
        self._state = "finished"
        raise StopIteration

    def _allowed(self, call: str) -> str:
        """The state that a call leads to; PiperError if it is not allowed now."""
        if self._owned and call != "next":
            raise PiperError(f"{self.name}: {call} is not possible: it is in a running Dagger already")
        return _move(self.name, self._current(), call)

    def _current(self) -> str:
        if self._state == "started" and self._taps and all(tap.ended for tap in self._taps):
            self._state = "finished"  # those that read it are at its end
        return self._state

    def _tap(self) -> Source:
        """What one more consumer reads, who will be connected."""
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
            self._run.started.set()  # who waits for it finds nothing
        wiring = self._wiring._replace(sources=(), output=None, task=None)
        # In one statement, without a call: an interrupt comes before it or after it.
        self._wiring, self._items, self._ups, self._taps, self._run, self._owned, self._state = (
            wiring,
            None,
            (),
            (),
            None,
            False,
            state,
        )

    # in a Dagger -----------------------------------------------------------

    def attach(self, sources: tuple[Source, ...], run: Run) -> Source:
        """Become part of a run, for a Dagger, until `detach`, also if this fails; nothing is read yet.

        Returns:
            What the piper puts out.

        Raises:
            PiperError: If the piper is connected already, its IMap is running, or its inputs don't fit.
        """
        # Before the streams are made: who is interrupted meanwhile has to `detach` us, and nobody whose piper this is not.
        self._state, self._run, self._owned, self._finished = self._allowed("connect"), run, True, False
        self._wiring = wire(self, sources, run)
        assert self._wiring.output is not None
        return self._wiring.output

    def run(self, items: Iterator[Any] | None) -> None:
        """All IMaps have been started; with items it is an output, and iterating over it gives these."""
        self._items = items
        self._state = _move(self.name, self._state, "start")

    def detach(self, run: Run) -> None:
        """This run is over, or has not come about; no effect if it is not ours."""
        if self._run is run:
            self._let_go("idle")


def _move(name: str, state: str, call: str) -> str:
    """The state that a call leads to."""
    if (state, call) not in _MOVES:
        advice = _ADVICE.get((state, call))
        raise PiperError(f"{name}: {call} is not possible while it is {state}" + (f"; {advice}" if advice else ""))
    return _MOVES[state, call]


def _checked_inbox(name: str, inbox: Sequence[Any]) -> list[Any]:
    if isinstance(inbox, (str, bytes, Piper)) or not hasattr(inbox, "__iter__"):
        raise type_error(PiperError, f"{name}: connect needs a list of inputs, got {inbox!r:.80}")
    ups = list(inbox)
    if not ups:
        raise value_error(PiperError, f"{name}: connect needs at least one input, got none")
    for place, up in enumerate(ups):
        if not hasattr(up, "__iter__") and not hasattr(up, "__getitem__"):
            raise type_error(PiperError, f"{name}: input {place} has to be a piper or an iterable, got {up!r:.80}")
    return ups
