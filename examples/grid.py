"""A grid: every piper of a row reads all pipers of the row before it. A small neural network, one piper a neuron.

python examples/grid.py
"""

from math import tanh

from numap import IMap
from papy import Dagger, Piper, Worker

LAYERS = [
    [[2.0, 2.0, -1.0], [-2.0, -2.0, 3.0]],  # an "or" and a "not and" of the two inputs
    [[2.0, 2.0, -2.0]],  # an "and" of these: in all, an "exclusive or"
]


def neuron(inbox, weights):
    """The inbox has one number from each piper above; the last weight stands alone."""
    return tanh(sum(w * x for w, x in zip(weights, [*inbox, 1.0], strict=True)))


pool = IMap(worker_type="thread", worker_num=2)
dagger = Dagger()
above = [Piper(float, unpack=True), Piper(float, unpack=True)]
for layer in LAYERS:
    row = [Piper(Worker(neuron, (weights,)), parallel=pool) for weights in layer]
    for piper in row:
        dagger.add_pipes((upstream, piper) for upstream in above)
    above = row

print(dagger.rank_width(), "pipers in each row")
for (left, right), result in zip(
    [(0, 0), (0, 1), (1, 0), (1, 1)], dagger.results([[0, 0, 1, 1], [0, 1, 0, 1]]), strict=True
):
    print(f"{left} xor {right}: {result > 0:d}  ({result:+.2f})")
