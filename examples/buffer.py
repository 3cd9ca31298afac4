"""The buffer: how far a pipeline may be ahead of its reader.

python examples/buffer.py
"""

from itertools import count

from numap import IMap


def watched(numbers):
    """Tell which items are taken from an input."""
    for number in numbers:
        taken.append(number)
        yield number


# Never more than four items are between the input and the reader, though the input has no end, and the workers are quick.
taken = []
with IMap(abs, watched(count()), worker_num=2, stride=2, buffer=4) as imap:
    for n in range(5):
        result = next(imap)
        # An item counts until the next one is asked for.
        ahead = len(taken) - n
        print(f"result {result}, at most 4 taken and not yet done with: {ahead <= 4}")

# The bound is one for all tasks of a map, however long the chain is.
taken = []
imap = IMap(worker_num=2, stride=2, buffer=4)
results = imap.add_task(str, imap.add_task(abs, imap.add_task(int, watched(count()))))
with imap:
    for _ in range(5):
        next(results)
    statistics = imap.statistics()
    print(f"a chain of three: the bound is {statistics.bound}, {len(taken) - 4 <= 4}")

# Without an argument the map chooses, and says what it chose.
with IMap(abs, range(1000), worker_num=2) as imap:
    print("chosen:", sum(imap) == 499500, imap.statistics().bound >= 2)

# A buffer that is too small to keep the workers busy is refused.
try:
    IMap(abs, range(3), stride=4, buffer=3)
except ValueError as error:
    print(error)
