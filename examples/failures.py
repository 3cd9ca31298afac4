"""What becomes of items that fail in a pipeline.

python examples/failures.py
"""

import logging
import sys

from papy import Dagger, DaggerError, Piper, PiperError

# A run in which items failed says so once, at its end, on standard error, or as logging is set up.
logging.basicConfig(stream=sys.stdout, format="%(levelname)s: %(message)s")


def number(text):
    return int(text)


def inverse(n):
    return 1 / n


def pipeline():
    return Dagger(pipes=[(Piper(number, unpack=True, name="number"), Piper(inverse, unpack=True, name="inverse"))])


TEXTS = ["2", "zero", "0", "4"]

# By default a failure stands in the place of its result, and knows where it comes from.
for result in pipeline().results([TEXTS]):
    if isinstance(result, PiperError):
        print(f"{result.piper}, item {result.index}, {result.inbox}: {result.exception!r}")
    else:
        print(result)

# It can be dropped from the whole run. What failed is counted, and kept.
dagger = pipeline()
print("skip:  ", *dagger.results([TEXTS], on_error="skip"))
print("letters:", *(letter.inbox for letter in dagger.dead_letters))

# Or it ends the run, and everything is stopped.
try:
    print("raise: ", *pipeline().results([TEXTS], on_error="raise"))
except PiperError as error:
    print("raise: ", error)

# Some things are worth another try.
tries = []


def unreliable(item):
    tries.append(item)
    if len(tries) < 3:
        raise ConnectionError("no line")
    return f"{item}, after {len(tries)} tries"


print("retry: ", *Dagger([Piper(unreliable, unpack=True, retries=5)]).results([["connected"]]))

# The figures of a run tell what happened where.
statistics = pipeline().run([TEXTS])
for piper, failures in statistics.failures.items():
    print(f"{piper.name}: {statistics.items[piper]} items, {failures} failed")

# A run that goes wrong as a whole need not go on.
try:
    pipeline().run([["one", "two", "three"]], max_failures=1)
except DaggerError as error:
    print(type(error).__name__, error)
