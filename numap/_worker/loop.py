"""The loop in a worker process. It knows jobs, items and its caller's socket; nothing of tasks, order or bounds."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from time import monotonic_ns
from time import perf_counter as clock
from typing import TYPE_CHECKING, Any

from .._environment.process_state import adopt
from .._items.call import bound
from .._items.exceptions import trace_of
from .._items.failures import Failure, unpickle_failure
from .._items.finalizers import BEGUN, DONE, OWED, RUNS
from .._items.portable import portable
from .._items.segments import FAILED, LONG, PACKED, SHARED, Segment, encode_item, is_lent, item_of
from .._items.side_output import forward_warnings
from .._modules.main_import import MainImporter
from .._modules.owners import Everything
from .._serialize.pickler import CodePickler
from .._system.forked_items import end_fork, flush_streams
from .._system.thread_signals import Nudge
from .._transport.channel import Channel
from .._transport.outbox import Outbox
from .._transport.progress_page import CLOCK, EPOCH, FINALIZER, INITIALIZING, STAGE, STARTED, ProgressPage
from .._transport.shared_memory import SharedMemoryFile
from .._transport.shared_objects import BorrowedBuffers, ObjectWriter, incoming
from .fused_calls import NotFusable, fused
from .results import Results

if TYPE_CHECKING:
    from .log_capture import LogCapture

#: Results stay in the worker for so many seconds at most while it goes on with other items.
FLUSH_AFTER = 0.010
#: Short items between two looks at the clock at most, and the seconds for all of them that count as short.
_STEP = 32
_SHORT = 50e-6

_SMALL = frozenset((int, float, bool, type(None)))

#: The process that serves as a worker, if this is one.
serving = 0
#: True while this process imports or unpickles the caller's code: no map may start then.
loading = False


class Worker:
    """A worker process: takes jobs from its channel until it is told to end, or is killed."""

    def __init__(self, channel: Channel, page: ProgressPage, nudge: Nudge, memory: int | None) -> None:
        self._channel = channel
        self._outbox = Outbox(channel)
        self._words = page.words
        self._memory = memory
        self._arena: SharedMemoryFile | None = None
        self._encode = CodePickler(Everything()).encode
        self._calls: list[Callable[[Any], Any]] = []
        self._fusions: dict[tuple[int, ...], Callable[[Any], Any]] = {}
        self._results = Results(self._outbox, nudge)
        self._last_stage = 0
        self._clocked = False
        self._copies = False
        self._linger, self._step = FLUSH_AFTER, _STEP
        self._finalizer: Any = None

    # ------------------------------------------------------------------ life

    def run(self) -> None:
        """Serves until the stop message, or the end of the channel."""
        for message in self._messages():
            kind = message[0]
            if kind == "job":
                self._job(*message[1:])
            elif kind == "mirror":
                self._image.update(message[1])
            elif kind == "setup":
                if not self._setup(message[1]):
                    return
            else:
                self._end()
                return

    def _messages(self) -> Iterator[Any]:
        while not self._channel.ended:
            yield from self._channel.receive()

    def _setup(self, setup: dict[str, Any]) -> bool:
        global loading
        stage = "set up"
        try:
            adopt(setup["environment"])
            forward_warnings(self._say)
            if self._memory is not None:
                layout, column, region = setup["memory"]
                self._arena = SharedMemoryFile(layout, column, region, self._memory)
            self._pack = ObjectWriter(self._encode, self._arena)
            self._image = MainImporter(setup["main"], self._arena)
            loading = True
            stage = "load the code of the map in"
            self._image.update(setup["mirror"], setup["needed"])
            stage = "load a function of the map in"
            for blob in setup["programs"]:
                func, args, kwargs = self._image.load(blob)
                self._calls.append(bound(func, args, kwargs or {}))
            stage = "load the initializer in"
            initializer, initargs, self._finalizer = self._image.load(setup["initializer"])
            self._clocked, self._copies = setup["clocked"], setup["copies"]
            if setup["careful"]:
                # One outcome leaves before the next item begins.
                self._linger, self._step = 0.0, 1
            loading = False
            recorder = self._recorder(setup["logging"])
            stage = "run the initializer in"
            if self._finalizer is not None:
                self._words[FINALIZER] = BEGUN
                # After the word: whoever ends the map raises the epoch first, waits, and looks at the word then.
                if self._words[EPOCH]:
                    return False
            if initializer is not None:
                self._words[INITIALIZING] = 1
                initializer(*initargs)
            if self._finalizer is not None:
                self._words[FINALIZER] = OWED
            if recorder is not None:
                recorder.attach()
        except BaseException as error:
            _end_if_forked(error)
            self._outbox.send(("failed", os.getpid(), stage, trace_of(error)))
            return False
        finally:
            loading = False
        _end_if_forked()
        flush_streams()
        self._outbox.send(("ready", os.getpid()))
        return True

    def _recorder(self, levels: dict[str, Any] | None) -> LogCapture | None:
        if levels is None:
            return None
        from .log_capture import listen

        return listen(levels, self._say)

    def _end(self) -> None:
        if self._finalizer is not None:
            self._words[FINALIZER] = RUNS
            try:
                self._finalizer()
            except BaseException as error:
                _end_if_forked(error)
                self._outbox.send(("ended badly", os.getpid(), trace_of(error)))
            self._words[FINALIZER] = DONE
        flush_streams()

    # ------------------------------------------------------------------ jobs

    def _job(self, seq: int, epoch: int, programs: tuple[int, ...], segments: list[Segment]) -> None:
        if self._words[EPOCH] != epoch:
            return
        results = self._results
        results.begin(seq, len(programs) - 1, len(segments) > 1 or segments[0][1] > 1)
        call = self._calls[programs[0]] if len(programs) == 1 else self._fused(programs)
        self._last_stage = len(programs) - 1
        self._words[STAGE] = 0
        lent = False
        for segment in segments:
            kind, count, data = segment
            if lent:
                # It may have changed what it was lent, so it must not run again: its outcome leaves before the next begins.
                results.tell(False)
            lent = is_lent(segment)
            if kind == PACKED:
                done = self._atoms(seq, epoch, call, pickle.loads(data))
            elif lent and self._arena is not None:
                done = self._lent(seq, epoch, call, incoming(segment, self._arena))
            else:
                done = self._single(seq, epoch, call, segment)
            seq += done
            if done < count:
                break
        results.tell(True)

    def _fused(self, programs: tuple[int, ...]) -> Callable[[Any], Any]:
        known = self._fusions.get(programs)
        if known is None:
            known = self._fusions[programs] = fused([self._calls[program] for program in programs], self._words)
        return known

    def _atoms(self, seq: int, epoch: int, call: Callable[[Any], Any], values: Sequence[Any]) -> int:
        """Runs items until one must not begin any more; returns how many ran."""
        words, results, small, clocked, linger = self._words, self._results, _SMALL, self._clocked, self._linger
        out = results.entries
        first, until = seq, results.since + linger
        # A look at the clock takes as long as the smallest item: after short ones there is only one for several.
        step, began = 1, clock()
        look = seq + step
        for value in values:
            seq += 1
            words[STARTED] = seq
            # After the number: whoever recalls counts first, waits, and looks at the number then.
            if words[EPOCH] != epoch:
                words[STARTED] = seq - 1
                return seq - 1 - first
            if clocked:
                words[CLOCK] = monotonic_ns() & ~1
            try:
                result = call(value)
            except BaseException as error:
                out.append(self._failed(error))
            else:
                out.append(result if type(result) in small else self._entry(result))
            if clocked:
                words[CLOCK] = 0
            if seq >= look:
                now = clock()
                step = min(2 * step, self._step) if now - began < _SHORT else 1
                if now > until:
                    results.tell(False)
                    now = clock()
                    until = now + linger
                look, began = seq + step, now
        return seq - first

    def _lent(self, seq: int, epoch: int, call: Callable[[Any], Any], segment: Segment) -> int:
        """Runs an item with lent memory."""
        # Without a column nobody would know that it is in use here.
        loan = BorrowedBuffers(self._copies or self._arena is None or self._arena.column is None)
        return self._single(seq, epoch, call, segment, loan)

    def _single(
        self, seq: int, epoch: int, call: Callable[[Any], Any], segment: Segment, loan: BorrowedBuffers | None = None
    ) -> int:
        words, results = self._words, self._results
        words[STARTED] = seq + 1
        if words[EPOCH] != epoch:
            words[STARTED] = seq
            return 0
        if self._clocked:
            words[CLOCK] = monotonic_ns() | 1
        entry = self._run(call, segment, loan)
        if loan is not None and type(entry) is tuple and entry[0] == SHARED and loan.is_kept():
            entry[2].part_from(loan)
        # At last: from now on the other thread may tell it.
        results.entries.append(entry)
        del entry
        if self._clocked:
            words[CLOCK] = 0
        if loan is None and clock() > results.since + self._linger:
            results.tell(False)
        return 1

    def _run(self, call: Callable[[Any], Any], segment: Segment, loan: BorrowedBuffers | None) -> Any:
        try:
            value = item_of(segment, loan)
        except BaseException as error:
            _end_if_forked(error)
            return FAILED, 1, portable(unpickle_failure(error), error, self._encode)
        if self._clocked:
            self._words[CLOCK] = monotonic_ns() & ~1
        try:
            result = call(value)
        except BaseException as error:
            return self._failed(error)
        return result if type(result) in _SMALL else self._entry(result, loan)

    def _entry(self, result: Any, loan: BorrowedBuffers | None = None) -> Any:
        """A result as it waits for its message: an atom as it is, all else pickled at once, as it may change."""
        kind = type(result)
        if (kind is str or kind is bytes) and len(result) < LONG:
            return result
        if kind is NotFusable:
            return (*self._entry(result.value), result.stage)
        segment = encode_item(result, self._pack if loan is None else partial(self._pack, loan=loan), "result")
        if segment[0] == FAILED:
            failure = segment[2]
            return FAILED, 1, portable(failure, failure.error, self._encode)
        return segment

    def _failed(self, error: BaseException) -> tuple[Any, ...]:
        _end_if_forked(error)
        if self._last_stage:
            # At once: what follows runs code of the exception's class.
            stage = self._words[STAGE]
            return FAILED, 1, portable(Failure(error, trace_of(error)), error, self._encode), stage
        return FAILED, 1, portable(Failure(error, trace_of(error)), error, self._encode)

    def _say(self, kind: str, content: bytes) -> None:
        """Log records and warnings, from any thread."""
        self._outbox.post(("aside", kind, self._words[STARTED], self._words[STAGE], content))


def _write_whole_lines() -> None:
    """A line in one write: an unbuffered stream writes line and end apart, and another worker's text comes between."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(Exception):  # a fork of the caller has its streams, closed ones and objects of its own, too
                stream.reconfigure(line_buffering=True, write_through=False)


def _end_if_forked(error: BaseException | None = None) -> None:
    """Ends a process that an item has forked and that has come back from its function: outcomes are the worker's to tell."""
    if os.getpid() != serving:
        end_fork(error)


def main(sock_fd: int, page_fd: int, nudge_fd: int, memory_fd: int | None = None) -> None:
    """The life of a worker whose process has been prepared; returns when it shall end."""
    global serving
    serving = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=sock_fd)
    sock.setblocking(True)
    page = ProgressPage(page_fd)
    page.hear_crashes()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=page.part)
    _write_whole_lines()
    try:
        Worker(Channel(sock), page, Nudge(nudge_fd), memory_fd).run()
    except BaseException as error:
        _end_if_forked(error)
        raise
