"""The queue of items of one task."""

from __future__ import annotations

from random import Random

from numap._items.segments import PACKED, PICKLED, RAW, Segment, encode_item, item_of, pack, part
from numap._schedule.task_queue import TaskQueue
from tests.numap.tools import each_seed


def values_of(segments: list[Segment]) -> list[object]:
    return [item_of(part(segment, n, n + 1)) for segment in segments for n in range(segment[1])]


def raw(*values: object) -> Segment:
    return RAW, len(values), list(values)


def test_items_leave_as_they_came() -> None:
    lane = TaskQueue()
    lane.append(0, raw("a", "b"))
    lane.append(2, raw("c"))
    assert lane.take(10) == (0, 3, [raw("a", "b"), raw("c")])


def test_a_segment_is_cut_where_it_is_too_long() -> None:
    lane = TaskQueue()
    lane.append(0, raw("a", "b", "c"))
    assert lane.take(2) == (0, 2, [raw("a", "b")])
    assert lane.take(2) == (2, 1, [raw("c")])


def test_only_neighbours_go_together() -> None:
    lane = TaskQueue()
    lane.append(4, raw("e"))
    lane.append(5, raw("f"))
    lane.append(0, raw("a"))
    assert lane.take(9) == (4, 2, [raw("e"), raw("f")])
    assert lane.take(9) == (0, 1, [raw("a")])


def test_what_is_put_back_goes_first() -> None:
    lane = TaskQueue()
    lane.append(0, raw("a", "b", "c", "d"))
    first, _, segments = lane.take(3)
    lane.put_back(first, segments)
    assert lane.take(2) == (0, 2, [raw("a", "b")])
    lane.put_back(1, [raw("b")])
    assert lane.take(1) == (1, 1, [raw("b")])
    assert lane.take(9) == (2, 2, [raw("c"), raw("d")])


def test_what_several_workers_give_back_goes_in_order() -> None:
    lane = TaskQueue()
    lane.append(0, raw(*"abcdefgh"))
    taken = [lane.take(2) for _ in range(3)]
    for first, _, segments in (taken[1], taken[0], taken[2]):
        lane.put_back(first, segments, ran=False)
    assert values_of(lane.take(9)[2]) == list("abcdefgh")


def test_several_segments_are_put_back_in_their_order() -> None:
    lane = TaskQueue()
    lane.append(9, raw("j"))
    lane.put_back(3, [raw("d"), raw("e", "f"), raw("g")])
    assert lane.take(9) == (3, 4, [raw("d"), raw("e", "f"), raw("g")])
    assert lane.take(9) == (9, 1, [raw("j")])


def test_drop_from_forgets_what_lies_behind() -> None:
    lane = TaskQueue()
    lane.append(5, raw("f"))
    lane.append(0, raw("a", "b"))
    lane.append(7, raw("h", "i"))
    assert lane.drop_from(5) == 3
    assert lane.take(9) == (0, 2, [raw("a", "b")])


def test_drop_from_cuts_a_segment_that_reaches_over_the_limit() -> None:
    lane = TaskQueue()
    lane.append(0, raw("a", "b", "c", "d"))
    assert lane.drop_from(2) == 2
    assert lane.take(9) == (0, 2, [raw("a", "b")])


@each_seed(500)
def test_histories(random: Random) -> None:
    """All that is appended is taken once, in runs of neighbours, whatever was put back in between."""
    length = random.randint(1, 40)
    forms = [lambda values: raw(*values), pack, lambda values: encode_item(values[0], pickle_dumps, "item")]
    segments = []
    place = 0
    while place < length:
        form = random.randrange(3)
        count = 1 if form == 2 else random.randint(1, min(6, length - place))
        segments.append((place, forms[form](list(range(place, place + count)))))
        assert segments[-1][1][0] in (RAW, PACKED, PICKLED)
        place += count
    random.shuffle(segments)
    lane, waiting, taken = TaskQueue(), 0, []
    while segments or waiting:
        if segments and random.random() < 0.5:
            first, segment = segments.pop()
            lane.append(first, segment)
            waiting += segment[1]
        elif waiting:
            most = random.randint(1, 10)
            first, count, pieces = lane.take(most)
            assert 1 <= count <= most
            assert values_of(pieces) == list(range(first, first + count))
            waiting -= count
            if random.random() < 0.3:
                lane.put_back(first, pieces)
                waiting += count
                again = lane.take(count)
                assert (again[0], again[1]) == (first, count)
                assert values_of(again[2]) == list(range(first, first + count))
                waiting -= count
            taken += range(first, first + count)
    assert sorted(taken) == list(range(length))


def pickle_dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value, 5)
