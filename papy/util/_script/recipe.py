"""All that the outputs of a program depend on, as far as that can be known, in the form that JSON has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from papy.util._script.output_records import state_of
from papy.util._script.ports import filled


def recipe(
    command: Sequence[str],
    params: Mapping[str, Any],
    source: Mapping[str, str],
    env: Mapping[str, str],
    cwd: str | None,
    rest: Sequence[Any],
) -> dict[str, Any]:
    """What has to be the same for outputs to be the same.

    Args:
        command: The program and its arguments, with places for values.
        params: Parameters.
        source: The paths of its inputs by their ports, and what else there is by ``""``.
        env: Variables of its environment.
        cwd: Its directory; None: that of the process.
        rest: Whatever else counts.
    """
    words = [filled(word, {"params": params}) for word in command]
    return {
        "command": words,
        # Texts, too: in a word or a variable a parameter is its text, and JSON makes the same of a list and a tuple.
        "params": [dict(params), {name: str(value) for name, value in params.items()}],
        "env": dict(env),
        "cwd": os.path.abspath(cwd or "."),
        "programs": _programs(words, env.get("PATH"), cwd or ""),
        "inputs": {port: state_of(path) for port, path in source.items() if port and os.path.exists(path)},
        "rest": list(rest),
    }


def _programs(command: Sequence[str], path: str | None, cwd: str) -> dict[str, Any]:
    """The files that words of a command, or what follows an equals sign in them, stand for: the program, a script, and the like."""
    found = {}
    for number, word in enumerate(command):
        for part in {word, word.partition("=")[2]} - {""}:
            file: str | None = os.path.join(cwd, part)
            if not os.path.dirname(part) and (number == 0 or not os.path.isfile(str(file))):
                file = shutil.which(part, path=path)
            if file is not None and os.path.isfile(file):
                found[part] = [os.path.abspath(file), *state_of(file)]
    return found
