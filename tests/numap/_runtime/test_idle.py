"""An item that comes to an idle map goes to a worker by the thread that pulled it; the manager sleeps on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import SimpleQueue
from threading import current_thread
from typing import Any

import pytest

from numap import IMap, TaskTimeout
from numap._runtime.dispatcher import Dispatcher
from numap.engines.protocol import Job, Slot
from numap.testing import ScriptedEngine
from tests.numap import work

ITEM_LIMIT = 0.3


class Fed:
    """A map over a queue, on an engine that runs nothing by itself."""

    def __init__(self, **options: Any) -> None:
        self.input: SimpleQueue[int | None] = SimpleQueue()
        self.engine = ScriptedEngine(2)
        self.senders: list[str] = []
        submit = self.engine.submit

        def note(slot: Slot, job: Job) -> None:
            self.senders.append(current_thread().name)
            submit(slot, job)

        self.engine.submit = note  # type: ignore[method-assign]
        with self.engine.installed():
            self.imap = IMap(abs, iter(self.input.get, None), worker_type="thread", worker_num=2, **options)
            self.imap.start()

    def idle(self) -> None:
        """Returns when the manager sleeps and its input waits."""
        manager = self.imap._life.manager
        deadline = time.monotonic() + 10
        while not manager.wakeup.is_asleep:
            assert time.monotonic() < deadline, "the manager does not come to rest"
            time.sleep(0.001)


@pytest.fixture
def fed() -> Iterator[Fed]:
    fed = Fed()
    yield fed
    fed.imap.stop()
    fed.input.put(None)


def test_the_thread_that_pulled_it_sends_it(fed: Fed) -> None:
    for number in range(5):
        fed.idle()
        fed.input.put(-number)
        fed.engine.wait_for(number)
        fed.engine.finish(number)
        assert next(fed.imap) == number
    assert fed.senders == ["numap-input"] * 5


def test_where_a_worker_is_busy_the_manager_sends_it(fed: Fed) -> None:
    fed.idle()
    fed.input.put(-1)
    fed.engine.wait_for(0)
    fed.idle()
    fed.input.put(-2)
    fed.engine.wait_for(1)
    assert fed.senders == ["numap-input", "numap-manager"]


def test_an_error_on_the_way_ends_the_map(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(dispatcher: Dispatcher) -> bool:
        raise LookupError("no such thing")

    fed.idle()
    monkeypatch.setattr(Dispatcher, "submit_all", broken)
    fed.input.put(-1)
    with pytest.raises(RuntimeError, match="defect of numap") as caught:
        next(fed.imap)
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_stop_on_the_way_waits_for_nobody(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a finalizer of the user's may do, which the collector runs anywhere."""
    took: list[float] = []
    submit_all = Dispatcher.submit_all

    def stopped(dispatcher: Dispatcher) -> bool:
        began = time.monotonic()
        fed.imap._life.manager.stop()
        took.append(time.monotonic() - began)
        return submit_all(dispatcher)

    fed.idle()
    monkeypatch.setattr(Dispatcher, "submit_all", stopped)
    fed.input.put(-1)
    with pytest.raises(Exception, match=r"stop\(\)"):
        next(fed.imap)
    assert took[0] < 5


def test_the_time_limit_of_such_an_item() -> None:
    """The sleeping manager has to learn that there is something to look at in a while."""
    source: SimpleQueue[float | None] = SimpleQueue()
    with IMap(work.nap, iter(source.get, None), worker_num=2, task_timeout=ITEM_LIMIT) as imap:
        source.put(0)
        assert next(imap) == 0
        time.sleep(0.1)
        source.put(3600)
        with pytest.raises(TaskTimeout):
            next(imap)
        source.put(0)
        assert next(imap) == 0
        source.put(None)
