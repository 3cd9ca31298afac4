"""A join: one piper with several inputs. Its inbox holds one item of each, and they belong together.

python examples/join.py

temperatures -> celsius --+
                          |-> report
cities ------> upper -----+
"""

import logging

from numap import IMap
from papy import Dagger, DaggerError, Piper, Worker
from papy.util.func import sjoiner

logging.getLogger("papy").setLevel("ERROR")  # what fails is printed here: no warning is needed

pool = IMap(worker_num=2)


def celsius(fahrenheit):
    return f"{(float(fahrenheit) - 32) / 1.8:.0f} C"


dagger = Dagger()
converter, upper = Piper(celsius, parallel=pool, unpack=True), Piper(str.upper, parallel=pool, unpack=True)
# The inbox is (temperature, city), in the order of the pipes; the joiner takes it the other way round.
report = Piper(Worker(sjoiner, ((1, 0), ": ")))
dagger.add_pipe((converter, report))
dagger.add_pipe((upper, report))

# Two inputs need two streams of data.
for line in dagger.results([["68", "41", "hot"], ["rome", "oslo", "hell"]]):
    # The last item failed on one branch. Its error comes at its place, and nothing shifts.
    print(line)

# Streams that end at different places are an error, as it can't be told what belongs together any more.
try:
    print(list(dagger.results([["68"], ["rome", "oslo"]])))
except DaggerError as error:
    print("DaggerError:", str(error).split(": ")[-1])
