"""Guarantee 72: proxies of a multiprocessing manager work wherever an object can go, as in a child of multiprocessing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.numap.programs import STARTS, run

#: A program with managers that have a key of their own, that of the process, and one that is set when the starter runs already.
MANAGERS = """
import multiprocessing
from multiprocessing.managers import SyncManager

KEYS = "later", None, "of its own".upper().encode()
process = multiprocessing.current_process()

def managers():
    for key in KEYS if OPTIONS.get("start_method") is None else KEYS[:1]:
        if key == "later":
            list(IMap(abs, [1], **OPTIONS))
            process.authkey, key = "set later".upper().encode(), None
        with SyncManager(("127.0.0.1", 0), key, ctx=multiprocessing.get_context("fork")) as manager:
            yield manager
"""

WAYS = """
def keep(target):
    global kept
    kept = target

def put(n, target):
    target[n] = n

def put_kept(n):
    put(n, kept)

def put_global(n):
    put(n, shared)

def put_item(pair):
    put(pair[0], pair[1]["nested"][0])

items = range(6)
for manager in managers():
    for way in ("argument", "global", "initializer", "item"):
        shared = manager.dict()
        shared["here"] = 0  # so that there is a connection, which forks must not share
        func, source, more = {
            "argument": (put, items, {"args": (shared,)}),
            "global": (put_global, items, {}),
            "initializer": (put_kept, items, {"initializer": keep, "initargs": (shared,)}),
            "item": (put_item, [(n, {"nested": [shared]}) for n in items], {}),
        }[way]
        for _ in IMap(func, source, **more, **OPTIONS):
            shared["here"] += 1
        if dict(shared) != {"here": 6, **{n: n for n in items}}:
            say(way, dict(shared))
    # What only travels lives until it has arrived.
    found = IMap(lambda it: (it.append("there"), {"kept": it})[1], (manager.list(["here"]) for _ in range(5)), **OPTIONS)
    if [list(it["kept"]) for it in list(found)] != [["here", "there"]] * 5:
        say("travels")
say("end")
"""


@pytest.mark.parametrize("start", STARTS)
def test_72_a_proxy_works_as_argument_global_initarg_item_and_result(start: str, tmp_path: Path) -> None:
    assert run(tmp_path, MANAGERS + WAYS, start).stdout == "end\n"


def test_72_other_kinds_of_proxies_in_threads_and_processes_and_where_the_key_is_not(tmp_path: Path) -> None:
    code = """
for manager in managers():
    queue, lock, space = manager.Queue(), manager.Lock(), manager.Namespace(n=0)

    def count(x):
        with lock:
            space.n += x
        queue.put(x)
        key = bytes(queue._authkey)
        return [key.hex() in open(f"/proc/self/{name}", "rb").read().hex() for name in ("environ", "cmdline")]

    seen = [it for more in (OPTIONS, {"worker_type": "thread"}) for it in IMap(count, range(10), **more)]
    say(space.n, sorted(queue.get() for _ in range(20)) == sorted([*range(10)] * 2), any(map(any, seen)))
"""
    assert run(tmp_path, MANAGERS + code).stdout == "90 True False\n" * 3
