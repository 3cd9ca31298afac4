"""The data of a run: what each input is to read, checked, and made a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Any, Final

from numap.interop import checks, is_detachable
from papy._base.checks import counted, type_error, value_error
from papy._base.errors import DaggerError
from papy._base.misuse import datas_text
from papy._piper.piper import Piper
from papy._streams.source import StreamSource
from papy._streams.streams import SEQUENCES, InputStream, branches

MANY: Final = 1000  # so many datas too many are counted, for the error


def data_sources(
    inputs: list[Piper], datas: Iterable[Iterable[Any]], call: str, closable: bool = False
) -> dict[Piper, StreamSource]:
    """Give each input its data. Inputs that were given the same iterator read all of its items each.

    Args:
        inputs: The pipers.
        datas: One iterable for each of them.
        call: What was given the datas.
        closable: The data can be cut off at any moment, which takes time for each item; see `RunReport.close_inputs`.

    Raises:
        DaggerError: There are more or fewer datas than inputs, or they are no iterables.
    """
    given = _checked_datas(inputs, datas, call)
    readers: dict[int, list[Piper]] = {}
    for piper, data in given.items():
        readers.setdefault(id(data), []).append(piper)
    sources: dict[Piper, StreamSource] = {}
    for piper, data in given.items():
        if piper in sources:
            continue
        sharing = readers[id(data)] if isinstance(data, Iterator) else [piper]
        name = f"the data of {' and '.join(it.name for it in sharing)}"
        whole = StreamSource(data if len(sharing) == 1 or is_detachable(data) else InputStream(data, name), name)
        for reader, source in zip(sharing, branches(whole, len(sharing)), strict=True):
            stream = source.stream
            if closable or not (type(stream) in SEQUENCES or is_detachable(stream)):
                stream = InputStream(stream, source.name, closable)
            sources[reader] = source._replace(stream=stream)
    return {piper: sources[piper] for piper in inputs}


def check_datas(datas: Iterable[Iterable[Any]], call: str, inputs: int) -> None:
    """DaggerError unless this can be the data of so many inputs."""
    needed = "a list with one iterable for each input"
    listed = not isinstance(datas, (str, bytes, Mapping, Set)) and hasattr(datas, "__iter__")
    if listed:
        if not isinstance(datas, (list, tuple, range)):
            return
        if datas and all(isinstance(data, (str, bytes)) for data in datas):
            needed += " (the items of a text would be its characters)"
        elif inputs != 1 or len(datas) == 1 or all(map(_is_iterable, datas)):
            return  # with one, or several inputs, it can be said which of them has the wrong data
    wrong = checks.wrong_type("datas", needed, datas)
    raise type_error(DaggerError, f"{wrong}{datas_text(call, datas, inputs)}")


def _is_iterable(data: object) -> bool:
    return hasattr(data, "__iter__") or hasattr(data, "__getitem__")


def _checked_datas(inputs: list[Piper], datas: Iterable[Iterable[Any]], call: str) -> dict[Piper, Iterable[Any]]:
    check_datas(datas, call, len(inputs))
    # One more tells "too many" of an iterable that never ends.
    ahead = iter(datas)
    given = list(islice(ahead, len(inputs) + 1))
    if len(given) != len(inputs):
        names = ", ".join(piper.name for piper in inputs)
        got = str(len(given)) if len(given) < len(inputs) else _counted(datas, ahead, len(given))
        raise value_error(
            DaggerError,
            f"datas: {got} given; must be one iterable for each of {counted(len(inputs), 'input')} ({names})",
        )
    for piper, data in zip(inputs, given, strict=True):
        if not _is_iterable(data):
            wrong = checks.wrong_type("datas", f"an iterable for {piper.name}", data)
            raise type_error(DaggerError, f"{wrong}{datas_text(call, given, len(inputs))}")
    return dict(zip(inputs, given, strict=True))


def _counted(datas: Iterable[Any], ahead: Iterator[Any], taken: int) -> str:
    """How many there are in all, if they have an end that is near."""
    rest = len(list(islice(ahead, MANY)))
    return str(taken + rest) if rest < MANY else f"more than {taken + rest - 1}"
