"""Definitions are sent with all that they need, or not at all."""

from __future__ import annotations

import types

from numap._modules.definition_log import DefinitionLog
from numap._transport.messages import Definition

MODULE = types.ModuleType("m")


def definition(name: str) -> Definition:
    return Definition("m", name, (b"", []))


def make_all(log: DefinitionLog) -> None:
    while (wanted := log.next_wanted()) is not None:
        log.make(definition(wanted[1]))


def test_a_name_is_wanted_once_and_sent_when_all_is_there() -> None:
    log = DefinitionLog()
    log.begin()
    log.want(MODULE, "a", "f")
    log.want(MODULE, "a", "g")
    make_all(log)
    assert log.sent == [] and ("m", "a") in log and log.user_of(("m", "a")) == "f"
    log.commit()
    assert log.sent == [definition("a")]
    log.begin()
    log.want(MODULE, "a", "h")
    assert log.next_wanted() is None


def test_what_was_found_for_an_object_that_cannot_be_sent_is_found_again() -> None:
    log = DefinitionLog()
    log.begin()
    log.want(MODULE, "a", "f")
    log.want(MODULE, "b", "f")
    log.make(definition("b"))
    assert log.roll_back() == [("m", "a"), ("m", "b")]
    assert ("m", "a") not in log and log.sent == []
    log.begin()
    assert log.next_wanted() is None
    log.want(MODULE, "a", "g")
    make_all(log)
    log.commit()
    assert log.sent == [definition("a")] and log.user_of(("m", "a")) == "g"


def test_a_part_is_done_without() -> None:
    log = DefinitionLog()
    log.begin()
    log.want(MODULE, "a", "f")
    mark = log.mark()
    log.want(MODULE, "b", "f")
    log.make(definition("c"))
    log.add(("m", "d"))
    log.undo(mark)
    make_all(log)
    log.commit()
    assert log.sent == [definition("a")]
    assert ("m", "a") in log and ("m", "b") not in log and ("m", "d") not in log
