"""A graph of pipers with a run: which calls its state allows, how a run begins, and how it ends.

A run has to end whatever happens while it begins, and an interrupt may come between any two statements. So what begins a
run puts it into a list of its caller before anything happens, and the caller ends what is there. A run that ended is kept
for its figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any, ClassVar

from numap import IMap, StateError
from numap.interop import Drawn, picture
from papy._base.errors import DaggerError, PiperError
from papy._base.forks import FORKED, live
from papy._base.pictures import graph_picture, progress
from papy._dagger.background import BackgroundRunner
from papy._dagger.datas import data_sources
from papy._dagger.forgotten import ThreadedFinalizer
from papy._dagger.graph_run import GraphRun
from papy._dagger.piper_graph import PiperGraph
from papy._piper.lifecycles import DAGGER
from papy._piper.piper import Piper
from papy._piper.run_options import RunOptions
from papy._streams.source import StreamSource


def _nothing(failed: bool) -> None:
    """No caller waits for the end of the items."""


def _functions(piper: Piper) -> list[str]:
    """The names of its functions, where its own tells another."""
    return [piper.worker.name] if piper.worker.name != piper.name else []


class RunnableGraph(PiperGraph, Drawn):
    """The run of a `papy.Dagger`; see there."""

    _states: ClassVar = DAGGER
    _error: ClassVar[type[Exception]] = DaggerError

    def __init__(
        self,
        pipers: Iterable[Any],
        pipes: Iterable[Any],
        xtras: Iterable[dict[str, Any]] | None,
        options: RunOptions,
        imap: IMap[Any] | None,
    ) -> None:
        self.parallel = imap
        self.on_error = options.on_error
        self.retries = options.retries
        self.max_failures = options.max_failures
        self._state = "idle"
        self._moving = RLock()  # for as long as a call leads from one state to another
        self._run: GraphRun | None = None
        self._finalizer: ThreadedFinalizer | None = None
        self._datas: dict[Piper, StreamSource] | None = None
        super().__init__(pipers, pipes, xtras)
        live.add(self)

    def after_fork(self) -> None:
        """In a child that the user forked: a run goes on in the parent, and this is no handle for it."""
        self._moving = RLock()
        if self._state != "idle":
            self._state = FORKED
            if self._run is not None:
                self._run.after_fork()

    def __reduce__(self) -> Any:
        kind = type(self).__name__
        raise TypeError(
            f"a {kind} can't be pickled or copied: it runs where it was made; give its pipers to another {kind}"
        )

    @property
    def dead_letters(self) -> list[PiperError]:
        """The failures that came out of the current or the last run, each as it happened; the last 1,000."""
        return [] if self._run is None else list(self._run.report.dead_letters)

    def _picture(self) -> picture.Picture:
        pipers = self.postorder()
        figures = None if self._run is None else self._run.statistics(0.0)
        nodes = []
        for piper in pipers:
            lines = [piper.name, *_functions(piper)]
            imap = piper.imap_in(self.parallel)
            if imap is not None:
                lines.append(f"on {imap.name}")
            if figures is not None and piper in figures.items:
                lines += progress(figures.items[piper], figures.failures[piper])
            nodes.append(picture.Node(lines, "serial" if imap is None else "parallel"))
        place = {piper: at for at, piper in enumerate(pipers)}
        return graph_picture(repr(self), nodes, [[place[up] for up in self.inbox_order(piper)] for piper in pipers])

    # how it begins ---------------------------------------------------------

    def _made_run(
        self, datas: Iterable[Iterable[Any]] | None, options: RunOptions, stoppable: bool, call: str
    ) -> GraphRun:
        """A run that is to be connected."""
        if not self:
            raise DaggerError("there are no pipers to start")
        if datas is None and self._datas is not None:
            sources = self._datas
            if list(sources) != self.get_inputs():
                raise DaggerError("the inputs are others than those that were given their data; give the datas again")
        else:
            sources = data_sources(self.get_inputs(), () if datas is None else datas, call, stoppable)
        return GraphRun(
            self, sources, options.over(RunOptions(self.on_error, self.retries, self.max_failures)), self.parallel
        )

    def _take(self, run: GraphRun, state: str) -> None:
        """Connect a run, and have it as ours."""
        run.connect()
        self._run, self._datas, self._state = run, None, state

    def _begin(
        self, call: str, begun: list[GraphRun], datas: Iterable[Iterable[Any]] | None, options: RunOptions
    ) -> None:
        """Connect and start a run, which is in the list before anything happens: the caller has to `_end` what is there."""
        with self._moving:
            state = self._allowed(call)
            if self._state == "connected":
                if datas is not None or options:
                    raise self._error(f"{self._text} is connected: start it without arguments, or disconnect it first")
                assert self._run is not None
                begun.append(self._run)
            else:
                # Inputs that can be closed cost time; a run in one go is never stopped but by its reader.
                begun.append(self._made_run(datas, options, call == "start", call.partition("(")[0]))
                self._take(begun[0], "connected")
            begun[0].start()
            self._state = state

    # how it ends -----------------------------------------------------------

    def _end(self, begun: list[GraphRun]) -> None:
        """Stop this run, if there is one, and not one that was started since."""
        for run in begun:
            if self._run is run:
                self.stop(0)
            else:  # it was interrupted before it was ours
                run.close()

    def stop(self, timeout: float | None) -> None:
        """Stop everything."""
        raise NotImplementedError

    def _runner_of(self, run: GraphRun) -> BackgroundRunner:
        """What pulls the rest of a run."""
        return BackgroundRunner(run.rest(), _nothing)

    def _close(self) -> None:
        """Stop everything at once."""
        if self._finalizer is not None:
            self._finalizer.release()
            self._finalizer = None
        if self._run is not None:
            self._run.close()

    def _to_raise(self, error: Exception, begun: list[GraphRun]) -> Exception:
        """What a reader of results gets for an error that has ended them."""
        if isinstance(error, StateError):  # of an IMap that was stopped while we waited for it
            return self._stopped() if begun and begun[0].report.over else error
        return error.with_traceback(None)  # without the frames of ours in which it was found

    def _stopped(self) -> Exception:
        what = f"is {FORKED}" if self._state == FORKED else "was stopped while its results were read"
        return self._error(f"{self._text} {what}")

    # what its state allows -------------------------------------------------

    def _changing(self, call: str) -> None:
        self._allowed("change", call)

    def _allowed(self, move: str, call: str | None = None) -> str:
        """The state that a move leads to; an error if it is not allowed now, which names the call, if it is another."""
        return self._states.after(self._current(), move, self._text, call)

    def _current(self) -> str:
        return self._state

    @property
    def _text(self) -> str:
        return f"the {type(self).__name__}"
