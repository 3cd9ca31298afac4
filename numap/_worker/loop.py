"""The loop in a worker process. It knows jobs, items and its caller's socket; nothing of tasks, order or bounds.

A worker takes one message after the other from its socket, and can't be spoken to while it runs an item. What has to reach
it then goes by other ways: through the progress page (begin no more), as a nudge (tell what is done), or as SIGKILL.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from .._environment.code_settings import adopt_code_settings
from .._environment.process_state import adopt
from .._environment.reducers import adopt_reducers
from .._items.call import bound
from .._items.exceptions import trace_of
from .._items.finalizers import BEGUN, DONE, OWED, RUNS
from .._items.side_output import forward_warnings
from .._modules.main_import import MainImporter
from .._system.forked_items import end_fork, flush_streams
from .._system.thread_signals import Nudge
from .._transport.channel import Channel
from .._transport.messages import (
    AddProgram,
    Definitions,
    FinalizerFailed,
    ForgetPrograms,
    ProgramRefused,
    Ready,
    RunJob,
    Setup,
    SetupFailed,
    SideMessage,
    ToWorker,
    of_wire,
)
from .._transport.outbox import Outbox
from .._transport.progress_page import EPOCH, FINALIZER, INITIALIZING, STAGE, STARTED, ProgressPage
from .._transport.shared_memory import SharedMemoryFile
from .._transport.shared_objects import Code
from .imports import ImportReport
from .job_runner import JobRunner
from .programs import Programs, Refused
from .results import Results

if TYPE_CHECKING:
    from .log_capture import LogCapture

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
        self._results = Results(self._outbox, nudge)
        self._finalizer: Any = None

    # ------------------------------------------------------------------ life

    def run(self) -> None:
        """Serves until the stop message, or the end of the channel."""
        for message in self._messages():
            if isinstance(message, RunJob):
                self._jobs.run(*message)
            elif isinstance(message, Definitions):
                self._importer.update(message.definitions)
            elif isinstance(message, AddProgram):
                self._add_program(*message)
            elif isinstance(message, ForgetPrograms):
                self._programs.forget(message.numbers)
            elif isinstance(message, Setup):
                if not self._setup(message):
                    return
            else:
                self._end()
                return

    def _messages(self) -> Iterator[ToWorker]:
        while not self._channel.ended:
            yield from map(of_wire, self._channel.receive())

    def _setup(self, setup: Setup) -> bool:
        global loading
        stage = "set up"
        try:
            imports = ImportReport(setup.environment["environ"]) if setup.tells_imports else None
            adopt(setup.environment)
            forward_warnings(self._say)
            shared = None
            if self._memory is not None and setup.memory is not None:
                layout, column, region = setup.memory
                shared = SharedMemoryFile(layout, column, region, self._memory)
            self._importer = MainImporter(setup.main, shared)
            loading = True
            stage = "load the code of the map in"
            self._importer.update(setup.definitions, setup.needed)
            stage = "load a function of the map in"
            calls = dict(enumerate(map(self._call, setup.programs)))
            self._programs = Programs(calls, self._words, shared is None or shared.column is None)
            self._jobs = self._job_runner(setup, shared)
            stage = "load the initializer in"
            initializer, initargs, self._finalizer = self._importer.load(setup.initializer)
            self._adopt_code(setup)
            loading = False
            if imports is not None:
                self._results.tell_imports(imports)
            log_capture = self._capture_logs(setup.logging)
            stage = "run the initializer in"
            if self._finalizer is not None:
                self._words[FINALIZER] = BEGUN
                # After the word: the caller that ends the map raises the epoch first, waits, and looks at the word then.
                if self._words[EPOCH]:
                    return False
            if initializer is not None:
                self._words[INITIALIZING] = 1
                initializer(*initargs)
            if self._finalizer is not None:
                self._words[FINALIZER] = OWED
            if log_capture is not None:
                log_capture.attach()
        except BaseException as error:
            _end_if_forked(error)
            self._outbox.send(SetupFailed(os.getpid(), stage, trace_of(error)))
            return False
        finally:
            loading = False
        _end_if_forked()
        flush_streams()
        self._outbox.send(Ready(os.getpid()))
        return True

    def _job_runner(self, setup: Setup, shared: SharedMemoryFile | None) -> JobRunner:
        flags = setup.clocked, setup.copies, setup.careful
        return JobRunner(self._programs, self._words, self._results, shared, *flags)

    def _add_program(self, number: int, code: Code, clocked: bool, copies: bool) -> None:
        global loading
        loading = True
        try:
            call = self._call(code)
        except BaseException as error:
            _end_if_forked(error)
            # Before the outcomes of its items: the caller ends the map, and knows why.
            self._outbox.send(ProgramRefused(os.getpid(), number, trace_of(error)))
            call = Refused(error)
        finally:
            loading = False
        self._programs.add(number, call, clocked, copies)

    def _adopt_code(self, setup: Setup) -> None:
        """What the program has told libraries by functions of its own."""
        adopt_reducers(setup.reducers, self._importer)
        adopt_code_settings(setup.code_settings, self._importer)

    def _call(self, code: Code) -> Callable[[Any], Any]:
        func, args, kwargs = self._importer.load(code)
        return bound(func, args, kwargs or {})

    def _capture_logs(self, levels: dict[str, Any] | None) -> LogCapture | None:
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
                self._outbox.send(FinalizerFailed(os.getpid(), trace_of(error)))
            self._words[FINALIZER] = DONE
        flush_streams()

    def _say(self, kind: str, content: bytes) -> None:
        """Log records and warnings, from any thread."""
        self._outbox.post(SideMessage(kind, self._words[STARTED], self._words[STAGE], content))


def _write_whole_lines() -> None:
    """A line in one write: an unbuffered stream writes line and end apart, and another worker's text comes between."""
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
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
