"""Imports point one way only: the folders stand in an order, each imports what stands before it, and no circle is inside one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: From the ground up: a folder, or a public module on its own, and what its files are for. What is not named here is the
#: top of its package, and may import everything.
LAYERS = {
    "numap": {
        "_system": "calls that only some operating systems have, each with what stands in for it",
        "_base": "values and tables that know nothing of a run",
        "_draw": "pictures of maps and pipelines, as text in several languages",
        "_records": "small objects that travel together, each with a pickle of its own, and are opened in one call",
        "_items": "the forms in which items, results and failures travel",
        "_sync": "threads that wait for each other, and may be interrupted at any moment",
        "_progress": "shows how far something is that runs; knows rows of figures, and no map",
        "_schedule": "pure decisions: what runs next, how many at once, in which order results leave; no thread, process or clock",
        "_results": "hands results to whatever iterates, and loses none to an interrupt",
        "_transport": "carries frames and large buffers between two processes; knows no task",
        "_serialize": "makes bytes of code, so that another process has the same functions and classes",
        "_modules": "gives a worker the modules that it can't import, filled with what the caller's hold",
        "_environment": "what a worker is given of the process that it works for: settings, signals, time zone, paths",
        "_worker": "what runs in a worker process and in its starter",
        "engines": "runs jobs: one file for each kind of worker, all behind one protocol",
        "engines.processes": "worker processes: started, supplied, watched, replaced",
        "_flow": "the items of one run that are in no worker: where they come from, where they go, what becomes of them",
        "_runtime": "one run of a map in the caller: the thread that owns its state, and what it tells the engine",
        "_executor": "workers that stay: lent to maps, and to single calls, by turns",
    },
    "papy": {
        "_base": "errors, checks and small tools that graphs and pipelines share",
        "graph": "a graph as a dict",
        "coroutines": "pipelines of generators, and steps for them",
        "steps": "steps as their authors write them",
        "_codegen": "Python source for objects: values, functions, classes; knows no pipeline",
        "_evaluate": "evaluates the functions of one piper on one item, and knows where it came from",
        "_streams": "streams between pipers, in which a failed item is a value",
        "_piper": "one piper at its place: its options, its life, its streams",
        "_dagger": "the graph of pipers, and one run of it after the other",
        "_monitor": "counts and figures, shown to people",
        "_stages": "one step at work: its workers, its queue, its entries, its counts",
        "_pipeline": "steps in a row as the user has them, and one run of them",
        "util._func": "the parts of papy.util.func",
        "util._script": "the parts of papy.util.script",
    },
}
#: What a folder never imports, though it stands behind it.
NEVER = {("numap", "_worker"): {"_schedule", "_results"}}


def modules(package: str) -> dict[str, Path]:
    """The files of a package by their dotted names: ``_imap``, ``engines.serial``; ``engines`` is its ``__init__``."""
    folder = ROOT / package
    names = {path: path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.py"))}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


def layer(package: str, name: str) -> str | None:
    """The entry of `LAYERS` that a module belongs to: itself or the folder it is in; None: the top."""
    folder = name.rpartition(".")[0]
    return next((it for it in (name, folder) if it in LAYERS[package]), None)


def imports(package: str, name: str, path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, at whatever depth, with their lines; ``from a import b`` gives ``a.b``."""
    inside = [package, *(name.split(".") if name != "__init__" else [])]
    if path.name != "__init__.py":
        inside.pop()  # relative imports start at the folder
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}", node.lineno) for alias in node.names)


def resolve(known: dict[str, Path], dotted: str) -> str:
    """The module that a dotted name belongs to: a name in a module belongs to the module."""
    parts = dotted.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or "__init__"


def edges(package: str) -> Iterator[tuple[str, str, str]]:
    """Each import within a package: importing module, imported module, and the place."""
    known = modules(package)
    for name, path in known.items():
        for dotted, line in imports(package, name, path):
            if dotted.split(".")[0] == package and (target := resolve(known, dotted)) != name:
                yield name, target, f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("package", LAYERS)
def test_every_private_folder_has_its_place(package: str) -> None:
    folders = {name.rpartition(".")[0] for name in modules(package)}
    private = {it for it in folders if "_" in it or it.startswith("engines")}
    assert private - set(LAYERS[package]) == set(), f"put it in its place in LAYERS[{package!r}]"


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package: str) -> None:
    order = list(LAYERS[package])
    wrong = set()
    for name, target, where in edges(package):
        ours, theirs = layer(package, name), layer(package, target)
        if ours is None or ours == theirs:
            continue
        if theirs is None or order.index(theirs) > order.index(ours) or theirs in NEVER.get((package, ours), ()):
            wrong.add(f"{where}: {name} imports {target}")
    assert not wrong, "\n".join(["imports that point up:", *sorted(wrong)])


@pytest.mark.parametrize("package", LAYERS)
def test_imports_make_no_circle(package: str) -> None:
    graph: dict[str, set[str]] = {}
    for name, target, _ in edges(package):
        graph.setdefault(name, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules that import each other: {' -> '.join(error.args[1])}")


def test_the_worker_is_given_no_more_than_it_needs() -> None:
    """A starter and a worker import their own folder and what stands before it."""
    order = list(LAYERS["numap"])
    allowed = set(order[: order.index("_worker") + 1]) - NEVER["numap", "_worker"]
    known, found, todo = modules("numap"), set(), ["_worker.starter", "_worker.loop"]
    while todo:
        name = todo.pop()
        found.add(name)
        targets = {
            resolve(known, dotted) for dotted, _ in imports("numap", name, known[name]) if dotted.startswith("numap.")
        }
        todo += targets - found - {"__init__"}
    assert {layer("numap", name) for name in found} <= allowed


def test_numap_does_not_know_papy() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for name, path in modules("numap").items()
        for dotted, line in imports("numap", name, path)
        if dotted.split(".")[0] == "papy"
    }
    assert not found


def test_papy_uses_public_names_of_numap_only() -> None:
    """Those of `numap` and those of `numap.interop`, which are there for it."""
    import numap
    import numap.interop

    allowed = {f"numap.{name}" for name in numap.__all__} | {f"numap.interop.{name}" for name in numap.interop.__all__}
    wrong = []
    for name, path in modules("papy").items():
        used = {dotted for dotted, _ in imports("papy", name, path) if dotted.startswith("numap.")}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "numap":
                used.add(f"numap.{node.attr}")
        wrong += [f"papy.{name} uses {it}" for it in sorted(used - allowed)]
    assert not wrong
