"""Guarantee 76: what other libraries have otherwise is refused, and the message says what to write."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import cycle, islice
from typing import Any

import pytest

from numap import IMap, StateError, join, tee

KINDS = ["process", "thread", "serial"]
SEVERAL = (
    r"args, the constant arguments after each item, must be a tuple where it is given by position, not .*; "
    r"write args=\(\.\.\.\) for constants, and for several inputs, .* zip\(\.\.\.\), or numap\.join"
)


def letters() -> Iterator[str]:
    yield from "abcdef"


@pytest.mark.parametrize("second", [[3, 3], range(3), iter([3, 3]), letters(), {3}, {3: 3}, "ab", 4])
def test_76_several_inputs_by_position(second: Any) -> None:
    with pytest.raises(TypeError, match="^IMap: " + SEVERAL):
        IMap(pow, [1, 2, 3], second)
    with pytest.raises(TypeError, match="^add_task: " + SEVERAL):
        IMap().add_task(pow, [1, 2, 3], second, None)


def test_constant_arguments_are_a_tuple_or_said_by_name() -> None:
    assert list(IMap(pow, [2, 3], (2,), None, "serial")) == [4, 9]
    assert list(IMap(pow, [2, 3], None, {"exp": 2}, "serial")) == [4, 9]
    assert list(IMap(pow, [2, 3], args=[2], worker_type="serial")) == [4, 9]


@pytest.mark.parametrize("name", ["parallel", "n_jobs", "workers", "max_workers", "processes", "num_workers"])
def test_76_the_number_of_workers_by_other_names(name: str) -> None:
    with pytest.raises(TypeError) as caught:
        IMap(abs, [1], **{name: 4})
    assert str(caught.value) == f"IMap: there is no argument {name!r}; write worker_num=4 for the number of workers"
    with pytest.raises(
        TypeError, match=rf"^add_task: there is no argument '{name}'; it is an argument of the whole map: IMap"
    ):
        IMap().add_task(abs, [1], **{name: 4})


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (
            lambda: IMap(abs, [1], chunksize=4),
            "leave it out: items that take little time travel in batches by themselves",
        ),
        (lambda: IMap(abs, [1], timeout=4), r"write task_timeout=4 to limit the seconds that an item may run, or next"),
        (lambda: IMap(abs, [1], maxtasksperchild=4), "write max_items_per_worker=4"),
        (lambda: IMap(abs, [1], return_exceptions=True), "write on_error='return'"),
        (lambda: IMap(abs, [1], worker_nun=4), r"did you mean 'worker_num'\?$"),
        (lambda: IMap(abs, [1], colour=4), "allowed: func, iterable, args, kwargs, worker_type, .*, max_failures"),
        (lambda: IMap().add_task(function=abs, iterable=[1]), "write func=<built-in function abs>"),
        (lambda: IMap().add_task(abs, [1], trak=True), r"did you mean 'track'\?$"),
        (lambda: IMap(abs, [1], worker_type="serial").next(seconds=3), "write timeout=3"),
        (lambda: IMap(abs, [1], worker_type="serial").next(chunksize=3), "allowed: timeout, task, block"),
    ],
)
def test_76_arguments_that_there_are_not(call: Callable[[], Any], advice: str) -> None:
    with pytest.raises(TypeError, match=rf": there is no argument '\w+'; {advice}"):
        call()


@pytest.mark.parametrize(
    ("option", "word", "meant"),
    [
        ("worker_type", "threads", "thread"),
        ("worker_type", "multiprocessing", "process"),
        ("on_error", "skipp", "skip"),
        ("start_method", "frok", "fork"),
    ],
)
def test_76_words_that_there_are_not(option: str, word: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"^{option}: '{word}' is unknown; did you mean '{meant}'\? allowed: "):
        IMap(abs, [1], **{option: word})


def test_what_may_be_given_can_still_be_asked_for() -> None:
    assert list(inspect.signature(IMap).parameters)[:4] == ["func", "iterable", "args", "kwargs"]
    assert list(inspect.signature(IMap.add_task).parameters)[1:4] == ["func", "iterable", "args"]


def test_76_a_map_that_is_entered_a_second_time() -> None:
    imap = IMap(abs, [1], worker_type="serial")
    with imap:
        assert list(imap) == [1]
    with pytest.raises(StateError) as caught, imap:
        pass
    assert str(caught.value) == (
        "start: the map has no task; its tasks went with stop(), or at the end of its `with` block; "
        "make a new map, or add tasks again"
    )


# ---------------------------------------------------------------------- one iterator, two readers


@pytest.mark.parametrize(
    "make",
    [letters, lambda: iter([1]), lambda: map(abs, [1]), lambda: tee([1])[0], lambda: join([1]), lambda: StringIO("1")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_76_an_iterator_for_two_tasks(kind: str, make: Callable[[], Any]) -> None:
    items = make()
    imap = IMap(worker_type=kind)
    imap.add_task(abs, items)
    with pytest.raises(
        ValueError, match=r"^iterable: .* is the input of task 0 already, and each .*; split it with numap\.tee"
    ):
        imap.add_task(str, items)


@pytest.mark.parametrize("kind", KINDS)
def test_76_an_iterator_for_two_maps(kind: str) -> None:
    items = cycle("abc")
    first = IMap(str, items, worker_type=kind, buffer=1)
    assert next(first) == "a"
    with pytest.raises(
        ValueError, match=r"^iterable: .* is the input of another map, which runs, .* numap\.tee, .* or stop"
    ):
        IMap(ord, items, worker_type=kind)
    second = IMap(worker_type=kind)
    first.stop()
    rest = second.add_task(str, items)
    third = IMap(worker_type=kind)
    third.add_task(str, items)
    with second:
        assert set(islice(rest, 3)) == {"a", "b", "c"}
        with pytest.raises(ValueError, match="is the input of another map"):
            third.start()
    for _ in range(20):
        items = iter("abc")
        for seen in IMap(str, items, worker_type="thread"):
            assert seen == "a"
            break
        list(IMap(str, items, worker_type="thread"))  # the map before was dropped


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_iterated_again_may_be_given_to_several(kind: str) -> None:
    items = ["a", "b"]
    imap = IMap(worker_type=kind, worker_num=1)
    upper, codes, keys = (
        imap.add_task(str.upper, items),
        imap.add_task(ord, items),
        imap.add_task(ord, dict.fromkeys(items)),
    )
    with imap:
        assert [list(upper), list(codes), list(keys)] == [["A", "B"], [97, 98], [97, 98]]


@pytest.mark.parametrize("call", [IMap, lambda *args: IMap().add_task(*args)], ids=["IMap", "add_task"])
def test_76_items_before_the_function(call: Callable[..., Any]) -> None:
    text = r"^func: must be callable, not \[1, 2\] \(list\); the function comes first, then .*: write \(abs, items, \.\.\.\)$"
    with pytest.raises(TypeError, match=text):
        call([1, 2], abs)
    with pytest.raises(TypeError, match=r"^func: must be callable, not \[1, 2\] \(list\)$"):
        call([1, 2], [3])
