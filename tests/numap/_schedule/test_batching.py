"""How many items go together, decided from costs."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from numap._schedule.batching import BATCH_BYTES, BATCH_CAP, BOUND_BYTES, BOUND_CAP, TARGET, BatchSizer
from tests.numap.tools import each_seed

PLENTY = 1 << 30

ALONE = 0.004


def settled(cost: float, nbytes: int = 0, workers: int = 4, times: int = 20) -> BatchSizer:
    """Pacing that has seen many items of this cost and size."""
    pacing = BatchSizer(1, workers, ALONE)
    for _ in range(times):
        pacing.observe(0, 10, 10 * cost, 10 * nbytes)
    return pacing


def test_one_at_a_time_until_the_cost_is_known() -> None:
    pacing = BatchSizer(2, 4, ALONE)
    pacing.observe(1, 1, 0.0, 0)
    assert pacing.batch(0, PLENTY) == 1
    assert not pacing.ahead(0)


def test_batches_grow_step_by_step() -> None:
    pacing = BatchSizer(1, 4, ALONE)
    sizes = []
    for _ in range(8):
        pacing.observe(0, 1, 1e-6, 0)
        sizes.append(pacing.batch(0, PLENTY))
    assert sizes[0] <= 4, "a first item that happened to be cheap does not decide all"
    assert all(a <= b <= 4 * a for a, b in pairwise(sizes))
    assert sizes[-1] == BATCH_CAP


def test_a_batch_is_worth_its_message() -> None:
    assert settled(1e-4).batch(0, PLENTY) == round(TARGET / 1e-4)


def test_expensive_items_go_alone() -> None:
    pacing = settled(2 * TARGET)
    assert pacing.batch(0, PLENTY) == 1
    assert not pacing.ahead(0)


def test_nothing_waits_behind_an_item_that_is_not_short() -> None:
    assert settled(ALONE / 2).ahead(0)
    assert not settled(ALONE * 2).ahead(0)


def test_a_slow_item_is_believed_at_once_and_a_quick_one_step_by_step() -> None:
    pacing = settled(1e-6)
    pacing.observe(0, 1, 1.0, 0)
    assert pacing.batch(0, PLENTY) == 1
    assert not pacing.ahead(0)
    pacing.observe(0, 1, 1e-6, 0)
    assert pacing.batch(0, PLENTY) == 1


def test_no_cost_at_all_is_no_error() -> None:
    assert settled(0.0).batch(0, PLENTY) == BATCH_CAP


def test_large_results_make_small_batches() -> None:
    assert settled(1e-6, nbytes=BATCH_BYTES // 8).batch(0, PLENTY) == 8
    assert settled(1e-6, nbytes=2 * BATCH_BYTES).batch(0, PLENTY) == 1


def test_a_batch_leaves_work_for_all_workers() -> None:
    pacing = settled(1e-6, workers=4)
    assert pacing.batch(0, 160) == 10
    assert pacing.batch(0, 3) == 1


def test_tasks_are_measured_apart() -> None:
    pacing = BatchSizer(2, 1, ALONE)
    for _ in range(10):
        pacing.observe(0, 1, 1e-6, 0)
        pacing.observe(1, 1, 1.0, 0)
    assert (pacing.batch(0, PLENTY), pacing.batch(1, PLENTY)) == (BATCH_CAP, 1)


def test_bounds_start_small_and_above_the_workers() -> None:
    assert [BatchSizer(1, workers, ALONE).initial_bound() for workers in (1, 4, 64)] == [4, 8, 128]


def test_bounds_grow_for_cheap_items_only() -> None:
    assert BatchSizer(1, 4, ALONE).grown_bound(8, [0]) == 8, "nothing is known yet"
    assert settled(1e-6).grown_bound(8, [0]) == 32
    assert settled(1.0).grown_bound(8 * 4, [0]) == 8 * 4


def test_bounds_of_several_tasks_follow_the_most_expensive() -> None:
    pacing = BatchSizer(2, 2, ALONE)
    for _ in range(10):
        pacing.observe(0, 1, 1e-6, 0)
        pacing.observe(1, 1, 1.0, 0)
    assert pacing.grown_bound(16, [0]) == 64
    assert pacing.grown_bound(16, [0, 1]) == 16


def test_bounds_are_capped_in_items_and_bytes() -> None:
    assert settled(1e-7).grown_bound(BOUND_CAP, [0]) == BOUND_CAP
    large = settled(1e-7, nbytes=BOUND_BYTES >> 10, workers=16)
    assert large.grown_bound(600, [0]) == 1 << 10, "so many have that many bytes"
    assert settled(1e-7, nbytes=2 * BOUND_BYTES, workers=16).grown_bound(32, [0]) == 32


def test_input_bytes_count_too() -> None:
    pacing = settled(1e-6)
    pacing.observe_bytes(0, 2, 2 * BATCH_BYTES)
    pacing.observe(0, 1, 1e-6, 0)
    assert pacing.batch(0, PLENTY) == 1


@each_seed(500)
def test_decisions_stay_within_their_limits(random: Random) -> None:
    tasks, workers = random.randint(1, 3), random.randint(1, 16)
    pacing = BatchSizer(tasks, workers, ALONE)
    bound = pacing.initial_bound()
    for _ in range(40):
        task, count = random.randrange(tasks), random.randint(1, 50)
        cost, size = random.choice([0.0, 1e-7, 1e-5, 1e-3, 0.1, 10.0]), random.choice([0, 10, 10**4, 10**7])
        pacing.observe(task, count, cost * count, size * count)
        for other in range(tasks):
            batch = pacing.batch(other, bound)
            assert 1 <= batch <= min(BATCH_CAP, max(1, bound // (4 * workers)))
        grown = pacing.grown_bound(bound, list(range(tasks)))
        assert bound <= grown <= max(bound, min(4 * bound, BOUND_CAP))
        bound = grown
