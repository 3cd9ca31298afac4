"""Scripts to start from, and a configuration for each of them."""

from __future__ import annotations

import shlex
import sys
from typing import Any

_PYTHON = '''\
#!/usr/bin/env python3
"""A script for papy: copies the lines of its input."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    ARGS = json.load(file)
inputs, outputs, params = ARGS["in"], ARGS["out"], ARGS["params"]

with open(inputs["input"], encoding="utf-8") as source, open(outputs["output"], "w", encoding="utf-8") as target:
    for line in source:
        target.write(line)
'''

_BASH = """\
#!/usr/bin/env bash
# A script for papy: copies its input. $1 is a JSON file; the same is in the environment:
# PAPY_IN_<port>, PAPY_OUT_<port>, PAPY_PARAM_<name>.
set -euo pipefail

cat "$PAPY_IN_input" > "$PAPY_OUT_output"
"""

_R = """\
#!/usr/bin/env Rscript
# A script for papy: copies the lines of its input. The first argument is a JSON file; the same is in the environment:
# PAPY_IN_<port>, PAPY_OUT_<port>, PAPY_PARAM_<name>.
writeLines(readLines(Sys.getenv("PAPY_IN_input")), Sys.getenv("PAPY_OUT_output"))
"""

TEMPLATES = {"python": _PYTHON, "bash": _BASH, "r": _R}


def _config(name: str, executable: str, script: str) -> dict[str, Any]:
    return {
        "id": name,
        "executable": executable,
        "script": script,
        "in": ["input"],
        "out": [["output", "txt"]],
        "params": {},
        "dir": ".",
    }


CONFIGS = {
    "python": _config("python_script", shlex.quote(sys.executable), "script.py"),
    "bash": _config("bash_script", "bash", "script.sh"),
    "r": _config("r_script", "Rscript", "script.R"),
}
