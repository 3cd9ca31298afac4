"""A parallel map and nothing else: checksums of files, lazily, in order, with bounded memory.

    python examples/imap_alone.py [DIRECTORY]        # default: the email package of this interpreter

The script has no ``if __name__ == "__main__"``, and none is needed: it never runs a second time.
"""

import email
import sys
from hashlib import sha256
from itertools import count
from pathlib import Path

from numap import IMap

root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(email.__file__).parent


def digest(path):
    """The name, size and checksum of a file: runs in a worker process, and uses the global ``root`` there."""
    data = path.read_bytes()
    return path.relative_to(root), len(data), sha256(data).hexdigest()[:16]


# The results come in the order of the files, each as soon as it and those before it are ready.
total = 0
for name, size, checksum in IMap(digest, sorted(root.rglob("*.py"))):
    total += size
    print(f"{checksum}  {size:7}  {name}")
print(f"{total} bytes")

# A lambda, a worker's own copy of a global, an input without end: leaving the loop stops the workers.
limit = 1000
for n, square in IMap(lambda n: (n, n * n), count()):
    if square > limit:
        print(f"{n} is the first number whose square is more than {limit}")
        break

# Without the order, each result comes as soon as there is one.
with IMap(lambda n: sum(range(n)), [3_000_000, 2, 1], ordered=False, worker_num=2) as imap:
    print(sorted(imap))
