"""Wrong arguments, for every public constructor and method: the error comes at the call, and says which, what, and what instead."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, PlumberError, Worker
from papy.graph import DictGraph, DictNode
from papy.util import func
from papy.util.config import start_logger
from papy.util.script import Program, get_config, script, write_template
from tests.papy import work

f = work.same
NAME, FLAG = "a str or None", "True or False"
SECONDS, BRANCH = "seconds", "something that can be compared with its like"
PIPERS, PIPES = "a list of pipers", "a list of pipes"
DATAS = "a list with one iterable for each input"


def each(make: Callable[..., Any], error: type[Exception], *rows: tuple[Any, ...]) -> list[Any]:
    """Rows of arguments, and whether TypeError or ValueError, the argument's name and what is needed."""
    return [pytest.param(make, error, *row, id=f"{make.__name__}-{number}") for number, row in enumerate(rows)]


def given(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def worker(*args: Any, **kwargs: Any) -> Any:
    return Worker(*args, **kwargs)


def piper(**options: Any) -> Any:
    return Piper(f, **options)


def program(**options: Any) -> Any:
    return Program(**({"id": "a", "command": ["ls"], "outputs": {}} | options))


def on(make: Callable[[], Any], name: str) -> Callable[..., Any]:
    """A method of a fresh object."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(make(), name)(*args, **kwargs)

    call.__name__ = name
    return call


def dagger() -> Dagger:
    return Dagger([f])


def plumber() -> Plumber:
    return Plumber(pipers=[f])


T, V = TypeError, ValueError
CASES = [
    *each(
        worker,
        Exception,
        (given(5), T, "functions", "a callable or a Worker"),
        (given([]), T, "functions", "at least one function"),
        (given(f, 5), T, "arguments", "a list or tuple"),
        (given(f, (), 5), T, "kwargs", "a mapping"),
        (given(f, (), {1: 2}), T, "kwargs", "names as keys"),
        (given([f], [(), ()]), T, "arguments", "must be 1, one for each function"),
        (given(f, name=5), T, "name", NAME),
        (given(f, unpack="x"), T, "unpack", FLAG),
    ),
    *each(on(lambda: Worker(f), "__call__"), Exception, (given(5), T, "inbox", "a list with one item of each input")),
    *each(
        piper,
        PiperError,
        (given(parallel=-5), T, "parallel", "an IMap, a number of workers"),
        (given(parallel=IMap(on_error="skip")), V, "parallel", "this IMap has on_error"),
        (given(consume="2"), T, "consume", "a whole number of at least 1"),
        (given(produce=True), T, "produce", "a whole number of at least 1"),
        (given(spawn=0), V, "spawn", "given; must be at least 1"),
        (given(timeout="3"), T, "timeout", SECONDS),
        (given(timeout=-1), V, "timeout", SECONDS),
        (given(branch={}), T, "branch", BRANCH),
        (given(branch={1, 2}), T, "branch", BRANCH),
        (given(branch=frozenset()), T, "branch", BRANCH),
        (given(branch=float("nan")), V, "branch", BRANCH),
        (given(branch=Decimal("nan")), T, "branch", BRANCH),
        (given(branch=1j), T, "branch", BRANCH),
        (given(debug="x"), T, "debug", FLAG),
        (given(debug=None), T, "debug", FLAG),
        (given(name=5), T, "name", NAME),
        (given(track="x"), T, "track", FLAG),
        (given(repeat=2), T, "repeat", FLAG),
        (given(unpack="x"), T, "unpack", FLAG),
        (given(on_error=5), T, "on_error", "a str or None"),
        (given(on_error="x"), V, "on_error", "allowed: 'return', 'skip', 'raise' or None"),
        (given(retries="1"), T, "retries", "a whole number of at least 0"),
        (given(retries=-1), V, "retries", "given; must be at least 0"),
    ),
    *each(Piper, PiperError, (given(5), T, "worker", "a callable or a Worker")),
    *each(
        on(lambda: Piper(f), "connect"),
        PiperError,
        (given(5), T, "connect", "a list of inputs"),
        (given("abc"), T, "connect", "a list of inputs"),
        (given([5]), T, "input 0", "a piper or an iterable"),
        (given([]), V, "connect", "at least one input"),
    ),
    *each(
        on(lambda: Piper(f).connect([[1]]), "start"), PiperError, (given(5), T, "stages", "a list of numbers or None")
    ),
    *each(
        Dagger,
        DaggerError,
        (given(5), T, "pipers", PIPERS),
        (given("ab"), T, "pipers", PIPERS),
        (given(Piper(f)), T, "pipers", PIPERS),
        (given([5]), T, "no Piper can be made of 5", "a callable or a Worker"),
        (given(pipes=5), T, "pipes", PIPES),
        (given(pipes=(Piper(f), Piper(f))), T, "pipes", "each of them a list of pipers"),
        (given(pipes=(f, f)), T, "pipes", "each of them a list of pipers"),
        (given(pipes=[(f, 5)]), T, "no Piper can be made of 5", "a callable or a Worker"),
        (given([f], xtras=5), T, "xtras", "one dictionary for each of the pipers"),
        (given([f], xtras={}), T, "xtras", "one dictionary for each of the pipers"),
        (given([f], xtras=[5]), T, "xtras", "a dictionary or None"),
        (given([f], xtras=[{}, {}]), V, "xtras", "one for each of 1 piper"),
        (given(on_error=5), T, "on_error", "a str or None"),
        (given(retries=-1), V, "retries", "given; must be at least 0"),
    ),
    *each(Dagger, Exception, (given(piper=1), T, "piper", "unexpected keyword argument")),
    *each(
        on(Dagger, "add_piper"),
        DaggerError,
        (given(5), T, "no Piper can be made of 5", "a callable or a Worker"),
        (given(f, xtra=5), T, "xtra", "a dictionary or None"),
        (given(f, branch={}), T, "branch", BRANCH),
        (given(f, branch={1}), T, "branch", BRANCH),
        (given(f, create=f), T, "create", FLAG),
        (given(f, create=None), T, "create", FLAG),
    ),
    *each(
        on(Dagger, "add_pipers"),
        DaggerError,
        (given(5), T, "pipers", PIPERS),
        (given([f, 5]), T, "no Piper", "a callable"),
    ),
    *each(
        on(Dagger, "add_pipe"),
        DaggerError,
        (given(5), T, "pipe", PIPERS),
        (given("ab"), T, "pipe", PIPERS),
        (given(Piper(f)), T, "pipe", PIPERS),
        (given([]), V, "pipe", "at least one piper"),
        (given([f], branch={}), T, "branch", BRANCH),
    ),
    *each(on(Dagger, "add_pipes"), DaggerError, (given(5), T, "pipes", PIPES), (given([5]), T, "pipes", PIPES)),
    *each(on(Dagger, "del_piper"), DaggerError, (given(f, f), T, "forced", FLAG), (given(f, None), T, "forced", FLAG)),
    *each(on(Dagger, "del_pipers"), DaggerError, (given(5), T, "pipers", PIPERS), (given([], f), T, "forced", FLAG)),
    *each(on(Dagger, "del_pipe"), DaggerError, (given(5), T, "pipe", PIPERS), (given([], f), T, "forced", FLAG)),
    *each(on(Dagger, "del_pipes"), DaggerError, (given(5), T, "pipes", PIPES), (given([], f), T, "forced", FLAG)),
    *each(
        on(lambda: Piper(f), "disconnect"), PiperError, (given(f), T, "forced", FLAG), (given(None), T, "forced", FLAG)
    ),
    *each(on(Dagger, "disconnect"), DaggerError, (given(f), T, "forced", FLAG), (given(None), T, "forced", FLAG)),
    *each(on(Plumber, "disconnect"), PlumberError, (given("no"), T, "forced", FLAG)),
    *each(on(Dagger, "add_node"), DaggerError, (given(5), T, "node", "a Piper")),
    *each(on(Dagger, "add_edge"), DaggerError, (given(5), T, "edge", "a pair"), (given((5, 6)), T, "edge", "a pair")),
    *(
        case
        for call in ("start", "connect", "results", "run")
        for case in each(
            on(dagger, call),
            DaggerError,
            (given(5), T, "datas", DATAS),
            (given("a"), T, "datas", DATAS),
            (given({"a": [1]}), T, "datas", DATAS),
            (given({(1, 2)}), T, "datas", DATAS),
            (given(frozenset([(1, 2)])), T, "datas", DATAS),
            (given([[1]], on_error=5), T, "on_error", "a str or None"),
            (given([[1]], retries=-1), V, "retries", "given; must be at least 0"),
        )
    ),
    *each(
        on(dagger, "start"),
        DaggerError,
        (given([5]), T, "datas", "an iterable"),
        (given([]), V, "datas", "one iterable for each of 1 input"),
        (given([[1], [2]]), V, "datas", "one iterable for each of 1 input"),
    ),
    *each(
        on(dagger, "connect_inputs"), DaggerError, (given(5), T, "datas", DATAS), (given({"a": [1]}), T, "datas", DATAS)
    ),
    *each(on(dagger, "stop"), DaggerError, (given("x"), T, "timeout", SECONDS), (given(-1), V, "timeout", SECONDS)),
    *each(Plumber, PlumberError, (given(5), V, "logger_options", "must be none")),
    *each(Plumber, DaggerError, (given(pipers=5), T, "pipers", PIPERS)),
    *each(on(plumber, "wait"), PlumberError, (given("x"), T, "timeout", SECONDS)),
    *each(on(plumber, "stop"), PlumberError, (given("x"), T, "timeout", SECONDS)),
    *each(on(plumber, "save"), PlumberError, (given(5), T, "path", "a path")),
    *each(on(plumber, "load"), PlumberError, (given(5), T, "path", "a path")),
    *each(
        DictGraph,
        Exception,
        (given(5), T, "nodes", "an iterable"),
        (given(edges=5), T, "edges", "an iterable"),
        (given(edges=[5]), T, "edge", "a pair of nodes"),
        (given(edges=[(1, 2, 3)]), V, "edge", "a pair of nodes"),
        (given([1], xtras=5), T, "xtras", "an iterable"),
        (given([1], xtras=[5]), T, "xtra", "a dictionary or None"),
        (given([1], xtras=[{}, {}]), V, "xtras", "one for each of 1 node"),
    ),
    *each(DictNode, Exception, (given(1, 5), T, "xtra", "a dictionary or None")),
    *each(on(lambda: DictGraph([1]), "dfs"), Exception, (given(1, [], "nope"), T, "order", "a method of the bucket")),
    *each(on(DictGraph, "add_edge"), Exception, *((given((1, 2), it), T, "double", FLAG) for it in ((3, 4), None))),
    *each(on(lambda: DictGraph(edges=[(1, 2)]), "del_edge"), Exception, (given((1, 2), "no"), T, "double", FLAG)),
    *each(on(DictGraph, "add_edges"), Exception, (given([], "no"), T, "double", FLAG)),
    *each(on(DictGraph, "del_edges"), Exception, (given([], "no"), T, "double", FLAG)),
    *each(on(DictGraph, "edges"), Exception, (given(5), T, "nodes", "an iterable")),
    *each(func.ipasser, Exception, (given([1], "x"), T, "i", "a whole number")),
    *each(func.npasser, Exception, (given([1], "x"), T, "n", "a whole number or None")),
    *each(
        func.spasser,
        Exception,
        (given([1], 5), T, "s", "a list of whole numbers or None"),
        (given([1], "ab"), T, "s", "a list of whole numbers or None"),
    ),
    *each(func.njoiner, Exception, (given(["a"], join=5), T, "join", "a string or bytes")),
    *each(
        func.dump_stream,
        Exception,
        (given(["a"], 5), T, "handle", "an open file with the method write, or a path"),
        (given(["a"], io.StringIO(), 5), T, "delimiter", NAME),
        (given([5], io.StringIO()), T, "item", "a str"),
    ),
    *each(func.load_stream, Exception, (given(5), T, "handle", "or a path"), (given("x", 5), T, "delimiter", NAME)),
    *each(func.dump_pickle_stream, Exception, (given(["a"], 5), T, "handle", "or a path")),
    *each(func.load_pickle_stream, Exception, (given(5), T, "handle", "or a path")),
    *each(
        func.make_lines,
        Exception,
        (given(5), T, "handle", "or a path"),
        (given("x", follow=5), T, "follow", FLAG),
        (given("x", wait=None), T, "wait", "seconds"),
        (given("x", stop=5), T, "stop", "a threading.Event or None"),
    ),
    *each(
        func.dump_item,
        Exception,
        (given([5]), T, "item", "bytes"),
        (given([b"x"], "nope"), V, "type", "allowed: 'file'"),
        (given([b"x"], prefix=5), T, "prefix", NAME),
        (given([b"x"], suffix=5), T, "suffix", NAME),
        (given([b"x"], dir=5), T, "dir", "a path or None"),
        (given([b"x"], timeout="x"), T, "timeout", "seconds"),
        (given([b"x"], buffer=0), V, "buffer", "given; must be at least 1"),
    ),
    *each(
        func.load_item,
        Exception,
        (given([5]), T, "the item", "must be a handle"),
        (given([5], timeout="x"), T, "timeout", "seconds"),
    ),
    *each(
        func.dump_db_item,
        Exception,
        (given([b"x"], 5), T, "database", "a path"),
        (given([b"x"], "x", 5), T, "table", "a string"),
        (given([b"x"], "x", timeout="x"), T, "timeout", "seconds"),
    ),
    *each(func.load_db_item, Exception, (given([5]), T, "the item", "must be a handle")),
    *each(
        start_logger,
        Exception,
        (given("x"), T, "log_to_file", FLAG),
        (given(log_to_stream=5), T, "log_to_stream", FLAG),
        (given(True, log_filename=5), T, "log_filename", "a path or None"),
        (given(log_to_stream=True, log_stream=5), T, "log_stream", "an open file or None"),
        (given(log_size="x"), T, "log_size", "a whole number of at least 0"),
        (given(log_number=-1), V, "log_number", "given; must be at least 0"),
        (given(log_rotate="x"), T, "log_rotate", FLAG),
    ),
    *each(
        program,
        Exception,
        (given(id=5), T, "id", "a string"),
        (given(command="ls"), V, "command", "a list with a program and its arguments"),
        (given(command=[5]), T, "command", "a list with a program and its arguments"),
        (given(command=[]), V, "command", "a list with a program and its arguments"),
        (given(outputs=5), T, "outputs", "a dictionary from names to extensions"),
        (given(outputs={"x": 5}), T, "outputs", "a dictionary from names to extensions"),
        (given(inputs="ab"), T, "inputs", "a list of strings"),
        (given(inputs=[5]), T, "inputs", "a list of strings"),
        (given(dir=5), T, "dir", "a path"),
        (given(params=5), T, "params", "a dictionary from names to values"),
        (given(params={"x": object()}), T, "params", "values that JSON can hold"),
        (given(stdin=5), T, "stdin", NAME),
        (given(stdout=5), T, "stdout", NAME),
        (given(timeout="x"), T, "timeout", SECONDS),
        (given(timeout=-1), V, "timeout", SECONDS),
        (given(env=5), T, "env", "a dictionary from names to strings"),
        (given(env={"x": 5}), T, "env", "a dictionary from names to strings"),
        (given(env={"a=b": "x"}), V, "env", "names and values of environment variables"),
        (given(cwd=5), T, "cwd", "a path or None"),
        (given(resume="x"), T, "resume", FLAG),
    ),
    *each(
        Program.from_config,
        Exception,
        (given(5), T, "cfg", "a dictionary"),
        (given({"id": 5, "executable": "ls"}), T, "cfg: id", "a string"),
        (given({"id": "a", "executable": "ls", "args": "ab"}), T, "cfg: args", "a list of strings"),
        (given({"id": "a", "executable": "ls", "out": "ab"}), T, "cfg: out", "pairs of a port and an extension"),
        (given({"id": "a", "executable": "ls", "preamble": 5}), T, "cfg: preamble", "a string"),
    ),
    *each(script, Exception, (given([{}], 5), T, "cfg", "a dictionary")),
    *each(get_config, Exception, (given("nope"), V, "lang", "allowed: 'python', 'bash', 'r'")),
    *each(write_template, Exception, (given(5), T, "fn", "a path")),
]


@pytest.mark.parametrize(("call", "error", "args", "kind", "what", "needed"), CASES)
def test_a_wrong_argument(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., Any],
    error: type[Exception],
    args: tuple[tuple[Any, ...], dict[str, Any]],
    kind: type[Exception],
    what: str,
    needed: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        call(*args[0], **args[1])
    assert isinstance(caught.value, kind) and what in str(caught.value) and needed in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_changes_nothing() -> None:
    dagger = Dagger([f])
    for call in (
        lambda: dagger.add_pipers([f, 5]),
        lambda: dagger.add_pipers([f, f], [{}, 5]),  # type: ignore[list-item]
        lambda: dagger.add_pipe([f, 5]),
        lambda: dagger.add_pipe([f, f], branch={}),
        lambda: dagger.add_pipes([[f], 5]),  # type: ignore[list-item]
        lambda: dagger.add_piper(f, xtra=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(DaggerError):
            call()
        assert len(dagger) == 1


@pytest.mark.parametrize("flag", [0, 1, True, False])
def test_what_is_meant_as_yes_or_no(flag: Any) -> None:
    assert Piper(f, track=flag).track is bool(flag)
