"""External programs as nodes: sort, gzip, uniq and a script of our own over some text files.

    python examples/script_workflow.py [FILE ...]      # default: three small ones that it writes itself

                  +-> gzip ---------+
    tr --> sort --|                 |-> report
                  +-> uniq -> top --+

Items are dictionaries from ports to files.
"""

import argparse
import gzip
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numap import IMap
from papy import Dagger, Piper, PiperError
from papy.util.script import Program

logging.getLogger("papy").setLevel("ERROR")  # what fails is printed here: no warning is needed

TEXTS = {"rose": "a rose is a rose is a rose", "sea": "the sea the sea the open sea", "empty": ""}

# Any program can read the file of JSON that it is given, or its environment.
TOP = """
import json, sys
arguments = json.load(open(sys.argv[1]))
counts = [line.split() for line in open(arguments["in"]["counts"])]
counts.sort(key=lambda pair: (-int(pair[0]), pair[1]))
with open(arguments["out"]["words"], "w") as file:
    for number, word in counts[: arguments["params"]["most"]]:
        print(word, number, file=file)
"""


def report(packed: dict[str, str], words: dict[str, str]) -> str:
    """What the inbox of a join holds are the results of both branches."""
    with gzip.open(packed["packed"], "rt") as file:
        number = len(file.read().split())
    top = Path(words["words"]).read_text().splitlines()
    return f"{number} words: {', '.join(top)}\n    {Path(packed['packed']).name}"


def pipeline(directory: str, pool: IMap[Any], most: int) -> Dagger:
    script = Path(directory, "top.py")
    script.write_text(TOP)
    # {in.x}, {out.x} and {params.x} are replaced. There is no shell: nothing needs quotes.
    split = Program(
        "split", ["tr", "-s", "[:space:]", r"\n"], {"words": "txt"}, dir=directory, stdin="text", stdout="words"
    )
    sort = Program("sort", ["sort", "-o", "{out.words}", "{in.words}"], {"words": "txt"}, dir=directory)
    pack = Program("gzip", ["gzip", "-9", "-c"], {"packed": "gz"}, dir=directory, stdin="words", stdout="packed")
    uniq = Program("uniq", ["uniq", "-c", "{in.words}"], {"counts": "txt"}, dir=directory, stdout="counts")
    top = Program(
        "top",
        [sys.executable, str(script), "{args}"],
        {"words": "txt"},
        ["counts"],
        dir=directory,
        params={"most": most},
    )
    splitter, sorter, join = Piper(split, parallel=pool), Piper(sort, parallel=pool), Piper(report, unpack=True)
    dagger = Dagger()
    dagger.add_pipe((splitter, sorter, Piper(pack, parallel=pool), join))
    dagger.add_pipe((sorter, Piper(uniq, parallel=pool), Piper(top, parallel=pool), join))
    return dagger


def main() -> None:
    parser = argparse.ArgumentParser(description="The words of some files.")
    parser.add_argument("files", nargs="*", help="default: three small ones")
    parser.add_argument("--most", type=int, default=2, help="how many words to show")
    options = parser.parse_args()

    with TemporaryDirectory() as directory:
        files = options.files
        if not files:
            for name, text in TEXTS.items():
                Path(directory, f"{name}.txt").write_text(text)
            files = [f"{directory}/{name}.txt" for name in (*TEXTS, "missing")]
        # Programs are processes themselves, so threads will do.
        pool: IMap[Any] = IMap(worker_type="thread", worker_num=2)
        dagger = pipeline(directory, pool, options.most)
        for file, line in zip(files, dagger.results([[{"text": file} for file in files]]), strict=True):
            failed = isinstance(line, PiperError)
            print(f"{Path(file).name}: {type(line.exception).__name__}" if failed else line)


main()
