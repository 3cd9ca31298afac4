"""What is written by habit, from elsewhere or by mistake: each message says what to write."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import papy
from numap import IMap
from papy import Dagger, DaggerError, Pipeline, Piper, PiperError, Plumber, PlumberError
from papy._base import errors as _errors
from papy._base.checks import check_flag
from tests.papy import work

RUNS: list[Callable[[Dagger], Callable[..., Any]]] = [lambda it: it.results, lambda it: it.run, lambda it: it.start]


@pytest.mark.parametrize("call", RUNS)
@pytest.mark.parametrize(
    ("datas", "written"),
    [
        ([1, 2, 3], "([[1, 2, 3]])"),
        (["a.txt"], "([['a.txt']])"),
        (["a.txt", "b.txt"], "([['a.txt', 'b.txt']])"),
        ("a.txt", "([['a.txt']])"),
        ((1, 2), "([(1, 2)])"),
        (range(3), "([range(0, 3)])"),
        ([b"a"], "([[b'a']])"),
        (5, "([[5]])"),
        ([Path("a.txt")], "([[PosixPath('a.txt')]])"),
        ([7], "([[7]])"),
        (list(range(99)), "([items])"),
    ],
)
def test_76_items_in_the_place_of_datas(call: Any, datas: Any, written: str) -> None:
    dagger = Dagger([Piper(work.same, unpack=True)])
    run = call(dagger)
    with pytest.raises(DaggerError) as caught:
        found = run(datas)
        next(found)  # of results: with one item it is said when the run starts
    assert isinstance(caught.value, TypeError) and str(caught.value).endswith(f"; write {run.__name__}{written}"), (
        caught.value
    )


def test_76_items_in_the_place_of_the_datas_of_several_inputs() -> None:
    dagger = Dagger([Piper(work.same, unpack=True), Piper(work.same, unpack=True)])
    for datas in ([1, 2], ["ab", "cd"], (1, [2])):
        with pytest.raises(DaggerError, match=r"; each input needs a list of its items: run\(\[items_0, items_1\]\)$"):
            dagger.run(datas)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parallel", "written"),
    [
        (IMap, "parallel=IMap()"),
        ("threads", "parallel='thread'"),
        ("proces", "parallel='process'"),
        ("loky", "parallel='process'"),
    ],
)
def test_76_parallel(parallel: Any, written: str) -> None:
    for make in (lambda: Piper(abs, parallel=parallel), lambda: Dagger(parallel=parallel)):
        with pytest.raises((PiperError, DaggerError)) as caught:
            make()
        assert isinstance(caught.value, TypeError)
        assert str(caught.value).startswith(
            "parallel: must be an IMap, a number of workers, True, False, None or one of "
        )
        assert str(caught.value).endswith(f" ({type(parallel).__name__}); write {written}")


def test_76_parallel_that_says_nothing() -> None:
    for parallel in (0, -1, 1.5, "xyz", [], object()):
        with pytest.raises(PiperError, match=r"parallel: must be an IMap, a number of workers, True, [^;]*$"):
            Piper(abs, parallel=parallel)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ({"n_jobs": 4}, "write worker_num=4"),
        ({"workers": 4}, "write worker_num=4"),
        ({"max_workers": 2}, "write worker_num=2"),
        ({"backend": "thread"}, "write worker_type='thread'"),
        ({"chunksize": 9}, "leave it out"),
        ({"time_limit": 9}, "write task_timeout=9"),
        ({"skip": True}, "parallel=IMap(skip=True)"),
    ],
)
def test_76_options_of_others(option: dict[str, Any], hint: str) -> None:
    name = next(iter(option))
    for make in (Piper, Dagger, Plumber):
        args = [abs] if make is Piper else []
        with pytest.raises((PiperError, DaggerError)) as caught:
            make(*args, **option)
        kind, text = make.__name__, str(caught.value)
        assert text.startswith(f"{kind}.__init__() got an unexpected keyword argument {name!r}; ") and hint in text, (
            text
        )
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: Piper(abs, paralel=None), "parallel"),
        (lambda: Piper(abs, unpac=True), "unpack"),
        (lambda: Dagger(pipe=[]), "pipes"),
        (lambda: Plumber(piper=[]), "pipers"),
        (lambda: Plumber(max_failure=1), "max_failures"),
    ],
)
def test_76_did_you_mean(make: Any, meant: str) -> None:
    with pytest.raises(
        TypeError, match=rf"__init__\(\) got an unexpected keyword argument '\w+'; did you mean '{meant}'\?$"
    ):
        make()


def test_76_a_time_limit_of_a_linear_piper() -> None:
    with pytest.raises(PiperError, match=r"parallel=IMap\(task_timeout=3\)$"):
        Piper(abs, timeout=3)


def test_76_pipers_in_the_wrong_place() -> None:
    piper, other = Piper(abs, name="a"), Piper(abs, name="b")
    with pytest.raises(PlumberError, match=r"write Plumber\(pipers=\[Piper\('a'"):
        Plumber([piper])  # type: ignore[arg-type]
    with pytest.raises(PlumberError, match=r"write Plumber\(pipers=\[Piper\('a'.*\]\)$"):
        Plumber(piper)  # type: ignore[arg-type]
    with pytest.raises(PlumberError, match=r"write Plumber\(pipes=\[\(Piper\('a'"):
        Plumber([(piper, other)])  # type: ignore[arg-type]
    with pytest.raises(PlumberError, match=r"write Plumber\(pipers=list\(it\)\)"):
        Plumber(Dagger([piper]))
    with pytest.raises(DaggerError, match=r"\(Dagger\); its pipers are list\(it\): write pipers=list\(it\)"):
        Dagger(Dagger([piper]))
    with pytest.raises(DaggerError, match=r"write \[Piper\('a'"):
        Dagger(piper)  # type: ignore[arg-type]
    with pytest.raises(DaggerError, match=r"if they are one pipe, write pipes=\[\(\.\.\.\)\]"):
        Dagger(pipes=(piper, other))
    with pytest.raises(DaggerError, match=r"pipers in a row are a pipe: pipes=\[\.\.\.\]"):
        Dagger([(piper, 5)])


# what users see of errors --------------------------------------------------


def test_76_only_public_names_are_shown() -> None:
    for call in (
        lambda: Piper(abs, parallel=-5),
        lambda: Piper(abs, spawn=0),
        lambda: Dagger(5),
        lambda: Dagger(on_error="x"),
        lambda: Plumber(5),
        lambda: Plumber().wait("x"),
        lambda: Dagger([abs]).run([[0]], max_failures=0),
    ):
        with pytest.raises((PiperError, DaggerError, PlumberError)) as caught:
            call()  # type: ignore[no-untyped-call]
        error = caught.value
        assert traceback.format_exception_only(type(error), error)[-1].startswith(("papy.", "numap.TooManyFailures: "))
        assert "papy._" not in "".join(traceback.format_exception_only(type(error), error)) + repr(error)
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))


def test_76_nor_does_a_line_that_raises_name_others() -> None:
    for call in (
        lambda: Dagger([abs]).run([1]),
        lambda: Dagger([abs]).run([[1], [2]]),
        lambda: Dagger(abs),
        lambda: Piper(broken_input),
        lambda: Plumber([abs]),
    ):
        with pytest.raises((PiperError, DaggerError, PlumberError)) as caught:
            call()  # type: ignore[no-untyped-call]
        text = "".join(traceback.format_exception(caught.value))
        assert not [
            name for name in vars(_errors) if name.endswith("Error") and not hasattr(papy, name) and name in text
        ]


def ratio(item: dict[str, Any]) -> float:
    return float(item["a"] / (item["b"] - item["b"]))


def outer(item: dict[str, Any]) -> float:
    try:
        return ratio(item)
    except ZeroDivisionError as error:
        raise ValueError("outer") from error


@pytest.mark.parametrize("kind", [None, "serial", "thread", "process"])
@pytest.mark.parametrize("more", [{}, {"retries": 1}])
def test_76_a_traceback_shows_the_users_code(kind: str | None, more: dict[str, Any]) -> None:
    pool = None if kind is None else IMap[Any](worker_type=kind, worker_num=1)
    with pytest.raises(PiperError) as caught:
        Dagger([Piper(outer, pool, unpack=True, on_error="raise", **more)]).run([[{"a": 1, "b": 2}]])
    assert caught.value.__cause__ is not None
    text = "".join(traceback.format_exception(caught.value.__cause__))
    assert "return ratio(item)" in text and 'raise ValueError("outer") from error' in text and "papy._" not in text
    assert not any(
        f"{Path(package.__file__).parent}/" in text for package in (papy, __import__("numap")) if package.__file__
    )
    if hasattr(traceback.FrameSummary, "colno") or hasattr(check_flag.__code__, "co_positions"):
        assert "~~^~~" in text, text


def broken_input() -> Any:
    yield 1
    raise OSError("disk")


@pytest.mark.parametrize("kind", [None, "thread", "process"])
def test_76_the_traceback_of_an_input(kind: str | None) -> None:
    pool = None if kind is None else IMap[Any](worker_type=kind, worker_num=1)
    with pytest.raises(DaggerError) as caught:
        Dagger([Piper(abs, pool, unpack=True)]).run([broken_input()])
    cause = caught.value.__cause__
    assert isinstance(cause, OSError) and cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_name == "broken_input"


def test_76_how_many_there_were() -> None:
    with pytest.raises(DaggerError, match=r"datas: 12 given; must be one iterable for each of 1 input \(a\)$"):
        Dagger([Piper(abs, name="a")]).run([[n] for n in range(12)])
    with pytest.raises(DaggerError, match="datas: more than"):
        Dagger([Piper(abs, name="a")]).run([n] for n in count())
    (result, _) = Dagger([Piper(lambda n: [n] * 5, produce=2, unpack=True)]).results([[1]])
    assert str(result.exception) == "2 results are needed (produce=2), got 5"
    assert _errors.TooManyFailed.__name__ == "TooManyFailures"


@pytest.mark.parametrize("data", [[1, 2], (1,), iter([1])], ids=["list", "tuple", "iterator"])
def test_76_data_for_the_run_of_a_pipeline(data: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Pipeline((abs, 1)).run(data)  # type: ignore[call-arg]
    shown = "items" if isinstance(data, Iterator) else repr(data)
    text = str(caught.value)
    assert text.startswith("run: takes no data, got ")
    assert text.endswith(f"; write put_iterable({shown}) first, or results({shown}) for what comes out")
    with pytest.raises(TypeError, match=r"^background: must be True or False, not "):
        Pipeline((abs, 1)).run_forever(data)


@pytest.mark.parametrize(
    ("entries", "advice"),
    [(4, "results([...]), with the entries, or results(range(4))"), (None, "results([...]), with the entries")],
)
def test_76_entries_that_are_none(entries: Any, advice: str) -> None:
    with pytest.raises(TypeError) as caught:
        Pipeline((abs, 1)).results(entries)
    text = str(caught.value)
    assert text.startswith("iterable: must be an iterable of entries, not ") and text.endswith(f"; write {advice}")


def test_an_error_of_the_iterable_itself_is_not_changed() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise TypeError("closed")

    with pytest.raises(TypeError, match=r"^closed$"):
        Pipeline((abs, 1)).results(Broken())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda plumber: plumber.run(),
            r"run is not possible while the Plumber is idle; write run\(\[items\]\), with one list of items for each input, or ",
        ),
        (lambda plumber: plumber.wait(), r"wait is not .* idle; start\(\[items\]\) and run\(\) it first$"),
        (lambda plumber: (plumber.start([[1]]), plumber.wait()), r"wait is not .* started; run\(\) it first$"),
        (lambda plumber: (plumber.start([[1]]), plumber.start([[1]])), r"start is not .* started; stop\(\) it first$"),
        (lambda plumber: (plumber.connect([[1]]), plumber.run()), r"run is not .* connected; start\(\) it first$"),
    ],
)
def test_76_a_call_at_the_wrong_time_says_what_to_call_first(call: Callable[[Plumber], Any], text: str) -> None:
    with Plumber(pipers=[Piper(work.same, unpack=True)]) as plumber, pytest.raises(PlumberError, match=text):
        call(plumber)
