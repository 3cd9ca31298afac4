"""Slow items among very short ones, which a worker has many of."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from numap import IMap


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_behind_a_slow_item_runs_elsewhere_or_waits_and_runs_once(
    ordered: bool, workers: int, tmp_path: Path
) -> None:
    log = str(tmp_path / "log")

    def slow_at_times(x: int) -> int:
        with open(log, "a") as file:
            file.write(f"{x}\n")
        if x % 997 == 900:
            time.sleep(0.05)
        return x

    with IMap(slow_at_times, range(4000), worker_num=workers, ordered=ordered) as results:
        found = list(results)
    assert found == list(range(4000)) if ordered else sorted(found) == list(range(4000))
    assert sorted(map(int, Path(log).read_text().split())) == list(range(4000))


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stuck_item_holds_back_none_behind_it(ordered: bool) -> None:
    def stuck(x: int) -> int:
        if x == 3000:
            pow(3, 10**9)  # no Python code runs in there
        return x

    imap: IMap[int] = IMap(worker_num=2, ordered=ordered)
    end = imap.add_task(stuck, range(6000))
    other = imap.add_task(abs, range(6000))
    with imap:
        done = [next(end) for _ in range(3000 if ordered else 5999)]
        assert sorted(other) == list(range(6000))
    assert sorted(done) == [x for x in range(6000 - 3000 * ordered) if x != 3000]
