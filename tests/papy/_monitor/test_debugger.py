"""Debuggers and reporters, for both kinds of pipelines."""

from __future__ import annotations

import io
import logging
import mmap
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from papy import (
    CallbackReporter,
    Debugger,
    DebugReporter,
    LoggingReporter,
    Pipeline,
    PipelineRuntimeDebugger,
    Resources,
    TableReporter,
    chunk,
    combine_pipeline,
    identity_step,
    iterstep,
)
from tests.numap.programs import until
from tests.papy._monitor.burning import burn, burn_all, quick, slow


class Last(DebugReporter):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Resources]] = []

    def show(self, info: Any) -> None:
        self.shown.append(dict(info))


def test_one_report_at_the_end_with_the_time_where_it_was_spent() -> None:
    last = Last()

    def run() -> bool:
        """Whether the time was spent where it should be; the machine may have stood still for a moment."""
        last.shown.clear()
        assert list(combine_pipeline(range(10), [quick, slow, chunk(3), quick], PipelineRuntimeDebugger([last]))) == [
            [0, 1, 2],
            [3, 4, 5],
            [6, 7, 8],
            [9],
        ]
        assert len(last.shown) == 1
        figures = last.shown[0]
        return figures["slow"].runtime > 5 * max(figures[name].runtime for name in ("source", "quick", "chunks"))

    assert until(run)
    figures = last.shown[0]
    assert list(figures) == ["source", "quick", "slow", "chunks"]  # "quick" twice in a dictionary
    assert {it.count for it in figures.values()} == {10}  # lists count with their length
    assert figures["slow"].runtime >= 0.2
    assert figures["slow"].throughput <= 50
    assert figures["slow"].runtime_per_entry >= 0.02


def test_reports_in_between_and_after_a_break() -> None:
    last = Last()
    entries = combine_pipeline(range(5), [quick], PipelineRuntimeDebugger([last], every=0))
    next(entries)
    next(entries)
    assert [it["source"].count for it in last.shown] == [1, 2]
    entries.close()
    assert len(last.shown) == 3


def test_cpu_times_and_memory() -> None:
    kept = []

    def burn(entries: Iterable[int]) -> Iterator[int]:
        for entry in entries:
            # Pages of its own: an ordinary allocation may get what was freed before.
            block = mmap.mmap(-1, 5 * 2**20, flags=mmap.MAP_PRIVATE)
            block.write(bytes(len(block)))
            kept.append(block)
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
            yield entry

    last = Last()
    list(combine_pipeline(range(4), [burn, quick], PipelineRuntimeDebugger([last])))
    assert last.shown[0]["burn"].utime + last.shown[0]["burn"].stime > 0.1
    assert last.shown[0]["burn"].rss > 10 * 2**20


def test_queries() -> None:
    class Queries:
        made = 0

        def pop(self) -> int:
            made, Queries.made = Queries.made, 0
            return made

    def ask(entries: Iterable[int]) -> Iterator[int]:
        for entry in entries:
            Queries.made += 2
            yield entry

    last = Last()
    list(combine_pipeline(range(3), [ask, quick], PipelineRuntimeDebugger([last], Queries())))
    assert [(it.queries, it.queries_per_entry) for it in last.shown[0].values()] == [(0, 0), (6, 2), (0, 0)]


def test_looks_at_the_system_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what costs; per entry there are only two looks at a clock."""
    looks = []
    look = PipelineRuntimeDebugger._look
    monkeypatch.setattr(PipelineRuntimeDebugger, "_look", lambda self: looks.append(1) or look(self))
    begin = time.perf_counter()
    list(combine_pipeline(range(20_000), [quick, quick], PipelineRuntimeDebugger([])))
    assert len(looks) <= 2 + (time.perf_counter() - begin) / 0.010


def test_a_debugger_of_ones_own() -> None:
    class Loud(Debugger):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def head(self, source: Iterable[Any]) -> Iterable[Any]:
            self.seen.append("head")
            return super().head(source)

        def tail(self, iterable: Iterable[Any]) -> Iterable[Any]:
            self.seen.append("tail")
            return iterable

        def do_track(self, iterable: Iterable[Any], name: str) -> Iterator[Any]:
            for entry in iterable:
                self.seen.append((name, entry))
                yield entry

    loud = Loud()
    assert list(combine_pipeline([1], [quick, identity_step], loud)) == [1]
    assert loud.seen == ["head", "tail", ("source", 1), ("quick", 1), ("identity_step", 1)]


def test_callable_sources_are_debugged_each_time() -> None:
    last = Last()
    pipeline = combine_pipeline(range, [quick], PipelineRuntimeDebugger([last]))
    for n in (3, 4):
        assert len(list(pipeline(n))) == n
    assert [it["quick"].count for it in last.shown] == [3, 4]


def test_table_on_a_stream_and_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    info = [("source", Resources(3, 1.5)), ("step", Resources(3, 3.0, queries=6))]
    for stream in (io.StringIO(), Terminal()):
        reporter = TableReporter(stream)
        reporter.show(info)
        first = stream.getvalue()
        assert [len(line) for line in first.splitlines()] == [len(first.splitlines()[0])] * 3
        assert first.splitlines()[2].split() == [
            "step",
            "3",
            "3.00",
            "1.0",
            "1000.000",
            "0.00",
            "0.00",
            "+0.0",
            "6",
            "2.00",
        ]
        reporter.show(info)
        assert stream.getvalue() == first + ("\x1b[3F\x1b[J" if stream.isatty() else "") + first


def test_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("mine")
    with caplog.at_level("INFO", "mine"):
        LoggingReporter(logger).show([("source", Resources(3, 1.5))])
        LoggingReporter("mine", logging.DEBUG).show([("source", Resources(3, 1.5))])  # which is not read here
    lines = [record.getMessage() for record in caplog.records]
    assert set(lines[0]) == {"-"}
    assert lines[1].split()[:2] == ["step", "entries"]
    assert lines[2].split()[:2] == ["source", "3"]
    assert len(lines) == 3


def test_wrong_arguments() -> None:
    for options in ({"reporters": [1]}, {"reporters": 5}, {"reporters": Last()}, {"every": "5"}, {"call_counter": 1}):
        with pytest.raises(TypeError, match=next(iter(options))):
            PipelineRuntimeDebugger(**options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback"):
        CallbackReporter(1)  # type: ignore[arg-type]


def test_the_documented_program_prints() -> None:
    program = """
import logging
from papy import PipelineRuntimeDebugger, chunk, combine_pipeline, consume, identity_step
logging.basicConfig(level=logging.INFO)
consume(combine_pipeline(range(999), [identity_step, chunk(10)], PipelineRuntimeDebugger()))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    lines = [line.split(":")[-1].split()[:2] for line in done.stderr.splitlines()]
    assert lines[-3:] == [["source", "999"], ["identity_step", "999"], ["chunks", "999"]]


def test_importing_changes_no_logger() -> None:
    code = (
        "import logging, papy; assert logging.getLogger('papy').level == logging.getLogger('papy.pipeline').level == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------- step pipelines


def test_the_same_reporters_for_step_pipelines() -> None:
    last = Last()

    def work(n: int) -> int:
        time.sleep(0.02)
        return n

    pipeline = Pipeline(
        (work, 2),
        (iterstep(chunk(5)), 1),
        (len, 1, {"worker_type": "process"}),
        debugger=PipelineRuntimeDebugger([last]),
    )

    def run() -> bool:
        """Whether the time was spent where it should be; the machine may have stood still for a moment."""
        last.shown.clear()
        assert list(pipeline.results(range(10))) == [5, 5]
        return last.shown[0]["chunks"].runtime < 0.1

    assert until(run)
    pipeline.put_iterable(range(5))
    pipeline.run()
    assert [{name: it.count for name, it in figures.items()} for figures in last.shown] == [
        {"source": 10, "work": 10, "chunks": 10, "len": 2},
        {"source": 5, "work": 5, "chunks": 5, "len": 1},
    ]
    assert last.shown[0]["work"].runtime >= 0.2


@pytest.mark.parametrize("way", ["run", "results"])
@pytest.mark.parametrize("step", [(burn, 2), (burn, 2, {"worker_type": "process"}), (iterstep(burn_all), 2)])
@pytest.mark.parametrize("behind", [[], [(abs, 1)], [(abs, 1, {"worker_type": "process"})], [(iterstep(iter), 1)]])
def test_the_time_of_a_step_wherever_it_works(step: Any, behind: list[Any], way: str) -> None:
    last = Last()
    pipeline = Pipeline([step, *behind], debugger=PipelineRuntimeDebugger([last]))
    if way == "run":
        pipeline.put_iterable(range(10))
        pipeline.run()
    else:
        assert sorted(pipeline.results(range(10))) == list(range(10))
    figures = last.shown[-1]
    first = next(name for name in figures if name.startswith("burn"))
    assert figures[first].count == 10
    assert figures[first].utime >= 0.2
    assert figures[first].runtime >= 0.4
    for name in figures.keys() - {first, "source"}:
        assert figures[name].count == 10
        assert 0 < figures[name].utime < figures[first].utime


@pytest.mark.parametrize(
    "step", [(list, 2), (list, 2, {"worker_type": "process"}), (iterstep(lambda them: map(list, them)), 2)]
)
@pytest.mark.parametrize("behind", [[], [(tuple, 1)]])
def test_members_of_lists_count_one_by_one(step: Any, behind: list[Any]) -> None:
    last = Last()
    pipeline = Pipeline([step, *behind], debugger=PipelineRuntimeDebugger([last]))
    for run in range(2):
        if run:
            pipeline.put_iterable([["ab"], "abc", "", ["a", "b"]])
            pipeline.run()
        else:
            assert len(list(pipeline.results([["ab"], "abc", "", ["a", "b"]]))) == 4
        found = {name: it.count for name, it in last.shown[-1].items()}
        first = next(iter(found.keys() - {"source", "tuple"}))
        assert found == {"source": 5, first: 6, **({"tuple": 4} if behind else {})}
    assert pipeline.counter.counts[first] == 4


def test_a_tracker_of_an_iterator_step() -> None:
    class Tracker:
        def before_process(self, step: Any) -> None:
            seen.append(f"before {step.name}")

        def after_process(self, step: Any) -> None:
            seen.append("after")
            raise KeyError  # goes to the log

    def work(entries: Any) -> Any:
        for entry in entries:
            seen.append(entry)
            yield entry // (2 - entry)

    seen: list[Any] = []
    pipeline = Pipeline((iterstep(work), 1), tracker=Tracker())
    assert list(pipeline.results([0, 1])) == [0, 1]
    assert seen == ["before work", 0, "after", "before work", 1, "after"]
    seen.clear()
    with pytest.raises(ZeroDivisionError):
        list(pipeline.results([0, 2]))
    assert seen == ["before work", 0, "after", "before work", 2]


def test_reports_while_it_runs() -> None:
    last = Last()
    pipeline = Pipeline((abs, 1), debugger=PipelineRuntimeDebugger([last], every=0))
    assert len(list(pipeline.results(range(10)))) == 10
    assert len(last.shown) > 5


def test_lines_in_the_log_unless_quiet(caplog: pytest.LogCaptureFixture) -> None:
    for quiet, level in ((False, "DEBUG"), (True, "DEBUG"), (False, "INFO")):
        caplog.clear()
        with caplog.at_level(level, "papy.pipeline"):
            list(Pipeline((abs, 1), quiet=quiet).results(range(3)))
        assert bool(caplog.records) == (not quiet and level == "DEBUG")
