"""Functions for maps, in a module that a worker process imports in no time."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TwoArguments(Exception):
    """An exception whose plain pickle can't be rebuilt."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")


class Unspeakable(Exception):
    """An exception that holds what can't be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text, threading.Lock())


class Mute(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Trap:
    """An item that can be pickled; unpickling it raises."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return spring, (self.kind,)


def spring(kind: type[BaseException]) -> None:
    raise kind("sprung")


def identity(x: Any) -> Any:
    return x


def increment(x: int) -> int:
    return x + 1


def pid(x: Any) -> int:
    return os.getpid()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def kill_at(x: int, victim: int) -> int:
    if x == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def leave_at(x: int, victim: int, code: int) -> int:
    if x == victim:
        os._exit(code)
    return x


def segfault_at(x: int, victim: int) -> int:
    if x == victim:
        ctypes.string_at(0)
    return x


def fail_at(x: int, victim: int, kind: Any, *args: Any) -> int:
    if x == victim:
        raise kind(*args)
    return x


def exit_at(x: int, victim: int, code: int) -> int:
    if x == victim:
        sys.exit(code)
    return x


def group_at(x: int, victim: int) -> int:
    if x == victim:
        # Not before Python 3.11 a built-in name.
        raise vars(__import__("builtins"))["ExceptionGroup"]("several", [ValueError(1), KeyError(2)])
    return x


def recurse_at(x: int, victim: int) -> int:
    return recurse_at(x, victim) + 1 if x == victim else x


def hoard_at(x: int, victim: int) -> int:
    return len(bytearray(1 << 62)) if x == victim else x


def lock_at(x: int, victim: int) -> Any:
    return threading.Lock() if x == victim else x


def trap_at(x: int, victim: int) -> Any:
    return Trap(ValueError) if x == victim else x


def error_value(x: int) -> Exception:
    return ValueError(x)


def mark(x: Any, folder: str) -> Any:
    """Leaves a file with the pid as the sign that an item has begun."""
    Path(folder, str(x)).write_text(str(os.getpid()))
    return x


def mark_and_wait(x: Any, folder: str, gate: str) -> Any:
    """Says that it has begun, and goes on when the gate, a file, is there."""
    mark(x, folder)
    while not os.path.exists(gate):
        time.sleep(0.002)
    return x


def pid_when_open(x: Any, folder: str, gate: str) -> tuple[Any, int]:
    return mark_and_wait(x, folder, gate), os.getpid()


def stuck_in_c(x: Any) -> int:
    """Never ends, and never comes back to the interpreter."""
    return sum(itertools.repeat(0))


def refuse(*args: Any) -> None:
    raise LookupError("no such luck")


def die(*args: Any) -> None:
    os._exit(7)


def number(x: Any) -> int:
    """The whole number in a value of `step`, or in a tuple of such values."""
    if isinstance(x, dict):
        return int(x["value"])
    return sum(map(number, x)) if isinstance(x, (list, tuple)) else int(x)


def step(x: Any, task: int, fails: int = 0, dies: int = 0, dawdles: int = 0) -> Any:
    """Makes a value of another one, in a form that depends on it; some fail, kill their process, or take time."""
    value = (31 * number(x) + 7 * task + 1) % 10007
    if dies and value % dies == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if dawdles and value % dawdles == 2:
        time.sleep(0.015)  # longer than anybody waits before what lies behind is given to others
    if fails and value % fails == 0:
        raise ValueError(value)
    if value % 11 == 3:
        return {"value": value, "text": "x" * 5000}
    return [value] if value % 3 == 0 else value


def picky(x: Any, *bad: Any) -> Any:
    """Gives back what it gets, but not what is bad."""
    if x in bad:
        raise ValueError(f"{x} is bad")
    return x


def tagged(x: Any, tag: str) -> Any:
    return tag, x


def call(x: Any, func: Any, *args: Any) -> Any:
    """``func(*args)``, whatever the item."""
    return func(*args)


def environ() -> dict[str, str]:
    return dict(os.environ)


def shell(command: str) -> str:
    with os.popen(command) as output:
        return output.read()


def attribute(module: str, name: str) -> Any:
    return getattr(__import__(module), name)


def warn(text: str) -> None:
    import warnings

    warnings.warn(text, UserWarning, stacklevel=1)


def wait_from(x: int, first: int, last: int, folder: str, gate: str) -> int:
    """Items from ``first`` to ``last`` wait for the gate."""
    return mark_and_wait(x, folder, gate) if first <= x <= last else x


def kill_in(x: int, victims: set[int]) -> int:
    if x in victims:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def kill_self(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def megabytes(x: int) -> tuple[int, bytes]:
    """The pid and 0, 0.5 or 1 MB."""
    return os.getpid(), bytes(x % 3 << 19)


# ---------------------------------------------------------------------- arrays


def double(x: Any) -> Any:
    """A new array."""
    return x * 2


def double_or_die(x: Any, every: int) -> Any:
    """Kills its worker at each n-th item, before or after the work."""
    n = int(x[0])
    if n % every == every - 1 and n % 2:
        kill_self()
    y = x * 2
    if n % every == every - 1:
        kill_self()
    return y


def bump_or_die(x: Any, every: int) -> Any:
    """Changes the array itself; of each so many one kills its worker after that."""
    n = int(x[0])
    x += 1
    if n % every == every - 1:
        kill_self()
    return x


def bump_then_fail_once(x: Any, folder: str) -> Any:
    """Changes the array itself, and raises when it sees it for the first time."""
    mark = os.path.join(folder, str(int(x[0])))
    x += 1
    if not os.path.exists(mark):
        open(mark, "w").close()
        raise ValueError("once more")
    return x


def change_constant(x: Any, constant: Any) -> tuple[int, float]:
    """Counts calls in a constant argument."""
    constant[0] += 1
    return os.getpid(), float(constant[0])


def own_memory_with(x: Any, constant: Any) -> int:
    """Bytes of memory that belong to this worker alone, after all of the constant was read."""
    assert constant.sum() > 0
    import psutil

    return int(psutil.Process().memory_full_info().uss)


def zeros(size: int) -> Any:
    """Many bytes from a number."""
    import numpy

    return numpy.zeros(size, "u1")


def sleep_long() -> None:
    """A finalizer in no hurry."""
    time.sleep(600)


def importing() -> Callable[[object], str]:
    """A function that another function makes, with an import that only its maker has run."""
    from numap import imports

    @imports(["no_such_module,xml.dom.domreg", "neither_this"], forgive=True)
    def name_of(_: object) -> str:
        return str(no_such_module.__name__)  # type: ignore[name-defined]  # noqa: F821

    return name_of


def note(path: str, word: str) -> None:
    """Writes a word and who wrote it, in a line of its own."""
    with open(path, "a") as file:
        file.write(f"{word} {os.getpid()}-{threading.get_native_id()}\n")


def nap_a_little(x: int) -> int:
    time.sleep(0.005)
    return x


def stay(begun: str, seconds: float = 10_000) -> None:
    """Tells by a file that it has begun, and does not end."""
    Path(begun).touch()
    time.sleep(seconds)


def read_in_c(path: str) -> int:
    """What ``read`` of the C library says of a pipe into which a byte is written at last; -1 where a signal ends it."""
    pipe = os.open(path, os.O_RDONLY)
    try:
        return int(ctypes.CDLL(None).read(pipe, ctypes.create_string_buffer(1), 1))
    finally:
        os.close(pipe)


def poll_in_c() -> int:
    """What ``poll`` of the C library says when its time is over: 0; -1 where a signal ends it."""
    return int(ctypes.CDLL(None).poll(None, 0, 150))


def sleep_in_c() -> int:
    """The same of ``nanosleep``."""
    return int(ctypes.CDLL(None).nanosleep((ctypes.c_long * 2)(0, 150_000_000), None))


def select_in_c() -> int:
    """The same of ``select``."""
    return int(ctypes.CDLL(None).select(0, None, None, None, (ctypes.c_long * 2)(0, 150_000)))
