"""Items in files, one behind the other: as text between delimiters, as pickles, as lines.

A *handle* is an open file, which stays open, or the path of a file, which is opened and closed again.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from threading import Event
from typing import IO, Any, AnyStr

from numap.interop import checks
from papy._base.checks import check_flag, check_seconds

_Path = str | os.PathLike[str]


def dump_stream(inbox: Sequence[Any], handle: IO[str] | _Path, delimiter: str | None = None) -> Any:
    """Write the first item of the inbox, a string, and a line with the delimiter to a stream of items.

    `load_stream` gives back each text as it was. A line of the item that is the delimiter is written with a backslash before
    it; so is a line that looks like such a one already.

    Use it in a linear piper: several workers would write into each other's items, and an open file doesn't travel to a
    worker process.

    Args:
        inbox: The item.
        handle: A file that is open for writing text, or a path to append to.
        delimiter: A line; None: an empty line. An item that ends in a newline has an empty line at its end: where nearly all
            items do, a delimiter like ``"//"`` makes the better file to read.

    Returns:
        The name of the file; None if it has none.

    Raises:
        TypeError: The item is no string; for bytes, and any other object, there is `dump_pickle_stream`.
        ValueError: The delimiter has several lines. Nothing is written.

    >>> from io import StringIO
    >>> stream = StringIO()
    >>> for item in ("one", "two\\nlines\\n"):
    ...     dump_stream([item], stream, "//")
    >>> stream.getvalue()
    'one\\n//\\ntwo\\nlines\\n\\n//\\n'
    >>> stream = StringIO(stream.getvalue())
    >>> list(load_stream(stream, "//"))
    ['one', 'two\\nlines\\n']
    """
    item, line = inbox[0], _line(delimiter)
    if not isinstance(item, str):
        raise TypeError(f"the item: must be a str, not {checks.shown(item)}; dump_pickle_stream() writes any object")
    text = "\n".join(_escaped(part, line) for part in item.split("\n"))
    with _opened(_checked(handle, "write"), "a", newline="\n") as file:
        file.write(f"{text}\n{line}\n")
        return getattr(file, "name", None)


def load_stream(handle: IO[str] | _Path, delimiter: str | None = None) -> Iterator[str]:
    """Read what `dump_stream` wrote, item by item; what follows the last delimiter is an item, too.

    Args:
        handle: A file that is open for reading text, or a path. The file is opened at the first ``next``, and closed at
            the end or when the iterator is closed or dropped.
        delimiter: The line between the items; None: an empty line. Where backslashes stand before it in a line, and nothing else,
            this is a line of the item with one backslash less.
    """
    return _items(_checked(handle, "read"), _line(delimiter))


def _escaped(part: str, line: str) -> str:
    """A line of an item as it is written: with one backslash more if it has nothing but backslashes before the delimiter."""
    return f"\\{part}" if part.endswith(line) and not part.removesuffix(line).strip("\\") else part


def _items(handle: IO[str] | _Path, line: str) -> Iterator[str]:
    with _opened(handle, "r", newline="\n") as file:
        item: list[str] = []
        for text in file:
            part = text.removesuffix("\n")
            if part == line and text != part:
                # Its last line end belongs to the delimiter.
                yield "".join(item)[:-1]
                item = []
            else:
                item.append(text[1:] if part.startswith("\\") and _escaped(part, line) != part else text)
        if item:
            yield "".join(item).removesuffix("\n")


def dump_pickle_stream(inbox: Sequence[Any], handle: IO[bytes] | _Path) -> None:
    """Write the first item of the inbox to a stream of pickles.

    Use it in a linear piper, like `dump_stream`.

    Args:
        inbox: The item.
        handle: A file that is open for writing bytes, or a path to append to.

    >>> from io import BytesIO
    >>> stream = BytesIO()
    >>> dump_pickle_stream([{"a": 1}], stream)
    >>> dump_pickle_stream([(2, None)], stream)
    >>> stream = BytesIO(stream.getvalue())
    >>> list(load_pickle_stream(stream))
    [{'a': 1}, (2, None)]
    """
    # In one write: an item that can't be pickled leaves nothing in the file.
    data = pickle.dumps(inbox[0], pickle.HIGHEST_PROTOCOL)
    with _opened(_checked(handle, "write"), "ab") as file:
        file.write(data)


def load_pickle_stream(handle: IO[bytes] | _Path) -> Iterator[Any]:
    """Read a stream of pickles, item by item.

    A pickle can run any code when it is opened: see `pickle_loads`.

    Args:
        handle: A file that is open for reading bytes, or a path; see `load_stream`.

    Raises:
        EOFError, pickle.UnpicklingError: If the stream ends within an item, or is no stream of pickles.
    """
    return _pickles(_checked(handle, "read"))


def _pickles(handle: IO[bytes] | _Path) -> Iterator[Any]:
    with _opened(handle, "rb") as file:
        while first := file.read(1):
            try:
                item = pickle.Unpickler(_PutBack(first, file)).load()
            except EOFError as error:
                raise EOFError("the stream of pickles ends within an item") from error
            yield item


def make_lines(
    handle: IO[AnyStr] | _Path, follow: bool = False, wait: float = 0.1, *, stop: Event | None = None
) -> Iterator[AnyStr]:
    """Read a file line by line, with the line ends; if wanted also what is appended to it later.

    Args:
        handle: A file that is open for reading text or bytes, or the path of a text file; see `load_stream`.
        follow: At the end of the file wait for more, for ever or until ``stop`` is set. A line is given when it is
            whole.
        wait: Seconds between two looks at a file that is followed: systems don't tell when a file grows.
        stop: Ends the following; the rest of the file is read before, and may end with an incomplete line.

    >>> from io import StringIO
    >>> file = StringIO("one\\ntwo")
    >>> list(make_lines(file))
    ['one\\n', 'two']
    """
    check_flag("follow", follow)
    check_seconds("wait", wait, or_none=False)
    if stop is not None and not hasattr(stop, "wait"):
        raise checks.wrong_type("stop", "a threading.Event or None", stop)
    return _lines(_checked(handle, "read"), follow, wait, Event() if stop is None else stop)


def _lines(handle: IO[AnyStr] | _Path, follow: bool, wait: float, ended: Event) -> Iterator[AnyStr]:
    with _opened(handle, "r") as file:
        part = file.read(0)
        end: Any = b"\n" if isinstance(part, bytes) else "\n"
        last = not follow
        while True:
            text = file.readline()
            part += text
            if text and not last and not part.endswith(end):
                continue  # what was written so far of a line
            if part and (last or part.endswith(end)):
                yield part
                part = file.read(0)
            elif last:
                return
            else:
                # One more look after the stop: what was written before it is there by now.
                last = ended.wait(wait)


class _PutBack:
    """A file of bytes of which one has been read already, as pickle reads it."""

    def __init__(self, first: bytes, file: IO[bytes]) -> None:
        self._first = first
        self._file = file

    def read(self, size: int) -> bytes:
        first, self._first = self._first[:size], self._first[size:]
        return first + self._file.read(size - len(first))

    def readline(self) -> bytes:
        first, self._first = self._first, b""
        return first if first == b"\n" else first + self._file.readline()


def _line(delimiter: str | None) -> str:
    checks.text("delimiter", delimiter)
    line = delimiter or ""
    if "\n" in line:
        raise checks.wrong_value("delimiter", "one line", line)
    return line


def _checked(handle: Any, method: str) -> Any:
    if not isinstance(handle, (str, os.PathLike)) and not hasattr(handle, method):
        raise checks.wrong_type("handle", f"an open file with the method {method}, or a path", handle)
    return handle


def _opened(handle: Any, mode: str, **options: Any) -> Any:
    """A context with the file: one that was open stays so."""
    if isinstance(handle, (str, os.PathLike)):
        return open(handle, mode, **options, encoding=None if "b" in mode else "utf-8")
    return nullcontext(handle)
