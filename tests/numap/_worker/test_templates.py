"""The table of templates of a starter: which of them are kept, and for how long."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from numap._system.memory import memory_file
from numap._worker import templates
from numap._worker.template import TemplateRequest
from numap._worker.templates import Template, Templates

REQUEST = TemplateRequest({"lib": None, "other": None}, (), {}, {"cwd": "/"}, {})


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(templates, "monotonic", clock)
    return clock


@pytest.fixture
def ends() -> Iterator[list[socket.socket]]:
    """The templates' ends of their sockets."""
    found: list[socket.socket] = []
    yield found
    for end in found:
        end.close()


def made(table: Templates, number: int, ends: list[socket.socket], *files: Path) -> Template:
    """A template with these files, whose process is this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends.append(theirs)
    fd = memory_file(0)
    states = {str(path): (found.st_mtime_ns, found.st_size, found.st_ino) for path in files if (found := path.stat())}
    os.pwrite(fd, pickle.dumps(states), 0)
    return table.add(Template(number, os.getpid(), ours, fd, REQUEST))


def let_go(table: Templates) -> None:
    for template in table:
        table.on_end(template)


def test_a_template_that_is_not_used_for_five_minutes_is_let_go(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    template = made(table, 1, ends)
    template.on_ready()
    clock.now = 299.0
    assert table.get(1) is template
    table.check()
    assert list(table) == [template]
    clock.now = 301.0
    table.check()
    assert list(table) == []
    assert table.get(1) is None


def test_its_process_is_known_until_it_has_ended(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    made(table, 1, ends).on_ready()
    clock.now = 1e6
    table.check()
    assert table.pids() == {os.getpid()}
    assert table.on_exit(os.getpid())
    assert table.pids() == set()


def test_changed_files_make_it_stale(clock: Clock, ends: list[socket.socket], tmp_path: Path) -> None:
    table, file = Templates(), tmp_path / "lib.py"
    file.write_text("1")
    made(table, 1, ends, file).on_ready()
    assert table.get(1) is not None
    file.write_text("11")
    assert table.get(1) is None


def test_one_that_ended_before_it_was_ready_is_not_asked_for_again(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    assert table.on_end(made(table, 1, ends)) == []
    more = REQUEST._replace(names={**REQUEST.names, "third": None})
    assert not table.can_be(REQUEST)
    assert not table.can_be(more)
    assert table.can_be(REQUEST._replace(names={"lib": None}))
    assert table.can_be(REQUEST._replace(environment={"cwd": "/tmp"}))


def test_one_that_ended_later_may_come_again(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    template = made(table, 1, ends)
    template.on_ready()
    table.on_end(template)
    assert table.can_be(REQUEST)


def test_four_are_kept_those_that_were_used_last(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    for number in range(1, 5):
        made(table, number, ends).on_ready()
    assert table.get(1) is not None
    made(table, 5, ends).on_ready()
    assert [template.number for template in table] == [3, 4, 1, 5]
    let_go(table)


def test_connections_wait_until_it_is_ready(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    template = made(table, 1, ends)
    connections = socket.socketpair()
    with connections[1]:
        template.give(connections[0].detach())
        assert len(template.waiting) == 1
        template.on_ready()
        data, fds, _, _ = socket.recv_fds(ends[0], 1, 1)
        assert (data, len(fds), template.waiting) == (b"+", 1, [])
        os.close(fds[0])
    let_go(table)


def test_what_waited_for_one_that_has_ended_is_given_back(clock: Clock, ends: list[socket.socket]) -> None:
    table = Templates()
    template = made(table, 1, ends)
    template.give(7000)
    assert table.on_end(template) == [7000]
