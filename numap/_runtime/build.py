"""From the description of a map to its parts, made but not started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .._base.checks import is_coroutine_function
from .._base.errors import WorkerStartError
from .._base.options import Options
from .._base.task_spec import TaskSpec
from .._flow.parts import Parts
from .._flow.sources import InputThread, SequenceSource, Source
from .._items.retry_on import Asking, AskingCoroutine
from .._results.join import made_of
from .._results.tracking import Track
from ..engines.protocol import Encode, Engine, InlineEngine, Program
from .manager import Manager

#: Where the engine of each type of worker is. It is imported when the first map needs it: each needs modules that others don't.
ENGINES = {
    "process": ("numap.engines.processes.engine", "ProcessEngine"),
    "thread": ("numap.engines.threads", "ThreadEngine"),
    "executor:process": ("numap._executor.leased", "ProcessLease"),
    "executor:thread": ("numap._executor.leased", "ThreadLease"),
    "executor": ("numap.engines.executor", "ExecutorEngine"),
    "serial": ("numap.engines.serial", "SerialEngine"),
}

#: That for coroutine functions in threads.
_COROUTINES = ("numap.engines.coroutines", "CoroutineEngine")


def build(
    options: Options,
    specs: Sequence[TaskSpec],
    inputs: Sequence[Sequence[int]],
    ordered: Sequence[bool],
    tracks: Mapping[int, Track],
) -> tuple[Manager, dict[int, Source]]:
    """The manager of a run with its engine, and the sources of its roots.

    Raises:
        SerializationError: a function can't be sent to a worker.
        ValueError: the buffer is too small.
        WorkerStartError: the system has no room for what a map needs.
    """
    programs = [_program(spec) for spec in specs]
    try:
        engine, encoder = _engine(options, programs)
    except OSError as error:
        raise WorkerStartError(f"no worker can be started: {error}") from error
    manager = Manager(options, engine, Parts(options, programs, inputs, ordered, engine, tracks))
    sources = {
        task: _source(spec.iterable, encoder, manager, engine) for task, spec in enumerate(specs) if not inputs[task]
    }
    return manager, sources


def _program(spec: TaskSpec) -> Program:
    func, retry_on = spec.func, spec.settings.retry_on
    if retry_on is not None and spec.retries:
        func = (AskingCoroutine if is_coroutine_function(func) else Asking)(func, retry_on)
    return Program(func, spec.args, spec.kwargs, spec.label, spec.retries, spec.settings)


#: What makes the engines of maps in place of what their options say; the last one counts.
_makers: list[Callable[[Options, Sequence[Program]], Engine]] = []


@contextmanager
def engines_made_by(make: Callable[[Options, Sequence[Program]], Engine]) -> Iterator[None]:
    """Maps that are started in this ``with``, in any thread, run on the engine that ``make`` gives, whatever their ``worker_type``.

    Args:
        make: gets the options of the map and its functions. Items come to that engine as they are.
    """
    _makers.append(make)
    try:
        yield
    finally:
        _makers.remove(make)


def _engine(options: Options, programs: Sequence[Program]) -> tuple[Engine, Callable[[], Encode] | None]:
    """The engine of a run, and, where items leave this process, what gives a thread the means to make bytes of them."""
    if _makers:
        return _makers[-1](options, programs), None
    in_loop = [is_coroutine_function(program.func) for program in programs]
    for hook in ("initializer", "finalizer"):
        if is_coroutine_function(getattr(options, hook)) and not all(in_loop):
            raise ValueError(
                f"{hook}: it is a coroutine function, and {programs[in_loop.index(False)].label} is none, so it has no event loop; "
                f"give an ordinary function"
            )
    module, name = _COROUTINES if any(in_loop) else ENGINES[options.kind]
    engine = getattr(import_module(module), name)(programs, options)
    return engine, engine.encoder if engine.capabilities.pickles else None


def _source(iterable: Any, encoder: Callable[[], Encode] | None, manager: Manager, engine: Engine) -> Source:
    def pull_apart(items: Iterator[Any]) -> Source:
        return InputThread(items, encoder() if encoder is not None else None, manager.wakeup, manager.is_wanted)

    if type(iterable) in (list, tuple, range):
        return SequenceSource(iterable, pull_apart if encoder is not None else None)
    iterator = iter(iterable)
    if isinstance(engine, InlineEngine) and not any(hasattr(part, "_next_outcome") for part in made_of(iterator)):
        from .._flow.inline import AskedSource

        return AskedSource(iterator, engine.wake, manager.is_wanted)
    return pull_apart(iterator)
