"""Step pipelines in small pieces; doc/pipelines.rst shows them."""

import queue

# -- function steps
from papy import Pipeline


def read(name):
    return name, len(name)


def report(found):
    return "{}: {}".format(*found)


pipeline = Pipeline((read, 4), (report, 1))
for line in pipeline.results(["one", "three", "seventeen"], ordered=True):
    print(line)
# -- background
squares = queue.SimpleQueue()

pipeline = Pipeline((lambda n: n * n, 2), (squares.put, 1))
pipeline.run_forever(background=True)
# ... do something else, and now and then:
pipeline.put_all(range(5))
# Finishes what was put, and raises what went wrong.
pipeline.stop()
print(sorted(squares.get() for _ in range(pipeline.count)))
# -- in_queue
tasks = queue.Queue(maxsize=100)

with Pipeline((str.upper, 3), (print, 1), in_queue=tasks):
    tasks.put("from anywhere in the program")
# -- counts
from papy import SkipEntry


def parse(text):
    if text.startswith("#"):
        raise SkipEntry
    return int(text)


pipeline = Pipeline((parse, 2))
try:
    print(sum(pipeline.results(["1", "# no number", "2", "three"])))
except ValueError as error:
    print(error)
assert pipeline.taken == pipeline.count + pipeline.skipped + pipeline.failed
# -- iterator steps
from papy import AbstractIterStep, chunk, flatten, iterstep


class Pairs(AbstractIterStep):
    """Two entries become one."""

    def process(self, iterator):
        for first in iterator:
            yield first, next(iterator, None)


pipeline = Pipeline((Pairs, 1), (iterstep(chunk(2)), 1), (iterstep(flatten), 3))
print(sorted(pipeline.results("abcdefg"), key=str))
# -- processes
pipeline = Pipeline((lambda n: n + 1, 2), (lambda n: pow(3, n, 1000), 2, {"worker_type": "process"}))
print(list(pipeline.results(range(5), ordered=True)))
# -- coroutines
from papy import combine_pipeline


def remove_odd(entries):
    for entry in entries:
        if entry % 2 == 0:
            yield entry


print(sum(combine_pipeline(range(100), [remove_odd])))
# -- both worlds
download = Pipeline((lambda name: f"<{name}>", 16))
pages = combine_pipeline(["a", "b", "c"], [download.results, chunk(2)])
print([len(batch) for batch in pages])
# -- debugger
from papy import CallbackReporter, PipelineRuntimeDebugger


def show(info):
    for name, resources in info:
        print(f"{name}: {resources.count}")


debugger = PipelineRuntimeDebugger([CallbackReporter(show)])
print(list(Pipeline((abs, 2), (str, 1), debugger=debugger).results([-1, 1])))
# -- end
