"""Which files a program reads and writes, by its ports. Decides on names only; makes and runs nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from numap.interop import checks

# Nothing else in braces is touched: awk and shells need theirs.
_PLACE = re.compile(r"\{(?:(in|out|params)\.([\w-]+)|args)\}")


def named(words: Sequence[str], kind: str) -> list[str]:
    """The names of one kind (in, out, params) for which there are places in a command, each once.

    >>> named(["sort", "{in.left}", "{in.right}", "--output={out.both}", "{in.left}"], "in")
    ['left', 'right']
    """
    found = [match[2] for word in words for match in _PLACE.finditer(word) if match[1] == kind]
    return list(dict.fromkeys(found))


def filled(word: str, values: Mapping[str, Mapping[str, Any]], args: str = "{args}") -> str:
    """One word of a command with values in its places, and the path of the file of arguments for ``{args}``.

    Places of a kind for which there are no values stay as they are.

    >>> filled("{in.a}:{params.n}", {"in": {"a": "a.txt"}, "params": {"n": 3}}, "")
    'a.txt:3'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return args
        return str(values[match[1]][match[2]]) if match[1] in values else match[0]

    return _PLACE.sub(value, word)


def input_paths(inbox: Sequence[Any], ports: Sequence[str]) -> dict[str, str]:
    """Find the file for each input port in an inbox.

    Args:
        inbox: Dictionaries from ports to paths: each port is taken from the first that has it. A path that comes alone
            is meant for the only port.
        ports: The input ports.

    Raises:
        ValueError: If there is none for one of the ports.
        TypeError: If there is something else in the inbox.

    >>> input_paths([{"a": "1.txt"}, {"a": "2.txt", "b": "3.txt"}], ["a", "b"])
    {'a': '1.txt', 'b': '3.txt'}
    """
    found: dict[str, str] = {}
    for item in inbox if ports else ():
        if isinstance(item, (str, os.PathLike)) and len(ports) == 1:
            item = {ports[0]: item}
        if not isinstance(item, Mapping):
            raise checks.wrong_type("the item", "a dictionary from ports to paths", item)
        for port in ports:
            if port in item:
                found.setdefault(port, os.fspath(item[port]))
    missing = [port for port in ports if port not in found]
    if missing:
        offered = sorted({str(port) for item in inbox if isinstance(item, Mapping) for port in item})
        raise ValueError(f"not all input ports are connected: no {', '.join(missing)} in {', '.join(offered) or 'it'}")
    return {port: found[port] for port in ports}


def sources(inputs: Mapping[str, str], inbox: Sequence[Any]) -> dict[str, str]:
    """What outputs are made of and named after: the inputs, or under ``""`` the first item of the inbox itself.

    >>> sources({"text": "/in/a.txt"}, []), sources({}, ["first run"])
    ({'text': '/in/a.txt'}, {'': 'first run'})
    """
    if not inputs:
        return {"": str(inbox[0] if inbox else "")}
    return {port: os.path.abspath(path) for port, path in inputs.items()}


def output_names(
    identity: str, inputs: Mapping[str, str], outputs: Mapping[str, str], inbox: Sequence[Any], unique: bool = False
) -> dict[str, str]:
    """Name the file for each output port: ``<stem>_<id>-<port>.<extension>``.

    The stem is that of the input with the port's own name; then the port is not repeated in the name. Otherwise it is
    that of the first input, and without inputs the first item of the inbox itself. If names are to be unique, eight
    digits follow the stem, which are made of the paths of all inputs.

    >>> output_names("sh", {"text": "in/greeting.txt"}, {"count": "num", "text": ""}, [])
    {'count': 'greeting_sh-count.num', 'text': 'greeting_sh'}
    """
    first = next(iter(inputs.values()), None)
    mark = f"-{_digest(sources(inputs, inbox))}" if unique else ""
    names = {}
    for port, extension in outputs.items():
        path = inputs.get(port, first)
        stem = re.sub(r"\W+", "_", str(inbox[0] if inbox else "")) if path is None else PurePath(path).stem
        name = f"{stem}{mark}_{identity}" if port in inputs else f"{stem}{mark}_{identity}-{port}"
        names[port] = f"{name}.{extension}" if extension else name
    return names


def _digest(source: Mapping[str, str]) -> str:
    import hashlib

    return hashlib.sha256(repr(sorted(source.items())).encode(errors="surrogateescape")).hexdigest()[:8]


def environment(values: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The same for programs that read no JSON: ``PAPY_IN_<port>``, ``PAPY_OUT_<port>``, ``PAPY_PARAM_<name>``.

    >>> environment({"in": {"a-b": "a.txt"}, "out": {}, "params": {"n": 3}})
    {'PAPY_IN_a_b': 'a.txt', 'PAPY_PARAM_n': '3'}
    """
    kinds = {"in": "IN", "out": "OUT", "params": "PARAM"}
    return {
        f"PAPY_{kinds[kind]}_{re.sub(r'[^0-9A-Za-z_]', '_', name)}": str(value)
        for kind, named_values in values.items()
        for name, value in named_values.items()
    }
