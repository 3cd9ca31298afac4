"""Objects of libraries whose own way is to copy their memory into the pickle: they go with that memory as a buffer, as arrays do.

Nothing here imports a library that the program has not imported. The other process imports what it needs to make an object again.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any, Final

from .mapped_arrays import reduce_mapped

#: Bytes from which on a buffer is worth an object of its own.
_LEAST: Final = 1 << 16


def reduce_of_library(obj: Any, kind: Any) -> Any:
    """How an object of a library is made again; None: it has a way of its own."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, getattr(numpy, "ndarray", ())):
        found = reduce_mapped(obj) if kind is getattr(numpy, "memmap", None) else None
        return found or _reduce_array(obj, kind, numpy)
    library = _LIBRARIES.get(kind.__module__.partition(".")[0])
    return None if library is None else library(obj, kind)


def _reduce_array(obj: Any, kind: Any, numpy: Any) -> Any:
    """An array of a class derived from numpy's, unless that has a say in how it travels."""
    plain = numpy.ndarray
    if any(getattr(kind, name) is not getattr(plain, name) for name in ("__reduce_ex__", "__reduce__", "__setstate__")):
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


def _reduce_image(obj: Any, kind: Any) -> Any:
    """An image of Pillow as it tells itself, its pixels as a buffer."""
    image = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if image is None or not issubclass(kind, image) or kind.__reduce_ex__ is not object.__reduce_ex__:
        return None
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


def _reduce_frame(obj: Any, kind: Any) -> Any:
    """A data frame or series of Polars as a table of Arrow with the same memory, where the program has PyArrow."""
    polars = sys.modules.get("polars")
    if polars is None or "pyarrow" not in sys.modules or "pyarrow.lib" not in sys.modules:
        return None
    is_series = kind is getattr(polars, "Series", None)
    if not is_series and kind is not getattr(polars, "DataFrame", None):
        return None
    size = obj.estimated_size()
    kinds = (obj.dtype,) if is_series else obj.dtypes
    if size < _LEAST or not all(str(it.base_type()) in _SAFE for it in kinds):
        return None
    frame = obj.to_frame() if is_series else obj
    try:
        table = frame.to_arrow(compat_level=polars.CompatLevel.newest())
        if table.get_total_buffer_size() > 2 * size:
            # Texts of a part of a frame would take those of the whole along.
            table = frame.to_arrow()
    except Exception:  # versions that don't know each other
        return None
    sorted_by = {name: flags["SORTED_DESC"] for name, flags in frame.flags.items() if any(flags.values())}
    return _make_frame, (table, is_series, sorted_by)


def _make_frame(table: Any, is_series: bool, sorted_by: dict[str, bool]) -> Any:
    polars = importlib.import_module("polars")
    frame = polars.from_arrow(table)
    if sorted_by:
        frame = frame.with_columns(frame[name].set_sorted(descending=down) for name, down in sorted_by.items())
    return frame.to_series() if is_series else frame


_LIBRARIES: Final = {"PIL": _reduce_image, "polars": _reduce_frame}
