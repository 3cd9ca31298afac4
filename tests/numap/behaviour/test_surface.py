"""Names and places of arguments, and small things that users of NuMap rely on; the decorator ``imports``."""

from __future__ import annotations

import inspect
import pickle
import sys
import threading
import xml.dom.domreg
from typing import Any

import pytest

from numap import IMap, StateError, imports
from numap._base.capabilities import CAPABILITIES
from tests.numap import work

SERIAL = {"worker_type": "serial"}


def test_arguments_have_their_names_and_places() -> None:
    places = [it.name for it in inspect.signature(IMap).parameters.values() if it.kind is it.POSITIONAL_OR_KEYWORD]
    expected = "func iterable args kwargs worker_type worker_num worker_remote stride buffer ordered skip name"
    assert places == expected.split()
    parameters = list(inspect.signature(IMap.add_task).parameters.values())[1:]
    places = [it.name for it in parameters if it.kind is it.POSITIONAL_OR_KEYWORD]
    assert places == "func iterable args kwargs timeout block track".split()


def test_the_start_methods_are_documented() -> None:
    assert all(f'``"{method}"``' in str(IMap.__doc__) for method in CAPABILITIES["process"].start_methods)


def test_a_map_without_a_task_starts_nothing() -> None:
    before = threading.active_count()
    imap: IMap[Any] = IMap(worker_type="thread")
    assert threading.active_count() == before and imap.statistics().state == "idle"


def test_a_map_has_a_name() -> None:
    assert IMap[Any]().name.startswith("imap_") and IMap[Any](name="mine").name == "mine"
    assert "mine" in repr(IMap[Any](name="mine"))


def test_tasks_are_numbered_in_the_order_of_adding() -> None:
    imap: IMap[Any] = IMap(**SERIAL)
    tasks = [imap.add_task(abs, [-1]), imap(abs, [-2]), imap.add_task(abs, [-3])]
    assert [task.task for task in tasks] == [0, 1, 2]
    with imap:
        assert [list(task) for task in tasks] == [[1], [2], [3]]
        with pytest.raises(StateError, match="add_task"):
            imap.add_task(abs, [])


def test_a_map_is_the_iterator_of_its_first_task() -> None:
    imap: IMap[int] = IMap(abs, [-1, -2], **SERIAL)
    assert iter(imap) is imap and next(imap) == 1 and list(imap) == [2] and list(imap) == []
    other: IMap[Any] = IMap(**SERIAL)
    other.add_task(abs, [-3])
    chained = other.add_task(str, other)
    with other:
        assert list(chained) == ["3"]


def test_a_map_tells_what_it_was_made_with() -> None:
    options = IMap[Any](worker_type="thread", worker_num=3, stride=2, on_error="skip").options
    assert (options["worker_num"], options["stride"], options["on_error"], options["name"]) == (3, 2, "skip", None)


def test_a_dropped_map_wakes_its_own_inputs() -> None:
    class Through:
        """An input of a map that reads another task of it."""

        def __init__(self, task: Any) -> None:
            self.task = task

        def __numap_detach__(self, owner: object) -> None:
            self.task.__numap_detach__(owner)

        def __iter__(self) -> Through:
            return self

        def __next__(self) -> Any:
            return next(self.task)

    for kind in ("process", "thread"):
        imap: IMap[Any] = IMap(worker_type=kind, worker_num=2)
        endless = iter(lambda: 1, 2)
        last = imap.add_task(work.identity, Through(imap.add_task(work.identity, endless)))
        imap.start()
        assert next(last) == 1
        del imap, last


# imports ---------------------------------------------------------------------------


@pytest.fixture
def names() -> Any:
    """Names that appear in this module go again."""
    before = dict(globals())
    yield
    for name in set(globals()) - set(before):
        del globals()[name]


@pytest.mark.usefixtures("names")
def test_imports_bind_the_last_part_of_a_name() -> None:
    def function() -> Any:
        return domreg  # type: ignore[name-defined]  # noqa: F821

    assert imports(["xml.dom.domreg"])(function) is function
    assert function() is xml.dom.domreg and function.imports == ["xml.dom.domreg"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("names")
def test_imports_try_alternatives() -> None:
    @imports(["ysy,sys", "no.such.thing, collections.OrderedDict"])
    def function() -> Any:
        return ysy, thing  # type: ignore[name-defined]  # noqa: F821

    from collections import OrderedDict

    assert function() == (sys, OrderedDict)


@pytest.mark.parametrize("start", ["forkserver", "spawn", "fork"])
def test_imports_of_a_function_that_another_one_made(start: str) -> None:
    """Its module is imported by the worker, but the decorator does not run there."""
    with pytest.warns(ImportWarning, match="neither_this") as caught:
        function = work.importing()
    assert caught[0].filename == work.__file__
    assert function.imports == ["no_such_module,xml.dom.domreg", "neither_this"]  # type: ignore[attr-defined]
    assert list(IMap(function, [1], worker_num=1, start_method=start)) == ["xml.dom.domreg"]


@pytest.mark.usefixtures("names")
def test_imports_that_are_pickled_change_no_name() -> None:
    def made() -> Any:
        return domreg  # type: ignore[name-defined]  # noqa: F821

    imports(["xml.dom.domreg"])(made)
    globals()["domreg"] = 3
    assert pickle.loads(pickle.dumps(made.imports)) == ["xml.dom.domreg"]  # type: ignore[attr-defined]
    assert made() == 3


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (None, "modules: must be a sequence of names, not None"),
        (5, "modules: must be a sequence of names, not 5 (int)"),
        ("re", "modules: must be a sequence of names, not 're' (str)"),
        (b"re", "modules: must be a sequence of names, not b're' (bytes)"),
        (["re", 5], "modules: the names must be str, not 5 (int)"),
        ([None], "modules: the names must be str, not None"),
    ],
)
def test_imports_of_what_is_no_name(modules: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        imports(modules)
    assert str(caught.value) == message


def test_imports_into_what_is_no_function() -> None:
    for thing in (5, abs, str, None, {}.get):
        with pytest.raises(TypeError, match=r"^imports: decorates functions, not "):
            imports(["re"])(thing)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"^forgive: must be True or False, not 're'"):
        imports(["re"], "re")  # type: ignore[arg-type]


@pytest.mark.usefixtures("names")
def test_imports_of_nothing() -> None:
    with pytest.raises(ImportError, match="none of"):
        imports(["no_such_module,another"])(work.identity)
    with pytest.warns(ImportWarning, match="none of"):
        imports(["no_such_module"], forgive=True)(test_imports_of_nothing)
