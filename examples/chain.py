"""A chain: pipers one behind the other, on one pool of processes, on two, or on none.

python examples/chain.py
"""

from numap import IMap
from papy import Dagger, Piper

TEXT = ["a rose is", "a rose is", "a rose"]


def split(line):
    return line.split()


def longest(words):
    return max(words, key=len)


def stars(word):
    return "*" * len(word)


def run(title, one, two, three):
    dagger = Dagger()
    dagger.add_pipe(
        (Piper(split, one, unpack=True), Piper(longest, two, unpack=True), Piper(stars, three, unpack=True))
    )
    print(f"{title:15}", *dagger.results([TEXT]))


# Linear: each item goes through the chain here, when it is asked for.
run("no pool:", None, None, None)

# One pool: its workers take turns, and what is further down goes first, so the first item is done early.
pool = IMap(worker_num=2)
run("one pool:", pool, pool, pool)

# Pools of their own: the slowest piper can be given the most workers. Threads and processes can be mixed.
run("several pools:", IMap(worker_num=1), IMap(worker_num=2), IMap(worker_type="thread", worker_num=1))

# Where nothing is gained by more workers for a part of the chain, one piper of several functions sends an item
# to a worker once instead of three times. Each function gets a box with what the one before it returned.
piper = Piper([split, longest, stars], parallel=IMap(worker_num=2), unpack=True)
print("one piper:     ", *Dagger([piper]).results([TEXT]))
