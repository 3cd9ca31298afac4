"""Tensors of torch as arrays go: with their memory as a buffer. Their own way is to copy it into the pickle.

What is asked of torch is asked of the objects; nothing here imports it but what makes a storage again, which is where it is needed.
"""

from __future__ import annotations

import importlib
import math
import pickle
import sys
from typing import Any

#: Bytes up to which a storage gets memory of its own on arrival, as torch has it: only that can grow.
_OWN = 1 << 16


def reduce_tensor(obj: Any) -> Any:
    """How a large tensor of plain numbers in a row is made again; None: it goes as torch has it, which takes longer."""
    kind = type(obj)
    if kind.__module__ != "torch" or kind.__name__ != "Tensor" or getattr(obj, "layout", None) is None:
        return None
    if obj.device.type != "cpu" or str(obj.layout) != "torch.strided" or not obj.is_contiguous() or obj.requires_grad:
        return None
    size = obj.nbytes
    if size < _OWN or obj.is_quantized or obj.is_conj() or obj.is_neg() or obj.__dict__ or obj._backward_hooks:
        return None
    address = obj.data_ptr()
    if not address:  # there is no memory behind it
        return None
    import ctypes

    view: Any = (ctypes.c_ubyte * size).from_address(address)
    view.tensor = obj  # it has to live as long
    return _make_tensor, (pickle.PickleBuffer(view), obj.dtype, tuple(obj.shape))


def _make_tensor(data: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    torch = importlib.import_module("torch")
    return torch.frombuffer(bytearray(data) if memoryview(data).readonly else data, dtype=dtype).view(shape)


def reduce_storage(obj: Any) -> Any:
    """How a storage in ordinary memory is made again; None: that is none."""
    kind = type(obj)
    if kind.__module__ != "torch.storage" or kind.__name__ not in ("TypedStorage", "UntypedStorage"):
        return None
    untyped = obj if kind.__name__ == "UntypedStorage" else getattr(obj, "_untyped_storage", None)
    if untyped is None or untyped.device.type != "cpu":  # before torch 2.0 it was another
        return None
    size, dtype = untyped.nbytes(), obj.dtype if untyped is not obj else None
    if not size:
        return _make_storage, (b"", dtype)
    import ctypes

    view: Any = (ctypes.c_ubyte * size).from_address(untyped.data_ptr())
    view.storage = untyped  # it has to live as long
    return _make_storage, (pickle.PickleBuffer(view), dtype)


def _make_storage(data: Any, dtype: Any) -> Any:
    torch = importlib.import_module("torch")
    view = memoryview(data)
    if not view.nbytes:
        untyped = torch.UntypedStorage(0)
    else:
        shared = torch.frombuffer(bytearray(data) if view.readonly else data, dtype=torch.uint8)
        untyped = (shared.clone() if view.nbytes < _OWN else shared).untyped_storage()
    return untyped if dtype is None else torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def narrowed(tensor: Any, told: Any) -> Any:
    """How a tensor is made again, with that part of the storage in which it lies: a row must not take its whole matrix along."""
    name = getattr(told[0], "__name__", "") if isinstance(told, tuple) else ""
    if name not in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        return told
    rebuild, (storage, offset, shape, strides, *rest), *more = told
    if type(storage).__name__ == "UntypedStorage":
        # Tensors of newer types of numbers tell a storage of bytes, and expect one with a type.
        torch = sys.modules["torch"]
        storage = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.uint8, _internal=True)
        told = rebuild, (storage, offset, shape, strides, *rest), *more
    untyped = getattr(storage, "_untyped_storage", None)
    if untyped is None or untyped.device.type != "cpu" or not math.prod(shape):
        return told
    length = 1 + sum((count - 1) * stride for count, stride in zip(shape, strides, strict=True))
    size = tensor.element_size()
    if length * size >= untyped.nbytes():
        return told
    part = untyped[offset * size : (offset + length) * size]
    own = type(storage)(wrap_storage=part, dtype=storage.dtype, _internal=True)
    return rebuild, (own, 0, shape, strides, *rest), *more
