"""Several tasks on one pool of workers: interwoven, chained, split and joined.

    python examples/tasks_chained.py

                  +-> count the words ----+
    read the text-|                       |-> report
                  +-> find the longest ---+

and, on the same two workers, a task that has nothing to do with it.
"""

import textwrap

from numap import IMap, join, tee

TEXTS = {
    "sea": "they that go down to the sea in ships that do business in great waters",
    "time": "to every thing there is a season and a time to every purpose under the heaven",
    "light": "and the light shineth in darkness and the darkness comprehended it not",
}


def read(name):
    return name, TEXTS[name].split()


def longest(text):
    _, words = text
    return max(words, key=len)


def report(pair):
    (name, words), word = pair
    return f"{name}: {words} words, the longest is {word!r}"


# A chain: the first is saved before the last is loaded, and in all no more than 4 items are under way.
imap = IMap(worker_num=2, buffer=4)
loaded = imap.add_task(lambda n: n + 1, range(5))
rotated = imap.add_task(lambda n: n * 10, loaded)
saved = imap.add_task(str, rotated)
with imap:
    print("chained:", " ".join(saved))

# Tasks that are independent of each other share the workers evenly. They may be read in any order.
imap = IMap(worker_num=2)
squares = imap.add_task(pow, range(5), args=(2,))
cubes = imap.add_task(pow, range(5), args=(3,))
with imap:
    print("cubes:  ", *cubes)
    print("squares:", *squares)

# One task, read by two others, whose results are paired by place: a text that failed would shift nothing.
texts = IMap(read, TEXTS, worker_num=2)
left, right = tee(texts)
imap = IMap(worker_num=2)
counts = imap.add_task(lambda text: (text[0], len(text[1])), left)
words = imap.add_task(longest, right)
reports = imap.add_task(report, join(counts, words))
other = imap.add_task(textwrap.shorten, TEXTS.values(), args=(30,))
with texts, imap:
    for line, short in zip(reports, other, strict=True):
        print(f"{line:50} {short}")
    print(imap.statistics().yielded, "results")
