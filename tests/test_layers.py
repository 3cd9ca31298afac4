"""Imports point one way only: a module imports what stands before it in this list, and nothing else of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The order: each module imports only what stands before it.
LAYERS = {
    "numap": """
        _sync
        _modules
        _environment
        engines.processes
        engines
        _transport
        _serialize
        _schedule
        _runtime
        _results
        _worker
        _items
        _base
        _system
        _base.public _items.call _system.forked_items _items.sizes
        _base.errors _base.capabilities _sync.interrupt_lock _items.failures _system.cgroups _system.processes _environment.python _system.rights _base.options _base.lifecycle _base.statistics
        _items.segments
        _schedule.scheduler _schedule.ordering _schedule.batching _schedule.fusion _schedule.retries _schedule.failure_limit _transport.allocator _transport.shared_memory _transport.shared_objects _serialize.lookup _serialize.c_layouts _serialize.classes
        _serialize.functions _serialize.tensors _serialize.pickler _modules.main_import _modules.origins _modules.identities _modules.owners _modules.main_export _sync.threads _items.side_output _items.finalizers _transport.channel _system.thread_signals
        _transport.outbox _transport.progress_page _worker.fused_calls _worker.results _environment.settings _environment.time_zone _environment.signal_handling _environment.process_state _worker.log_capture _items.portable
        _worker.loop
        _worker.starter
        engines.processes.starter_client engines.processes.supervisor
        engines.processes.fork
        engines.protocol _runtime.wakeup _runtime.log_forwarder _sync.event_queue engines.processes.ledger engines.processes.slot engines.processes.retirement engines.processes.memory engines.processes.workforce
        engines.threads engines.serial engines.processes.engine engines.executor
        _sync.demand _results.tracking _runtime.sources _runtime.inline_source _results.output_queue _results.reader _results.stream _schedule.task_queue _runtime.router _runtime.snapshot _runtime.inputs _runtime.inline _runtime.outcomes _runtime.manager
        _runtime.build
        _base.habits _task _task_inputs _imap _imports
        __init__
        testing
    """.split(),
    "papy": """
        util._script
        util._func
        _streams
        _stages
        _pipeline
        _monitor
        _evaluate
        _dagger
        _codegen
        _base
        _base.public _base.portable
        _base.errors _base.checks _base.external_programs _base.current_item _evaluate.misfits _base.misuse _base.forks _base.interrupts _base.threads graph
        _evaluate.worker _evaluate.call _evaluate.counts _evaluate.provenance
        _dagger.piper_options _dagger.failure_summary _streams.streams _streams.interleave _streams.zip_streams _streams.results
        _dagger.wiring _dagger.piper
        _dagger.run_options _dagger.piper_graph _dagger.graph_run
        _dagger.finalizer _dagger.background _dagger.dagger
        _codegen.changes _codegen.definition_order _codegen.origins _codegen.expression _dagger.codefile
        _dagger.plumber
        steps coroutines _monitor.reporters _monitor.counter _monitor.debugger
        _stages.spec _stages.entries _stages.backoff _stages.accounting _stages.error_file _stages.byte_bounds _stages.bounded_queue _pipeline.input_queue _pipeline.iterable_reader _pipeline.entry_reader _stages.upstream _stages.workers _stages.stages _pipeline.pipeline_run
        _pipeline.results _pipeline.background _pipeline.leftovers _pipeline.pipeline
        core __init__
        util _base.guard
        util._func.passers util._func.coders util._func.streams util._func.offers util._func.items util._func.database
        util.func
        util._script.process util._script.ports util._script.templates util._script.workdir util._script.output_records util._script.recipe util.script
        util.config
    """.split(),
}
# End of the order.


def modules(package: str) -> dict[str, Path]:
    """The files of a package by the name they have in the list: ``_imap``, ``engines.serial``, ``engines``."""
    folder = ROOT / package
    names = {path: path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.py"))}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


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


def resolve(package: str, dotted: str) -> str:
    """The module of the package that a dotted name belongs to: a name in a module belongs to the module."""
    known, parts = modules(package), dotted.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or "__init__"


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_its_place(package: str) -> None:
    missing = modules(package).keys() - set(LAYERS[package])
    assert not missing, f"put it in its place in LAYERS[{package!r}]: {sorted(missing)}"


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package: str) -> None:
    order, wrong = LAYERS[package], set()
    for name, path in modules(package).items():
        for dotted, line in imports(package, name, path):
            target = resolve(package, dotted) if dotted.split(".")[0] == package else name
            if target != name and name in order and target not in order[: order.index(name)]:
                wrong.add(f"{path.relative_to(ROOT)}:{line}: {name} imports {target}")
    assert not wrong, "\n".join(["imports that point up:", *sorted(wrong)])


def test_numap_does_not_know_papy() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for name, path in modules("numap").items()
        for dotted, line in imports("numap", name, path)
        if dotted.split(".")[0] == "papy"
    }
    assert not found


def test_papy_uses_public_names_of_numap_only() -> None:
    import numap

    wrong = []
    for name, path in modules("papy").items():
        used = {dotted for dotted, _ in imports("papy", name, path) if dotted.startswith("numap.")}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "numap":
                used.add(f"numap.{node.attr}")
        wrong += [f"papy.{name} uses {it}" for it in sorted(used) if it.removeprefix("numap.") not in numap.__all__]
    assert not wrong
