"""Bad arguments: an error at once that names the argument, what was given and what is allowed."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from types import MappingProxyType
from typing import Any

import pytest

from numap import IMap, StateError, join, tee
from numap._base.options import Options
from tests.numap.tools import says, shown


async def coroutine(x: int) -> int:
    return x


async def generator(x: int) -> AsyncIterator[int]:
    yield x


class Coroutines:
    async def method(self, x: int) -> int:
        return x

    async def __call__(self, x: int) -> int:
        return x

    @classmethod
    async def of_class(cls, x: int) -> int:
        return x

    @staticmethod
    async def static(x: int) -> int:
        return x


class Unreadable:
    """Neither iterable nor callable, and its repr raises."""

    def __repr__(self) -> str:
        raise ValueError("no repr")


#: Arguments of IMap, the error, and what the message must hold besides the argument's name.
BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = [
    ({"worker_type": "proces"}, ValueError, ("'proces'", "'process'", "'thread'", "'serial'")),
    ({"worker_type": None}, ValueError, ("None", "'process'")),
    ({"worker_type": 3}, ValueError, ("3", "'process'")),
    ({"worker_type": ["process"]}, ValueError, ("['process']", "'process'")),
    ({"progress": 3}, TypeError, ("3 (int)", "a title")),
    ({"worker_num": 0}, ValueError, ("0", "at least 1")),
    ({"worker_num": -2}, ValueError, ("-2", "at least 1")),
    ({"worker_num": "4"}, TypeError, ("'4' (str)", "at least 1")),
    ({"worker_num": "4" * 50}, TypeError, ("not str",)),
    ({"worker_num": 10_001}, ValueError, ("10001", "at most 10,000")),
    ({"worker_num": 10**9, "worker_type": "thread"}, ValueError, ("1000000000", "at most 10,000")),
    ({"worker_num": 2.0}, TypeError, ("float", "at least 1")),
    ({"worker_num": True}, TypeError, ("bool", "at least 1")),
    ({"stride": 0}, ValueError, ("0", "at least 1")),
    ({"stride": 1.5}, TypeError, ("float",)),
    ({"stride": False}, TypeError, ("bool",)),
    ({"buffer": 0}, ValueError, ("0", "at least 1")),
    ({"buffer": -1}, ValueError, ("-1", "at least 1")),
    ({"buffer": "10"}, TypeError, ("str",)),
    ({"buffer": 3, "stride": 4}, ValueError, ("3", "stride=4", "at least")),
    ({"ordered": 1}, TypeError, ("1 (int)", "True", "False")),
    ({"ordered": None}, TypeError, ("None", "True", "False")),
    ({"skip": "no"}, TypeError, ("'no'", "True", "False")),
    ({"name": 3}, TypeError, ("int", "str")),
    ({"name": b"x"}, TypeError, ("bytes", "str")),
    ({"start_method": "clone", "worker_type": "process"}, ValueError, ("'clone'", "'forkserver'", "'spawn'")),
    ({"start_method": 1, "worker_type": "process"}, ValueError, ("1", "'forkserver'", "'spawn'")),
    ({"start_method": "spawn", "worker_type": "thread"}, ValueError, ("'spawn'", "'thread'", "allowed: None")),
    (
        {"start_method": "forkserver", "worker_type": "serial"},
        ValueError,
        ("'forkserver'", "'serial'", "allowed: None"),
    ),
    ({"initializer": 3}, TypeError, ("int", "callable")),
    ({"initializer": "setup"}, TypeError, ("'setup' (str)", "callable")),
    ({"initializer": coroutine}, TypeError, ("coroutine", "ordinary function")),
    ({"initializer": functools.partial(coroutine, 3)}, TypeError, ("coroutine", "ordinary function")),
    ({"initargs": (1,)}, ValueError, ("initializer",)),
    ({"initargs": 3, "initializer": print}, TypeError, ("int",)),
    ({"initargs": "abc", "initializer": print}, TypeError, ("str",)),
    ({"initargs": {1, 2}, "initializer": print}, TypeError, ("{1, 2} (set)", "sequence")),
    ({"initargs": {1: 2}, "initializer": print}, TypeError, ("{1: 2} (dict)", "sequence")),
    ({"finalizer": 3}, TypeError, ("int", "callable")),
    ({"finalizer": Coroutines()}, TypeError, ("coroutine", "ordinary function")),
    ({"on_error": "ignore"}, ValueError, ("'ignore'", "'raise'", "'return'", "'skip'")),
    ({"on_error": None}, ValueError, ("None", "'raise'")),
    ({"buffer_bytes": 0}, ValueError, ("0", "at least 1")),
    ({"buffer_bytes": "64MB"}, TypeError, ("'64MB'", "whole number")),
    ({"buffer_bytes": 1e6}, TypeError, ("1000000.0", "whole number")),
    ({"on_error": True}, ValueError, ("True", "'raise'")),
    ({"max_failures": -1}, ValueError, ("-1", "at least 0")),
    ({"max_failures": 1.0}, TypeError, ("float",)),
    ({"preload": "pandas"}, TypeError, ("'pandas' (str)", "sequence")),
    ({"preload": [1]}, TypeError, ("names of modules", "1 (int)")),
    ({"preload": ["__main__"]}, ValueError, ("'__main__'", "without the main module")),
    ({"preload": ["a-b"]}, ValueError, ("'a-b'", "as an import statement has them")),
    ({"preload": ["jsn"]}, ValueError, ("no module 'jsn'", "did you mean 'json'?")),
    ({"preload": ["json"], "worker_type": "thread"}, ValueError, ("'thread'", "forked from a clean one")),
    ({"preload": ["json"], "worker_type": "process", "start_method": "spawn"}, ValueError, ("'spawn'", "allowed: ()")),
    ({"preload": ["json"], "worker_type": "process", "start_method": "fork"}, ValueError, ("'fork'", "allowed: ()")),
    ({"max_items_per_worker": 0}, ValueError, ("0", "at least 1")),
    ({"max_items_per_worker": 1.0}, TypeError, ("float",)),
    ({"task_timeout": -1, "worker_type": "process"}, ValueError, ("-1", "more than 0", "no limit")),
    ({"task_timeout": 0, "worker_type": "process"}, ValueError, ("0", "more than 0")),
    ({"task_timeout": float("nan"), "worker_type": "process"}, ValueError, ("nan", "more than 0")),
    ({"task_timeout": "1", "worker_type": "process"}, TypeError, ("str", "seconds")),
    ({"task_timeout": True, "worker_type": "process"}, TypeError, ("bool", "seconds")),
    ({"task_timeout": 1, "worker_type": "thread"}, ValueError, ("'thread'",)),
    ({"task_timeout": 1, "worker_type": "serial"}, ValueError, ("'serial'",)),
    ({"retries": -1}, ValueError, ("-1", "at least 0")),
    ({"retries": 1.0}, TypeError, ("float", "at least 0")),
    ({"retries": None}, TypeError, ("not None", "at least 0")),
    ({"retries": True}, TypeError, ("bool", "at least 0")),
    ({"backoff": -1}, ValueError, ("-1", "from 0 to 1000000 seconds")),
    ({"backoff": None}, TypeError, ("None", "a number of seconds")),
    ({"backoff": float("nan")}, ValueError, ("nan", "from 0")),
    ({"backoff": 61}, ValueError, ("61", "at most max_backoff, which is 60.0")),
    ({"max_backoff": "1"}, TypeError, ("'1' (str)", "a number of seconds")),
    ({"max_backoff": float("inf")}, ValueError, ("inf", "1000000 seconds")),
    ({"retry_on": "ValueError"}, TypeError, ("'ValueError' (str)", "a class of exceptions")),
    ({"retry_on": KeyboardInterrupt}, TypeError, ("KeyboardInterrupt", "a class of exceptions")),
    ({"retry_on": (ValueError, 3)}, TypeError, ("a tuple of such classes",)),
    ({"rate": 0}, ValueError, ("0", "more than 0 items per second")),
    ({"rate": float("nan")}, ValueError, ("nan", "more than 0")),
    ({"rate": "10"}, TypeError, ("'10' (str)", "a number of items per second")),
    ({"rate": True}, TypeError, ("True", "a number of items per second")),
    ({"track": 1}, TypeError, ("1 (int)", "True", "False")),
    ({"worker_remote": "tcp://host:8786", "worker_type": "thread"}, ValueError, ("tcp://host:8786", "'thread'")),
]

#: Arguments of add_task; ``func`` and ``iterable`` are good ones where they are not given.
BAD_TASKS: list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = [
    ({"func": 3}, TypeError, ("int", "callable")),
    ({"func": "abs"}, TypeError, ("str", "callable")),
    ({"func": coroutine}, TypeError, ("coroutine", "ordinary function")),
    ({"func": generator}, TypeError, ("generator", "ordinary function")),
    ({"func": Coroutines().method}, TypeError, ("Coroutines.method",)),
    ({"func": Coroutines()}, TypeError, ("Coroutines",)),
    ({"func": Coroutines.of_class}, TypeError, ("of_class",)),
    ({"func": Coroutines.static}, TypeError, ("static",)),
    ({"func": functools.partial(coroutine)}, TypeError, ("coroutine",)),
    ({"func": functools.partial(functools.partial(Coroutines().method))}, TypeError, ("Coroutines.method",)),
    ({"func": functools.partial(Coroutines())}, TypeError, ("Coroutines",)),
    ({"task_timeout": 1}, ValueError, ("'serial'", "can be killed")),
    ({"retries": -1}, ValueError, ("-1", "at least 0")),
    ({"retries": True}, TypeError, ("True", "at least 0")),
    ({"backoff": -1}, ValueError, ("-1", "from 0")),
    ({"backoff": 61}, ValueError, ("61", "at most max_backoff, which is 60.0")),
    ({"max_backoff": "1"}, TypeError, ("str", "seconds")),
    ({"retry_on": 3}, TypeError, ("int", "a class of exceptions")),
    ({"on_error": "ignore"}, ValueError, ("'ignore'", "'skip'")),
    ({"rate": -1}, ValueError, ("-1", "more than 0")),
    ({"track": 0}, TypeError, ("0 (int)", "True", "False")),
    ({"iterable": 3}, TypeError, ("int", "iterable")),
    ({"iterable": abs}, TypeError, ("builtin", "iterable")),
    ({"iterable": list}, TypeError, ("type", "iterable")),
    ({"args": 3}, TypeError, ("int", "sequence")),
    ({"args": "abc"}, TypeError, ("str", "sequence")),
    ({"args": b"abc"}, TypeError, ("bytes", "sequence")),
    ({"args": {3}}, TypeError, ("{3} (set)", "sequence")),
    ({"args": frozenset({3})}, TypeError, ("frozenset", "sequence")),
    ({"args": {3: 4}}, TypeError, ("{3: 4} (dict)", "sequence")),
    ({"kwargs": [("base", 2)]}, TypeError, ("list", "mapping")),
    ({"kwargs": "base"}, TypeError, ("str", "mapping")),
    ({"kwargs": {3: 4}}, TypeError, ("names of arguments must be str, not 3 (int)",)),
    ({"kwargs": {None: 1}}, TypeError, ("names of arguments must be str, not None",)),
    ({"timeout": -0.5}, ValueError, ("-0.5", "at least 0")),
    ({"timeout": float("nan")}, ValueError, ("nan",)),
    ({"timeout": "1"}, TypeError, ("str", "seconds")),
    ({"timeout": True}, TypeError, ("bool", "seconds")),
    ({"block": 1}, TypeError, ("1", "True", "False")),
    ({"block": None}, TypeError, ("None", "True", "False")),
]


def name_of(case: tuple[dict[str, Any], type[Exception], tuple[str, ...]]) -> str:
    return " ".join(f"{name}={shown(value):.30}" for name, value in case[0].items())


@pytest.mark.parametrize("case", BAD_OPTIONS, ids=name_of)
def test_bad_options(case: tuple[dict[str, Any], type[Exception], tuple[str, ...]]) -> None:
    arguments, error, words = case
    with pytest.raises(error) as caught:
        IMap(**arguments)
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"{next(iter(arguments))}: ")
    assert says(caught, *words)


@pytest.mark.parametrize("case", BAD_OPTIONS, ids=name_of)
def test_bad_options_with_a_task_start_nothing(case: tuple[dict[str, Any], type[Exception], tuple[str, ...]]) -> None:
    arguments, error, _ = case
    pulled = iter([1])
    with pytest.raises(error):
        IMap(abs, pulled, **arguments)
    assert list(pulled) == [1]


@pytest.mark.parametrize("case", BAD_TASKS, ids=name_of)
def test_bad_tasks(case: tuple[dict[str, Any], type[Exception], tuple[str, ...]]) -> None:
    arguments, error, words = case
    imap: IMap[Any] = IMap(worker_type="serial")
    with pytest.raises(error) as caught:
        imap.add_task(**{"func": abs, "iterable": [1], **arguments})
    assert type(caught.value) is error
    assert str(caught.value).startswith(next(iter(arguments)))
    assert says(caught, *words)
    assert imap.statistics().tasks == (), "a call that failed adds nothing"


@pytest.mark.parametrize(
    "case", [case for case in BAD_TASKS if case[0].keys() <= {"func", "iterable", "args", "kwargs"}], ids=name_of
)
def test_bad_first_tasks(case: tuple[dict[str, Any], type[Exception], tuple[str, ...]]) -> None:
    arguments, error, words = case
    with pytest.raises(error) as caught:
        IMap(**{"func": abs, "iterable": [1], "worker_type": "serial", **arguments})
    assert says(caught, next(iter(arguments)), *words)


def test_every_option_is_checked() -> None:
    """A new argument needs its bad values here."""
    arguments = set(inspect.signature(IMap).parameters) - {"func", "iterable", "args", "kwargs"}
    assert arguments == {next(iter(case[0])) for case in BAD_OPTIONS}
    arguments = set(inspect.signature(IMap.add_task).parameters) - {"self"}
    assert arguments == {next(iter(case[0])) for case in BAD_TASKS}


def test_a_repr_that_raises_hides_no_message() -> None:
    imap: IMap[Any] = IMap(worker_type="serial")
    with pytest.raises(TypeError, match="iterable: "):
        imap.add_task(abs, Unreadable())  # type: ignore[arg-type]


@pytest.mark.parametrize(("arguments", "missing"), [({"func": abs}, "iterable"), ({"iterable": [1]}, "func")])
def test_one_without_the_other(arguments: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValueError, match=f"^{missing}: ") as error:
        IMap(**arguments)
    assert says(error, "func", "iterable")


@pytest.mark.parametrize("arguments", [{"args": (1,)}, {"kwargs": {"a": 1}}])
def test_arguments_of_no_task(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="args") as error:
        IMap(**arguments)
    assert says(error, "func", "iterable")


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="workers"):
        IMap(workers=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda imap: imap.next(timeout=-1), ValueError, ("timeout", "-1")),
        (lambda imap: imap.next(timeout="1"), TypeError, ("timeout", "str")),
        (lambda imap: imap.next(block=0), TypeError, ("block", "0")),
        (lambda imap: imap.next(task=1), ValueError, ("task", "1")),
        (lambda imap: imap.next(task=-1), ValueError, ("task", "-1")),
        (lambda imap: imap.next(task="0"), TypeError, ("task", "str")),
        (lambda imap: imap.get_task(1), ValueError, ("task", "1")),
        (lambda imap: imap.get_task(True), TypeError, ("task", "bool")),
        (lambda imap: imap.get_task(0, timeout=-1), ValueError, ("timeout", "-1")),
        (lambda imap: imap.get_task(0, block=None), TypeError, ("block", "None")),
    ],
)
def test_bad_arguments_of_next(call: Any, error: type[Exception], words: tuple[str, ...]) -> None:
    imap = IMap(abs, [-1, -2], worker_type="serial")
    with pytest.raises(error) as caught:
        call(imap)
    assert type(caught.value) is error
    assert says(caught, *words)
    assert list(imap) == [1, 2], "nothing was lost by it"


@pytest.mark.parametrize("number", [-1, "1", 1.5, None])
def test_bad_arguments_of_pop_task(number: Any) -> None:
    imap: IMap[Any] = IMap(worker_type="serial")
    imap.add_task(abs, [1])
    with pytest.raises((TypeError, ValueError), match="number: "):
        imap.pop_task(number)
    assert len(imap.statistics().tasks) == 1


@pytest.mark.parametrize("ends", [3, [7], ["0"]])
def test_bad_arguments_of_stop(ends: Any) -> None:
    imap = IMap(abs, [-1, -2], worker_type="serial")
    with pytest.raises((TypeError, ValueError), match=r"ends|task"):
        imap.stop(ends=ends)
    imap.stop()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n": 0}, ValueError, ("n:", "0", "at least 1")),
        ({"n": None}, TypeError, ("n:", "not None")),
        ({"n": 2.0}, TypeError, ("n:", "float")),
        ({"limit": 0}, ValueError, ("limit:", "0")),
        ({"limit": "many"}, TypeError, ("limit:", "str")),
        ({"limit": None}, TypeError, ("limit:",)),
        ({"source": 3}, TypeError, ("source:", "int")),
    ],
)
def test_bad_arguments_of_tee(arguments: dict[str, Any], error: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        tee(**{"source": [1], **arguments})
    assert says(caught, *words)
    assert "or None" not in str(caught.value)


def test_bad_arguments_of_join() -> None:
    with pytest.raises(ValueError, match="join: at least one"):
        join()
    with pytest.raises(TypeError, match=r"join: input 1 must be iterable, not 2 \(int\)"):
        join([1], 2)  # type: ignore[arg-type]


def test_join_of_a_started_unordered_map() -> None:
    imap = IMap(abs, [1], worker_type="serial", ordered=False)
    with pytest.raises(StateError, match="join: "):
        join(imap, [1])


def test_a_task_has_one_reader() -> None:
    imap: IMap[Any] = IMap(worker_type="serial")
    first = imap.add_task(abs, [1])
    imap.add_task(abs, first)
    with pytest.raises(ValueError, match=r"iterable: task 0 is read by task 1 already.*tee"):
        imap.add_task(abs, first)
    with pytest.raises(ValueError, match=r"iterable: .*tee"):
        imap.add_task(abs, join(imap.get_task(1), imap.get_task(1)))
    assert len(imap.statistics().tasks) == 2


def test_a_task_that_reads_itself() -> None:
    """It would wait for itself for ever."""
    imap: IMap[Any] = IMap(worker_type="serial")
    for itself in (
        imap,
        iter(imap),
        join(imap, [1]),
        join([1], join([1], imap)),
        tee(imap)[0],
        join(tee(imap)[1], [1]),
    ):
        with pytest.raises(ValueError, match=r"^iterable: the map itself .* task 0; give "):
            imap.add_task(len, itself)
    assert imap.statistics().tasks == ()
    imap.add_task(str, [1, 22])
    lengths = imap.add_task(len, imap)
    with imap:
        assert list(lengths) == [1, 2]


def test_a_task_that_was_removed_is_no_input() -> None:
    imap: IMap[Any] = IMap(worker_type="serial")
    removed = imap.add_task(str, [1])
    imap.pop_task()
    for gone in (removed, join([1], removed), tee(removed)[0]):
        with pytest.raises(ValueError, match=r"^iterable: task 0 was removed; give "):
            imap.add_task(len, gone)
    assert imap.statistics().tasks == ()


# ---------------------------------------------------------------------- what is allowed


class OldStyle:
    """Iterable by ``__getitem__`` only."""

    def __getitem__(self, place: int) -> int:
        if place > 2:
            raise IndexError
        return -place


def items() -> Iterator[int]:
    yield from (0, -1, -2)


@pytest.mark.parametrize(
    "iterable",
    [
        [0, -1, -2],
        (0, -1, -2),
        range(0, -3, -1),
        items(),
        deque([0, -1, -2]),
        {0: 1, -1: 1, -2: 1},
        OldStyle(),
        iter([1]),
    ],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("worker_type", ["serial", "thread"])
def test_all_kinds_of_iterables(iterable: Any, worker_type: str) -> None:
    expected = [0, 1, 2]
    if isinstance(iterable, Iterator):
        iterable = iter([0, -1, -2])  # parameters are made once, for both worker types
    imap = IMap(abs, iterable, worker_type=worker_type)
    assert list(imap) == expected
    imap.stop()


@pytest.mark.parametrize("iterable", [[], (), "", range(0), {}, iter(())], ids=shown)
@pytest.mark.parametrize("worker_type", ["serial", "thread"])
def test_empty_iterables(iterable: Any, worker_type: str) -> None:
    imap = IMap(abs, iterable, worker_type=worker_type, worker_num=1)
    assert list(imap) == []
    assert imap.statistics().state == "finished"
    imap.stop()


def test_empty_next_to_full() -> None:
    imap: IMap[Any] = IMap(worker_type="thread", worker_num=2, buffer=3)
    empty, full = imap.add_task(abs, []), imap.add_task(abs, range(10))
    with imap:
        assert list(full) == list(range(10))
        assert list(empty) == []


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((2, 5), None),
        ((2, 5), {}),
        ((2,), {"mod": 5}),
        (None, {"exp": 2, "mod": 5}),
        ((), MappingProxyType({"exp": 2, "mod": 5})),
        (None, OrderedDict(mod=5, exp=2)),
    ],
)
def test_constant_arguments(args: Any, kwargs: Any) -> None:
    assert list(IMap(pow, range(9), args, kwargs, worker_type="serial")) == [x * x % 5 for x in range(9)]
    for same in (args and list(args), args and iter(args)):
        assert list(IMap(pow, range(9), args=same, kwargs=kwargs, worker_type="serial")) == [
            x * x % 5 for x in range(9)
        ]


def test_numbers_of_other_types_are_numbers() -> None:
    class Whole:
        def __index__(self) -> int:
            return 3

        def __lt__(self, other: int) -> bool:
            return other > 3

    imap = IMap(abs, range(9), worker_type="serial", buffer=Whole())  # type: ignore[arg-type]
    assert list(imap) == list(range(9))


def test_builtins_classes_and_callable_objects_are_functions() -> None:
    class Add:
        def __call__(self, x: int) -> int:
            return x + 1

    for func in (Add(), Add().__call__, functools.partial(pow, 2), complex, str.upper, lambda x: x):
        imap: IMap[Any] = IMap(worker_type="serial")
        imap.add_task(func, [])
        assert imap.statistics().tasks[0].label


def test_options_are_frozen() -> None:
    options = Options(worker_type="serial")
    with pytest.raises(AttributeError):
        options.buffer = 3  # type: ignore[misc]


@pytest.mark.parametrize(("worker_type", "least", "most"), [("serial", 1, 1), ("thread", 5, 32), ("process", 1, 1024)])
def test_default_number_of_workers(worker_type: str, least: int, most: int) -> None:
    assert least <= Options(worker_type=worker_type).workers <= most
    assert Options(worker_type=worker_type, worker_num=3).workers == (1 if worker_type == "serial" else 3)
