"""Guarantee 51: log records and warnings in a worker reach the handlers of its caller, with task and pid, and none is lost."""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from numap import IMap, WorkerDied
from numap._runtime import log_forwarder
from tests.numap import work
from tests.numap._runtime.logging_items import LOG, fail_and_log, tell
from tests.numap.programs import ENGINES, STARTS, Program, run


class Kept(logging.Handler):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What comes to the handlers of a logger of ours with level INFO."""
    handler = Kept()
    LOG.setLevel(logging.INFO)
    LOG.addHandler(handler)
    yield handler
    LOG.removeHandler(handler)
    LOG.setLevel(logging.NOTSET)


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a map with a start method."""
    return ENGINES[str(request.param)]


# ---------------------------------------------------------------------- records


def test_51_a_record_arrives_with_task_item_and_pid(start: dict[str, Any], kept: Kept) -> None:
    imap = IMap(**start)
    imap.add_task(work.identity, range(3))
    numbers = imap.add_task(tell, "abc", kwargs={"customer": 7})
    with imap:
        pids = [pid for _, pid in numbers]
    found = sorted(kept.records, key=lambda record: record.index)  # type: ignore[attr-defined]
    assert [(r.getMessage(), r.task, r.index, r.process) for r in found] == [  # type: ignore[attr-defined]
        ("item a", 1, 0, pids[0]),
        ("item b", 1, 1, pids[1]),
        ("item c", 1, 2, pids[2]),
    ]
    first = found[0]
    assert (first.name, first.levelname, first.funcName, first.customer) == (LOG.name, "INFO", "tell", 7)  # type: ignore[attr-defined]
    assert first.processName == "numap-worker"
    assert first.process != os.getpid()


def test_51_in_a_chain_the_task_is_that_of_the_function(kept: Kept) -> None:
    imap = IMap(worker_num=1)
    last = imap.add_task(tell, imap.add_task(tell, "ab", ("first %s",)), ("second %s",))
    with imap:
        list(last)
    assert {(r.getMessage().split()[0], r.task) for r in kept.records} == {("first", 0), ("second", 1)}  # type: ignore[attr-defined]
    assert Counter(r.index for r in kept.records) == {0: 2, 1: 2}  # type: ignore[attr-defined]


def test_51_none_is_lost_and_those_of_a_worker_keep_their_order(start: dict[str, Any], kept: Kept) -> None:
    count = 5000
    pids = dict(IMap(tell, range(count), **start))
    # The end of the loop comes after the last record was handled.
    assert len(kept.records) == count
    for pid in set(pids.values()):
        own = [record for record in kept.records if record.process == pid]
        assert {pids[record.index] for record in own} == {pid}  # type: ignore[attr-defined]
        times = [record.created for record in own]
        assert times == sorted(times)


def test_51_the_level_of_each_logger_holds_in_the_workers(start: dict[str, Any], kept: Kept) -> None:
    assert list(IMap(LOG.isEnabledFor, [logging.DEBUG, logging.INFO], **start)) == [False, True]
    child = logging.getLogger(LOG.name + ".child")
    child.setLevel(logging.ERROR)
    try:
        list(IMap(child.log, [logging.WARNING, logging.ERROR], ("text",), **start))
    finally:
        child.setLevel(logging.NOTSET)
    logging.disable(logging.ERROR)
    try:
        list(IMap(LOG.log, [logging.ERROR, logging.CRITICAL], ("text",), **start))
    finally:
        logging.disable(logging.NOTSET)
    assert [record.levelno for record in kept.records] == [logging.ERROR, logging.CRITICAL]


def test_51_a_level_with_a_name_of_the_callers(kept: Kept) -> None:
    logging.addLevelName(33, "NOTABLE")
    list(IMap(tell, [1], kwargs={"level": 33}, worker_num=1))
    assert kept.records[0].levelname == "NOTABLE"


def test_51_the_traceback_of_an_exception_comes_as_text(kept: Kept) -> None:
    list(IMap(fail_and_log, [5], worker_num=1))
    text = logging.Formatter().format(kept.records[0])
    assert text.startswith("failed with 5\nTraceback")
    assert "in fail_and_log" in text
    assert "KeyError: 'the reason'" in text


def test_51_what_can_not_travel_comes_as_text(kept: Kept) -> None:
    def local(x: int) -> None:
        LOG.info("%s", threading.Lock(), extra={"lock": threading.Lock(), "size": 3})

    list(IMap(local, [1], worker_num=1))
    (record,) = kept.records
    assert "lock" in record.getMessage()
    assert (type(record.lock), record.size) == (str, 3)  # type: ignore[attr-defined]


def test_51_the_last_words_of_a_worker_that_dies(start: dict[str, Any], kept: Kept) -> None:
    def fall(x: int) -> None:
        LOG.info("about to fall")
        work.kill_self()

    imap = IMap(fall, [0], on_error="return", **start)
    assert isinstance(next(imap), WorkerDied)
    imap.stop()
    assert kept.messages == ["about to fall"]


def test_51_initializer_and_finalizer(start: dict[str, Any], kept: Kept) -> None:
    options = {**start, "worker_num": 1}
    with IMap(
        abs, [1], initializer=LOG.info, initargs=("begin",), finalizer=lambda: LOG.info("end"), **options
    ) as imap:
        assert list(imap) == [1]
    assert kept.messages == ["begin", "end"]
    assert [(r.task, r.index) for r in kept.records] == [(None, None)] * 2  # type: ignore[attr-defined]


def test_51_threads_of_an_item(kept: Kept) -> None:
    def crowd(x: int) -> None:
        def many(number: int) -> None:
            for n in range(200):
                LOG.info("%d %d %d", x, number, n)

        threads = [threading.Thread(target=many, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    list(IMap(crowd, range(4), worker_num=2))
    assert len(set(kept.messages)) == len(kept.messages) == 4 * 4 * 200


def test_51_a_slow_item_that_logs_does_not_keep_the_results_before_it(kept: Kept, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def chat(x: int) -> int:
        while x == 20 and not gate.exists():
            LOG.info("still waiting")
        return x

    imap = IMap(chat, range(30), worker_num=1)
    assert [next(imap) for _ in range(20)] == list(range(20))
    gate.touch()
    assert list(imap) == list(range(20, 30))


def test_51_a_map_inside_an_item(kept: Kept) -> None:
    def inner(x: int) -> list[Any]:
        return list(IMap(tell, "ab", worker_num=1))

    (found,) = IMap(inner, [0], worker_num=1)
    assert kept.messages == ["item a", "item b"]
    assert {record.process for record in kept.records} == {pid for _, pid in found}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_51_a_process_that_an_item_forks_logs_for_itself(kept: Kept, tmp_path: Path) -> None:
    def fork(x: int) -> int:
        pid = os.fork()
        if pid == 0:
            LOG.info("from the child")
            warnings.warn("from the child", stacklevel=1)
            os._exit(0)
        os.waitpid(pid, 0)
        LOG.info("from the worker")
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(IMap(fork, range(3), worker_num=1)) == [0, 1, 2]
    assert kept.messages == ["from the worker"] * 3


# ---------------------------------------------------------------------- handlers


def test_51_a_worker_with_handlers_of_its_own_keeps_what_they_take(kept: Kept, tmp_path: Path) -> None:
    def configure() -> None:
        LOG.addHandler(logging.FileHandler(tmp_path / f"{os.getpid()}.log"))

    def tell_both(x: int) -> None:
        LOG.info("here")
        logging.getLogger("numap.test").warning("there")

    handler = Kept()
    logging.getLogger("numap.test").addHandler(handler)
    try:
        list(IMap(tell_both, [1], initializer=configure, worker_num=1))
    finally:
        logging.getLogger("numap.test").removeHandler(handler)
    (path,) = tmp_path.iterdir()
    assert path.read_text() == "here\n"
    assert kept.messages == []
    assert handler.messages == ["there"]


def test_51_an_initializer_may_configure_the_root(start: dict[str, Any], kept: Kept, tmp_path: Path) -> None:
    list(IMap(tell, [1], initializer=logging.basicConfig, initargs=(), **start))
    kept.records.clear()

    def configure() -> None:
        logging.basicConfig(filename=tmp_path / "log", level=logging.INFO, format="%(message)s")

    list(IMap(tell, [1], initializer=configure, **{**start, "worker_num": 1}))
    assert (tmp_path / "log").read_text() == "item 1\n"
    assert kept.messages == []


def test_51_an_initializer_may_log_by_the_functions_of_the_module(
    start: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def begin() -> None:
        logging.warning("begun")  # noqa: LOG015  # which sets up a handler where there is none

    def work(x: int) -> None:
        logging.warning("item %d", x)  # noqa: LOG015

    list(IMap(work, [1, 2], initializer=begin, **{**start, "worker_num": 1}))
    assert caplog.messages == ["begun", "item 1", "item 2"]


def test_51_handlers_that_come_with_the_code_are_the_callers(tmp_path: Path) -> None:
    (tmp_path / "library_that_logs.py").write_text(
        "import logging, sys\nlog = logging.getLogger(__name__)\nlog.addHandler(logging.StreamHandler(sys.stdout))\n"
        "other = logging.getLogger(__name__ + '.other')\nother.addHandler(logging.NullHandler())\n"
        "def func(x):\n    log.warning('once %d', x)\n    other.warning('other %d', x)\n"
    )
    code = """
sys.path.insert(0, os.environ["LIBRARY"])
import library_that_logs
list(IMap(library_that_logs.func, range(2), **{**OPTIONS, "worker_num": 1}))
"""
    found = run(tmp_path, code, LIBRARY=str(tmp_path)).stdout.splitlines()
    assert found == ["once 0", "other 0", "once 1", "other 1"]


def test_51_a_handler_that_fails_is_told_and_the_next_record_is_handled(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def picky(record: logging.LogRecord) -> bool:
        if record.getMessage() == "item 1":
            raise ValueError("not this one")
        return True

    kept.addFilter(picky)
    list(IMap(tell, range(3), worker_num=1))
    assert kept.messages == ["item 0", "item 2"]
    (args,) = told
    assert (args.exc_type, args.thread.name) == (ValueError, "numap-log")


def test_51_a_handler_that_exits_ends_no_other_record(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def leave(record: logging.LogRecord) -> bool:
        if record.getMessage() == "item 1":
            raise SystemExit(5)
        return True

    kept.addFilter(leave)
    list(IMap(tell, range(3), worker_num=1))
    assert kept.messages == ["item 0", "item 2"]
    assert [args.exc_type for args in told] == [SystemExit]


def test_51_a_handler_that_blocks_holds_up_neither_results_nor_for_long_the_end(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_forwarder, "HANDLERS_TIMEOUT", 0.05)
    gate: SimpleQueue[None] = SimpleQueue()
    kept.addFilter(lambda record: gate.get() is None)
    imap = IMap(tell, range(10), worker_num=1)
    assert [x for x, _ in imap] == list(range(10))
    imap.stop()
    assert kept.messages == []
    for _ in range(10):
        gate.put(None)


def test_51_a_handler_may_use_the_map(kept: Kept) -> None:
    found: list[Any] = []
    imap = IMap(tell, range(20), worker_num=1)

    def take(record: logging.LogRecord) -> bool:
        found.extend(x for x, _ in [next(imap, (None, 0))])
        return True

    kept.addFilter(take)
    found.extend(x for x, _ in imap)
    imap.stop()
    assert sorted(set(found) - {None}) == list(range(20))


def test_51_who_does_not_log_does_not_import_logging(tmp_path: Path) -> None:
    code = """
say("logging" in sys.modules, *IMap(lambda x: "logging" in sys.modules, [0], **OPTIONS))
import logging
say("logging" in sys.modules, *IMap(lambda x: "logging" in sys.modules, [0], **OPTIONS))
"""
    assert run(tmp_path, code).stdout == "False False\nTrue True\n"


def test_51_a_module_of_the_users_called_logging(tmp_path: Path) -> None:
    (tmp_path / "logging.py").write_text("def log(x):\n    return 'mine', x\n")
    code = "sys.path.insert(0, os.environ['LIBRARY'])\nimport logging\nsay(*IMap(logging.log, [3], **OPTIONS))\n"
    assert run(tmp_path, code, LIBRARY=str(tmp_path)).stdout == "('mine', 3)\n"


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "del imap", "imap.stop()"])
def test_51_a_program_that_ends_has_logged_all(end: str, start: dict[str, Any], tmp_path: Path) -> None:
    code = f"""
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")
imap = IMap(lambda x: logging.warning("item %d", x), range(100), finalizer=lambda: logging.warning("end"), **OPTIONS)
for _ in range(100):
    next(imap)
{end}
"""
    engine = next(name for name in STARTS if ENGINES[name] is start)
    found = Counter(run(tmp_path, code, engine).stdout.splitlines())
    assert found.pop("end") in (1, 2)  # one of them may not have been up yet
    assert found == Counter(f"item {x}" for x in range(100))


# ---------------------------------------------------------------------- slow handlers


#: A program whose handler writes a line for each record, and in it does what it is told to.
SLOW = """
import logging
from numap._runtime import log_forwarder
class Slow(logging.Handler):
    def filter(self, record):  # not within its lock, which the end of logging waits for
        self.act(record)
        return True
    def emit(self, record):
        say(record.getMessage())
slow = Slow()
work = logging.getLogger("work")
work.addHandler(slow)
work.propagate = False
def tell(x):
    for n in range(100):
        work.warning("record %d of %d", n, x)
"""


def count(program: Program) -> tuple[int, list[int]]:
    """How many records a program has handled, and the numbers in what it said about the others."""
    handled = sum(line.startswith("record ") for line in program.stdout.splitlines())
    said = re.findall(r"(\d+) log records and warnings", program.stderr + program.stdout)
    return handled, [int(number) for number in said]


@pytest.mark.parametrize("end", ["", "imap.stop()", "os.kill(next(imap), 9)"])
def test_64_slow_handlers_get_the_time_that_they_need(end: str, start: dict[str, Any], tmp_path: Path) -> None:
    code = (
        SLOW
        + f"""
log_forwarder.HANDLERS_TIMEOUT = 0.01
slow.act = lambda record: time.sleep(0.002)
imap = IMap(lambda x: tell(x) or os.getpid(), range(3), on_error="skip", **OPTIONS)
{end or "list(imap)"}
log_forwarder.HANDLERS_TIMEOUT = 2.0
"""
    )
    engine = next(name for name in STARTS if ENGINES[name] is start)
    code = code.replace("log_forwarder.HANDLERS_TIMEOUT = 0.01", "") if end else code
    with Program(tmp_path, code, engine) as program:
        program.ends(0)
        handled, said = count(program)
        assert said == []
        # Before the result of an item come all of its records.
        assert handled == 300 if not end else handled >= 100 * end.count("next")


@pytest.mark.parametrize("handler", ["the slow one", "another one"])
def test_64_what_was_left_at_the_end_is_counted_in_one_warning(handler: str, tmp_path: Path) -> None:
    code = (
        SLOW
        + f"""
log_forwarder.HANDLERS_TIMEOUT = 0.05
gate = threading.Event()
slow.act = lambda record: record.getMessage().startswith("record 42") and gate.wait()
if {handler == "the slow one"}:
    logging.getLogger("numap").addHandler(slow)
else:
    logging.basicConfig(stream=sys.stdout)
list(IMap(tell, range(2), **OPTIONS))
"""
    )
    with Program(tmp_path, code) as program:
        program.ends(0)
        handled, said = count(program)
        assert 42 <= handled < 200
        assert said == [200 - handled]
        assert ("handlers of this program" in program.stderr) == (handler == "the slow one")


def test_64_what_finds_no_room_is_counted_in_one_warning(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_forwarder, "ROOM", 100_000)
    monkeypatch.setattr(log_forwarder, "HANDLERS_TIMEOUT", 0.05)
    gate = threading.Event()
    kept.addFilter(lambda record: gate.wait(30))
    told, ours = Kept(), logging.getLogger("numap")
    ours.addHandler(told)
    try:
        imap = IMap(tell, range(1000), worker_num=1)
        assert [x for x, _ in imap] == list(range(1000))
        (forwarder,) = log_forwarder.busy
        assert forwarder.waiting <= 100_000
        gate.set()
        assert forwarder._thread is not None
        forwarder._thread.join()
    finally:
        ours.removeHandler(told)
    (message,) = [record.getMessage() for record in told.records if record.name == "numap"]
    assert 10 < len(kept.records) < 1000
    assert message.startswith(f"{1000 - len(kept.records)} log records and warnings of workers were not handled")
    assert not log_forwarder.busy


# ---------------------------------------------------------------------- warnings


def test_51_warnings(start: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        list(IMap(work.warn, ["one", "two"], **start))
    (first, _) = sorted(found, key=lambda it: str(it.message))
    assert [str(it.message) for it in found] in (["one", "two"], ["two", "one"])
    assert (first.category, Path(first.filename).name) == (UserWarning, "work.py")
    message: Any = first.message
    assert (message.task, message.index) == (0, 0)
    assert message.pid not in (None, os.getpid())


def test_51_the_same_warning_of_several_workers_is_shown_as_often_as_the_filter_says() -> None:
    def careful(x: int) -> None:
        warnings.warn("the same", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        list(IMap(careful, range(20), worker_num=2))
    assert len(found) == 1


def test_51_a_category_of_the_programs(tmp_path: Path) -> None:
    code = """
import warnings
class Own(UserWarning):
    pass
class Other(UserWarning):
    pass
def func(x):
    warnings.warn("own", Own)
    warnings.warn("other", Other)
warnings.simplefilter("ignore", Own)
with warnings.catch_warnings(record=True) as found:
    list(IMap(func, [1], **OPTIONS))
say(len(found), found[0].category is Other, type(found[0].message) is Other)
warnings.simplefilter("error", Other)
list(IMap(func, [1], **OPTIONS))
say("end")
"""
    with Program(tmp_path, code) as program:
        program.ends(0)
        assert program.stdout == "1 True True\nend\n"
        assert program.stderr.splitlines()[0].endswith("Other: other")


def test_51_warnings_that_are_captured_are_records_of_the_worker(start: dict[str, Any]) -> None:
    handler, log = Kept(), logging.getLogger("py.warnings")
    log.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            list(IMap(work.warn, ["careful"], **start))
    finally:
        logging.captureWarnings(False)
        log.removeHandler(handler)
    (record,) = handler.records
    assert "careful" in record.getMessage()
    assert (record.task, record.index) == (0, 0)  # type: ignore[attr-defined]
    assert record.process != os.getpid()


def test_51_a_warning_that_is_written_to_a_file_stays_with_its_worker(tmp_path: Path) -> None:
    def write(x: int) -> str:
        import io

        file = io.StringIO()
        warnings.showwarning("text", UserWarning, "name", 1, file)
        return file.getvalue()

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        (text,) = IMap(write, [1], worker_num=1)
    assert text.startswith("name:1: UserWarning: text")
    assert found == []
