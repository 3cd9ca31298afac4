"""Tensors of torch go through shared memory as arrays do, both ways; seen with a stand-in that has torch's names and rules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.numap.programs import STARTS, run

TORCH = """
import ctypes
from . import storage, _utils
from .storage import UntypedStorage

class dtype:
    def __init__(self, name, size):
        self.name, self.itemsize = name, size
    def __reduce__(self):
        return self.name

uint8, bfloat16 = dtype("uint8", 1), dtype("bfloat16", 2)

class Tensor:
    def __init__(self, storage, offset, shape, strides, requires_grad=False):
        self.typed, self.offset, self.shape, self.strides = storage, offset, shape, strides
        self.requires_grad = requires_grad
    def __reduce_ex__(self, protocol):
        # As torch has it: a new object for the storage each time, and all of it.
        typed = storage.TypedStorage(wrap_storage=self.typed._untyped_storage, dtype=self.typed.dtype, _internal=True)
        return _utils._rebuild_tensor_v2, (typed, self.offset, self.shape, self.strides, self.requires_grad, {})
    def element_size(self):
        return self.typed.dtype.itemsize
    def untyped_storage(self):
        return self.typed._untyped_storage
    def clone(self):
        return of(bytes(self.untyped_storage().data), self.typed.dtype)
    def data_ptr(self):
        return self.untyped_storage().data_ptr() + self.offset * self.element_size()

def frombuffer(data, dtype):
    untyped = UntypedStorage(0)
    untyped.data = (ctypes.c_ubyte * memoryview(data).nbytes).from_buffer(data)
    size = len(untyped.data) // dtype.itemsize
    return Tensor(storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True), 0, (size,), (1,))

def of(data, dtype):
    return frombuffer(bytearray(data), dtype)
"""
STORAGE = """
import ctypes
class device:
    type = "cpu"
class UntypedStorage:
    device = device
    def __init__(self, size):
        self.data = (ctypes.c_ubyte * size)()
    def nbytes(self):
        return len(self.data)
    def data_ptr(self):
        return ctypes.addressof(self.data)
    def __getitem__(self, part):
        found = UntypedStorage(0)
        found.data = (ctypes.c_ubyte * (part.stop - part.start)).from_buffer(self.data, part.start)
        return found
    def __reduce__(self):
        raise RuntimeError("by its own way it would be copied into the pickle")
class TypedStorage:
    def __init__(self, *, wrap_storage, dtype, _internal):
        self._untyped_storage, self.dtype = wrap_storage, dtype
    def __reduce__(self):
        raise RuntimeError("by its own way it would be copied into the pickle")
"""
UTILS = """
def _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks):
    import torch
    return torch.Tensor(storage, offset, shape, strides, requires_grad)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells from /proc what is shared")
@pytest.mark.parametrize("start", STARTS)
def test_20_tensors_go_through_shared_memory_both_ways(start: str, tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    for name, text in (("__init__", TORCH), ("storage", STORAGE), ("_utils", UTILS)):
        (package / f"{name}.py").write_text(text)
    code = """
sys.path.insert(0, os.environ["LIBRARY"])
import torch

def is_shared(tensor):
    for line in open("/proc/self/maps"):
        first, last = (int(it, 16) for it in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return "memfd:numap" in line

def read(tensor):
    data = tensor.untyped_storage().data
    return len(data), bytes(data[:2]), tensor.typed.dtype.name, tensor.shape, tensor.strides, tensor.requires_grad

def change(tensor):
    shared = is_shared(tensor)
    tensor.untyped_storage().data[0] += 1
    return shared, {"kept": tensor}

whole = torch.of(b"ab" * 50_000, torch.bfloat16)
whole.requires_grad = True
row = torch.Tensor(whole.typed, 1000, (2, 3), (3, 1))
column = torch.Tensor(whole.typed, 0, (45_000,), (1,))
empty = torch.of(b"", torch.uint8)
for it in IMap(change, [whole, row, column], **OPTIONS):
    say(it[0], is_shared(it[1]["kept"]), *read(it[1]["kept"]))
say(*map(read, IMap(lambda it: it, [empty], **OPTIONS)))
say(bytes(whole.untyped_storage().data[:2]))
"""
    said = run(tmp_path, code, start, LIBRARY=str(tmp_path)).stdout.splitlines()
    assert said == [
        "True True 100000 b'bb' bfloat16 (50000,) (1,) True",
        "False False 12 b'bb' bfloat16 (2, 3) (3, 1) False",
        "True True 90000 b'bb' bfloat16 (45000,) (1,) False",
        "(0, b'', 'uint8', (0,), (1,), False)",
        "b'ab'",
    ]
