"""The other process of the tests of code that travels: for each request a fresh child loads a function and calls it."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import Any

from numap._modules.main_import import MainImporter
from numap._modules.owners import Everything
from numap._serialize.pickler import CodePickler

LENGTH = struct.Struct("<Q")


def serve(request: Any) -> bytes:
    """The pickle of the results, or of what was raised."""
    identity, log, blob = request
    encode = CodePickler(Everything()).encode
    try:
        image = MainImporter(identity)
        image.update(log, len(log))
        results = []
        for func, args in image.load((blob, [])):
            results.append(func(*args))
        return encode((True, results))
    except BaseException as error:
        import traceback

        return encode((False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


def main() -> None:
    import pytest  # noqa: F401 - the test modules need it; here once instead of in each child

    out = os.dup(1)
    os.dup2(2, 1)
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if not child:
            answer = serve(request)
            answer = LENGTH.pack(len(answer)) + answer
            while answer:
                answer = answer[os.write(out, answer) :]
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
