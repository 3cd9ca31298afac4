"""Measure a tree of Python files: a pipeline that forks into two branches on one pool and joins them again.

    python examples/pipeline.py                          # the standard library of this interpreter
    python examples/pipeline.py --input ~/src --workers 4
    python examples/pipeline.py --compare                # the same pipeline on one CPU, too

            +-> measure --+
    read ---|             |--> combine
            +-> count ----+

``read`` and ``combine`` are linear pipers, evaluated here. ``measure`` and ``count`` share the processes of one IMap.
A file that can't be read or parsed is not fatal: a PiperError takes its place through the rest of the pipeline.
"""

import argparse
import ast
import logging
import os
import sys
import sysconfig
import time
import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from heapq import nlargest
from pathlib import Path
from typing import Any, NamedTuple

from numap import IMap
from papy import Dagger, Piper, PiperError, Worker

TOP = 8  # lines of each table

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)


# What travels through the pipeline.


class Source(NamedTuple):
    name: str
    text: bytes


class Function(NamedTuple):
    lines: int
    complexity: int
    place: str


class Metrics(NamedTuple):
    name: str
    size: int
    complexity: int
    functions: int
    largest: list[Function]


class Names(NamedTuple):
    imports: set[str]
    identifiers: dict[str, int]


# What the pipers do: plain functions.


def read(name: str, root: Path) -> Source:
    return Source(name, (root / name).read_bytes())


def parse(source: Source) -> ast.Module:
    for _ in range(9):
        try:
            return ast.parse(source.text, source.name)
        except SystemError:
            # "AST constructor recursion depth mismatch": in CPython 3.11 threads that parse at the same time disturb each
            # other, now and then. It says nothing of the file.
            continue
    return ast.parse(source.text, source.name)


def measure(source: Source) -> Metrics:
    """The largest functions, and cyclomatic complexity: one, and one more for each place where the flow can branch."""
    functions, branches = [], []
    for node in ast.walk(parse(source)):
        if isinstance(node, FUNCTIONS):
            functions.append(node)
        elif isinstance(node, BRANCHES):
            branches.append(node.lineno)
        elif isinstance(node, ast.BoolOp):
            branches += [node.lineno] * (len(node.values) - 1)
    branches.sort()
    sizes = []
    for node in functions:
        first, last = node.lineno, node.end_lineno or node.lineno
        inside = bisect_right(branches, last) - bisect_left(branches, first)
        sizes.append(Function(last - first + 1, 1 + inside, f"{node.name} ({source.name}:{first})"))
    return Metrics(source.name, len(source.text), 1 + len(branches), len(sizes), nlargest(TOP, sizes))


def count(source: Source) -> Names:
    """How often each identifier is used, and which modules are imported."""
    imports: set[str] = set()
    identifiers: Counter[str] = Counter()
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Name):
            identifiers[node.id] += 1
        elif isinstance(node, ast.Attribute):
            identifiers[node.attr] += 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.add(node.module)
    return Names(imports, dict(identifiers))


def combine(metrics: Metrics, names: Names) -> tuple[Metrics, Names]:
    return metrics, names


# How the pipers are connected: the same for every kind of pool.


def pipeline(root: Path, pool: IMap[Any]) -> Dagger:
    reader = Piper(Worker(read, (root,), unpack=True), name="read")
    measurer = Piper(measure, parallel=pool, unpack=True, name="measure")
    counter = Piper(count, parallel=pool, unpack=True, name="count")
    combiner = Piper(combine, unpack=True, name="combine")
    return Dagger(pipes=[(reader, measurer, combiner), (reader, counter, combiner)])


def quiet() -> None:
    """Run once in each worker: what is odd in a file that we only read is none of our business."""
    warnings.simplefilter("ignore", SyntaxWarning)


# What is made of the results.


class Summary:
    """Adds up modules; what it keeps does not grow with their number, but for the names in them."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self.functions: list[Function] = []
        self.modules: list[tuple[int, int, str]] = []
        self.imports: Counter[str] = Counter()
        self.identifiers: Counter[str] = Counter()
        self.failed: list[tuple[str, str]] = []

    def add(self, metrics: Metrics, names: Names) -> None:
        self.files += 1
        self.bytes += metrics.size
        self.functions = nlargest(TOP, self.functions + metrics.largest)
        self.modules = nlargest(TOP, [*self.modules, (metrics.complexity, metrics.functions, metrics.name)])
        self.imports.update(names.imports)
        self.identifiers.update(names.identifiers)

    def fail(self, name: str, error: PiperError) -> None:
        self.failed.append((name, f"{type(error.exception).__name__}: {error.exception}"))

    def show(self) -> None:
        table("Largest functions", ("lines", "complexity"), self.functions)
        table("Most complex modules", ("complexity", "functions"), self.modules)
        table("Most imported modules", ("files",), [(n, name) for name, n in top(self.imports)])
        table("Most used identifiers", ("times",), [(n, name) for name, n in top(self.identifiers)])
        if self.failed:
            print(f"\nNot parsed: {len(self.failed)}")
            for name, why in self.failed:
                print(f"  {name}: {why}")


def top(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent names; of equals the first in the alphabet."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]


def table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print rows of numbers with a name at the end."""
    print("\n" + "".join(f"{head:>12}" for head in heads) + f"  {title}")
    for *numbers, name in rows:
        print("".join(f"{number:>12,}" for number in numbers) + f"  {name}")


def analyse(root: Path, files: list[str], worker_type: str, workers: int | None) -> tuple[Summary, float]:
    """Run the pipeline over some files, and return the summary and how many seconds it took."""
    pool: IMap[Any] = IMap(worker_type=worker_type, worker_num=workers, initializer=quiet)
    summary = Summary()
    begin = time.perf_counter()
    for name, result in zip(files, pipeline(root, pool).results([files]), strict=True):
        if isinstance(result, PiperError):
            summary.fail(name, result)
        else:
            summary.add(*result)
    return summary, time.perf_counter() - begin


def report(worker_type: str, summary: Summary, seconds: float) -> None:
    """Print how fast it was; only what was parsed counts."""
    files, megabytes = summary.files, summary.bytes / 1e6
    print(
        f"{worker_type}: {files:,} of {files + len(summary.failed):,} files parsed, {megabytes:.1f} MB in {seconds:.2f} s: "
        f"{files / seconds:,.0f} files/s, {megabytes / seconds:.1f} MB/s"
    )


# The command line.


def python_files(root: Path) -> list[str]:
    """The .py files below a directory, without installed packages; regular ones, as a pipe would keep us waiting."""
    names = [path.relative_to(root) for path in root.rglob("*.py") if os.path.isfile(path)]
    return sorted(str(name) for name in names if "site-packages" not in name.parts)


def whole_number(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} given; must be at least 1")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a tree of Python files in parallel.")
    parser.add_argument("--input", type=Path, default=sysconfig.get_path("stdlib"), help="a directory, or one file")
    parser.add_argument("--limit", type=whole_number, help="at most so many files")
    parser.add_argument("--type", choices=["process", "thread", "serial"], default="process", help="kind of workers")
    parser.add_argument("--workers", type=whole_number, help="how many (default: one for each CPU)")
    parser.add_argument("--compare", action="store_true", help="run without workers, too, and compare")
    options = parser.parse_args()
    logging.getLogger("papy").setLevel(logging.ERROR)  # files that fail are listed below: no warning is needed

    root = Path(options.input)
    if root.is_file():
        root, files = root.parent, [root.name]
    elif root.is_dir():
        files = python_files(root)[: options.limit]
    else:
        parser.error(
            f"--input: {root} is neither a directory nor a file" if root.exists() else f"--input: there is no {root}"
        )
    if not files:
        parser.error(f"--input: no .py files in {root}")
    print(f"{len(files):,} file{'s' * (len(files) > 1)} in {root}", flush=True)

    summary, seconds = analyse(root, files, options.type, options.workers)
    summary.show()
    print()
    report(options.type, summary, seconds)
    if options.compare:
        alone, seconds_alone = analyse(root, files, "serial", None)
        report("serial", alone, seconds_alone)
        same = "identical" if vars(alone) == vars(summary) else "DIFFERENT"
        print(f"{options.type} is {seconds_alone / seconds:.2f} times as fast as serial; the results are {same}")


sys.stdout.reconfigure(errors="backslashreplace")  # file names may be any bytes, and the terminal may know ASCII only
try:
    main()
    sys.stdout.flush()
except BrokenPipeError:  # the reader of the output has seen enough: head, for example
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the exit
    sys.exit(1)
