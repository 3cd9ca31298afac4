"""Objects of libraries whose own way is to copy their memory into the pickle: they go with that memory as a buffer, as arrays do.

Nothing here imports a library that the program has not imported. The other process imports what it needs to make an object again.
"""

from __future__ import annotations

import copyreg
import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any, Final

from .mapped_arrays import reduce_mapped

#: Of a scope and an object how that is made again, or ``NotImplemented``.
Reducer = Callable[[Any, Any], Any]
#: Bytes from which on a buffer is worth an object of its own.
_LEAST: Final = 1 << 16


def reduce_array(obj: Any, kind: Any) -> Any:
    """How an array of a class derived from numpy's is made again; None: it is none, or has a say in how it travels."""
    numpy = sys.modules.get("numpy")
    plain = getattr(numpy, "ndarray", None)
    if numpy is None or plain is None or not issubclass(kind, plain):
        return None
    found = reduce_mapped(obj) if kind is getattr(numpy, "memmap", None) else None
    return found or _reduce_array(obj, kind, numpy)


def _reduce_array(obj: Any, kind: Any, numpy: Any) -> Any:
    plain = numpy.ndarray
    if hasattr(kind, "__numap_reduce__") or any(
        getattr(kind, name) is not getattr(plain, name) for name in ("__reduce_ex__", "__reduce__", "__setstate__")
    ):
        return None
    flags, dtype = obj.flags, obj.dtype
    if obj.nbytes < _LEAST or dtype.hasobject or not (flags.c_contiguous or flags.f_contiguous):
        return None
    # As bytes: there are types of numbers that no buffer can tell.
    data = plain.view(obj, plain).ravel(order="K").view(numpy.uint8)
    order = "C" if flags.c_contiguous else "F"
    return _make_array, (kind, pickle.PickleBuffer(data), dtype, obj.shape, order)


def _make_array(kind: Any, data: Any, dtype: Any, shape: Any, order: str) -> Any:
    numpy = importlib.import_module("numpy")
    # As numpy makes it of a pickle: of memory that can be changed, and the class hears of no other array.
    memory = bytearray(data) if memoryview(data).readonly else data
    return numpy.ndarray.__new__(kind, shape, dtype, memory, order=order)


def _reduce_image(scope: object, obj: Any) -> Any:
    """An image of Pillow as it tells itself, its pixels as a buffer."""
    if type(obj) in copyreg.dispatch_table:
        return NotImplemented
    make, args, state, *more = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if type(state) is list:
        state = [pickle.PickleBuffer(it) if type(it) is bytes and len(it) >= _LEAST else it for it in state]
    return make, args, state, *more


#: Types of columns that come out of Arrow's memory as they went in.
_SAFE: Final = frozenset(
    (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"),
        *("Boolean", "String", "Binary", "Date", "Time", "Datetime", "Duration"),
    )
)


def _reduce_frame(scope: object, obj: Any) -> Any:
    """A data frame or series of Polars as a table of Arrow with the same memory, where the program has PyArrow."""
    if "pyarrow.lib" not in sys.modules or type(obj) in copyreg.dispatch_table:
        return NotImplemented
    polars = sys.modules["polars"]
    is_series = type(obj) is polars.Series
    size = obj.estimated_size()
    kinds = (obj.dtype,) if is_series else obj.dtypes
    if size < _LEAST or not all(str(it.base_type()) in _SAFE for it in kinds):
        return NotImplemented
    frame = obj.to_frame() if is_series else obj
    try:
        table = frame.to_arrow(compat_level=polars.CompatLevel.newest())
        if table.get_total_buffer_size() > 2 * size:
            # Texts of a part of a frame would take those of the whole along.
            table = frame.to_arrow()
    except Exception:  # versions that don't know each other
        return NotImplemented
    sorted_by = {name: flags["SORTED_DESC"] for name, flags in frame.flags.items() if any(flags.values())}
    return _make_frame, (table, is_series, sorted_by)


def _make_frame(table: Any, is_series: bool, sorted_by: dict[str, bool]) -> Any:
    polars = importlib.import_module("polars")
    frame = polars.from_arrow(table)
    if sorted_by:
        frame = frame.with_columns(frame[name].set_sorted(descending=down) for name, down in sorted_by.items())
    return frame.to_series() if is_series else frame


#: By module, classes that are told so, each with its reducer, until the program has imported them.
_AWAITED: Final[dict[str, dict[str, Reducer]]] = {
    "PIL.Image": {"Image": _reduce_image},
    "polars": {"DataFrame": _reduce_frame, "Series": _reduce_frame},
}


def add_imported(reducers: dict[type, Reducer]) -> None:
    """Adds the reducers of classes that the program has imported by now. To look at each object for these would take longer."""
    for name in tuple(_AWAITED):  # other threads may be here, too
        library, awaited = sys.modules.get(name), _AWAITED.get(name, {})
        if library is not None and all(hasattr(library, kind) for kind in awaited):  # else it is being imported
            reducers.update((getattr(library, kind), reducer) for kind, reducer in awaited.items())
            _AWAITED.pop(name, None)
