"""External programs as nodes of a pipeline: each item is a dictionary from ports to files.

>>> import tempfile, pathlib
>>> from papy import Dagger, Piper
>>> directory = tempfile.TemporaryDirectory()
>>> text = pathlib.Path(directory.name, "fruit.txt")
>>> _ = text.write_text("pear\\napple\\npear\\n")
>>> sort = Program("sort", ["sort", "-o", "{out.lines}", "{in.lines}"], {"lines": "txt"}, dir=directory.name)
>>> unique = Program("uniq", ["uniq", "-c"], {"counts": "txt"}, dir=directory.name, stdin="lines", stdout="counts")
>>> (result,) = Dagger(pipes=[(sort, unique)]).results([[{"lines": text}]])
>>> pathlib.Path(result["counts"]).name
'fruit_sort_uniq-counts.txt'
>>> print(pathlib.Path(result["counts"]).read_text(), end="")
      1 apple
      2 pear
>>> directory.cleanup()
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from numap.interop import checks
from papy._base.checks import check_flag, check_path, check_seconds
from papy._base.external_programs import ExternalRun
from papy.util._script.execution import ScriptError, execute
from papy.util._script.output_records import Claim
from papy.util._script.ports import input_paths, named, output_names, sources
from papy.util._script.recipe import recipe
from papy.util._script.templates import CONFIGS, TEMPLATES
from papy.util._script.workdir import RunFolder, work_directory

__all__ = ["Program", "ScriptError", "get_config", "script", "write_template"]

_KEYS = frozenset(
    "id evaluator preamble dir executable script args in out params stdin stdout timeout env cwd resume unique".split()
)


@dataclass(frozen=True)
class Program:
    """An external program as a worker function: files in, files out.

    Its item, or each item of its inbox, is a dictionary from ports to paths, and so is its result. A program with one
    input port also takes a path as it is.

    Outputs are made in a hidden directory and moved to their places when the program was successful: what is there is
    complete. They are named ``<dir>/<stem of the input>_<id>-<port>.<extension>``, without the port if an
    input has the same. What each was made of is kept in ``<dir>/.papy``, so no two items share one: where the
    names of two inputs give one name, that is a ValueError for the second item. With ``unique=True`` they give two.

    The program is given its files by the words of its command, by an optional file in JSON, and by environment
    variables. It runs in a session of its own. It and all that it leaves there are killed when its time is over, when the
    worker or the program that runs the pipeline ends, for whatever reason, and when the run is stopped.

    Args:
        id: Names the program in files and errors.
        command: The program and its arguments; no shell is involved. In each word ``{in.<port>}``, ``{out.<port>}`` and
            ``{params.<name>}`` stand for a path or a value, and ``{args}`` for the path of a JSON file
            ``{"params": {...}, "in": {...}, "out": {...}}``. The same is in the environment:
            ``PAPY_IN_<port>``, ``PAPY_OUT_<port>``, ``PAPY_PARAM_<name>``.
        outputs: The output ports, each with the extension of its file.
        inputs: The input ports; None: those that ``command`` and ``stdin`` name.
        dir: Where the outputs go; it is made where it is missing.
        params: Parameters: anything that JSON can hold.
        stdin: The input port that it reads as its standard input; None: that is empty.
        stdout: The output port that is made of its standard output.
        timeout: Seconds it may run.
        env: Environment variables for it, besides those that are there.
        cwd: The directory it runs in; None: that of the worker.
        resume: Do nothing where all outputs are there as they were made, of inputs with the same paths that have not been
            written to since, by the same command and parameters. Other variables of the environment than those in ``env``, and
            files that no input and no word of the command names, don't count.
        unique: Put eight digits, made of the paths of the inputs, behind the stem.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If the arguments don't fit together.

    The logger ``papy.util.script`` is told the command when it starts, at the level INFO.

    A call raises `ScriptError` if the program fails: it can't be started, its exit code isn't 0, its time is over, or an
    output is missing; and ValueError or TypeError if a port is not in the inbox, the inbox is of another kind, or an output
    is another item's.
    """

    id: str
    command: Sequence[str]
    outputs: Mapping[str, str]
    inputs: Sequence[str] | None = None
    dir: str | os.PathLike[str] = field(default=".", kw_only=True)
    params: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    stdin: str | None = field(default=None, kw_only=True)
    stdout: str | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    env: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    cwd: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    resume: bool = field(default=False, kw_only=True)
    unique: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_types(self)
        for name in (self.id, *self.outputs, *self.outputs.values()):
            if os.path.basename(name) != name:
                raise checks.wrong_value("id and outputs", "parts of the name of a file", name)
        command = [os.fspath(word) for word in self.command]
        used = named(command, "in")
        standard = [] if self.stdin is None else [self.stdin]
        inputs = list(dict.fromkeys(used + standard) if self.inputs is None else self.inputs)
        plain = {
            "command": command,
            "inputs": inputs,
            "outputs": dict(self.outputs),
            "dir": os.fspath(self.dir),
            "params": dict(self.params),
            "env": dict(self.env),
            "cwd": None if self.cwd is None else os.fspath(self.cwd),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self._check("command", "an input port", used, inputs)
        self._check("command", "an output port", named(command, "out"), self.outputs)
        self._check("command", "a parameter", named(command, "params"), self.params)
        self._check("stdin", "an input port", standard, inputs)
        self._check("stdout", "an output port", [] if self.stdout is None else [self.stdout], self.outputs)

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> Program:
        """The program that a configuration in PaPy's form describes, see `script`; ValueError if it describes none."""
        if not isinstance(cfg, Mapping):
            raise checks.wrong_type("cfg", "a dictionary", cfg)
        missing = [key for key in ("id", "executable") if not cfg.get(key)]
        unknown = sorted(cfg.keys() - _KEYS)
        if missing or unknown:
            wrong = [*(f"no {key}" for key in missing), *(f"unknown key {key!r}" for key in unknown)]
            raise ValueError(f"cfg: {', '.join(wrong)}; the keys are {', '.join(sorted(_KEYS))}")
        for key in ("id", "executable", "script", "evaluator", "preamble"):
            if not isinstance(cfg.get(key, ""), (str, os.PathLike, NoneType)):
                raise checks.wrong_type(f"cfg: {key}", "a string", cfg[key])
        _check_names("cfg: args", cfg.get("args", ()))
        command = shlex.split(cfg["executable"])
        if cfg.get("script"):
            command.append(os.path.abspath(cfg["script"]))
        command += cfg.get("args", ["{args}"] if cfg.get("script") else [])
        if cfg.get("preamble") or cfg.get("evaluator"):
            shell = shlex.split(cfg.get("evaluator") or "/bin/sh")
            command = [*shell, "-c", f'{cfg.get("preamble") or ""}\nexec "$@"', cfg["id"], *command]
        options = {key: cfg[key] for key in ("params", "stdin", "stdout", "timeout", "env", "cwd") if key in cfg}
        return cls(
            cfg["id"],
            command,
            _ports_of(cfg.get("out", ())),
            cfg.get("in"),
            dir=cfg.get("dir") or ".",
            resume=cfg.get("resume", False),
            unique=cfg.get("unique", False),
            **options,
        )

    def __call__(self, inbox: Sequence[Any]) -> dict[str, str]:
        """Run the program on the files of an inbox, and return its outputs, a dictionary from ports to paths."""
        return self.run(inbox, self)

    @property
    def __name__(self) -> str:
        """How errors call it."""
        return self.id

    def run(self, inbox: Sequence[Any], owner: object) -> dict[str, str]:
        """The same as a call; ``owner`` is what a run that is stopped knows this program by."""
        assert self.inputs is not None
        directory = os.fspath(self.dir)
        with ExternalRun(owner) as running, ExitStack() as stack:
            inputs = input_paths(inbox, self.inputs)
            names = output_names(self.id, inputs, self.outputs, inbox, self.unique)
            results = {port: os.path.join(directory, name) for port, name in names.items()}
            if len({*names.values()}) < len(names) or any(
                _same(a, b) for a in results.values() for b in inputs.values()
            ):
                raise ValueError(f"{self.id}: its outputs {results} are not distinct from each other and its inputs")
            source = sources(inputs, inbox)
            cwd = None if self.cwd is None else os.fspath(self.cwd)
            made_by = recipe(self.command, self.params, source, self.env, cwd, [self.stdin, self.stdout, self.outputs])
            resume = self.resume and bool(results)
            claim = stack.enter_context(Claim(directory, names.values(), self.id, source, made_by, resume))
            if claim.is_up_to_date:
                return results
            work = stack.enter_context(work_directory(directory))
            made = {port: os.path.join(os.path.abspath(work), "out", name) for port, name in names.items()}
            execute(self, work, {port: os.path.abspath(path) for port, path in inputs.items()}, made, running)
            for port, path in made.items():
                if os.path.isdir(results[port]):
                    shutil.rmtree(results[port])
                os.replace(path, results[port])
            claim.made()
            return results

    def __papy_folder__(self) -> RunFolder:
        return RunFolder(os.fspath(self.dir))

    def _check(self, what: str, kind: str, used: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
        for name in used:
            if name not in known:
                wrong = checks.wrong_value(what, f"{kind} that is declared", name)
                raise ValueError(f"{wrong}; there are {', '.join(known) or 'none'}")


def _check_types(program: Program) -> None:
    """TypeError or ValueError unless each argument is of its type."""
    if not isinstance(program.id, str):
        raise checks.wrong_type("id", "a string", program.id)
    if isinstance(program.command, str) or not program.command:
        raise checks.wrong_value("command", "a list with a program and its arguments", program.command)
    _check_names("command", program.command, "a list with a program and its arguments")
    _check_mapping("outputs", program.outputs, "extensions", str)
    if program.inputs is not None:
        _check_names("inputs", program.inputs)
    check_path("dir", program.dir)
    check_path("cwd", program.cwd, or_none=True)
    _check_mapping("params", program.params, "values", object)
    try:
        json.dumps(dict(program.params))
    except (TypeError, ValueError) as error:
        raise checks.wrong_type("params", f"values that JSON can hold ({error})", program.params) from error
    for what, port in (("stdin", program.stdin), ("stdout", program.stdout)):
        checks.text(what, port)
    check_seconds("timeout", program.timeout)
    _check_mapping("env", program.env, "strings", str)
    wrong = [name for name, value in program.env.items() if not name or "=" in name or "\0" in name + value]
    if wrong:
        raise checks.wrong_value("env", "names and values of environment variables", program.env)
    check_flag("resume", program.resume)
    check_flag("unique", program.unique)


def _check_names(what: str, given: Any, needed: str = "a list of strings") -> None:
    listed = isinstance(given, Collection) and not isinstance(given, (str, bytes, Mapping))
    if not listed or not all(isinstance(one, (str, os.PathLike)) for one in given):
        raise checks.wrong_type(what, needed, given)


def _check_mapping(what: str, given: Any, needed: str, kind: type) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(k, str) and isinstance(v, kind) for k, v in given.items()):
        raise checks.wrong_type(what, f"a dictionary from names to {needed}", given)


def _ports_of(out: Any) -> dict[str, str]:
    try:
        return dict(out)
    except (TypeError, ValueError) as error:
        raise checks.wrong_type("cfg: out", "pairs of a port and an extension", out) from error


def script(inbox: Sequence[Any], cfg: Mapping[str, Any]) -> dict[str, str]:
    """Run an external script as PaPy does: ``Piper(Worker(script, (cfg,)))``.

    This is a `Program` that is described by a dictionary, with the keys

    * ``id``: names it.
    * ``executable``: the program, with arguments if need be: ``"python3"``, ``"bash"``.
    * ``script``: the path of a script, which gets the path of a JSON file with ``params``, ``in`` and ``out``.
    * ``args``: arguments; default: ``["{args}"]`` with a script, none without one.
    * ``in``: the input ports. ``out``: the output ports, pairs of port and extension. ``params``: a dictionary.
    * ``dir``: where the outputs go.
    * ``evaluator``, ``preamble``: a shell, and lines for it that come before the program: ``"module load blast"``.
    * ``stdin``, ``stdout``, ``timeout``, ``env``, ``cwd``, ``resume``, ``unique``: see `Program`.

    Args:
        inbox: The files, see `Program`.
        cfg: The configuration.

    Raises:
        ScriptError: If the script fails.
        ValueError: If the configuration, or the inbox, is not right.
    """
    return Program.from_config(cfg).run(inbox, cfg)


def get_config(lang: str) -> dict[str, Any]:
    """An example of a configuration for `script`, for a script that `write_template` writes.

    Args:
        lang: "python", "bash" or "r".

    >>> sorted(get_config("bash"))
    ['dir', 'executable', 'id', 'in', 'out', 'params', 'script']
    """
    checks.one_of("lang", lang, tuple(CONFIGS))
    cfg: dict[str, Any] = json.loads(json.dumps(CONFIGS[lang]))
    return cfg


def write_template(fn: str | os.PathLike[str], lang: str = "python") -> None:
    """Write a script to start from; it copies its input port to its output port.

    Args:
        fn: The file.
        lang: "python", "bash" or "r".

    Raises:
        FileExistsError: If there is such a file.
    """
    checks.one_of("lang", lang, tuple(TEMPLATES))
    check_path("fn", fn)
    with open(fn, "x", encoding="utf-8") as file:
        file.write(TEMPLATES[lang])


def _same(left: str, right: str) -> bool:
    return os.path.realpath(left) == os.path.realpath(right)


def _folder_of(cfg: Any = None) -> RunFolder:
    return RunFolder(os.fspath((isinstance(cfg, Mapping) and cfg.get("dir")) or "."))


script.__papy_folder__ = _folder_of  # type: ignore[attr-defined]  # as `Program` has it

for _public in (Program, ScriptError, get_config, script, write_template):
    _public.__module__ = __name__
del _public
