"""A pipeline as Python source: written so that people can read and change it, and read back."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from numap import IMap
from papy._base.checks import check_path, refused_as
from papy._base.errors import PlumberError
from papy._codegen.module_writer import ModuleWriter
from papy._codegen.names import SAVED, NotSource
from papy._dagger.dagger import Dagger
from papy._evaluate.worker import Worker
from papy._piper.piper import Piper

_numbers = count()

_HEAD: Final = '''"""A pipeline, saved by papy. ``Plumber().load(path)`` gives it back; change whatever you like."""

from __future__ import annotations

'''


def write(dagger: Dagger, path: str | os.PathLike[str]) -> None:
    """Write the pipers and pipes of a Dagger; PlumberError if something in them can't be written as source."""
    target = _checked_path(path)
    if target.suffix != ".py":
        raise PlumberError(f"{path} can't be saved: a file with the ending .py is needed, others are not loaded")
    text = _text(dagger)
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, target)  # a reader sees the old one or the new one
    finally:
        fresh.unlink(missing_ok=True)


def read(dagger: Dagger, path: str | os.PathLike[str]) -> None:
    """Add what a file describes; PlumberError if it can't be read, and then nothing was added."""
    module = _module(_checked_path(path))
    try:
        pipers, xtras, pipes = module.pipeline()
        Dagger(pipers, pipes, xtras)  # once all of it is known to be right
    except (Exception, SystemExit) as error:  # whatever the file does
        raise PlumberError(f"{path} can't be loaded: its pipeline(): {type(error).__name__}: {error}") from error
    dagger.add_pipers(pipers, xtras)
    dagger.add_pipes(pipes)
    dagger.on_error = getattr(module, "ON_ERROR", dagger.on_error)
    dagger.retries = getattr(module, "RETRIES", dagger.retries)
    dagger.max_failures = getattr(module, "MAX_FAILURES", dagger.max_failures)


def _checked_path(path: Any) -> Path:
    with refused_as(PlumberError):
        check_path("path", path)
    return Path(path)


def _module(path: Path) -> ModuleType:
    """Run the file, each time anew, as a module that others find under its name."""
    # A dot would make it a part of a package, which no worker finds.
    name = f"{SAVED}{next(_numbers)}_" + re.sub(r"\W", "_", path.stem)
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PlumberError(f"{path} can't be loaded: a file with the ending .py is needed")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Not by the loader, which would take old bytecode for a file that was changed within the second.
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
        if not callable(getattr(module, "pipeline", None)):
            raise PlumberError("it has no function pipeline()")
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PlumberError(f"{path} can't be loaded: {type(error).__name__}: {error}") from error
    return module


def _text(dagger: Dagger) -> str:
    """The whole file."""
    writer = ModuleWriter()
    try:
        pipeline = "\n".join(_Pipeline(writer).lines(dagger))
        head = _HEAD + writer.text()
    except NotSource as error:
        raise PlumberError(f"the pipeline can't be saved: {error}") from error
    except RecursionError as error:
        raise PlumberError("the pipeline can't be saved: a value in it is nested too deeply to be written") from error
    options = {"ON_ERROR": dagger.on_error, "RETRIES": dagger.retries, "MAX_FAILURES": dagger.max_failures}
    said = "".join(f"{name} = {value!r}\n" for name, value in options.items() if value is not None)
    return "\n\n".join([head, *([said] if said else []), f"{pipeline}\n"])


class _Pipeline:
    """Writes the function that makes the pipeline."""

    def __init__(self, writer: ModuleWriter) -> None:
        self._writer = writer
        self._imaps: dict[int, str] = {}

    def lines(self, dagger: Dagger) -> list[str]:
        """The lines of the function."""
        names = {piper: f"piper_{number}" for number, piper in enumerate(dagger)}
        self._writer.reserve("pipeline", "pipers", "xtras", "pipes", *names.values())
        made: list[str] = []
        for piper, name in names.items():
            imap = piper.imap_in(dagger.parallel)
            if imap is not None and id(imap) not in self._imaps:
                of_imap = self._imaps[id(imap)] = f"imap_{len(self._imaps)}"
                self._writer.reserve(of_imap)
                made.append(f"    {of_imap} = {self._imap(imap)}")
            made.append(f"    {name} = {self._piper(piper, imap, dagger[piper].branch)}")
        pipes = [f"({names[up]}, {names[piper]})" for piper in dagger for up in dagger[piper]]
        xtras = [self._writer.expression(dagger[piper].xtra) for piper in dagger]
        listed = _listed("xtras", xtras) if any(dagger[piper].xtra for piper in dagger) else ["    xtras = None"]
        listed = [*_listed("pipers", names.values()), *_listed("pipes", pipes), *listed]
        return ["def pipeline():", *made, *listed, "    return pipers, xtras, pipes"]

    def _imap(self, imap: IMap[Any]) -> str:
        usual = IMap(worker_type=imap.options["worker_type"]).options | {"worker_type": "process"}
        return f"{self._writer.import_name(IMap)}({', '.join(self._said(imap.options, usual))})"

    def _piper(self, piper: Piper, imap: IMap[Any] | None, branch: Any) -> str:
        parallel = [] if imap is None else [f"parallel={self._imaps[id(imap)]}"]
        options = {it.name: it.default for it in signature(Piper).parameters.values() if it.kind is not it.VAR_KEYWORD}
        given = {name: getattr(piper, name) for name in list(options)[2:]}  # behind worker and parallel
        given["branch"] = piper.branch if branch is None else branch
        given["on_error"] = None if piper.debug else piper.on_error
        given["name"] = None if piper.name == f"piper_{piper.number}" else piper.name
        said = [self._worker(piper), *parallel, *self._said(given, options)]
        return f"{self._writer.import_name(Piper)}({', '.join(said)})"

    def _worker(self, piper: Piper) -> str:
        steps = [step._replace(unpack=step.unpack and not piper.unpack) for step in piper.worker.steps]
        named = self._said({"name": piper.worker.named}, {"name": None})
        if len(steps) == 1 and not any(steps[0][1:]) and not named:
            return self._writer.expression(steps[0].function)
        maker = self._writer.import_name(Worker)
        made = []
        for function, args, kwargs, unpack in steps:
            constants = [args, kwargs] if kwargs else [args] if args else []
            said = [self._writer.expression(it) for it in (function, *constants)]
            said += self._said({"unpack": unpack}, {"unpack": False}) + (named if len(steps) == 1 else [])
            made.append(f"{maker}({', '.join(said)})")
        several = f"[{', '.join(made)}]"
        return made[0] if len(made) == 1 else f"{maker}({', '.join([several, *named])})"

    def _said(self, given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
        """Arguments, without those that need not be said."""
        return [
            f"{name}={self._writer.expression(value)}"
            for name, value in given.items()
            if value != usual[name] or type(value) is not type(usual[name])
        ]


def _listed(name: str, items: Iterable[str]) -> list[str]:
    """A list, one item a line."""
    return [f"    {name} = [", *(f"        {item}," for item in items), "    ]"]
