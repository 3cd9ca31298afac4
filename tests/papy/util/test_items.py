"""Items beside the pipeline: over files, shared memory, named pipes and sockets, and what happens when a side is gone."""

from __future__ import annotations

import array
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any

import psutil
import pytest

from numap import IMap
from papy import Dagger, Piper, PiperError, Worker
from papy.util.func import ItemHandle, dump_item, item_directory, load_item

KINDS = ["file", "shm", "fifo", "socket"]
SIZES = [0, 1, 65_535, 65_536, 65_537, 3_000_000]


def wait_for(fact: Callable[[], bool]) -> None:
    """Wait until something is so; the limit is for a machine that has other things to do."""
    until = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(tmp_path: Path, kind: str, size: int) -> None:
    data = os.urandom(size)
    handle = dump_item([data], kind, dir=tmp_path)
    assert (handle.type, handle.pid, handle.size) == (kind, os.getpid(), size)
    assert os.path.basename(handle.name).startswith(f"tmp_papy_{kind}")
    assert stat.S_IMODE(os.stat(handle.name).st_mode) == 0o600
    assert load_item([handle]) == data
    wait_for(lambda: not os.listdir(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_default_directories(kind: str) -> None:
    handle = dump_item([b"data"], kind, "begins", ".ends")
    assert os.path.basename(handle.name).startswith("begins") and handle.name.endswith(".ends")
    assert load_item([handle]) == b"data"


@pytest.mark.parametrize("kind", ["file", "shm"])
def test_mapped(tmp_path: Path, kind: str) -> None:
    handle = dump_item([b"some data"], kind, dir=tmp_path)
    mapped = load_item([handle], "mmap")
    assert isinstance(mapped, mmap) and mapped[:] == b"some data"
    assert not os.listdir(tmp_path)
    mapped.close()
    empty = dump_item([b""], kind, dir=tmp_path)
    with pytest.raises(ValueError, match="an empty item can't be mapped"):
        load_item([empty], "mmap")
    assert load_item([empty]) == b""


def test_an_item_that_stays(tmp_path: Path) -> None:
    handle = dump_item([b"data"], dir=tmp_path)
    assert load_item([handle], remove=False) == load_item([handle]) == b"data"
    with pytest.raises(FileNotFoundError):
        load_item([handle])


@pytest.mark.parametrize("item", [bytearray(b"abcd"), memoryview(b"abcd"), array.array("H", [0x6261, 0x6463])])
@pytest.mark.parametrize("kind", KINDS)
def test_buffers(tmp_path: Path, kind: str, item: Any) -> None:
    assert load_item([dump_item([item], kind, dir=tmp_path)]) == b"abcd"


def test_misuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="type: 'tcp' is unknown; allowed: 'file', 'fifo', 'shm', 'socket'"):
        dump_item([b""], "tcp", dir=tmp_path)
    with pytest.raises(TypeError, match=r"must be bytes, not 'text' \(str\); pickle_dumps"):
        dump_item(["text"], dir=tmp_path)
    with pytest.raises(TypeError, match="must be a handle of dump_item, not 1"):
        load_item([1])
    with pytest.raises(FileNotFoundError):
        dump_item([b""], dir=tmp_path / "none")
    handle = dump_item([b""], dir=tmp_path)
    with pytest.raises(ValueError, match=r"type: 'bytes' is unknown; .*'string', 'mmap'"):
        load_item([handle], "bytes")
    assert os.listdir(tmp_path) == [os.path.basename(handle.name)]


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_misuse_of_what_can_be_read_once(tmp_path: Path, kind: str) -> None:
    handle = dump_item([b"data"], kind, dir=tmp_path)
    with pytest.raises(ValueError, match="read once"):
        load_item([handle], "mmap")
    with pytest.raises(ValueError, match="read once"):
        load_item([handle], remove=False)
    assert load_item([handle]) == b"data"


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_an_item_that_nobody_takes(tmp_path: Path, kind: str) -> None:
    handle = dump_item([b"data"], kind, dir=tmp_path, timeout=0.05)
    wait_for(lambda: not os.listdir(tmp_path))
    with pytest.raises(FileNotFoundError):
        load_item([handle])


def test_a_fifo_for_any_program(tmp_path: Path) -> None:
    data = b"some lines\n" * 50_000
    handle = dump_item([data], "fifo", dir=tmp_path)
    assert subprocess.run(["cat", handle.name], capture_output=True, check=True).stdout == data


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    handle = dump_item([b"x" * 3_000_000], "fifo", dir=tmp_path)
    assert subprocess.run(["head", "-c", "3", handle.name], capture_output=True, check=True).stdout == b"xxx"
    wait_for(lambda: not os.listdir(tmp_path))


def test_a_reader_that_never_reads(tmp_path: Path) -> None:
    handle = dump_item([b"x" * 3_000_000], "fifo", dir=tmp_path, timeout=0.2)
    fd = os.open(handle.name, os.O_RDONLY)
    wait_for(lambda: not os.listdir(tmp_path))
    os.close(fd)


OFFER = """
import os, sys, threading
from papy.util.func import dump_item
print(dump_item([b"x" * {size}], {kind!r}, dir={directory!r}), flush=True)
sys.stdin.read()
"""


def offered_elsewhere(kind: str, directory: Path, size: int = 1000) -> tuple[subprocess.Popen[str], ItemHandle]:
    code = OFFER.format(kind=kind, directory=str(directory), size=size)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, eval(process.stdout.readline(), {"ItemHandle": ItemHandle})


@pytest.mark.parametrize("kind", KINDS)
def test_between_processes(tmp_path: Path, kind: str) -> None:
    process, handle = offered_elsewhere(kind, tmp_path)
    with process:
        assert load_item([handle]) == b"x" * 1000


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_who_offered_the_item_is_killed(tmp_path: Path, kind: str) -> None:
    process, handle = offered_elsewhere(kind, tmp_path)
    with process:
        process.kill()
    with pytest.raises(ConnectionError, match=f"the process {process.pid} that offered the item .* has ended"):
        load_item([handle])
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_who_offered_the_item_is_killed_meanwhile(tmp_path: Path, kind: str) -> None:
    process, handle = offered_elsewhere(kind, tmp_path, 50_000_000)
    errors: list[BaseException] = []

    def load() -> None:
        try:
            load_item([handle], buffer=1)
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=load)
    with process:
        thread.start()
        time.sleep(0.1)  # so that some of it has been read; nothing depends on it
        process.kill()
    thread.join(60)
    assert len(errors) == 1


def test_nobody_offers_the_item(tmp_path: Path) -> None:
    """Its process lives, but nothing comes: only the time tells."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError):
        load_item([ItemHandle("fifo", str(tmp_path / "pipe"), os.getppid(), 3)], timeout=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_between_pipers_that_share_workers(tmp_path: Path, kind: str) -> None:
    pool = IMap(worker_num=2)
    dump = Piper(Worker(dump_item, (kind,), {"dir": str(tmp_path)}), parallel=pool)
    load = Piper(load_item, parallel=pool)
    items = [b"%d" % n * 10_000 for n in range(20)]
    assert list(Dagger(pipes=[(dump, load)]).results([items])) == items
    wait_for(lambda: not os.listdir(tmp_path))


@pytest.mark.parametrize("kind", ["file", "shm"])
def test_between_maps(tmp_path: Path, kind: str) -> None:
    dump = Piper(Worker(dump_item, (kind,), {"dir": str(tmp_path)}), parallel=IMap(worker_num=1))
    load = Piper(load_item, parallel=IMap(worker_num=1))
    items = [b"%d" % n * 10_000 for n in range(20)]
    assert list(Dagger(pipes=[(dump, load)]).results([items])) == items
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_an_item_whose_workers_have_ended_is_a_failure(kind: str) -> None:
    with item_directory() as directory:
        with IMap(dump_item, [[b"data"]], (kind,), {"dir": directory}, worker_num=1) as imap:
            handle = next(imap)
        wait_for(lambda: not psutil.pid_exists(handle.pid))
        (result,) = Dagger([Piper(load_item)]).results([[handle]])
    assert isinstance(result, PiperError) and isinstance(result.exception, ConnectionError)


def test_no_room() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("a system without /dev/full")
    from papy.util._func import items as _items

    def full(*_: Any) -> tuple[int, str]:
        return os.open("/dev/full", os.O_WRONLY), "/nonexistent"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_items.tempfile, "mkstemp", full)
        with pytest.raises(OSError, match="No space"):
            dump_item([b"x" * 100_000])


@pytest.mark.parametrize("kind", ["file", "shm"])
def test_directory(kind: str) -> None:
    with item_directory(kind) as directory:
        for any_kind in KINDS:
            dump_item([b"never loaded"], any_kind, dir=directory, timeout=0.1)
        assert os.listdir(directory)
    assert not os.path.exists(directory)


KILLED = """
import os, signal
from numap import IMap
from papy import Dagger, Piper, Worker
from papy.util.func import dump_item, item_directory
with item_directory("shm") as directory:
    print(directory, flush=True)
    dump = Piper(Worker(dump_item, ("shm",), {"dir": directory}), parallel=IMap(worker_num=1))
    for handle in Dagger([dump]).results([[b"data"] * 10]):
        assert os.listdir(directory)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_directory_of_a_program_that_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    directory = done.stdout.strip()
    assert "tmp_papy" in directory
    wait_for(lambda: not os.path.exists(directory))


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_nobody_takes_goes_with_the_program(tmp_path: Path, kind: str) -> None:
    lines = [
        "import os, sys",
        "from papy.util.func import dump_item, load_item",
        "handles = [dump_item([b'data'], sys.argv[1], dir=sys.argv[2]) for _ in range(3)]",
        "assert load_item(handles[:1]) == b'data'",
        "if os.fork() == 0:",
        "    sys.exit()",
        "os.wait()",
        "assert load_item(handles[1:]) == b'data'",
    ]
    subprocess.run([sys.executable, "-W", "ignore", "-c", "\n".join(lines), kind, tmp_path], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
