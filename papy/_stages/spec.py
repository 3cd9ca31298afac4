"""The definition of a pipeline: its steps with their options, checked when it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from numap import IMap
from numap.interop import checks
from numap.interop import options as maps
from papy._base.checks import did_you_mean
from papy._base.errors import POLICIES
from papy._evaluate.misfits import name_of
from papy._evaluate.worker import Uncallable
from papy.coroutines import chunk
from papy.steps import AbstractIterStep, AbstractStep, Step, funcstep, is_step

WORKER_TYPES: Final = ("thread", "process")
# paipa's was 64. Three steps that do nothing pass 65,000 entries a second with 64, 115,000 with 128, 190,000 with 1024; but
# so many entries of a megabyte each would be a gigabyte.
THRESHOLD: Final = 128
# The same as in maps, by the name that paipa had.
ALIASES: Final[Mapping[str, str]] = {"retries": "max_retries", "buffer": "threshold"}
# Of a map, for steps with processes.
MAP_OPTIONS: Final = ("task_timeout", "start_method", "max_items_per_worker", "preload")


def _by_own_names(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options without aliases."""
    made = {name: value for name, value in options.items() if name not in ALIASES}
    for alias, name in ALIASES.items():
        if alias in options and made.setdefault(name, options[alias]) != options[alias]:
            raise ValueError(
                f"{where}{alias}: {options[alias]!r} given, and {name}={made[name]!r}, which is the same; give one"
            )
    return made


@dataclass(frozen=True)
class StepOptions:
    """The options that pipeline and step understand themselves; a step's own come before those of the pipeline.

    Attributes:
        worker_type: ``"thread"`` or ``"process"``.
        max_retries: How often an entry is tried again before its error ends the pipeline.
        backoff: Seconds before it is tried again for the first time; twice as long each further time.
        max_backoff: Seconds, which it does not exceed.
        retry_on: The exceptions after which it is tried again.
        threshold: Entries that wait in a step at most, for its workers or for the next step.
        tracker: Told before and after each call of ``process``.
        on_error: What becomes of an entry that failed: ``"raise"``, ``"skip"`` or ``"return"``.
        task_timeout: Seconds that an entry may be in the function; for processes.
        start_method: Of worker processes.
        max_items_per_worker: A worker process is replaced after so many entries.
        preload: Modules that worker processes have from the start.
    """

    worker_type: str = "thread"
    max_retries: int = 0
    backoff: float = 0.0
    max_backoff: float = 60.0
    retry_on: type[Exception] | tuple[type[Exception], ...] = Exception
    threshold: int = THRESHOLD
    tracker: Any = None
    on_error: str = POLICIES[-1]
    task_timeout: float | None = None
    start_method: str | None = None
    max_items_per_worker: int | None = None
    preload: Iterable[str] = ()

    def changed(self, options: Mapping[str, Any], where: str) -> StepOptions:
        """These settings with others in their place.

        Raises:
            TypeError, ValueError: One is not allowed.
        """
        given = _by_own_names(options, where)
        if given.get("threshold", self) is None:
            del given["threshold"]
        made = replace(self, **given)
        if made.worker_type not in WORKER_TYPES:
            raise ValueError(f"{where}worker_type: {made.worker_type!r} is unknown; allowed: 'thread', 'process'")
        checks.whole(f"{where}max_retries", made.max_retries, 0)
        maps.check_option("backoff", made.backoff, where)
        maps.check_option("max_backoff", made.max_backoff, where)
        maps.check_pauses(made.backoff, made.max_backoff, where)
        _exceptions(f"{where}retry_on", made.retry_on)
        checks.whole(f"{where}threshold", made.threshold, 1)
        if made.on_error not in POLICIES:
            raise ValueError(f"{where}on_error: {made.on_error!r} is unknown; allowed: 'raise', 'skip', 'return'")
        made._check_map_options(where)
        for hook in ("before_process", "after_process"):
            if made.tracker is not None and not callable(getattr(made.tracker, hook, None)):
                raise TypeError(f"{where}tracker: needs the methods before_process(step) and after_process(step)")
        return made

    @property
    def map_options(self) -> dict[str, Any]:
        """Those for the map of a step with processes."""
        return {name: getattr(self, name) for name in MAP_OPTIONS}

    def _check_map_options(self, where: str) -> None:
        usual = StepOptions
        for name in MAP_OPTIONS:
            value = getattr(self, name)
            if value != getattr(usual, name) and self.worker_type != "process":
                kind = self.worker_type
                raise ValueError(
                    f"{where}{name}: needs worker processes, and worker_type is {kind!r}; allowed: worker_type='process'"
                )
        try:
            IMap(**self.map_options)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}{error}") from None

    @property
    def simple_retries(self) -> bool:
        """Whether a map can do the retries: it does them at once, whatever has gone wrong."""
        return not self.backoff and self.retry_on is Exception

    def pause(self, failures: int) -> float:
        """Seconds from the failure of an entry to its next attempt, when it has failed so often."""
        return maps.pause(self.backoff, self.max_backoff, failures)


@dataclass(frozen=True)
class Limits:
    """What a run of a pipeline may have, and what may go wrong in it.

    Attributes:
        buffer_bytes: Bytes of all entries in it at most, about; None: automatic.
        max_failures: Entries that may fail; None: the error of the first one ends the run.
    """

    buffer_bytes: int | None = None
    max_failures: int | None = None

    def goes_on(self, specs: Sequence[StepSpec]) -> bool:
        """Whether entries may fail without ending a run of these steps."""
        return self.max_failures is not None or any(spec.settings.on_error != "raise" for spec in specs)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError where one is not allowed."""
        if self.buffer_bytes is not None:
            checks.whole("buffer_bytes", self.buffer_bytes, 1)
        if self.max_failures is not None:
            checks.whole("max_failures", self.max_failures, 0)


# What others call it, and what to write for it here.
_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        "n_jobs workers max_workers worker_num num_workers processes threads parallel concurrency".split(),
        "each step has workers of its own: Pipeline((step, 4), (other_step, 1))",
    ),
    **dict.fromkeys(
        ("maxsize", "queue_size", "max_queue_size", "prefetch"),
        "buffer=n is for the entries that wait in a step, buffer_bytes=n for the bytes of all entries",
    ),
    **dict.fromkeys(
        ("chunksize", "chunk_size", "batch_size"),
        "entries travel together by themselves; (iterstep(chunk(n)), 1) is a step that makes lists of them",
    ),
    "timeout": "task_timeout=seconds is for an entry in a step with worker_type='process', and stop(timeout=seconds) ends a run",
    "queue": "in_queue=queue is one that others put entries into",
    "callback": "fail_callback=f is called when a run has failed",
}


def unknown(names: Iterable[str], others: Iterable[str]) -> TypeError:
    """The error for options that a pipeline does not have.

    Args:
        names: Those that were given.
        others: Names of arguments that it has besides its options.
    """
    first = min(names)
    known = sorted({*NAMES, *others})
    advice = _ELSEWHERE.get(first)
    meant = did_you_mean(first, known) if advice is None else f"; {advice}"
    return TypeError(f"{first}: no option of a pipeline{meant}; its options are {', '.join(known)}")


NAMES: Final = frozenset([*StepOptions.__dataclass_fields__, *ALIASES])


@dataclass(frozen=True)
class StepSpec:
    """One step of a pipeline.

    Attributes:
        name: Unlike that of any other step.
        step: The class.
        workers: How many.
        settings: What the runtime does with it.
        options: What the step is given.
    """

    name: str
    step: type[Step]
    workers: int
    settings: StepOptions
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def buffer(self) -> int:
        """Entries inside the map of the step at most: those that wait, and one for each worker."""
        return self.settings.threshold + self.workers

    @property
    def iterates(self) -> bool:
        """Whether it is an iterator step."""
        return issubclass(self.step, AbstractIterStep)

    def has(self, *hooks: str) -> bool:
        """Whether the class has one of these hooks of its own: what only calls one that does nothing need not be done."""
        return any(getattr(self.step, hook) is not getattr(Step, hook) for hook in hooks)

    @property
    def queued(self) -> bool:
        """Whether it has a queue of its own, as ``reenqueue`` needs one.

        It can't be made when that is first called: the map may wait for an input by then that blocks.
        """
        threads = self.settings.worker_type == "thread" and not self.iterates
        return threads and getattr(self.step, "reenqueues", True) is not False


def define(steps: Sequence[Any], settings: StepOptions) -> tuple[StepSpec, ...]:
    """Check the definition of a pipeline.

    Args:
        steps: Tuples of a step, a number of workers and, perhaps, options.
        settings: Those of the pipeline.

    Raises:
        TypeError, ValueError: Something in it is not allowed; the message says which step.
    """
    if not steps:
        raise ValueError("steps: none given; a pipeline has at least one")
    specs: list[StepSpec] = []
    for place, it in enumerate(steps):
        spec = _spec(f"step {place}: ", it, settings)
        taken = sum(spec.step.__name__ == other.step.__name__ for other in specs)
        specs.append(replace(spec, name=f"{spec.name}-{taken + 1}") if taken else spec)
    return tuple(specs)


def _spec(where: str, it: Any, settings: StepOptions) -> StepSpec:
    if not isinstance(it, tuple):
        raise _no_tuple(where, it)
    if len(it) not in (2, 3):
        raise ValueError(f"{where}must be a tuple (step, workers) or (step, workers, options), not one of {len(it)}")
    step, workers = it[:2]
    if callable(workers) and not callable(step):
        raise TypeError(f"{where}the step comes first, then its workers: write ({name_of(workers)}, {step!r:.40})")
    options = it[2] if len(it) == 3 else {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise checks.wrong_type(f"{where}options", "a dictionary with names as keys", options)
    plain = not is_step(step)
    cls = _step_class(where, step)
    where = f"{where[:-2]} ({cls.__name__}): "
    _workers(f"{where}workers", workers)
    settings = settings.changed({name: value for name, value in options.items() if name in NAMES}, where)
    own = {name: value for name, value in options.items() if name not in NAMES}
    if own and plain:
        meant = did_you_mean(min(own), NAMES)
        raise TypeError(
            f"{where}options: a function takes none, so {sorted(own)} would be lost{meant}; allowed: {sorted(NAMES)}"
        )
    if issubclass(cls, AbstractIterStep):
        if options.get("worker_type") == "process":
            raise ValueError(
                f"{where}worker_type: an iterator step runs in threads, as what its generator holds would be lost with a "
                f"process; collect with chunk() and give the lists to a function step with processes"
            )
        for name in ("retries", "max_retries", "backoff", "max_backoff", "retry_on"):
            if options.get(name):
                raise ValueError(
                    f"{where}{name}: what a generator has raised can't be tried again, so it has no retries"
                )
        if options.get("on_error", "raise") != "raise":
            raise ValueError(
                f"{where}on_error: a generator that has raised is at its end, so an iterator step can't go on; allowed: 'raise'"
            )
        usual = {name: getattr(StepOptions, name) for name in MAP_OPTIONS}
        settings = replace(settings, worker_type="thread", max_retries=0, on_error="raise", **usual)
    return StepSpec(cls.__name__, cls, workers, settings, own)


_NO_STEP = "pipers belong in a Dagger; give their functions: Pipeline((function, 1), (other_function, 1))"


def _no_tuple(where: str, it: Any) -> TypeError:
    """The error for a step that is no tuple, with what to write."""
    hint = ""
    if isinstance(it, Uncallable):
        hint = f"; {_NO_STEP}"
    elif callable(it):
        hint = f"; write ({name_of(it)}, 1)"
    elif isinstance(it, list) and it and all(isinstance(member, tuple) for member in it):
        hint = "; behind a list of steps all arguments are given by name: Pipeline(steps, in_queue=...)"
    elif isinstance(it, list) and 2 <= len(it) <= 3 and callable(it[0]):
        hint = "; write it in round brackets"
    elif callable(getattr(it, "put", None)) and callable(getattr(it, "get", None)):
        hint = "; a queue is given by name: in_queue=..."
    return TypeError(f"{where}must be a tuple (step, workers) or (step, workers, options), not {it!r:.80}{hint}")


def _step_class(where: str, step: Any) -> type[Step]:
    if is_step(step):
        if inspect.isabstract(step):
            missing = ", ".join(sorted(step.__abstractmethods__))
            raise TypeError(f"{where}{step.__name__} is abstract: it has no method {missing}")
        found: type[Step] = step
        return found
    if step is chunk:
        raise TypeError(f"{where}chunk makes steps, and is none itself; give iterstep(chunk(size)), or TimedChunk")
    if isinstance(step, AbstractStep | AbstractIterStep):
        raise TypeError(f"{where}give the class {type(step).__name__}, not an object of it: each worker gets its own")
    if not callable(step) or isinstance(step, Uncallable):
        hint = f"; {_NO_STEP}" if isinstance(step, Uncallable) else ""
        raise ValueError(f"{where}must be a step class or a callable, not {step!r:.80}{hint}")
    call = step if inspect.isroutine(step) else getattr(type(step), "__call__", step)  # noqa: B004
    for func in (_inside(step), call):
        if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(f"{where}{name_of(step)} is a coroutine function; give an ordinary function")
        if inspect.isgeneratorfunction(func):
            raise TypeError(f"{where}{name_of(step)} is a generator function; give iterstep({name_of(step)})")
    return funcstep(step)


def _inside(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside partials."""
    while hasattr(step, "func") and hasattr(step, "keywords"):
        step = step.func
    return step


def _workers(what: str, value: Any) -> None:
    """As `checks.whole`, with what to write for the number of workers that a text stands for."""
    hint = ""
    if isinstance(value, str) and value.isdecimal():
        hint = f"write {int(value)}"
    elif isinstance(value, str) and value in WORKER_TYPES:
        hint = f"write (step, 4, { ({'worker_type': value}) })"
    elif isinstance(value, Mapping):
        hint = f"it comes before the options: (step, 4, {value!r:.60})"
    if hint:
        raise TypeError(f"{checks.wrong_type(what, 'a whole number of at least 1', value)}; {hint}")
    checks.whole(what, value, 1)


def _exceptions(what: str, value: Any) -> None:
    """TypeError unless the value can stand behind ``except``, and only exceptions are meant."""
    for kind in value if isinstance(value, tuple) else (value,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise checks.wrong_type(what, "a class of exceptions, or a tuple of such classes", value)


def steps_of(args: Iterable[Any]) -> list[Any]:
    """The steps in either spelling: one sequence of tuples, or the tuples one by one."""
    given = list(args)
    if len(given) == 1 and (isinstance(given[0], list) or _is_nested(given[0])):
        return list(given[0])
    if len(given) in (2, 3) and callable(given[0]) and isinstance(given[1], int):
        written = ", ".join([name_of(given[0]), *(f"{it!r:.40}" for it in given[1:])])
        raise TypeError(
            f"steps: must be tuples (step, workers) or (step, workers, options); write Pipeline(({written}))"
        )
    return given


def _is_nested(it: Any) -> bool:
    return isinstance(it, tuple) and bool(it) and all(isinstance(member, tuple) for member in it)
