"""What is said about a piper when it is made, checked. Knows nothing of its life."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import count
from typing import Any, Literal

from numap import IMap
from numap.interop import checks
from papy._base.checks import check_branch, check_flag, check_policy, check_seconds, refused_as
from papy._base.errors import PiperError
from papy._base.misuse import known_options
from papy._evaluate.misfits import generator_text
from papy._evaluate.worker import Uncallable, Worker
from papy._piper.number_options import NumberOptions
from papy._piper.own_map import MAP_OPTIONS, own_map

_numbers = count()


class PiperOptions(Uncallable):
    """What is said about a piper; see `papy.Piper`."""

    _own: IMap[Any] | Literal[False] | None
    _lent: IMap[Any] | None = None  # by the Dagger that it runs in

    @known_options(PiperError, MAP_OPTIONS)
    def __init__(
        self,
        worker: Any,
        parallel: IMap[Any] | int | str | None = None,
        consume: int = 1,
        produce: int = 1,
        spawn: int = 1,
        timeout: float | None = None,
        branch: Any = None,
        debug: bool = False,
        name: str | None = None,
        track: bool = False,
        repeat: bool = False,
        *,
        unpack: bool = False,
        on_error: str | None = None,
        retries: int | None = None,
        flatten: bool = False,
        batch: int | None = None,
        batch_seconds: float | None = None,
        batch_bytes: int | None = None,
        batch_key: Callable[[Any], Any] | None = None,
        route: bool = False,
        merge: bool = False,
        **map_options: Any,
    ) -> None:
        numbers = flatten, batch, batch_seconds, batch_bytes, batch_key, route, merge
        with refused_as(PiperError):
            checks.text("name", name)
            self._own = own_map(parallel, map_options, name)
            self.worker = _worker(worker, unpack)
            self.numbers = _checked_numbers(numbers, consume, produce, spawn, repeat=repeat, track=track)
            for what, flag in (("debug", debug), ("unpack", unpack)):
                check_flag(what, flag)
            check_branch(branch)
            may_generate = flatten or (produce > 1 and not repeat)
            text = None if may_generate else generator_text(self.worker.steps[-1].function)
            if text is not None:
                raise TypeError(f"worker: {text}")
            _check_timeout(timeout, self._own)
            check_policy(on_error, retries)
            if debug and on_error not in (None, "raise"):
                raise ValueError(f"debug: it raises, and on_error={on_error!r} was given")
        self.consume, self.produce, self.spawn = consume, produce, spawn
        self.timeout, self.branch = timeout, branch
        self.debug, self.track, self.repeat, self.unpack = map(bool, (debug, track, repeat, unpack))
        self.on_error, self.retries = "raise" if debug else on_error, retries
        self.flatten, self.route, self.merge = bool(flatten), bool(route), bool(merge)
        self.batch, self.batch_seconds, self.batch_bytes, self.batch_key = batch, batch_seconds, batch_bytes, batch_key
        self._enumerate(name)

    def _enumerate(self, name: str | None) -> None:
        self.number = next(_numbers)
        self.name = name or f"piper_{self.number}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # A copy, or what was pickled, is another piper.
        self._enumerate(None if self.name == f"piper_{self.number}" else self.name)

    @property
    def imap(self) -> IMap[Any] | None:
        """The map that evaluates it: its own, or in a run that of the Dagger; None: it is linear."""
        return self._lent if self._own is None else self._own or None

    def imap_in(self, default: IMap[Any] | None) -> IMap[Any] | None:
        """The map that evaluates it where pipers that say nothing have a default."""
        return default if self._own is None else self._own or None

    @property
    def stride(self) -> int:
        """How many items of data are taken in one go."""
        return 1 if self.imap is None else self.imap.options["stride"] or 1

    def __repr__(self) -> str:
        kind = "linear" if self.imap is None else "parallel"
        return f"{type(self).__name__}({self.name!r}, {self.worker!r}, {kind})"


# Python puts this name into its errors about arguments, and users know no other.
for _init in (PiperOptions.__init__, inspect.unwrap(PiperOptions.__init__)):
    _init.__qualname__ = "Piper.__init__"
del _init


def _worker(worker: Any, unpack: bool) -> Worker:
    try:
        return Worker(worker.worker if isinstance(worker, PiperOptions) else worker, unpack=unpack)
    except TypeError as error:
        raise TypeError(f"worker: {error}") from error


def _checked_numbers(numbers: tuple[Any, ...], consume: int, produce: int, spawn: int, **flags: bool) -> NumberOptions:
    for what, given in (("consume", consume), ("produce", produce), ("spawn", spawn)):
        checks.whole(what, given, 1)
    for what, flag in flags.items():
        check_flag(what, flag)
    made = NumberOptions(*numbers)
    made.check_with(consume=consume, produce=produce, spawn=spawn, **{name: bool(it) for name, it in flags.items()})
    return made


def _check_timeout(timeout: Any, imap: IMap[Any] | Literal[False] | None) -> None:
    check_seconds("timeout", timeout)
    if timeout is not None and not isinstance(imap, IMap):
        raise ValueError(
            f"timeout: a linear piper can't have one, as nothing else runs while it is evaluated; give an IMap: "
            f"parallel=IMap(), or for the time that an item may run parallel=IMap(task_timeout={timeout!r})"
        )
