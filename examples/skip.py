"""A result that is too late: wait for it again, or skip it.

python examples/skip.py
"""

import threading

from numap import IMap, NextTimeout


def slow_first(n, gate):
    """The first item takes until the gate is opened."""
    if n == 0:
        gate.wait()
    return n


for skip in (False, True):
    gate = threading.Event()
    imap = IMap(slow_first, range(4), (gate,), worker_type="thread", worker_num=2, skip=skip)
    print(f"skip={skip}:", end=" ")
    with imap:
        try:
            imap.next(timeout=0.05)
        except NextTimeout as error:
            # It is a TimeoutError. The item itself goes on.
            print("too late,", isinstance(error, TimeoutError), end="; then ")
        # Without skip the result can be had later, and nothing is lost. With skip it is given up, and the next
        # result is that of the next item.
        gate.set()
        print(*imap)
