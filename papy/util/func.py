"""Functions for pipers, ready made: each takes an inbox, a sequence with one item for each upstream piper.

>>> from papy import Dagger, Piper, Worker
>>> from papy.util.func import json_dumps, sjoiner
>>> one, two = Piper(str.upper, unpack=True), Piper(json_dumps)
>>> join = Piper(Worker(sjoiner, ((1, 0), " <- ")))
>>> list(Dagger(pipes=[(one, join), (two, join)]).results([["a", "b"], ["a", "b"]]))
['"a" <- A', '"b" <- B']
"""

from __future__ import annotations

from papy.util._func.coders import json_dumps, json_loads, pickle_dumps, pickle_loads
from papy.util._func.database import DbHandle, dump_db_item, load_db_item
from papy.util._func.items import ItemHandle, dump_item, item_directory, load_item
from papy.util._func.passers import ipasser, njoiner, npasser, nzipper, plugger, print_, sjoiner, spasser, szipper
from papy.util._func.streams import dump_pickle_stream, dump_stream, load_pickle_stream, load_stream, make_lines

__all__ = [
    "DbHandle",
    "ItemHandle",
    "dump_db_item",
    "dump_item",
    "dump_pickle_stream",
    "dump_stream",
    "ipasser",
    "item_directory",
    "json_dumps",
    "json_loads",
    "load_db_item",
    "load_item",
    "load_pickle_stream",
    "load_stream",
    "make_lines",
    "njoiner",
    "npasser",
    "nzipper",
    "pickle_dumps",
    "pickle_loads",
    "plugger",
    "print_",
    "sjoiner",
    "spasser",
    "szipper",
]

# Where users find them is where they say they live.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
