"""The records of messages: the same on both sides of a process border, whichever they are."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from numap._transport import messages
from numap._transport.messages import Definition, Outcomes, RunJob, Setup, Stop, of_packet, of_wire, to_packet, to_wire


def made(record: Any) -> Any:
    """A record with another value in each field."""
    return record(*(f"{record.__name__} {name}" for name in record.__annotations__))


@pytest.mark.parametrize("record", messages._RECORDS, ids=lambda it: it.__name__)
def test_a_message_arrives_as_what_it_was(record: Any) -> None:
    message = made(record)
    frame = pickle.loads(pickle.dumps(to_wire(message)))
    assert type(frame) is tuple
    for found in (of_wire(frame), of_packet(to_packet(message))):
        assert type(found) is record
        assert [getattr(found, name) for name in record.__annotations__] == list(message)


def test_every_message_has_a_number_of_its_own() -> None:
    assert len({to_wire(made(record))[0] for record in messages._RECORDS}) == len(messages._RECORDS)


def test_records_are_taken_apart_by_place_and_by_name() -> None:
    seq, epoch, programs, segments = job = RunJob(7, 0, (1, 2), [])
    assert (job.seq, job.epoch, job.programs, job.segments) == (seq, epoch, programs, segments) == (7, 0, (1, 2), [])
    assert isinstance(Stop(), Stop) and not isinstance(job, Outcomes)


def test_what_a_worker_is_told_first_has_room_for_what_only_it_is_told() -> None:
    setup = Setup([], (b"", []), False, False, False, None, {}, None, 0, False)
    own = setup._replace(definitions=[Definition("m", "n", (b"", []))])
    assert list(setup.definitions) == [] and own.definitions[0].name == "n" and setup.memory is None
