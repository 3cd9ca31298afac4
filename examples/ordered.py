"""Ordered and unordered results.

python examples/ordered.py
"""

import threading

from numap import IMap
from papy import Dagger, Piper

others = threading.Semaphore(0)
gate = threading.Event()


def slow_first(n):
    """The first item takes until the others are done, and the gate is open."""
    if n == 0:
        for _ in range(3):
            others.acquire()
        gate.wait()
    else:
        others.release()
    return n


def results(**options):
    pool = IMap(worker_type="thread", worker_num=2, **options)
    return Dagger([Piper(slow_first, parallel=pool, unpack=True)]).results([range(4)])


# By default the n-th result is that of the n-th item: the slow one is waited for.
gate.set()
print("ordered:  ", *results())

# Otherwise what is done first comes first.
gate.clear()
found = []
for n in results(ordered=False):
    found.append(n)
    if len(found) == 3:
        gate.set()  # only now can the first item end
print("unordered:", sorted(found[:3]), "and then", found[3])

# Where results are paired (here by two outputs) they have to be in order, and are.
pool = IMap(worker_type="thread", worker_num=2, ordered=False)
root = Piper(slow_first, parallel=pool, unpack=True)
print(
    "paired:   ", *Dagger(pipes=[(root, Piper(abs, unpack=True)), (root, Piper(str, unpack=True))]).results([range(4)])
)
