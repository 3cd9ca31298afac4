"""A program with modules that only its own import hooks can import, or that they rewrite; it prints what is wrong."""

# ruff: noqa: E402 - the hooks come before what they import
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile
import types
import zipfile
from pathlib import Path

from numap import IMap

OPTIONS = json.loads(sys.argv[1])
folder = tempfile.TemporaryDirectory()


def write(name, text):
    path = Path(folder.name, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


ANSWER = "WORD = 'of the file'\ndef answer(x): return x, WORD, __file__\nclass Kind:\n word = WORD\n"
write("rewritten.py", ANSWER)
write("by_loader.py", ANSWER)
write(
    "uses_rewritten.py",
    "import rewritten\nfrom rewritten import answer\ndef ask(x): return rewritten.answer(x), answer(x)\n",
)
write("imports_later.py", "def ask(x):\n import rewritten\n return rewritten.WORD\n")
write("uses_a_user.py", "from uses_rewritten import ask\ndef again(x): return ask(x)\n")
write("plain.py", ANSWER)
write("package/__init__.py", "NAME = __name__\n")
write("package/plain.py", "def answer(x): return x, __name__\n")
write("below/encoded.path", "")
with zipfile.ZipFile(Path(folder.name, "zipped.zip"), "w") as archive:
    archive.writestr("zipped.py", ANSWER)
sys.path[:0] = [folder.name, str(Path(folder.name, "zipped.zip")), str(Path(folder.name, "below", "encoded.path"))]

SOURCES = {
    "generated": ANSWER.replace("of the file", "generated")
    + "state = []\ndef push(x): state.append(x); return len(state) > 0\n"
    "class Oops(Exception):\n pass\ndef fail(x): raise Oops(x)\n",
    "rewritten": ANSWER.replace("of the file", "rewritten"),
    "package.generated": "from . import NAME\nfrom .plain import answer\n"
    "def ask(x):\n from . import plain\n return plain.answer(x), answer(x), NAME\n",
    "made": "from .part import value\nfrom . import part\n",
    "made.part": "value = 7\ndef double(x): return 2 * x\n",
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name not in SOURCES:
            return None
        return importlib.util.spec_from_loader(
            name, self, origin=str(Path(folder.name, name + ".py")), is_package=name == "made"
        )

    def exec_module(self, module):
        module.__file__ = module.__spec__.origin
        exec(SOURCES[module.__name__], vars(module))


class Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        return super().source_to_code(data.replace(b"of the file", b"by the loader"), path)


class LoaderFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "by_loader":
            path = str(Path(folder.name, "by_loader.py"))
            return importlib.util.spec_from_file_location(name, path, loader=Loader(name, path))
        return None


class PathLoader(importlib.abc.Loader):
    def exec_module(self, module):
        module.__file__ = "encoded"
        exec(ANSWER.replace("of the file", "decoded"), vars(module))


class PathFinder:
    def __init__(self, path):
        if not path.endswith("encoded.path"):
            raise ImportError

    def find_spec(self, name, target=None):
        return importlib.util.spec_from_loader(name, PathLoader()) if name == "encoded" else None


sys.meta_path[:0] = [Finder(), LoaderFinder]
sys.path_hooks.insert(0, PathFinder)

import by_loader
import encoded
import generated
import imports_later
import made
import package
import package.generated
import plain
import rewritten
import uses_a_user
import uses_rewritten
import zipped
from generated import Kind, answer, fail

by_hand = sys.modules["by_hand"] = types.ModuleType("by_hand")

exec(ANSWER.replace("of the file", "by hand").replace("__file__", "3"), vars(by_hand))


def check(name, func, items=(1,), same=lambda a, b: a == b):
    try:
        found = list(IMap(func, items, on_error="return", **OPTIONS))
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
        return
    wanted = list(map(func, items))
    if not all(map(same, found, wanted)):
        print(f"{name}: {found} instead of {wanted}")


def imports(x):
    import generated
    import made.part
    import package.generated
    from package import generated as other
    from rewritten import WORD

    return generated.WORD, WORD, made.part.double(x), package.generated.ask(x), other.NAME


check("its function", generated.answer)
check("its function through another name", lambda x: answer(x))  # noqa: PLW0108 - the global is the point
check("through the module", lambda x: (generated.answer(x), rewritten.answer(x), encoded.answer(x)))
check("one that a path hook makes", encoded.answer)
check("one that a loader rewrites", by_loader.answer)
check("one that is put there by hand", by_hand.answer)
check("a module of a file that uses one", uses_rewritten.ask)
check("a module of a file that uses one later", imports_later.ask)
check("a module that uses that module", uses_a_user.again)
check("in the function's body", imports)
check("below a package", package.generated.ask)
check("a package", lambda x: (made.value, made.part.double(x), made.part.__name__))
check("a class", lambda x: Kind.word)
check("its instances", lambda x: type(x) is generated.Kind and x, [Kind()], lambda a, b: type(a) is type(b) is Kind)
check("its state", generated.push, [1, 2])
check("a module as an item", lambda module: module.answer(1), [generated, rewritten, by_hand, plain])
check("plain ones", lambda x: (plain.answer(x), zipped.answer(x)))
(error,) = IMap(fail, [3], on_error="return", **OPTIONS)
if not (type(error) is generated.Oops and error.args == (3,)):
    print("an exception:", repr(error))

write("patched.py", ANSWER)
before = importlib.machinery.SourceFileLoader.get_data


def get_data(self, path):
    return (
        before(self, path).replace(b"of the file", b"patched  ") if path.endswith("patched.py") else before(self, path)
    )


importlib.machinery.SourceFileLoader.get_data = get_data
sys.dont_write_bytecode = True
import patched

check("a patched loader", patched.answer)
print("checked", os.path.basename(plain.__file__))
