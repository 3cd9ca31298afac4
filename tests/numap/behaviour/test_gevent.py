"""Maps and pipelines in a program in which gevent has put itself in the place of threads, queues, sockets, `select` and forks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.numap.programs import Program

PATCH = "import gevent.monkey; gevent.monkey.patch_all()\n"
IMPORTS = "import os, time, gevent; from numap import IMap, TaskTimeout, WorkerDied, join, tee\n"

MAPS = """
kinds = [dict(worker_type=it) for it in ("serial", "thread", "process")]
kinds += [dict(start_method="spawn")]
try:
    IMap(abs, [1], start_method="fork")
except ValueError as error:
    assert "all greenlets of this program" in str(error)
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)
gevent.spawn(tick)
for options in kinds:
    assert list(IMap(lambda x: 2 * x, range(500), **options)) == list(range(0, 1000, 2))
    a, b = tee(IMap(lambda x: 2 * x, (x for x in range(50)), **options))
    assert list(join(a, b)) == [(x, x) for x in range(0, 100, 2)]
    for _ in IMap(abs, iter(int, 1), **options):
        break
del ticks[:]
assert list(IMap(lambda x: time.sleep(0.2), range(2), worker_num=1)) == [None] * 2
assert ticks  # others went on meanwhile
def fall(x):
    if x: os._exit(3)
(first, second) = IMap(fall, range(2), worker_num=1, on_error="return")
assert first is None and type(second) is WorkerDied
(late,) = IMap(lambda x: time.sleep(1000), [0], worker_num=1, task_timeout=0.1, on_error="return")
assert type(late) is TaskTimeout
both = [gevent.spawn(lambda: list(IMap(abs, range(100), worker_type=it))) for it in ("process", "thread")]
gevent.joinall(both, raise_error=True)
assert all(it.value == list(range(100)) for it in both)
assert gevent.get_hub().threadpool.apply(lambda: list(IMap(abs, range(9), worker_num=1))) == list(range(9))
print("end")
"""

PIPELINES = """
from papy import Dagger, Pipeline, Piper, Plumber
step = lambda inbox: inbox[0] + 1
for kind in (None, "serial", "thread", "process"):
    dagger = Dagger()
    dagger.add_pipe((Piper(step), Piper(step, parallel=kind and IMap(worker_type=kind)), Piper(step)))
    assert list(dagger.results([range(20)])) == list(range(3, 23))
plumber = Plumber()
plumber.add_piper(Piper(step, parallel=IMap(worker_type="thread")))
plumber.start([range(10)])
plumber.run()
assert plumber.wait(20)
plumber.stop()
pipeline = Pipeline((abs, 2), (abs, 1, {"worker_type": "process"}))
assert sorted(pipeline.results(range(20))) == list(range(20))
pipeline.run_forever(background=True)
pipeline.put(3)
pipeline.stop()
print("end")
"""


@pytest.mark.parametrize("code", [MAPS, PIPELINES])
def test_20_gevent_breaks_nothing(code: str, tmp_path: Path) -> None:
    with Program(tmp_path, argv=["-W", "ignore", "-c", PATCH + IMPORTS + code]) as program:
        program.ends(0)
        assert program.stdout == "end\n"
        assert program.stderr == ""
