"""What the libraries of people make of memory: arrays, frames, tables, tensors, images."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import functions as f
from peers import Peer
from records import ENOUGH, enlarged

#: The bytes that a measurement begins with, and has at most.
BEGIN = 40_000_000
MOST = 1_000_000_000
#: Bytes of a large object, and the different ones that items are taken from in turn.
LARGE = 2_000_000
DIFFERENT = 8


def array(size: int) -> Any:
    import numpy

    return numpy.arange(size // 8, dtype=float)


def tensor(size: int) -> Any:
    import torch

    return torch.arange(size // 4, dtype=torch.float32)


def numbers(size: int) -> Any:
    import pandas

    return pandas.DataFrame({name: array(size // 4) for name in "abcd"})


def texts(size: int) -> list[str]:
    """Texts of 20 characters."""
    return [f"the text number {n:4}" for n in range(size // 20)]


def objects(size: int) -> Any:
    import pandas

    # A text takes some 70 bytes in memory.
    return pandas.DataFrame({name: pandas.Series(texts(size * 20 // 140), dtype=object) for name in "ab"})


def arrow_texts(size: int) -> Any:
    import pandas

    return pandas.DataFrame({name: pandas.Series(texts(size // 2), dtype="string[pyarrow]") for name in "ab"})


def categories(size: int) -> Any:
    import pandas

    codes = [("red", "green", "blue")[n % 3] for n in range(size // 4)]
    return pandas.DataFrame({name: pandas.Categorical(codes) for name in "abcd"})


def sparse(size: int) -> Any:
    import scipy.sparse

    rows = size // 12 // 10
    return scipy.sparse.random(rows, 1000, density=0.01, format="csr", random_state=1)


def table(size: int) -> Any:
    import pyarrow

    rows = texts(size * 20 // 32)
    return pyarrow.table({"a": array(8 * len(rows)), "b": rows})


def polars_frame(size: int) -> Any:
    import polars

    rows = texts(size * 20 // 32)
    return polars.DataFrame({"a": array(8 * len(rows)), "b": rows})


def image(size: int) -> Any:
    from PIL import Image

    return Image.effect_noise((1000, size // 3000), 50).convert("RGB")


#: Where mapped files are until the process ends.
_folder = tempfile.TemporaryDirectory()
_files = itertools.count()


def mapped(size: int) -> Any:
    import numpy

    path = Path(_folder.name) / f"{next(_files)}"
    array(size).tofile(path)
    return numpy.memmap(path, dtype=float, mode="r")


#: By the name of a workload what its items are, how one of so many bytes is made, and how many bytes it has.
BUFFERS: dict[str, tuple[str, Callable[[int], Any], int]] = {
    "R12t": ("tensors of torch, 2 MB", tensor, LARGE),
    "R12n": ("frames of 2 MB, numbers", numbers, LARGE),
    "R12o": ("frames of 2 MB, texts as objects", objects, LARGE),
    "R12a": ("frames of 2 MB, texts of Arrow", arrow_texts, LARGE),
    "R12c": ("frames of 2 MB, categories", categories, LARGE),
    "R12s": ("sparse matrices of 2 MB", sparse, LARGE),
    "R12w": ("Arrow tables of 2 MB", table, LARGE),
    "R12p": ("frames of Polars, 2 MB", polars_frame, LARGE),
    "R12i": ("images of 2 MB", image, LARGE),
    "R12m": ("mapped files of 2 MB", mapped, LARGE),
    "R12k": ("arrays of 1 KB", array, 1 << 10),
    "R12x": ("arrays of 10 KB", array, 10 << 10),
    "R12y": ("arrays of 100 KB", array, 100 << 10),
    "R12z": ("arrays of 1 MB", array, 1 << 20),
    "R12h": ("arrays of 8 MB", array, 8 << 20),
    "R12b": ("bytes of 100 KB", bytes, 100 << 10),
}


def buffers(peer: type[Peer], make: Callable[[int], Any], size: int) -> float:
    """Items per second through a pool that has run some, from a few that come again and again."""
    kept = [make(size) for _ in range(DIFFERENT)]
    number = max(2 * DIFFERENT, BEGIN // size)
    while True:
        pool = peer()
        # The first ones pay for the start of workers, their imports, and the memory that all the others use again.
        found = iter(pool.map(f.same, itertools.islice(itertools.cycle(kept), number + number // 4)))
        for _ in range(number // 4):
            next(found)
        began = time.perf_counter()
        assert sum(1 for _ in found) == number
        took = time.perf_counter() - began
        pool.close()
        if took >= ENOUGH or number * size >= MOST:
            return number / took
        number = min(MOST // size, enlarged(number, took))
