"""How far the steps of a pipeline are, as it is shown."""

from __future__ import annotations

import pytest

from papy import Pipeline, chunk, iterstep


def picky(x: int) -> int:
    if x % 10 == 0:
        raise ValueError(x)
    return x


def first_parts(text: str) -> list[str]:
    return [line.split(" done")[0] for line in text.splitlines() if " done in " in line]


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_a_line_for_each_step(worker_type: str, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = Pipeline((picky, 2), (abs, 1), worker_type=worker_type, on_error="skip", quiet=True)
    assert len(list(pipeline.results(range(100), progress="numbers"))) == 90
    text = capfd.readouterr().err
    assert first_parts(text) == ["numbers: picky  100", "numbers: abs  90"]
    assert ", 10 failed" in text


def test_of_a_run_too(capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = Pipeline((abs, 2), (iterstep(chunk(7)), 1), (len, 1), quiet=True)
    pipeline.put_iterable(range(70))
    pipeline.run(progress=True)
    assert first_parts(capfd.readouterr().err) == ["abs  70", "chunks  10", "len  10"]


def test_results_that_are_left(capfd: pytest.CaptureFixture[str]) -> None:
    results = Pipeline((abs, 1), quiet=True).results(range(10**6), progress=True)
    assert next(results) == 0
    results.close()
    assert " of 1,000,000 done in" in capfd.readouterr().err


def test_a_bar_is_told() -> None:
    class Bar:
        total: int | None = None
        n = 0

        def update(self, n: int) -> None:
            self.n += n

    bar = Bar()
    assert len(list(Pipeline((abs, 1), (str, 1), quiet=True).results(range(50), progress=bar))) == 50
    assert (bar.n, bar.total) == (100, 100)


def test_what_can_not_show_progress() -> None:
    pipeline = Pipeline((abs, 1), quiet=True)
    for call in (lambda: pipeline.results([1], progress=3), lambda: pipeline.run(progress=3)):
        with pytest.raises(TypeError, match=r"progress: must be True"):
            call()
