"""Constant arguments of worker functions, and workers of several functions.

python examples/arguments.py
"""

from functools import partial

from papy import Dagger, Piper, Worker


def power(inbox, exponent):
    return inbox[0] ** exponent


def clip(inbox, low=0, high=100):
    return max(low, min(high, inbox[0]))


def show(worker):
    print(f"{worker!r:20}", *Dagger([Piper(worker)]).results([range(-2, 3)]))


# Positional arguments follow the inbox; keyword arguments come in a dictionary.
show(Worker(power, (2,)))
show(Worker(clip, kwargs={"low": -1, "high": 1}))

# Several functions in one worker: clip(power(x, 3)), with arguments for each. One piper, one trip to a process.
show(Worker([power, clip], [(3,), (-1,)], [{}, {"high": 5}]))

# Workers can be put together like functions, and compared.
square, small = Worker(power, (2,)), Worker(clip, (0, 3))
show(Worker([square, small]))
print(Worker([square, small]) == Worker([power, clip], [(2,), (0, 3)]))

# Partials, methods and callable objects are functions, too.
show(Worker(partial(power, exponent=0)))
