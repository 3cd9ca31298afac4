"""papy.Plumber: its life as a table, in every wrong order, from two threads, paused, stopped and dropped at any moment."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Plumber, PlumberError
from tests.papy import work

KINDS = [None, "serial", "thread", "process"]


def plumber(kind: str | None = None, function: Any = work.same, sink: Any = None, **options: Any) -> Plumber:
    """Two pipers on an IMap, or none, and perhaps a sink."""
    pool = None if kind is None else IMap[Any](worker_type=kind, worker_num=2)
    pipe = [Piper(function, pool, unpack=True), Piper(work.same, pool, unpack=True)]
    if sink is not None:
        pipe.append(Piper(sink, unpack=True))
    return Plumber(pipes=[pipe], **options)


# the life --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_life_twice(kind: str | None) -> None:
    seen: list[int] = []
    pipeline = plumber(kind, sink=seen.append)
    for _ in range(2):
        seen.clear()
        pipeline.start([range(500)])
        pipeline.run()
        pipeline.pause()
        before = len(seen)
        if "paused" in repr(pipeline):
            assert before == len(seen)
            pipeline.run()
        assert pipeline.wait(60) is True and pipeline.wait() is True
        pipeline.pause()
        assert seen == list(range(500)) and "finished" in repr(pipeline)
        with pytest.raises(PlumberError, match="run is not possible while the Plumber is finished"):
            pipeline.run()
        pipeline.stop()
        pipeline.stop()


class Held:
    """An input that gives a first item, and the next one when it may."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __iter__(self) -> Iterator[int]:
        yield 0
        self.gate.wait(60)
        yield 1


def reach(state: str, held: Held) -> Plumber:
    pipeline = plumber(function=work.unless_half)
    if state == "connected":
        pipeline.connect([held])
    elif state != "idle":
        pipeline.start([[0.5] if state == "failed" else [0] if state == "finished" else held], on_error="raise")
    if state not in ("idle", "connected", "started"):
        pipeline.run()
    if state == "paused":
        held.gate.set()
        pipeline.stop()
        pipeline.start([count()])
        pipeline.run()
        pipeline.pause()
    if state == "finished":
        assert pipeline.wait(60)
    if state == "failed":
        with pytest.raises(PiperError):
            pipeline.wait(60)
    return pipeline


CALLS: dict[str, Callable[[Plumber], Any]] = {
    "start": lambda it: it.start([[1]]),
    "connect": lambda it: it.connect([[1]]),
    "disconnect": lambda it: it.disconnect(),
    "run": lambda it: it.run(),
    "run(datas)": lambda it: it.run([[1]]),
    "results": lambda it: list(it.results([[1]])),
    "pause": lambda it: it.pause(),
    "wait": lambda it: it.wait(0.01),
    "stop": lambda it: it.stop(),
    "change": lambda it: it.add_pipe([work.same]),
}

ALLOWED = {
    "idle": ["start", "connect", "disconnect", "run(datas)", "results", "stop", "change"],
    "connected": ["disconnect", "stop"],
    "started": ["run", "stop"],
    "running": ["pause", "wait", "stop"],
    "paused": ["run", "stop"],
    "finished": ["pause", "wait", "stop"],
    "failed": ["pause", "stop"],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", ALLOWED)
def test_every_call_in_every_state(state: str, call: str) -> None:
    held = Held()
    pipeline = reach(state, held)
    try:
        if call in ALLOWED[state]:
            CALLS[call](pipeline)
        elif (state, call) == ("failed", "wait"):
            for _ in range(2):
                with pytest.raises(PiperError, match="half"):
                    pipeline.wait()
        elif (state, call) == ("connected", "start"):
            with pytest.raises(PlumberError, match="the Plumber is connected: start it without arguments"):
                pipeline.start([[1]])
            pipeline.start()
        else:
            with pytest.raises(PlumberError, match=f"is not possible while the Plumber is {state}"):
                CALLS[call](pipeline)
            assert state in repr(pipeline)
    finally:
        held.gate.set()
        pipeline.stop()
        assert "idle" in repr(pipeline)


@pytest.mark.parametrize("seed", range(15))
def test_random_calls_from_two_threads(seed: int) -> None:
    rng = random.Random(seed)
    pipeline = plumber(rng.choice([None, "thread"]))
    unexpected: list[BaseException] = []

    def call_around(rng: random.Random) -> None:
        for _ in range(40):
            call = rng.choice(["start", "run", "pause", "wait", "stop", "results", "change"])
            try:
                if call == "start":
                    pipeline.start([range(rng.choice([0, 3, 10**6]))])
                elif call == "results":
                    next(pipeline.results([count()]))
                elif call == "change":
                    pipeline.del_piper(pipeline.add_piper(work.same, create=True)[1])
                else:
                    CALLS[call](pipeline)
            except PlumberError:
                pass
            except BaseException as error:
                # A change of the graph comes between another thread's look at it and its start.
                if not (isinstance(error, DaggerError) and "datas" in str(error)):
                    unexpected.append(error)

    threads = [threading.Thread(target=call_around, args=(random.Random(rng.random()),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    pipeline.stop()
    assert unexpected == []
    assert pipeline.run([range(3)]).results == 3 * len(pipeline.get_inputs()) or len(pipeline.get_inputs()) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_pausing_loses_nothing(kind: str | None, seed: int) -> None:
    rng = random.Random(seed)
    seen: list[int] = []
    items = range(5000 if kind == "serial" else 20_000)  # each takes long enough there
    pipeline = plumber(kind, sink=seen.append)
    pipeline.start([items])
    pipeline.run()
    for _ in range(rng.randrange(20)):
        pipeline.pause()
        if "paused" not in repr(pipeline):
            break
        before = len(seen)
        assert len(seen) == before
        pipeline.run()
    assert pipeline.wait(60) and seen == list(items)
    pipeline.stop()


def test_a_pause_waits_for_the_item_in_hand_and_not_for_ever() -> None:
    arrived, gate = threading.Event(), threading.Event()

    def slow(x: int) -> None:
        arrived.set()
        gate.wait(60)

    pipeline = plumber(sink=slow)
    pipeline.start([[1, 2]])
    pipeline.run()
    assert arrived.wait(60)
    pipeline.pause()
    assert "paused" in repr(pipeline)
    gate.set()
    pipeline.run()
    assert pipeline.wait(60)
    pipeline.stop()


def test_a_sink_may_pause_and_stop() -> None:
    seen: list[int] = []

    def sink(x: int) -> None:
        seen.append(x)
        if x == 3:
            pipeline.pause()
            paused.set()
        if x == 5:
            pipeline.stop()
            stopped.set()

    paused, stopped = threading.Event(), threading.Event()
    pipeline = plumber("thread", sink=sink)
    pipeline.start([count()])
    pipeline.run()
    assert paused.wait(60) and "paused" in repr(pipeline)
    pipeline.run()
    assert stopped.wait(60) and "idle" in repr(pipeline)
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_for_a_time(kind: str | None) -> None:
    held = Held()
    pipeline = plumber(kind)
    pipeline.start([held])
    pipeline.run()
    assert pipeline.wait(0.05) is False and pipeline.wait(0) is False
    held.gate.set()
    assert pipeline.wait(60) is True
    pipeline.stop()


def test_who_waits_while_somebody_stops() -> None:
    pipeline = plumber("thread")
    pipeline.start([count()])
    pipeline.run()
    stopper = threading.Timer(0.05, pipeline.stop)
    stopper.start()
    with pytest.raises(PlumberError, match="was stopped while its end was waited for"):
        pipeline.wait(60)
    stopper.join()


@pytest.mark.parametrize("kind", KINDS)
def test_stop_is_soon_while_the_input_blocks(kind: str | None) -> None:
    held = Held()
    pipeline = plumber(kind)
    pipeline.start([held])
    pipeline.run()
    pipeline.stop()
    assert "idle" in repr(pipeline)
    assert not held.gate.is_set()
    held.gate.set()


# how it ends -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_the_run_is_raised_by_wait(kind: str | None) -> None:
    pipeline = plumber(kind, work.unless_half, on_error="raise")
    pipeline.start([[1, 0.5, 2]])
    pipeline.run()
    with pytest.raises(PiperError, match="half"):
        pipeline.wait(60)
    assert pipeline.stats["failures"][pipeline.get_inputs()[0]] == 1
    pipeline.pause()
    pipeline.stop()

    def data() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    pipeline.start([data()])
    pipeline.run()
    with pytest.raises(DaggerError, match="gone"):
        pipeline.wait(60)
    pipeline.stop()


def test_failures_travel_and_are_counted() -> None:
    pipeline = plumber("thread", work.unless_half)
    pipeline.start([[1, 0.5, 2]])
    pipeline.run()
    assert pipeline.wait(60)
    assert (pipeline.stats["results"], pipeline.stats["skipped"]) == (3, 0)
    assert [letter.inbox for letter in pipeline.stats["dead_letters"]] == [[0.5]]
    pipeline.stop()


def test_statistics() -> None:
    pool = IMap[Any](worker_type="thread", worker_num=2)
    first, last = Piper(work.double, pool, unpack=True, track=True), Piper(work.increment, unpack=True, track=True)
    other = Piper(work.same, unpack=True)
    pipeline = Plumber(pipes=[(first, last, other)])
    assert pipeline.stats["start_time"] is None and pipeline.stats["run_time"] is None
    began = time.time()
    with pipeline:
        pipeline.start([range(3)])
        assert pipeline.stats["run_time"] is None and pipeline.stats["results"] == 0
        pipeline.run()
        pipeline.wait()
        assert pipeline.stats["run_time"] > 0
    stats = pipeline.stats
    assert began - 1 <= stats["start_time"] <= time.time() + 1 and stats["run_time"] > 0
    assert stats["pipers_tracked"] == {first: [{0: 0, 1: 2, 2: 4}], last: [{0: 1, 1: 3, 2: 5}]}
    assert (stats["results"], stats["items"]) == (3, {first: 3, last: 3, other: 3})


def test_all_in_one_call() -> None:
    seen: list[int] = []
    pipeline = plumber("thread", sink=seen.append)
    done = pipeline.run([range(5)])
    assert done.results == 5 and seen == [0, 1, 2, 3, 4]
    assert list(pipeline.results([[7]])) == [None]
    with pytest.raises(PlumberError, match="on_error and retries are said at the start"):
        pipeline.run(on_error="skip")  # type: ignore[call-overload]
    with pytest.raises(PlumberError, match="logger_options"):
        Plumber([work.total])  # type: ignore[arg-type]
    assert isinstance(pipeline, Dagger) and not Plumber({}, pipers=[work.total]).edges()


def test_results_that_are_read_keep_others_away() -> None:
    pipeline = plumber()
    results = pipeline.results([count()])
    assert next(results) == 0
    with pytest.raises(PlumberError, match="start is not possible while the Plumber is being read"):
        pipeline.start([[1]])
    pipeline.stop()
    with pytest.raises(PlumberError, match="the Plumber was stopped while its results were read"):
        next(results)


# dropped ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["started", "running", "paused", "finished", "failed"])
@pytest.mark.parametrize("kind", KINDS)
def test_dropped_in_every_state(kind: str | None, state: str) -> None:
    pipeline = plumber(kind, work.unless_half, on_error="raise")
    pipeline.start([{"finished": [1], "failed": [0.5]}.get(state, count(1))])
    if state != "started":
        pipeline.run()
    if state == "paused":
        pipeline.pause()
    elif state == "finished":
        pipeline.wait(60)
    elif state == "failed":
        with pytest.raises(PiperError):
            pipeline.wait(60)
    seen = weakref.ref(pipeline)
    del pipeline
    for _ in range(500):
        gc.collect()  # an error leads to all that it passed through, until the thread that it ended is gone
        if seen() is None:
            break
        time.sleep(0.01)
    assert seen() is None


@pytest.mark.parametrize("pools", [1, 2])
@pytest.mark.parametrize("make", [Dagger, Plumber])
def test_a_dropped_graph_stops_the_imaps_that_others_hold(make: Any, pools: int) -> None:
    imaps = [IMap[Any](worker_type="thread", worker_num=2) for _ in range(pools)]
    # With two IMaps each is an input of the other.
    pipe = [Piper(work.same, imaps[place % pools], unpack=True, produce=1) for place in range(3)]
    graph = make(pipes=[pipe])
    graph.start([count()])
    if make is Plumber:
        graph.run()
    else:
        assert next(pipe[-1]) == 0
    del graph, pipe
    gc.collect()
    for _ in range(500):
        if all(imap.statistics().state == "stopped" for imap in imaps):
            break
        time.sleep(0.01)
    assert [imap.statistics().state for imap in imaps] == ["stopped"] * pools


# where every item is dropped -------------------------------------------------------


class Refusing:
    """Fails on each item, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = threading.Event()

    def __call__(self, inbox: Any) -> Any:
        self.calls += 1
        if self.calls > 100:
            self.begun.set()
        raise ValueError(inbox[0])


def refused() -> tuple[Plumber, Refusing]:
    """A Plumber in the midst of items without end, all of which are dropped."""
    refusing = Refusing()
    pipeline = Plumber(pipers=[Piper(refusing)], on_error="skip")
    pipeline.start([count()])
    pipeline.run()
    assert refusing.begun.wait(60)
    return pipeline, refusing


def test_a_pause_where_all_items_are_skipped() -> None:
    pipeline, refusing = refused()
    runner = pipeline._runner
    assert runner is not None
    pipeline.pause()
    assert runner._wait_for(lambda: runner._resting, 60)
    calls = refusing.calls
    assert "paused" in repr(pipeline) and pipeline.stats["skipped"] == calls
    refusing.begun.clear()
    pipeline.run()
    assert refusing.begun.wait(60)
    pipeline.stop()
    runner._thread.join(60)
    assert not runner._thread.is_alive()


def test_a_dropped_plumber_where_all_items_are_skipped() -> None:
    pipeline, _ = refused()
    assert pipeline._runner is not None
    thread = pipeline._runner._thread
    del pipeline
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_a_piper_that_is_stopped_from_elsewhere_where_all_items_are_skipped() -> None:
    refusing = Refusing()
    piper = Piper(refusing, on_error="skip").connect([count()])
    piper.start()
    stopper = threading.Thread(target=lambda: refusing.begun.wait(60) and piper.stop(forced=True), daemon=True)
    stopper.start()
    with pytest.raises(PiperError, match=r"stopped while its results were read|its results are gone"):
        next(piper)
    stopper.join(60)


@pytest.mark.parametrize("read", ["results", "run", "piper"])
@pytest.mark.parametrize("policy", ["skip", "return"])
def test_a_stop_from_elsewhere_where_all_items_fail(read: str, policy: str) -> None:
    refusing = Refusing()
    dagger = Dagger(pipers=[Piper(refusing)], on_error=policy)
    stopper = threading.Thread(target=lambda: refusing.begun.wait(60) and dagger.stop(), daemon=True)
    stopper.start()
    with pytest.raises((DaggerError, PiperError), match=r"stopped|not possible"):
        if read == "results":
            for _ in dagger.results([count()]):
                pass
        elif read == "run":
            dagger.run([count()])
        else:
            dagger.start([count()])
            for _ in dagger.get_outputs()[0]:
                pass
    stopper.join(60)
    assert dagger.run([range(3)]).failures[dagger.get_outputs()[0]] == 3


# failures that nobody waits for ----------------------------------------------------


def failed(pipeline: Plumber) -> None:
    """Waits for the state without being told of the error."""
    assert pipeline._runner is not None
    assert pipeline._runner.wait(60) == "failed"


def test_the_end_of_a_block_raises_what_ended_the_run() -> None:
    pipeline = plumber("thread", work.inverse, on_error="raise")
    with pytest.raises(PiperError, match="division"), pipeline:
        pipeline.start([[1, 0]])
        pipeline.run()
        failed(pipeline)
    assert "idle" in repr(pipeline) and len(pipeline.dead_letters) == 1

    def data() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(DaggerError, match="gone"), pipeline:
        pipeline.start([data()])
        pipeline.run()
        failed(pipeline)


def test_an_item_that_fails_while_the_block_ends_is_told() -> None:
    arrived, gate = threading.Event(), threading.Event()

    def fail(x: int) -> None:
        arrived.set()
        gate.wait(60)
        raise ValueError("late")

    pipeline = plumber(None, sink=fail, on_error="raise")
    with pytest.raises(PiperError, match="late"), pipeline:
        pipeline.start([count()])
        pipeline.run()
        assert arrived.wait(60)
        runner = pipeline._runner
        assert runner is not None
        finish = runner.finish
        runner.finish = lambda timeout: (gate.set(), finish(60))  # type: ignore[assignment, func-returns-value]


def test_nobody_is_told_twice() -> None:
    pipeline = plumber("thread", work.inverse, on_error="raise")
    with pipeline:
        pipeline.start([[0]])
        pipeline.run()
        with pytest.raises(PiperError):
            pipeline.wait(60)
    with pytest.raises(KeyError), pipeline:
        pipeline.start([[0]])
        pipeline.run()
        failed(pipeline)
        raise KeyError
    with pipeline:
        pipeline.start([[0]])
        pipeline.run()
        failed(pipeline)
        pipeline.stop()
    both = Piper(work.pair)
    unequal = Plumber(pipes=[(Piper(work.same, unpack=True), both), (Piper(work.same, unpack=True), both)])
    with unequal:  # its inputs are at different places when they are shut
        unequal.start([count(), count()])
        unequal.run()


def test_stop_without_a_timeout_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the item in hand: the time limit of a pause would be three hours here."""
    monkeypatch.setattr("papy._dagger.background.STOP_TIMEOUT", 10_000.0)
    arrived, gate = threading.Event(), threading.Event()

    def block(x: int) -> None:
        arrived.set()
        gate.wait(60)

    pipeline = plumber(None, sink=block)
    pipeline.start([count()])
    pipeline.run()
    assert arrived.wait(60)
    began = time.monotonic()
    pipeline.stop(0)
    assert time.monotonic() - began < 59 and not gate.is_set()
    gate.set()


# what was forgotten ----------------------------------------------------------------


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The first thing that is said, by a thread, and all that was said by then."""
    until = time.monotonic() + 30
    while not caplog.records:
        assert time.monotonic() < until
        time.sleep(0.01)
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", ["started", "running", "paused"])
def test_76_a_plumber_that_is_dropped(kind: str | None, state: str, caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    pipeline = plumber(kind)
    pipeline.start([held])
    if state != "started":
        pipeline.run()
    if state == "paused":
        pipeline.pause()
    del pipeline
    gc.collect()
    (text,) = said(caplog)
    held.gate.set()
    when = {"started": "before it was told to run"}.get(state, f"while it was {state}")
    assert text.startswith(f"WARNING a Plumber was dropped {when}: ") and "its inputs were not at their end" in text


def test_76_a_plumber_that_failed_and_was_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    for forget in ("stop", "drop", "with"):
        caplog.clear()
        pipeline = plumber(function=work.inverse, on_error="raise")
        pipeline.start([[0]])
        pipeline.run()
        runner = pipeline._runner
        assert runner is not None and runner.wait(60) == "failed"
        del runner
        if forget == "stop":
            pipeline.stop()
        elif forget == "with":
            with pytest.raises(OSError, match="mine"), pipeline:
                raise OSError("mine")
        del pipeline
        gc.collect()
        (text,) = said(caplog)
        assert text == "ERROR the run of a Plumber has failed, which wait() would have raised"
        assert "division by zero" in str(caplog.records[0].exc_info)


def test_76_a_plumber_that_did_all(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = plumber("thread")
    pipeline.start([range(10)])
    pipeline.run()
    pipeline.wait()
    del pipeline
    pipeline = plumber("thread", function=work.inverse, on_error="raise")
    pipeline.start([[0]])
    pipeline.run()
    with pytest.raises(PiperError):
        pipeline.wait()
    pipeline.stop()
    with pytest.raises(PiperError), pipeline:
        pipeline.start([[0]])
        pipeline.run()
        assert pipeline._runner is not None and pipeline._runner.wait(60) == "failed"
    del pipeline
    gc.collect()
    assert not caplog.records


def test_76_a_dagger_that_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    def started() -> tuple[Dagger, Piper]:
        piper = Piper(work.same, IMap(worker_type="thread"), unpack=True)
        dagger = Dagger([piper])
        dagger.start([range(3)])
        return dagger, piper

    dagger, piper = started()
    assert list(piper) == [0, 1, 2]
    del dagger, piper
    dagger, piper = started()
    dagger.stop()
    del dagger, piper
    gc.collect()
    dagger, piper = started()
    next(piper)
    del dagger, piper
    gc.collect()
    (text,) = said(caplog)
    assert text.startswith("WARNING a Dagger was dropped before its results were read to their end, ")


@pytest.mark.parametrize("way", ["run", "results", "start"])
def test_75_the_times_of_each_way_to_run(way: str) -> None:
    pipeline = plumber(function=work.same)
    for _ in range(2):
        before = time.time()
        if way == "run":
            pipeline.run([range(3)])
        elif way == "results":
            list(pipeline.results([range(3)]))
        else:
            pipeline.start([range(3)])
            pipeline.run()
            pipeline.wait()
            pipeline.stop()
        stats = pipeline.stats
        assert before - 1 <= stats["start_time"] <= time.time() and 0 <= stats["run_time"] <= time.time() - before + 1
        pipeline.stop()
        assert pipeline.stats == stats
