"""A fork: one piper feeds several others, and each of them gets every item.

python examples/fork.py

             +-> numbers
read the row-|-> names
             +-> length
"""

from numap import IMap
from papy import Dagger, Piper

ROWS = ["1;one;3", "2;two;4", "3;three;5"]


def read(row):
    return row.split(";")


def numbers(cells):
    return [int(cell) for cell in cells if cell.isdigit()]


def names(cells):
    return [cell for cell in cells if cell.isalpha()]


pool = IMap(worker_num=2)
reader = Piper(read, parallel=pool, unpack=True)
dagger = Dagger()
dagger.add_pipe((reader, Piper(numbers, parallel=pool, unpack=True)))
dagger.add_pipe((reader, Piper(names, unpack=True)))  # not on the pool
dagger.add_pipe((reader, Piper(len, parallel=pool, unpack=True)))

# Each result is a tuple with one item of each output, in the order in which the pipes were added.
for row in dagger.results([ROWS]):
    print(*row)

# The outputs can also be read one by one, and at different speeds: what one is behind is kept, up to a limit.
with dagger:
    dagger.start([ROWS])
    first, second, third = dagger.get_outputs()
    print(list(third), next(first), list(second), list(first))
