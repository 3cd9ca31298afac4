"""Progress: what is shown, where, and that it costs a run nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from numap import IMap
from numap._progress.display import BarDisplay, PlainDisplay, display_for
from numap._progress.follower import Follower
from numap._progress.notebook import NotebookDisplay
from numap._progress.rows import Look, Measured, Meter, Row
from numap._progress.text import clock_text, line, rate_text, summary


class Bar:
    """A bar of tqdm, as far as it is used."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.n = 0
        self.refreshed = 0

    def update(self, n: int) -> None:
        self.n += n

    def refresh(self) -> None:
        self.refreshed += 1


def picky(x: int) -> int:
    if x % 10 == 0:
        raise ValueError(x)
    return x


# what is measured ----------------------------------------------------------


def test_a_rate_is_of_the_last_seconds_and_at_the_end_of_all() -> None:
    meter = Meter(100.0)
    for second in range(60):
        done = 10 * second if second < 40 else 400 + 100 * (second - 40)
        [it] = meter.measure(Look([Row("a", done, total=3000)], False), 100.0 + second)
    assert it.rate == pytest.approx(100, rel=0.02)
    assert it.left == pytest.approx((3000 - 2300) / 100, rel=0.02)
    [it] = meter.measure(Look([Row("a", 2300, total=3000)], True), 160.0)
    assert it.rate == pytest.approx(2300 / 60)
    assert it.seconds == pytest.approx(60)


def test_rows_may_come_later() -> None:
    meter = Meter(0.0)
    meter.measure(Look([], False), 0.0)
    rates = [it.rate for it in meter.measure(Look([Row("a", 5), Row("b", 10)], False), 5.0)]
    assert rates == [1.0, 2.0]


def test_what_is_said() -> None:
    row = Row("parse", 1, 2, None, 3, 4, marked=True)
    assert line(Measured(row, 1.0, 0.5, None)) == (
        "parse  1 done, 0.50/s, 3 inside, 2 failed, 4 retried, <- limits the others"
    )
    assert summary(Measured(Row("a", 5, total=10), 3.0, 2.0, None)) == "a  5 of 10 done in 0:03, 2.00/s"
    assert [rate_text(it) for it in (0.123, 12.34, 123456)] == ["0.12/s", "12.3/s", "123,456/s"]
    assert clock_text(86400 + 61) == "1 day, 0:01:01"


# maps ----------------------------------------------------------------------


@pytest.mark.parametrize("worker_type", ["serial", "thread", "process"])
def test_a_bar_of_the_users_is_told(worker_type: str) -> None:
    bar = Bar()
    found = list(IMap(picky, range(100), worker_type=worker_type, on_error="skip", progress=bar))
    assert len(found) == 90
    assert (bar.n, bar.total) == (100, 100)
    assert bar.refreshed == 1, "it was told the end before the loop ended"


def test_a_title_and_a_row_for_each_task(capfd: pytest.CaptureFixture[str]) -> None:
    imap = IMap(worker_type="thread", worker_num=2, on_error="skip", progress="numbers")
    last = imap.add_task(str, imap.add_task(picky, range(100)))
    with imap:
        assert len(list(last)) == 90
    lines = capfd.readouterr().err.splitlines()
    assert [text.split(" done")[0] for text in lines] == ["numbers: picky  100", "numbers: str  90"]
    assert lines[0].endswith(", 10 failed")


def test_an_input_without_a_length(capfd: pytest.CaptureFixture[str]) -> None:
    list(IMap(abs, iter([1, 2]), worker_type="thread", progress=True))
    assert capfd.readouterr().err.startswith("abs  2 done in 0:00, ")


def test_a_map_that_is_stopped_or_dropped_says_how_far_it_came(capfd: pytest.CaptureFixture[str]) -> None:
    imap = IMap(abs, range(10**6), worker_type="serial", progress=True)
    assert [next(imap) for _ in range(3)] == [0, 1, 2]
    imap.stop()
    assert " of 1,000,000 done in " in capfd.readouterr().err
    for value in IMap(abs, range(10**6), worker_type="thread", progress="dropped"):
        if value == 3:
            break
    for thread in threading.enumerate():
        if thread.name == "numap-progress":
            thread.join(30)
    assert "dropped: abs" in capfd.readouterr().err


def test_a_program_that_ends_has_shown_the_last_figures() -> None:
    code = "from numap import IMap\nm = IMap(abs, range(9), worker_type='thread', progress=True)\nfor x in m: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.startswith("abs  9 done")
    assert done.stdout == ""


def test_an_end_in_a_loop_that_is_left_open_is_shown_at_exit() -> None:
    code = "from numap import IMap\nm = IMap(abs, range(9), worker_type='thread', progress=True)\nprint(next(m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "abs  9 done" in done.stderr or "abs  " in done.stderr


@pytest.mark.parametrize("progress", [1, 2.5, [], object()])
def test_what_can_not_show_progress_is_refused(progress: Any) -> None:
    with pytest.raises(TypeError, match=r"progress: must be True, False, a title, or an object with update"):
        IMap(abs, [1], worker_type="serial", progress=progress)


def test_no_progress() -> None:
    assert display_for(False) is None
    before = threading.active_count()
    assert list(IMap(abs, [1], worker_type="serial", progress=False)) == [1]
    assert threading.active_count() == before


def test_a_bar_that_fails_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Bar):
        def update(self, n: int) -> None:
            raise OSError("the terminal is gone")

    assert list(IMap(abs, range(100), worker_type="thread", progress=Broken())) == list(range(100))
    [record] = caplog.records
    assert (record.name, record.getMessage()) == ("numap", "progress can't be shown any more")


def test_what_shows_progress_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from numap import IMap; list(IMap(abs, [1], worker_type='serial'))\n"
        "found = [name for name in sys.modules if name.startswith('numap._progress')]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# displays ------------------------------------------------------------------


def test_a_display_that_hangs_holds_up_the_end_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numap._progress.follower._LAST_TIMEOUT", 0.05)
    gate = threading.Event()

    class Hangs:
        interval, at_once = 0.01, True

        def show(self, rows: Sequence[Measured]) -> None:
            gate.wait(60)

        def close(self, rows: Sequence[Measured]) -> None:
            gate.wait(60)

    follower = Follower(lambda: Look([Row("a", 1)], False), Hangs())
    follower.start()
    follower.end()
    gate.set()
    follower._thread.join(60)
    assert not follower._thread.is_alive()


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay("t")
    monkeypatch.setattr(display, "interval", 0.01)
    looks = iter([Look([Row("a", n, total=4)], n == 4) for n in range(5)] + [Look([Row("a", 4, total=4)], True)])
    follower = Follower(lambda: next(looks), display)
    follower.start()
    follower._thread.join(60)
    lines = capfd.readouterr().err.splitlines()
    assert [text.split(",")[0] for text in lines[:2]] == [
        "t: a    0% [....................] 0/4",
        "t: a   25% [#####...............] 1/4",
    ]
    assert lines[-1].startswith("t: a  4 done in 0:00")


def test_a_notebook_has_one_output_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, dict[str, str]]] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(("update", bundle))

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.append(("display", bundle))
        return Handle()

    fake = type(sys)("IPython.display")
    fake.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setitem(sys.modules, "IPython", type(sys)("IPython"))
    table = NotebookDisplay("<numbers>")
    rows = [Measured(Row("a & b", 1, total=2), 1.0, 1.0, 1.0)]
    table.show(rows)
    table.close(rows)
    assert [what for what, _ in shown] == ["display", "update"]
    html = shown[0][1]["text/html"]
    assert "&lt;numbers&gt;" in html
    assert "a &amp; b" in html
    assert '<progress max="2" value="1">' in html
    assert shown[1][1]["text/plain"] == "<numbers>\na & b  1 of 2 done in 0:01, 1.00/s"


def test_a_bar_without_a_total_is_told_what_came() -> None:
    class Meager:
        n = 0

        def update(self, n: int) -> None:
            self.n += n

    meager = Meager()
    display = BarDisplay(meager)
    for done in (3, 3, 7):
        display.show([Measured(Row("a", done), 1.0, 1.0, None), Measured(Row("b", 1), 1.0, 1.0, None)])
    assert meager.n == 8


def test_a_terminal() -> None:
    pytest.importorskip("rich")
    code = "from numap import IMap\nprint(sum(IMap(abs, range(50), worker_type='thread', progress='numbers')))"
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=child, stderr=child, env=environment) as program:
        os.close(child)
        said = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:
                break
            if not part:
                break
            said += part
        os.close(parent)
    assert program.returncode == 0
    text = said.decode()
    assert "numbers" in text
    assert "50/50" in text
    assert text.rstrip().endswith("1225"), "what the program prints comes behind the last figures"
