"""A piper by itself: connect, start, next, stop, disconnect, in the right and in all wrong orders; strides and rounds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError
from tests.papy import work
from tests.papy.work import two

KINDS = [None, "serial", "thread", "process"]


def pool(kind: str | None, **options: Any) -> IMap[Any] | None:
    return None if kind is None else IMap(worker_type=kind, worker_num=None if kind == "serial" else 2, **options)


def plain(function: Any, parallel: Any = None, **options: Any) -> Piper:
    return Piper(function, parallel, unpack=True, **options)


# arguments -------------------------------------------------------------------------


def test_arguments_have_their_names_and_places() -> None:
    parameters = inspect.signature(Piper).parameters
    places = [name for name, it in parameters.items() if it.kind is it.POSITIONAL_OR_KEYWORD]
    assert places == "worker parallel consume produce spawn timeout branch debug name track repeat".split()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consume": 0}, "consume: 0 given; must be at least 1"),
        ({"produce": True}, "produce"),
        ({"spawn": 1.5}, "spawn"),
        ({"timeout": 1}, "timeout: a linear piper can't have one"),
        ({"timeout": -1}, "timeout: -1 given; must be at least 0 seconds"),
        ({"on_error": "ignore"}, "on_error: 'ignore' is unknown; allowed: 'return', 'skip', 'raise' or None"),
        ({"retries": -1}, "retries: -1 given; must be at least 0"),
        ({"debug": True, "on_error": "skip"}, "debug"),
        ({"parallel": IMap(worker_type="serial", on_error="skip")}, "this IMap has on_error='skip'"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PiperError, match=message):
        Piper(work.total, **options)


def test_a_misspelt_argument_is_one_of_a_piper() -> None:
    with pytest.raises(TypeError, match=r"Piper\.__init__\(\) got an unexpected keyword argument 'paralel'"):
        Piper(work.total, paralel=None)


def test_options_are_not_copied_from_a_piper() -> None:
    piper = Piper(Piper(work.total, produce=3, track=True, name="other"))
    assert (piper.produce, piper.track) == (1, False) and piper.name != "other"


# the life --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_life_twice(kind: str | None) -> None:
    piper = plain(work.double, pool(kind), name="p")
    for turn in range(2):
        assert (piper.connected, piper.started, piper.finished) == (False, False, turn > 0)
        assert piper.inbox == () and piper.outbox is None and piper.imap_tasks == []
        data = range(3)
        assert piper.connect([data]) is piper
        assert piper.inbox == (data,) and piper.outbox is not None and len(piper.imap_tasks) == (kind is not None)
        assert (piper.connected, piper.started, piper.finished) == (True, False, False)
        piper.start()
        assert (piper.started, piper.finished) == (True, False)
        assert next(piper) == 0 and list(piper) == [2, 4] and list(piper) == []
        assert (piper.started, piper.finished) == (True, True)
        piper.stop()
        assert (piper.connected, piper.started, piper.finished) == (True, False, True)
        piper.disconnect()


def reach(state: str) -> Piper:
    piper = plain(work.double, name="p")
    if state != "idle":
        piper.connect([[1, 2]])
    if state not in ("idle", "connected"):
        piper.start()
    if state in ("finished", "stopped"):
        list(piper)
    if state == "stopped":
        piper.stop()
    return piper


CALLS: dict[str, Callable[[Piper], Any]] = {
    "connect": lambda piper: piper.connect([[1]]),
    "start": lambda piper: piper.start(),
    "next": lambda piper: next(piper, None),
    "stop": lambda piper: piper.stop(),
    "stop(forced=True)": lambda piper: piper.stop(forced=True),
    "disconnect": lambda piper: piper.disconnect(),
}

ALLOWED = {
    "idle": ["connect"],
    "connected": ["start", "disconnect"],
    "started": ["next", "stop(forced=True)"],
    "finished": ["next", "stop", "stop(forced=True)"],
    "stopped": ["disconnect"],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", ALLOWED)
def test_every_call_in_every_state(state: str, call: str) -> None:
    piper = reach(state)
    if call in ALLOWED[state]:
        CALLS[call](piper)
        return
    flags = piper.connected, piper.started, piper.finished
    with pytest.raises(PiperError) as caught:
        CALLS[call](piper)
    assert str(caught.value).startswith(f"p: {call} is not possible while it is {state}")
    assert (piper.connected, piper.started, piper.finished) == flags


@pytest.mark.parametrize(
    ("inbox", "message"),
    [
        ([], "at least one input"),
        (3, "connect: must be a list of inputs"),
        ("ab", "connect: must be a list of inputs"),
        ([3], "input 0: must be a piper or an iterable"),
        ([Piper(work.total, name="idle one")], "idle one can't be an input: it is idle"),
    ],
)
def test_what_can_not_be_an_input(inbox: Any, message: str) -> None:
    piper = Piper(work.total, name="p")
    with pytest.raises(PiperError, match=message):
        piper.connect(inbox)
    assert not piper.connected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_pipers_read_pipers(kind: str | None, shared: bool) -> None:
    one = pool(kind)
    pools = [one if shared else pool(kind) for _ in range(4)]
    root, left, right = plain(work.double, pools[0]), plain(work.increment, pools[1]), plain(str, pools[2])
    join = plain(work.pair, pools[3])
    pipers = [root([range(50)]), left([root]), right([root]), join([left, right, range(50)])]
    for piper in pipers:
        piper.start()
    assert list(join) == [(2 * x + 1, str(2 * x), x) for x in range(50)]
    with pytest.raises(PiperError, match="can't be read: it feeds other pipers"):
        next(root)
    for piper in pipers[::-1]:
        piper.stop(forced=True)
        piper.disconnect()


def test_who_is_read_has_to_be_started_first() -> None:
    first, second = plain(work.double, name="first"), plain(work.double, name="second")
    first.connect([[1]])
    second.connect([first])
    with pytest.raises(PiperError, match="second: start is not possible before first, which it reads, is started"):
        second.start()
    first.start()
    with pytest.raises(PiperError, match="first can't be an input: it is started"):
        Piper(work.total).connect([first])
    second.start()
    assert list(second) == [4]


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_an_imap_that_is_at_its_end_when_the_second_piper_is_started(kind: str) -> None:
    shared = pool(kind)
    a, b = plain(work.double, shared), plain(work.increment, shared)
    a.connect([[1]])
    b.connect([[1]])
    a.start()
    assert list(a) == [2]
    b.start()
    assert list(b) == [2]
    a.stop()
    b.stop()


def test_a_start_that_fails() -> None:
    narrow = IMap[Any](worker_type="serial", buffer=1)
    a, b = plain(work.double, narrow), plain(work.double, narrow)
    a.connect([[1]])
    b.connect([[1]])
    with pytest.raises(ValueError, match="buffer"):
        a.start()
    assert a.connected and not a.started
    b.disconnect()
    a.start()
    assert list(a) == [2]


def test_stages_are_accepted() -> None:
    shared = IMap[Any](worker_type="serial")
    a, b = plain(work.double, shared), plain(work.double, shared)
    a.connect([[1, 2]])
    b.connect([a])
    for stages in ((0, 1), (2,)):
        for piper in (a, b):
            piper.start(stages)
    assert list(b) == [4, 8]
    with pytest.raises(PiperError, match="start is not possible while it is idle"):
        Piper(work.total).start((2,))


def test_pipers_of_one_imap_are_disconnected_from_the_last_one() -> None:
    shared = IMap[Any](worker_type="serial")
    a, b = plain(work.double, shared, name="a"), plain(work.double, shared)
    a.connect([[1]])
    b.connect([a])
    with pytest.raises(PiperError, match="a: disconnect first what was connected after it"):
        a.disconnect()
    b.disconnect()
    a.disconnect()
    assert shared.statistics().tasks == ()
    a.connect([[1]])
    b.connect([a])
    a.disconnect(forced=True)
    assert shared.statistics().tasks == ()


def test_an_imap_that_runs_takes_no_more_pipers() -> None:
    shared = IMap[Any](worker_type="serial")
    a = plain(work.double, shared)
    a.connect([[1]]).start()
    with pytest.raises(PiperError, match="the IMap of late is running already"):
        plain(work.double, shared, name="late").connect([[1]])
    a.stop(forced=True)


def test_an_unordered_imap_keeps_the_order_where_pipers_are_paired() -> None:
    unordered = IMap[Any](worker_type="thread", worker_num=4, ordered=False)
    first, second = plain(work.dawdle, unordered), plain(work.dawdle, unordered)
    join = plain(work.pair)
    for piper, inbox in ((first, [range(300)]), (second, [first]), (join, [second, range(300)])):
        piper.connect(inbox)  # type: ignore[arg-type]
    for piper in (first, second, join):
        piper.start()
    assert list(join) == [(x, x) for x in range(300)]
    second.stop()


def test_in_a_dagger_the_dagger_leads() -> None:
    piper = plain(work.double, name="p")
    with Dagger([piper]) as dagger:
        dagger.start([[1]])
        for call in ("connect", "start", "stop", "disconnect"):
            with pytest.raises(PiperError, match=f"p: {call}.* is not possible: it is in a running Dagger"):
                CALLS[call](piper)
        assert list(piper) == [2]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_dropped_pipers_leave_nothing(kind: str) -> None:
    for _ in range(5):
        shared = pool(kind)
        a, b = plain(work.pair, shared), plain(work.pair, shared)
        a.connect([count()])
        b.connect([a])
        a.start()
        b.start()
        assert next(b) == ((0,),)


# consume, produce, spawn, repeat ---------------------------------------------------


def alone(piper: Piper, *datas: Any) -> list[Any]:
    piper.connect(list(datas)).start()
    found = list(piper)
    piper.stop()
    piper.disconnect()
    return found


@pytest.mark.parametrize("kind", ["serial", "thread", "process"])
def test_producing_on_an_imap_is_in_its_strides(kind: str) -> None:
    for length in range(8):
        found = alone(plain(two, pool(kind, stride=3), produce=2), range(1, length + 1))
        assert sorted(found) == sorted(part for x in range(1, length + 1) for part in two(x))
        if length == 7:
            assert found == [11, 21, 31, 12, 22, 32, 41, 51, 61, 42, 52, 62, 71, 72]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_stride_what_is_produced_together_stays_together(kind: str | None) -> None:
    assert alone(plain(two, pool(kind), produce=2), [1, 2, 3]) == [11, 12, 21, 22, 31, 32]


@pytest.mark.parametrize("kind", [None, "thread", "process"])
@pytest.mark.parametrize("stride", [None, 1, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_produce_spawn_consume(kind: str | None, stride: int | None, shared: bool) -> None:
    one = pool(kind, stride=stride)
    pools = [one if shared else pool(kind, stride=stride) for _ in range(3)]
    pipers = [plain(two, pools[0], produce=2), plain(work.double, pools[1], spawn=2)]
    pipers.append(Piper(work.firsts, pools[2], consume=2))
    dagger = Dagger(pipes=[pipers])
    for length in (0, 1, 5, 6):
        assert list(dagger.results([range(length)])) == [[2 * part for part in two(x)] for x in range(length)]
    done = dagger.run([range(5)])
    assert (done.results, done.items) == (5, dict(zip(pipers, [5, 10, 5], strict=True)))


def test_produce_and_consume_of_different_imaps_meet() -> None:
    pipers = [plain(two, pool("thread", stride=3), produce=2), Piper(lambda inbox: inbox, consume=2)]
    assert list(Dagger(pipes=[pipers]).results([range(5)])) == [[[part] for part in two(x)] for x in range(5)]


@pytest.mark.parametrize("kind", [None, "serial", "thread"])
def test_consuming_data(kind: str | None) -> None:
    assert alone(Piper(lambda inbox: inbox, pool(kind), consume=3), range(4)) == [[[0], [1], [2]], [[3]]]
    pairs = alone(Piper(lambda inbox: inbox, pool(kind), consume=2), "abc", "xyz")
    assert pairs == [[["a", "x"], ["b", "y"]], [["c", "z"]]]


def test_consuming_data_in_strides() -> None:
    piper = plain(lambda *inbox: [part[0] for part in inbox], pool("serial", stride=3), consume=2)
    assert alone(piper, range(8)) == [[0, 3], [1, 4], [2, 5], [6], [7]]


def test_repeating_whatever_it_is() -> None:
    assert alone(plain(work.inverse, produce=2, repeat=True), [1, 2]) == [1.0, 1.0, 0.5, 0.5]
    found = alone(plain(work.inverse, pool("serial", stride=2), produce=2, repeat=True), [1, 0, 2])
    assert [found[0], found[2], *found[4:]] == [1.0, 1.0, 0.5, 0.5]
    assert [type(it.exception) for it in (found[1], found[3])] == [ZeroDivisionError] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("function", "got"), [(lambda x: (x,), "got 1"), (lambda x: (x, x, x), "got 3"), (lambda x: iter(count()), "more")]
)
def test_another_number_of_results(kind: str | None, function: Any, got: str) -> None:
    found = alone(plain(function, pool(kind), produce=2), [1])
    assert len(found) == 2 and all(isinstance(it, PiperError) and it.index == 0 for it in found)
    assert isinstance(found[0].exception, ValueError)
    assert str(found[0].exception).startswith("2 results are needed (produce=2)") and got in str(found[0].exception)


def test_no_sequence_of_results() -> None:
    found = alone(plain(work.double, produce=2), [1])
    assert [type(it.exception) for it in found] == [TypeError] * 2


def test_results_may_come_from_a_generator() -> None:
    def parts(x: int) -> Iterator[int]:
        yield x
        yield 1 // x

    found = alone(plain(parts, produce=2), [1, 0])
    assert found[:2] == [1, 1] and [type(it.exception) for it in found[2:]] == [ZeroDivisionError] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_is_a_failure_in_each_place(kind: str | None) -> None:
    pipers = [plain(lambda x: (1 / x, x), pool(kind), produce=2, name="a"), plain(work.double, pool(kind), spawn=2)]
    pipers.append(Piper(lambda inbox: inbox, pool(kind), consume=2))
    dagger = Dagger(pipes=[pipers])
    found = list(dagger.results([[1, 0, 2]]))
    assert [found[0], found[2]] == [[[2.0], [2]], [[1.0], [4]]]
    assert (found[1].piper, found[1].index, found[1].inbox) == ("a", 1, [0])
    done = dagger.run([[1, 0, 2]])
    assert done.items == dict(zip(pipers, [3, 4, 2], strict=True))
    assert done.failures == dict(zip(pipers, [1, 0, 0], strict=True)) and len(done.dead_letters) == 1


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ({"produce": 2}, {}),
        ({}, {"consume": 2}),
        ({"produce": 2}, {"consume": 3}),
        ({"produce": 2, "spawn": 2}, {"consume": 2}),
        ({"spawn": 2}, {}),
    ],
)
def test_rounds_have_to_fit(up: dict[str, int], down: dict[str, int]) -> None:
    first, second = plain(two, name="first", **up), plain(two, name="second", **down)
    first.connect([[1]])
    with pytest.raises(PiperError, match=r"second takes \d items a round .*, but first gives \d"):
        second.connect([first])
    first.disconnect()
    dagger = Dagger(pipes=[(first, second)])
    with pytest.raises(DaggerError, match="second takes"):
        dagger.start([[1]])
    assert not first.connected and not second.connected


def test_different_strides_do_not_pair() -> None:
    a, b = plain(two, pool("serial", stride=3), produce=2), plain(two, produce=2)
    dagger = Dagger(pipes=[(a, join := Piper(lambda inbox: inbox, consume=2, name="join")), (b, join)])
    with pytest.raises(DaggerError, match="the inputs of join come in different strides"):
        dagger.start([[1], [1]])


# tracking, time --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_tracked_results(kind: str | None) -> None:
    first = plain(work.inverse, pool(kind), track=True)
    last = plain(work.double, pool(kind), track=True)
    list(Dagger(pipes=[(first, last)]).results([[1, 0, 2]]))
    (tracked,) = first.tracked
    assert [tracked[0], tracked[2]] == [1.0, 0.5] and isinstance(tracked[1], PiperError)
    assert last.tracked[0][2] == 1.0 and Piper(work.total).tracked == [{}]


def test_tracked_results_of_each_spawn() -> None:
    piper = plain(work.double, pool("serial", stride=2), spawn=2, track=True)
    assert alone(piper, range(7)) == [0, 2, 4, 6, 8, 10, 12]
    assert piper.tracked == [{0: 0, 1: 2, 2: 8, 3: 10}, {0: 4, 1: 6, 2: 12}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", range(7))
def test_tracked_results_of_each_spawn_at_the_end(kind: str | None, length: int) -> None:
    imap = pool(kind or "serial", stride=3)
    first = plain(lambda x: (x, -x), imap, produce=2)
    middle = [plain(work.same, imap if kind else None, spawn=2, track=True) for _ in range(2)]
    Dagger(pipes=[(first, *middle, Piper(lambda inbox: inbox, imap, consume=2))]).run([range(length)])
    expected = [{n: n for n in range(length)}, {n: -n for n in range(length)}]
    assert [piper.tracked for piper in middle] == [expected, expected]


def test_tracked_results_of_each_spawn_on_the_way() -> None:
    first = plain(lambda x: (x, -x), pool("serial", stride=2), produce=2)
    second = plain(work.same, spawn=2, track=True)
    second.connect([first.connect([range(1, 4)])])
    first.start()
    second.start()
    seen = [second.tracked for _ in second]
    assert seen[2] == [{0: 1, 1: 2}, {0: -1}] and seen[4] == [{0: 1, 1: 2, 2: 3}, {0: -1, 1: -2}]
    assert second.tracked == [{0: 1, 1: 2, 2: 3}, {0: -1, 1: -2, 2: -3}]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_a_late_result(skip: bool, joined: bool) -> None:
    gates = work.gates(3)
    gates[0].set()
    gates[2].set()
    imap = IMap[Any](worker_type="thread", worker_num=3, skip=skip)
    slow = plain(lambda x: gates[x].wait(60) and x, imap, timeout=2)
    last = plain(work.pair if joined else work.same)
    dagger = Dagger(pipes=[(slow, last)])
    if joined:
        dagger.add_pipe((plain(work.same), last))
    results = dagger.results([range(3)] * len(dagger.get_inputs()))
    found = [next(results), next(results)]
    gates[1].set()
    found += list(results)
    late = found.pop(1)
    assert isinstance(late.exception, TimeoutError)
    if joined:
        assert found == [(0, 0), (2, 2)]
    else:
        assert [x for x in found if not isinstance(x, PiperError)] == ([0, 2] if skip else [0, 1, 2])


# a PiperError that is raised -------------------------------------------------------


def test_debug_raises_and_goes_on() -> None:
    piper = plain(work.inverse, debug=True, name="p")
    piper.connect([[1, 0, 2]]).start()
    assert next(piper) == 1.0
    with pytest.raises(PiperError, match=r"p .inverse. failed on item 1: ZeroDivisionError"):
        next(piper)
    assert list(islice(piper, 2)) == [0.5]
