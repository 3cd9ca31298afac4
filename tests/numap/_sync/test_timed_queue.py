"""A wait with a limit ends, however short the limit."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue

import pytest

from numap._sync.timed_queue import timed


def test_however_short_the_limit(restless: None) -> None:
    def wait() -> None:
        for number in range(3000):
            with pytest.raises(Empty):
                timed(SimpleQueue[None]()).get(True, number % 20 * 1e-6)

    waiters = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join(60)
        assert not waiter.is_alive()


def test_what_is_put_comes_out() -> None:
    queue = timed(SimpleQueue[int]())
    queue.put(1)
    assert queue.get(True, 1e-6) == 1
