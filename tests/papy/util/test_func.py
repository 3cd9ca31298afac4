"""papy.util.func: picking, joining, encoding, streams, databases. Items beside the pipeline are in test_util_items.py."""

from __future__ import annotations

import gc
import importlib
import pickle
import sqlite3
import subprocess
import sys
import threading
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper, PiperError, Worker
from papy.util import func

INBOX = ["a", "b", "c"]


def test_plugger() -> None:
    assert func.plugger(INBOX) is None  # type: ignore[func-returns-value]


def test_ipasser() -> None:
    assert func.ipasser(INBOX) == "a"
    assert func.ipasser(INBOX, 2) == func.ipasser(INBOX, -1) == "c"
    with pytest.raises(IndexError):
        func.ipasser(INBOX, 3)


def test_npasser() -> None:
    assert func.npasser(tuple(INBOX)) == INBOX
    assert func.npasser(INBOX, 2) == ["a", "b"]
    assert func.npasser(INBOX, 0) == []


@pytest.mark.parametrize(
    ("places", "result"), [(None, "abc"), ((), "abc"), ((1, 0), "ba"), ([2], "c"), (iter((2, 1)), "cb"), ((0, 0), "aa")]
)
def test_spasser_keeps_the_order_that_was_asked_for(places: Any, result: str) -> None:
    assert func.spasser(INBOX, places) == list(result)


def test_spasser_of_a_place_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        func.spasser(INBOX, (0, 3))


def test_nzipper() -> None:
    assert func.nzipper([[1, 2], [3, 4], [5, 6]]) == [(1, 3, 5), (2, 4, 6)]
    assert func.nzipper([[1, 2], [3, 4], [5, 6]], 2) == [(1, 3), (2, 4)]
    with pytest.raises(ValueError, match="shorter"):
        func.nzipper([[1, 2], [3]])


def test_szipper() -> None:
    assert func.szipper([[1, 2], [3, 4]]) == [(1, 3), (2, 4)]
    assert func.szipper([[1, 2], [3, 4]], (1, 0)) == [(3, 1), (4, 2)]
    with pytest.raises(ValueError, match="longer"):
        func.szipper([[1], [3, 4]])


def test_joiners() -> None:
    assert func.njoiner(INBOX) == func.sjoiner(INBOX) == "abc"
    assert func.njoiner(INBOX, 2, "-") == "a-b"
    assert func.sjoiner(INBOX, (2, 0), "-") == "c-a"
    assert func.njoiner([b"a", b"b"], join=b" ") == b"a b"


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert func.print_(INBOX) is None  # type: ignore[func-returns-value]
    assert capsys.readouterr().out == "a\n"


# streams -------------------------------------------------------------------

ITEMS = ["one", "two\nlines", "with a blank\n\nline", "\nstarts and ends with one\n", "", " "]


def test_a_stream_of_text(tmp_path: Path) -> None:
    name = tmp_path / "items.txt"
    with open(name, "w") as file:
        assert [func.dump_stream([item], file, "//") for item in ITEMS] == [str(name)] * len(ITEMS)
    with open(name) as file:
        assert list(func.load_stream(file, "//")) == ITEMS
        assert not file.closed


def test_a_stream_of_text_at_a_path(tmp_path: Path) -> None:
    name = tmp_path / "items.txt"
    items = [*ITEMS, "a\rb\r\nc\r", "\u00e4\u2028\x0b"]
    for item in items:
        assert func.dump_stream([item], str(name), "//") == str(name)
    assert list(func.load_stream(name, "//")) == items


def test_an_empty_line_is_the_default_delimiter() -> None:
    stream = StringIO()
    for item in ("one", "two\nlines", " "):
        assert func.dump_stream([item], stream) is None
    assert stream.getvalue() == "one\n\ntwo\nlines\n\n \n\n"
    assert list(func.load_stream(StringIO(stream.getvalue()))) == ["one", "two\nlines", " "]


@pytest.mark.parametrize("delimiter", [None, "//", "\\", "\\//"])
def test_every_text_comes_back_as_it_was(delimiter: str | None) -> None:
    pieces = ["", "\n", "\\", "//", "text"]
    texts = [a + b + c + d for a in pieces for b in pieces for c in pieces for d in pieces]
    stream = StringIO()
    for text in texts:
        func.dump_stream([text], stream, delimiter)
    assert list(func.load_stream(StringIO(stream.getvalue()), delimiter)) == texts


def test_texts_that_end_in_a_newline() -> None:
    stream = StringIO()
    for text in ("first\nsecond\n", "third\n"):
        func.dump_stream([text], stream)
    assert list(func.load_stream(StringIO(stream.getvalue()))) == ["first\nsecond\n", "third\n"]


def test_bytes_are_for_the_other_stream() -> None:
    with pytest.raises(TypeError, match="dump_pickle_stream"):
        func.dump_stream([b"bytes"], StringIO())


def test_a_delimiter_is_one_line() -> None:
    with pytest.raises(ValueError, match="must be one line"):
        func.dump_stream(["item"], StringIO(), "a\nb")
    with pytest.raises(ValueError, match="must be one line"):
        next(func.load_stream(StringIO(), "a\nb"))


def test_the_last_item_needs_no_delimiter() -> None:
    assert list(func.load_stream(StringIO("one\n//\ntwo\n"), "//")) == ["one", "two"]
    assert list(func.load_stream(StringIO("one\n//\ntwo"), "//")) == ["one", "two"]
    assert list(func.load_stream(StringIO(""), "//")) == []


def test_a_stream_of_pickles(tmp_path: Path) -> None:
    items: list[Any] = [1, None, {"a": [b"x" * 100_000]}, "text"]
    name = tmp_path / "items.pickle"
    with open(name, "wb") as file:
        for item in items:
            func.dump_pickle_stream([item], file)
    func.dump_pickle_stream(["more"], name)
    assert list(func.load_pickle_stream(name)) == [*items, "more"]
    with open(name, "rb") as file:
        assert list(func.load_pickle_stream(file)) == [*items, "more"]
        assert not file.closed


def test_a_stream_of_pickles_of_all_protocols() -> None:
    stream = BytesIO(b"".join(pickle.dumps(["text", n], n) for n in range(pickle.HIGHEST_PROTOCOL + 1)))
    assert list(func.load_pickle_stream(stream)) == [["text", n] for n in range(pickle.HIGHEST_PROTOCOL + 1)]


def test_a_stream_of_pickles_that_is_cut_off() -> None:
    whole = pickle.dumps("one") + pickle.dumps({"a": "two"})
    for length in range(len(pickle.dumps("one")) + 1, len(whole)):
        stream = func.load_pickle_stream(BytesIO(whole[:length]))
        assert next(stream) == "one"
        with pytest.raises((EOFError, pickle.UnpicklingError)):
            next(stream)


def test_what_cannot_be_pickled_leaves_the_stream_as_it_was() -> None:
    stream = BytesIO()
    with pytest.raises(TypeError):
        func.dump_pickle_stream([[1, threading.Lock()]], stream)
    assert stream.getvalue() == b""


def test_a_stream_that_is_dropped_closes_its_file(tmp_path: Path) -> None:
    # A file that is left open is a ResourceWarning, which is an error here.
    name = tmp_path / "items"
    name.write_text("one\n\ntwo\n\n")
    assert next(func.load_stream(name)) == "one"
    assert next(func.make_lines(name)) == "one\n"
    gc.collect()


def test_lines() -> None:
    assert list(func.make_lines(StringIO("a\n\nb"))) == ["a\n", "\n", "b"]
    assert list(func.make_lines(BytesIO(b"a\nb\n"))) == [b"a\n", b"b\n"]
    assert list(func.make_lines(StringIO())) == []


def test_lines_that_are_followed(tmp_path: Path) -> None:
    name = tmp_path / "log"
    name.write_text("one\ntw")
    stop = threading.Event()
    lines = func.make_lines(name, follow=True, wait=0.001, stop=stop)
    with open(name, "a") as file:
        assert next(lines) == "one\n"
        timer = threading.Timer(0.01, lambda: (file.write("o\n"), file.flush()))
        timer.start()
        assert next(lines) == "two\n"
        timer.join()
        file.write("three\nfour")
    stop.set()
    assert list(lines) == ["three\n", "four"]


def test_a_source_of_a_pipeline(tmp_path: Path) -> None:
    name = tmp_path / "items"
    sink = Piper(Worker(func.dump_stream, (str(tmp_path / "results"),)))
    for item in ("a", "b"):
        func.dump_stream([item], name)
    Dagger(pipes=[(Piper(str.upper, unpack=True), sink)]).run([func.load_stream(name)])
    assert (tmp_path / "results").read_text() == "A\n\nB\n\n"


# pickle, JSON --------------------------------------------------------------


def test_pickles_and_json() -> None:
    item = {"a": [1, 2.5, None, "\u00e4"]}
    assert func.pickle_loads([func.pickle_dumps([item])]) == item
    assert func.json_loads([func.json_dumps([item])]) == item
    assert isinstance(func.pickle_dumps([item]), bytes)
    assert isinstance(func.json_dumps([item]), str)


def test_the_garbage_collector_is_left_alone() -> None:
    for function, item in ((func.json_loads, "{"), (func.json_dumps, object()), (func.pickle_loads, b"")):
        with pytest.raises((ValueError, TypeError, EOFError)):
            function([item])
        assert gc.isenabled()


# databases -----------------------------------------------------------------


@pytest.mark.parametrize(
    "item", ["text", b"\0bytes", 2**62, 1.5, None, "", "\0", b"", -(2**63), 2**63 - 1, float("-inf"), 1, 0]
)
def test_an_item_in_a_database(tmp_path: Path, item: Any) -> None:
    handle = func.dump_db_item([item], tmp_path / "items.db")
    assert func.load_db_item([pickle.loads(pickle.dumps(handle))]) == item
    assert func.load_db_item([handle], remove=True) == item
    with pytest.raises(LookupError, match="no item 1 in table papy_items"):
        func.load_db_item([handle])


def test_tables_with_odd_names(tmp_path: Path) -> None:
    names = ["a b", 'say "x"', "select", "; drop table papy_items"]
    handles = [func.dump_db_item([name], tmp_path / "items.db", name) for name in names]
    assert [func.load_db_item([handle]) for handle in handles] == names


@pytest.mark.parametrize("item", [True, False, float("nan"), 2**63, -(2**70), "\ud800", "a\udfffb", {}, 1j])
def test_what_would_not_come_back_as_it_was_is_refused(tmp_path: Path, item: Any) -> None:
    kept = func.dump_db_item([1], tmp_path / "items.db")
    with pytest.raises(TypeError, match=r"an integer of 64 bits, a float that is not nan, or None, not .*pickle_dumps"):
        func.dump_db_item([item], tmp_path / "items.db")
    assert func.dump_db_item([2], tmp_path / "items.db").row == kept.row + 1


def test_what_a_database_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"the item: must be bytes, text, .*, not \[1\] \(list\); pickle_dumps"):
        func.dump_db_item([[1]], tmp_path / "items.db")
    assert not (tmp_path / "items.db").exists()
    with pytest.raises(TypeError, match="must be a handle of dump_db_item"):
        func.load_db_item([1])
    with pytest.raises(LookupError, match="no database"):
        func.load_db_item([func.DbHandle(str(tmp_path / "none.db"), "items", 1)])
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "items.db").write_text("this is no database, and a long one")
    with pytest.raises(sqlite3.DatabaseError):
        func.dump_db_item(["text"], tmp_path / "items.db")


def test_many_workers_write_into_one_database(tmp_path: Path) -> None:
    pool = IMap(worker_num=2)
    store = Piper(Worker(func.dump_db_item, (str(tmp_path / "items.db"),)), parallel=pool)
    load = Piper(Worker(func.load_db_item, kwargs={"remove": True}), parallel=pool)
    assert list(Dagger(pipes=[(store, load)]).results([range(30)])) == list(range(30))


def test_an_item_that_cannot_be_stored_is_a_failure(tmp_path: Path) -> None:
    store = Piper(Worker(func.dump_db_item, (str(tmp_path / "items.db"),)))
    first, second = Dagger([store]).results([[[], 1]])
    assert isinstance(first, PiperError) and isinstance(first.exception, TypeError)
    assert second.row == 1


# the module ----------------------------------------------------------------


def test_public_names() -> None:
    assert func.__all__ == sorted(set(func.__all__))
    for name in func.__all__:
        assert getattr(func, name).__module__ == "papy.util.func"
        assert getattr(func, name).__doc__
        assert pickle.loads(pickle.dumps(getattr(func, name))) is getattr(func, name)


def test_importing_papy_loads_none_of_it() -> None:
    code = "import papy, papy.util, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"papy.util.func", "papy.util.script", "papy.util.config", "sqlite3", "logging.handlers"} & set(loaded)
    assert {"papy", "papy.util"} <= set(loaded)


def test_importing_func_is_light() -> None:
    code = "import papy.util.func, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlite3", "subprocess", "dill", "psutil", "logging"} & set(loaded)
    assert importlib.import_module("papy.util.func") is func
