"""The order of outcomes, and the pairing of joined tasks, alone."""

from __future__ import annotations

from random import Random

import pytest

from numap._items.failures import Failure
from numap._items.segments import FAILED, RAW, Segment
from numap._schedule.ordering import JoinBuffer, ReorderBuffer
from tests.numap.tools import each_seed


def segment(first: int, count: int) -> Segment:
    return RAW, count, list(range(first, first + count))


def held(delivery: ReorderBuffer) -> int:
    """Outcomes that wait for earlier ones."""
    return sum(segment[1] for segment in delivery._early.values())


def test_unordered_passes_all_on_as_it_comes() -> None:
    delivery = ReorderBuffer(ordered=False)
    assert delivery.add(7, segment(7, 2)) == [(7, segment(7, 2))]
    assert delivery.add(0, segment(0, 1)) == [(0, segment(0, 1))]
    assert held(delivery) == 0


def test_ordered_holds_what_is_early() -> None:
    delivery = ReorderBuffer(ordered=True)
    assert delivery.add(3, segment(3, 2)) == []
    assert delivery.add(1, segment(1, 2)) == []
    assert held(delivery) == 4
    assert delivery.add(0, segment(0, 1)) == [(0, segment(0, 1)), (1, segment(1, 2)), (3, segment(3, 2))]
    assert held(delivery) == 0
    assert delivery.next == 5


def test_a_gap_stays_a_gap() -> None:
    delivery = ReorderBuffer(ordered=True)
    delivery.add(1, segment(1, 1))
    delivery.add(4, segment(4, 1))
    assert delivery.add(0, segment(0, 1)) == [(0, segment(0, 1)), (1, segment(1, 1))]
    assert (delivery.next, held(delivery)) == (2, 1)


def test_a_failure_keeps_its_place() -> None:
    delivery = ReorderBuffer(ordered=True)
    failure = (FAILED, 1, Failure(ValueError()))
    assert delivery.add(1, failure) == []
    assert delivery.add(0, segment(0, 1)) == [(0, segment(0, 1)), (1, failure)]


def cut(random: Random, length: int) -> list[tuple[int, Segment]]:
    """Places 0 to ``length``, cut into segments."""
    found, place = [], 0
    while place < length:
        count = min(length - place, random.choice([1, 1, 2, 3, 10]))
        found.append((place, segment(place, count)))
        place += count
    return found


@each_seed(1000)
def test_ordered_histories(random: Random) -> None:
    length = random.randint(0, 60)
    segments = cut(random, length)
    random.shuffle(segments)
    delivery = ReorderBuffer(ordered=True)
    out: list[int] = []
    came: set[int] = set()
    for first, piece in segments:
        came.update(piece[2])
        for place, ready in delivery.add(first, piece):
            assert place == len(out)
            out += ready[2]
        held_back = next(place for place in range(length + 1) if place not in came)
        assert out == list(range(held_back)), "all that can go has gone, and nothing else"
        assert held(delivery) == len(came) - len(out)
    assert out == list(range(length))


@each_seed(200)
def test_unordered_histories(random: Random) -> None:
    segments = cut(random, random.randint(0, 60))
    random.shuffle(segments)
    delivery = ReorderBuffer(ordered=False)
    assert [ready for first, piece in segments for ready in delivery.add(first, piece)] == segments


# ---------------------------------------------------------------------- pairing


def test_parts_come_in_the_order_of_the_members() -> None:
    pairing = JoinBuffer([5, 2, 9])
    assert pairing.add(9, 0, "c") is None
    assert pairing.add(5, 0, "a") is None
    assert pairing.add(2, 0, "b") == ("a", "b", "c")


def test_places_do_not_mix() -> None:
    pairing = JoinBuffer([0, 1])
    assert pairing.add(0, 1, "a1") is None
    assert pairing.add(1, 0, "b0") is None
    assert pairing.add(0, 0, "a0") == ("a0", "b0")
    assert pairing.add(1, 1, "b1") == ("a1", "b1")


@pytest.mark.parametrize("early", [True, False])
def test_a_place_fails_once(early: bool) -> None:
    pairing = JoinBuffer([0, 1])
    if early:
        assert pairing.fail(0)
        assert pairing.add(1, 0, "b0") is None
    else:
        assert pairing.add(1, 0, "b0") is None
        assert pairing.fail(0)
    assert pairing.add(0, 1, "a1") is None
    assert pairing.add(1, 1, "b1") == ("a1", "b1")
    assert not pairing.reaches(0)


def test_all_members_of_a_place_may_fail() -> None:
    pairing = JoinBuffer([0, 1, 2])
    assert [pairing.fail(4) for _ in range(3)] == [True, False, False]
    assert not pairing.reaches(0)


@pytest.mark.parametrize("failed", [True, False])
def test_reaches(failed: bool) -> None:
    pairing = JoinBuffer([0, 1])
    if failed:
        pairing.fail(3)
    else:
        pairing.add(0, 3, "a3")
    assert pairing.reaches(3)
    assert pairing.reaches(1)
    assert not pairing.reaches(4)


@each_seed(1000)
def test_pairing_histories(random: Random) -> None:
    members = random.sample(range(10), random.randint(2, 4))
    length = random.randint(0, 20)
    events = [(member, place, random.random() < 0.2) for member in members for place in range(length)]
    random.shuffle(events)
    pairing = JoinBuffer(members)
    paired: dict[int, tuple[object, ...]] = {}
    failed: list[int] = []
    left = {place: len(members) for place in range(length)}
    for member, place, fails in events:
        left[place] -= 1
        if fails:
            if pairing.fail(place):
                failed.append(place)
        else:
            parts = pairing.add(member, place, (member, place))
            if parts is not None:
                assert place not in paired and left[place] == 0
                paired[place] = parts
        begun = [place for place, missing in left.items() if 0 < missing < len(members)]
        limit = random.randint(0, length)
        assert pairing.reaches(limit) == any(place >= limit for place in begun)
    bad = {place for _, place, fails in events if fails}
    assert sorted(failed) == sorted(bad), "a place fails if and only if a member does, and once"
    assert paired == {place: tuple((m, place) for m in members) for place in range(length) if place not in bad}
    assert not pairing.reaches(0), "nothing is kept of what is complete"
