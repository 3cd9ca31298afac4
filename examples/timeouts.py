"""Time limits: for an item, for a wait for a result, and for a program.

python examples/timeouts.py
"""

import logging
import time
from tempfile import TemporaryDirectory

from numap import IMap, NextTimeout, TaskTimeout
from papy import Dagger, Piper, PiperError
from papy.util.script import Program

logging.getLogger("papy").setLevel("ERROR")  # what fails is printed here: no warning is needed


def work(n):
    if n == 1:
        time.sleep(1000)
    return n


# task_timeout: seconds that an item may run. The worker that is over it is killed and replaced, no other item is touched.
results = IMap(work, range(4), worker_num=2, task_timeout=0.5)
while True:
    try:
        print("result", next(results))
    except TaskTimeout as error:
        print("no result for item", error.index)
    except StopIteration:
        break

# In a pipeline the item that was too slow is a PiperError at its place.
pool = IMap(worker_num=2, task_timeout=0.5)
for result in Dagger([Piper(work, parallel=pool, unpack=True, name="work")]).results([range(3)]):
    print("pipeline:", type(result.exception).__name__ if isinstance(result, PiperError) else result)

# next(timeout): seconds that you want to wait. The item goes on.
with IMap(work, [1], worker_num=1) as imap:
    try:
        imap.next(timeout=0.1)
    except NextTimeout:
        print("not yet")

# A program that is over its limit is killed with all that it started.
with TemporaryDirectory() as directory:
    sleep = Program("sleep", ["sleep", "{params.seconds}"], {}, dir=directory, params={"seconds": 1000}, timeout=0.2)
    (result,) = Dagger([Piper(sleep, name="sleeper")]).results([[{}]])
    print(result)
