"""What threads wait for."""

from __future__ import annotations

import threading

from papy._base.threads import Flag


def test_a_wait_with_a_limit_ends_however_short_that_is() -> None:
    """Also the first wait of a flag, and where the limit is up before the thread looks at the time again."""

    def wait() -> None:
        for _ in range(20_000):
            assert not Flag().wait(1e-9)
        flag = Flag()
        flag.set()
        assert flag.wait(0) and flag.wait(1e-9) and flag.wait()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive()
