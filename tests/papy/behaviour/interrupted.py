"""A program that interrupts the start of something at every point where CPython looks for signals, one run for each.

A trace function sends the signal, so each run is the same but for what threads do. After each the object is stopped and
started again. What goes wrong is printed; a run that takes too long ends the program with its stacks.
"""

from __future__ import annotations

import dis
import faulthandler
import gc
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from traceback import walk_stack
from types import FrameType
from typing import Any

from numap import IMap
from papy import Dagger, Pipeline, Piper, Plumber

PATIENCE = 15.0  # seconds for one interrupt and what comes after it: a few milliseconds, or for ever
SOON = 2.0
LONG = "it took long"
LOOKS = {
    dis.opmap[name]
    for name in (
        "RESUME",
        "JUMP_BACKWARD",
        "CALL",
        "CALL_KW",
        "CALL_FUNCTION_EX",
        "JUMP_ABSOLUTE",
        "CALL_FUNCTION",
        "CALL_FUNCTION_KW",
        "CALL_METHOD",
    )
    if name in dis.opmap
}
# Callbacks of weak references: what is raised in them, as in finalizers, is only printed.
UNRAISABLE = ("_weakrefset.py", "weakref.py")


class Interrupt:
    """A trace function that raises at the n-th point.

    Attributes:
        where: The file, line and function of that point, from the inside out; empty: there were fewer points.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self.where: list[str] = []

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if self.where or frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        # A generator may be about to be closed.
        if "RESUME" not in dis.opmap and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self._look(frame)
        code, last = frame.f_code.co_code, -1

        def step(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal last
            if event == "opcode":
                before, last = last, code[frame.f_lasti]
                if before in LOOKS:
                    self._look(frame)
            return step

        return step

    def _look(self, frame: FrameType) -> None:
        self._left -= 1
        if self._left <= 0 and not self.where:
            stack = [it for it, _ in walk_stack(frame)]
            if any(named(it) in UNRAISABLE or it.f_code.co_name in ("__del__", "cb") for it in stack):
                return  # the next point, then; "cb" is what importlib calls when a lock of it goes
            sys.settrace(None)
            self.where = [f"{named(it)}:{it.f_lineno} {it.f_code.co_name}" for it in stack[:6]]
            signal.raise_signal(signal.SIGINT)


def named(frame: FrameType) -> str:
    return os.path.basename(frame.f_code.co_filename)


def piper(worker_type: str | None) -> Piper:
    return Piper(abs, None if worker_type is None else IMap(worker_type=worker_type, worker_num=1), unpack=True)


def filled() -> Pipeline:
    pipeline = Pipeline((abs, 1))
    pipeline.put_iterable([-1])
    return pipeline


def in_a_with_block(pipeline: Pipeline) -> None:
    with pipeline:
        pipeline.put(-1)


def in_the_background(plumber: Plumber) -> None:
    plumber.start([[-1]])
    plumber.run()
    plumber.wait()
    plumber.stop()


def run_again(pipeline: Pipeline) -> bool:
    pipeline.put_iterable([-1])
    pipeline.run()
    return pipeline.ok


def results_again(graph: Dagger) -> bool:
    return list(graph.results([[-1]])) == [1]


#: What is made, what is interrupted, and whether it can still be used.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], bool]]] = {
    "results of linear pipers": (lambda: Dagger([piper(None)]), lambda it: list(it.results([[-1]])), results_again),
    "results of a serial map": (lambda: Dagger([piper("serial")]), lambda it: list(it.results([[-1]])), results_again),
    "start with threads": (lambda: Dagger([piper("thread")]), lambda it: it.start([[-1]]), results_again),
    "run of linear pipers": (lambda: Dagger([piper(None)]), lambda it: it.run([[-1]]), results_again),
    "a plumber": (lambda: Plumber(pipers=[piper(None)]), in_the_background, results_again),
    "run of a pipeline": (filled, lambda it: it.run(), run_again),
    "results of a pipeline": (lambda: Pipeline((abs, 1)), lambda it: list(it.results([-1])), run_again),
    "a with block": (lambda: Pipeline((abs, 1)), in_a_with_block, run_again),
}


def interrupted(kind: str, number: int, patient: bool = True) -> bool:
    """One run; False: it has no such point. ``patient``: what took long is tried again, as other programs may have been busy."""
    make, act, again = KINDS[kind]
    it, interrupt, what, began = make(), Interrupt(number), "nothing was raised", time.monotonic()
    try:
        sys._getframe().f_trace_opcodes = True  # CPython 3.12 looks at the frame from which tracing begins
        sys.settrace(interrupt)
        try:
            act(it)
        finally:
            sys.settrace(None)
    except KeyboardInterrupt:
        what = "" if time.monotonic() - began < SOON else LONG
    except BaseException as error:
        what = f"raised {error!r}"
    if not interrupt.where:
        it.stop()
        return False
    try:
        it.stop()
        if not again(it):
            what += ", then wrong results"
    except BaseException as error:
        what += f", then {error!r}"
    if what == LONG and patient:
        return interrupted(kind, number, patient=False)
    if what:
        print(f"{kind}, point {number}, at {' < '.join(interrupt.where)}: {what}")
    return True


def main(kind: str) -> None:
    make, act, _ = KINDS[kind]
    threads = set(threading.enumerate())
    first = make()
    act(first)  # everything is imported
    first.stop()
    del first
    number = 1
    while interrupted(kind, number):
        number += 1
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
    deadline = time.monotonic() + PATIENCE / 2
    left = ["a first look"]
    while left and time.monotonic() < deadline:
        gc.collect()
        # One that was interrupted in `Thread.start` may be listed for ever, but does not live.
        left = [thread.name for thread in set(threading.enumerate()) - threads if thread.is_alive()]
    if left:
        print(f"{kind}: threads are left: {left}")
    print(f"{number - 1} points")


if __name__ == "__main__":
    main(sys.argv[1])
