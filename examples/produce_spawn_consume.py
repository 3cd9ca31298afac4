"""One item becomes several, and several become one: produce, spawn and consume.

python examples/produce_spawn_consume.py
"""

import logging

from numap import IMap
from papy import Dagger, Piper, PiperError

logging.getLogger("papy").setLevel("ERROR")  # what fails is printed here: no warning is needed


def syllables(inbox):
    """Gives two results for one item."""
    word = inbox[0]
    return word[: len(word) // 2], word[len(word) // 2 :]


def upper(inbox):
    return inbox[0].upper()


def join(inbox):
    """Consumes two rounds: inbox[k][i] is the item of the i-th input in the k-th round."""
    return "-".join(piece[0] for piece in inbox)


WORDS = ["pipe", "line", "data", "flow", "node"]


def run(title, *pipe):
    print(f"{title:24}", *Dagger(pipes=[pipe]).results([WORDS]))


# A piper that produces two has to return two, and each goes on by itself.
run("produce=2:", Piper(syllables, produce=2))

# A piper that consumes two takes them together; what is left over at the end is a smaller group.
run("consume=2:", Piper(join, consume=2))

# What was produced together is consumed together. In between, spawn=2 says that a piper handles two items a round.
run("produce, consume:", Piper(syllables, produce=2), Piper(join, consume=2))
run("produce, spawn, consume:", Piper(syllables, produce=2), Piper(upper, spawn=2), Piper(join, consume=2))

# On workers with a stride of 3 the first halves of three words come first, and then their second halves ...
pool = IMap(worker_num=2, stride=3)
run("stride=3, produce:", Piper(syllables, pool, produce=2))

# ... and the piper that consumes them gets them in the right groups again. Nothing is lost at the end, where only two are left.
pool = IMap(worker_num=2, stride=3)
run("stride=3, all:", Piper(syllables, pool, produce=2), Piper(upper, pool, spawn=2), Piper(join, pool, consume=2))

# With repeat=True the one result of a call is given twice, whatever it is.
run("repeat:", Piper(upper, produce=2, repeat=True), Piper(join, consume=2))

# Numbers that don't fit are refused when the pipers are connected; a function that returns too few or too many fails.
try:
    run("", Piper(syllables, produce=2), Piper(join, consume=3))
except Exception as error:
    print(type(error).__name__, error)
for result in Dagger([Piper(syllables, produce=3, name="three")]).results([WORDS[:1]]):
    print(type(result).__name__ if isinstance(result, PiperError) else result, end=" ")
print()
