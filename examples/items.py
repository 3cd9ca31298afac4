"""Large items that go beside the pipeline: the pipers send each other handles, and the data stays where it is.

    python examples/items.py

numap already sends large results in shared memory. This is for data that shall not pass through this program at all.
"""

import os
from tempfile import TemporaryDirectory

from numap import IMap
from papy import Dagger, Piper, Worker
from papy.util.func import dump_db_item, dump_item, item_directory, load_db_item, load_item


def make(inbox):
    return bytes([inbox[0]]) * 2_000_000


def summary(inbox):
    data = inbox[0]
    return f"{len(data):,} times {data[0]}"


# In files, or in shared memory, between pools that know nothing of each other. What is never loaded, as the run was ended
# for example, is removed with the directory.
for kind in ("file", "shm"):
    with item_directory(kind) as directory:
        one, two = IMap(worker_num=2), IMap(worker_num=2)
        maker = Piper([make, Worker(dump_item, (kind,), {"dir": directory})], parallel=one)
        reader = Piper([load_item, summary], parallel=two)
        print(f"{kind:7}", *Dagger(pipes=[(maker, reader)]).results([range(3)]), sep=" | ")
        print("left over:", os.listdir(directory))

# In named pipes and sockets the process that made the item offers it until it is read: here both are tasks of one pool.
for kind in ("fifo", "socket"):
    pool = IMap(worker_num=2)
    maker = Piper([make, Worker(dump_item, (kind,))], parallel=pool)
    reader = Piper([load_item, summary], parallel=pool)
    print(f"{kind:7}", *Dagger(pipes=[(maker, reader)]).results([range(3)]), sep=" | ")

# In a database, where they can stay.
with TemporaryDirectory() as directory:
    pool = IMap(worker_num=2)
    maker = Piper(Worker(dump_db_item, (f"{directory}/items.db", "texts")), parallel=pool)
    handles = list(Dagger([maker]).results([["one", "two"]]))
    print("table", handles[0].table, "rows", sorted(handle.row for handle in handles), end=": ")
    print(*Dagger([Piper(load_db_item)]).results([handles]))
