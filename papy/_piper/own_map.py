"""The map that evaluates a piper, from what was said: an IMap, a number of workers, a word, or options of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from numap import IMap
from numap.interop import checks
from papy._base.misuse import parallel_text

#: What `papy.Piper` and `papy.Dagger` take of the options of a map, to make one.
MAP_OPTIONS: Final = (
    *("worker_type", "worker_num", "start_method", "initializer", "initargs", "finalizer", "preload"),
    *("max_items_per_worker", "task_timeout", "stride", "buffer", "buffer_bytes", "ordered"),
)
WORDS: Final = ("process", "thread", "serial")

Parallel = IMap[Any] | int | str | None


def own_map(parallel: Any, options: Mapping[str, Any], name: str | None) -> IMap[Any] | Literal[False] | None:
    """The map, False for none, or None: nothing was said.

    Args:
        parallel: An IMap, the number of workers, the type of workers, an executor, True, False or None.
        options: Of the map to be made, by the names in `MAP_OPTIONS`.
        name: Of that map.

    Raises:
        TypeError, ValueError: It is none of these, or the options are not allowed.
    """
    if isinstance(parallel, IMap):
        _refuse(options, "parallel is an IMap, which has its own: say it to that")
        policy = parallel.options["on_error"]
        if policy != "raise":
            raise ValueError(
                f"parallel: this IMap has on_error={policy!r}, and items would lose their places; say it with the piper's on_error"
            )
        return parallel
    if parallel is False:
        _refuse(options, "parallel=False means that there is no map; leave that out")
        return False
    if parallel is None and not options:
        return None
    said = _said(parallel)
    for option, value in said.items():
        if options.get(option, value) != value:
            raise ValueError(f"{option}: {options[option]!r} given, and parallel={parallel!r}; give one of them")
    return IMap(**{"name": name, **options, **said})


def _said(parallel: Any) -> dict[str, Any]:
    """What a word or number is short for."""
    if parallel is None or parallel is True:
        return {}
    if isinstance(parallel, int) and parallel > 0:
        return {"worker_num": parallel}
    if (isinstance(parallel, str) and parallel in WORDS) or callable(getattr(parallel, "submit", None)):
        return {"worker_type": parallel}
    needed = f"an IMap, a number of workers, True, False, None or one of {', '.join(map(repr, WORDS))}"
    raise TypeError(f"{checks.wrong_type('parallel', needed, parallel)}{parallel_text(parallel)}")


def _refuse(options: Mapping[str, Any], why: str) -> None:
    for option, value in options.items():
        raise ValueError(f"{option}: {value!r} given, but {why}")
