"""The smallest pipeline: a function, a worker, a piper, a dagger.

python examples/hello.py
"""

from papy import Dagger, Piper, Worker


def greet(inbox):
    """A worker function: its inbox holds one item for each piper before it, here the one of the data."""
    return f"hello {inbox[0]}"


# A Worker is the function as a thing that can be sent away. What the function raises is its result.
worker = Worker(greet)
print(worker(["worker"]))

# A Piper is a Worker at its place in a pipeline, a Dagger a pipeline: a graph of pipers. It is as lazy as map.
for line in Dagger([Piper(worker)]).results([["world", "papy"]]):
    print(line)

# A plain function, which knows nothing of inboxes, is unpacked from its inbox.
print(*Dagger([Piper(str.upper, unpack=True)]).results([["world", "papy"]]))

# In worker processes instead of here: a piper with an IMap.
from numap import IMap  # noqa: E402

for line in Dagger([Piper(worker, parallel=IMap(worker_num=2))]).results([["processes"]]):
    print(line)
