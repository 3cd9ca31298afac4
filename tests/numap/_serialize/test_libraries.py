"""Objects of libraries keep their memory as a buffer on the way, or the file that it is mapped from, and arrive as they were."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, SerializationError, sizeof
from numap._modules.owners import Everything
from numap._serialize.pickler import CodePickler
from tests.numap.programs import until

#: Numbers in an array that is worth a buffer of its own.
COUNT = 20_000


def encoded(obj: object) -> tuple[bytes, list[bytearray]]:
    """The pickle, and its buffers."""
    buffers: list[bytearray] = []
    encode = CodePickler(Everything()).encode
    return encode(obj, lambda buffer: buffers.append(bytearray(buffer.raw()))), buffers


def arrives(obj: Any, same: Callable[[Any, Any], Any], outside: int) -> Any:
    """The object at the other end. ``outside``: bytes of it that are in buffers, at least."""
    data, buffers = encoded(obj)
    assert sum(map(len, buffers)) >= outside
    assert len(data) < 10_000 or not outside
    found = pickle.loads(data, buffers=buffers)
    within = pickle.loads(CodePickler(Everything()).encode(obj))
    for it in (found, within):
        assert type(it) is type(obj)
        assert same(it, obj)
    return found


# ---------------------------------------------------------------------- mapped files


def map_file(tmp_path: Path) -> Any:
    """No fixture: pytest would keep its descriptor beyond the test."""
    numpy = pytest.importorskip("numpy")
    numpy.arange(float(COUNT)).tofile(tmp_path / "data")
    return numpy.memmap(tmp_path / "data", float, "r+")


def change(array: Any) -> tuple[str, str, Any]:
    """What a worker sees of a mapped array, and the array, changed."""
    array[0] += 100
    return type(array).__name__, str(array.filename), array


def first(array: Any) -> tuple[str, float, bool]:
    return type(array).__name__, float(array.flat[0]), array.flags.writeable


@pytest.mark.parametrize("start", ["forkserver", "spawn", "fork"])
def test_a_mapped_file_is_mapped_again_and_changes_reach_it(start: str, tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    parts = [mapped, mapped[1000:3000], mapped[4000:].reshape(100, -1).T]
    small = mapped[100:200]
    for it in parts:
        it.flags.writeable = True
    found = list(IMap(change, [parts[0], small], worker_num=1, start_method=start))
    assert [it[:2] for it in found] == [("memmap", str(mapped.filename)), ("memmap", "None")]
    # The file is changed, of which the caller sees the same; what is small came as a copy.
    assert mapped[0] == found[0][2][0] == 100
    assert found[1][2][0] == 200 and mapped[100] == 100


def test_a_part_in_one_piece_goes_by_its_place(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    numpy = pytest.importorskip("numpy")
    for part in (mapped, mapped[5000:], mapped[:16_000].reshape(100, 160).T, mapped.view("i4")[3:]):
        data, buffers = encoded(part)
        assert not buffers and len(data) < 1000
        found = pickle.loads(data)
        assert type(found) is numpy.memmap and found.dtype == part.dtype and numpy.array_equal(found, part)
        again, buffers = encoded(found[10:])
        assert not buffers and numpy.array_equal(pickle.loads(again), part[10:])
    apart = mapped[::2]
    assert numpy.array_equal(pickle.loads(*encoded(apart)[:1]), apart) and len(encoded(apart)[0]) > apart.nbytes


def test_what_may_not_be_written_here_may_not_be_written_there(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    numpy = pytest.importorskip("numpy")
    read = numpy.memmap(mapped.filename, float, "r")
    mapped.flags.writeable = False
    assert list(IMap(first, [read, mapped], worker_num=1)) == [("memmap", 0.0, False)] * 2


def test_a_private_mapping_goes_by_what_is_in_it(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    numpy = pytest.importorskip("numpy")
    private = numpy.memmap(mapped.filename, float, "c")
    private[0] = 5
    assert list(IMap(first, [private], worker_num=1)) == [("memmap", 5.0, True)]
    assert mapped[0] == 0


def test_a_file_that_another_has_the_name_of_goes_by_what_is_in_it(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    numpy = pytest.importorskip("numpy")
    numpy.ones(COUNT).tofile(tmp_path / "other")
    os.replace(tmp_path / "other", mapped.filename)
    mapped[0] = 7
    assert list(IMap(first, [mapped], worker_num=1)) == [("memmap", 7.0, True)]
    os.unlink(mapped.filename)
    assert list(IMap(first, [mapped], worker_num=1)) == [("memmap", 7.0, True)]


def test_a_file_that_is_replaced_or_cut_on_the_way_is_an_error(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    data, _ = encoded(mapped)
    os.truncate(mapped.filename, 1000)
    with pytest.raises(ValueError, match="is shorter now"):
        pickle.loads(data)
    (tmp_path / "other").write_bytes(bytes(COUNT * 8))
    os.replace(tmp_path / "other", mapped.filename)
    with pytest.raises(FileNotFoundError, match="another file has the name"):
        pickle.loads(data)


def make(path: str) -> Any:
    import numpy

    found = numpy.memmap(path, float, "w+", shape=(COUNT,))
    found[:] = 7
    return found


def test_a_file_that_is_deleted_on_the_way_is_an_error_at_its_place(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    paths = [str(tmp_path / name) for name in "abcd"]
    with IMap(make, paths, worker_num=1, buffer=8) as imap:
        assert next(imap).filename == paths[0]
        assert until(lambda: os.path.exists(paths[3]), 5)  # so the ones before are on their way
        os.unlink(paths[1])
        with pytest.raises((SerializationError, FileNotFoundError)):
            next(imap)
        assert [it[1] for it in imap] == [7, 7]


def test_a_mapped_file_counts_as_what_it_takes_of_memory(tmp_path: Path) -> None:
    mapped = map_file(tmp_path)
    assert sizeof(mapped) < 1000
    assert sizeof(mapped + 1) >= mapped.nbytes


# ---------------------------------------------------------------------- arrays


def test_arrays_of_derived_classes_go_with_their_memory_as_a_buffer() -> None:
    numpy = pytest.importorskip("numpy")

    class Named(numpy.ndarray):  # type: ignore[misc,name-defined]
        """Its finalizer is told of no other array, as when numpy opens a pickle."""

        def __array_finalize__(self, other: Any) -> None:
            self.name = "none" if other is None else "of another"

    numbers = numpy.arange(float(COUNT))
    turned = numpy.asfortranarray(numbers.reshape(100, 200))
    for plain in (numbers, turned, numbers.astype("M8[s]"), numbers.astype(">i4"), numpy.zeros(COUNT, "i4,f8")):
        found = arrives(plain.view(Named), numpy.array_equal, plain.nbytes)
        assert (found.dtype, found.strides) == (plain.dtype, plain.strides)
        assert found.flags.writeable and found.name == "none"
    records = numpy.rec.array(numpy.zeros(COUNT, "i4,f8"))
    assert arrives(records, numpy.array_equal, records.nbytes).dtype == records.dtype
    arrives(numbers.view(Named)[::3], numpy.array_equal, 0)
    arrives(numpy.ma.masked_less(numbers, 10), lambda a, b: (a == b).all() and (a.mask == b.mask).all(), 0)


# ---------------------------------------------------------------------- other libraries


def test_images() -> None:
    image = pytest.importorskip("PIL.Image")
    for mode in ("RGB", "L", "P", "F", "1", "RGBA"):
        picture = image.effect_noise((600, 1100), 50).convert(mode)
        picture.info["kept"] = mode
        found = arrives(picture, lambda a, b: a.tobytes() == b.tobytes() and a.getpalette() == b.getpalette(), 65536)
        assert (found.mode, found.info) == (mode, {"kept": mode})
        found.putpixel((0, 0), 1 if len(found.getbands()) == 1 else (1,) * len(found.getbands()))


@pytest.fixture(scope="module")
def polars() -> Any:
    """Polars with its threads and their descriptors, which stay until the process ends."""
    pytest.importorskip("pyarrow")
    found = pytest.importorskip("polars")
    frame = found.DataFrame({"a": ["text"]}).with_columns(found.col("a").cast(found.Categorical))
    assert frame.equals(pickle.loads(pickle.dumps(frame)))
    frame.lazy().sort("a").collect()
    return found


def test_frames_of_polars(polars: Any) -> None:
    numbers = list(range(COUNT))
    frame = polars.DataFrame(
        {
            "^n.*$": numbers,
            "texts": [None if n % 7 == 0 else f"a text that is long enough: {n}" for n in numbers],
            "bits": [n % 3 == 0 for n in numbers],
            "dates": polars.Series(numbers).cast(polars.Datetime("ms", "UTC")),
        }
    )
    same = lambda a, b: a.equals(b) and a.schema == b.schema and a.flags == b.flags  # noqa: E731
    arrives(frame, same, 65536)
    arrives(frame.sort("^n.*$", descending=True), same, 65536)
    arrives(frame["texts"], lambda a, b: a.equals(b) and a.name == b.name and a.dtype == b.dtype, 65536)
    part = polars.concat([frame] * 8).rechunk()[:COUNT]
    arrives(part, same, 65536)
    assert sum(map(len, encoded(part)[1])) < 2 * part.estimated_size()
    arrives(frame.with_columns(polars.col("texts").cast(polars.Categorical)), lambda a, b: a.equals(b), 0)


def test_tensors_of_torch_as_it_is() -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.arange(float(COUNT))

    def same(one: Any, other: Any) -> bool:
        return bool(torch.equal(one, other) and one.dtype == other.dtype and one.requires_grad == other.requires_grad)

    for tensor in (
        *(numbers, numbers.reshape(100, 200), numbers.reshape(100, 200).T, numbers[::2], numbers[100:]),
        *(
            numbers.to(torch.bfloat16).repeat(2),
            numbers > 3,
            numbers.to(torch.complex64).conj(),
            numbers.clone().requires_grad_(),
        ),
    ):
        arrives(tensor, same, tensor.numel() * tensor.element_size() if tensor.numel() > 65536 else 0)
    for tensor in (
        numbers.to(torch.float8_e5m2),
        numbers[:10].to(torch.float8_e5m2),
        numbers.repeat(4).to(torch.float8_e5m2)[::2],
    ):
        arrives(tensor, lambda a, b: torch.equal(a.to(torch.float32), b.to(torch.float32)) and a.dtype == b.dtype, 0)
    marked = torch.zeros(COUNT)
    marked.mark = "kept"
    assert arrives(marked, same, 65536).mark == "kept"
    both = pickle.loads(encoded([numbers, numbers])[0], buffers=encoded([numbers, numbers])[1])
    assert both[0] is both[1]


def test_no_library_is_imported_that_the_program_has_not() -> None:
    code = (
        "import sys, pickle, numap\n"
        "from numap._serialize.pickler import CodePickler\n"
        "from numap._modules.owners import Everything\n"
        "class Plain: pass\n"
        "list(numap.IMap(len, [bytes(100_000), 'text'], worker_num=1))\n"
        "CodePickler(Everything()).encode([Plain(), lambda: 1])\n"
        "print(*{'numpy', 'torch', 'polars', 'pyarrow', 'pandas', 'PIL'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == ""
