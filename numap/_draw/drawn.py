"""What can be drawn: maps, graphs and pipelines have these methods in common.

The forms are imported when the first picture is drawn: most programs draw none.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .._base.checks import wrong_value

if TYPE_CHECKING:
    from .picture import Picture

#: By the suffix of a file, the module and function that writes the form.
_FORMS: Final = {
    ".svg": ("svg", "to_svg"),
    ".dot": ("dot", "to_dot"),
    ".gv": ("dot", "to_dot"),
    ".mmd": ("mermaid", "to_mermaid"),
}


def _written(picture: Picture, suffix: str) -> str:
    module, name = _FORMS[suffix]
    text: str = getattr(import_module(f"{__package__}.{module}"), name)(picture)
    return text


class Drawn:
    """A base class: `_picture` tells what there is at this moment."""

    __slots__ = ()

    def _picture(self) -> Picture:
        raise NotImplementedError

    def to_dot(self) -> str:
        """Its picture in the language of Graphviz; while it runs, with its figures at this moment."""
        return _written(self._picture(), ".dot")

    def to_mermaid(self) -> str:
        """Its picture as a flow chart of Mermaid; while it runs, with its figures at this moment."""
        return _written(self._picture(), ".mmd")

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Writes its picture to a file; while it runs, with its figures at this moment.

        Args:
            path: the file; its suffix says in which form: ``.svg``, which needs nothing but a browser, ``.dot`` or ``.gv`` for
                Graphviz, or ``.mmd`` for Mermaid.

        Raises:
            ValueError: the suffix is another.
            OSError: the file can't be written.
        """
        suffix = os.path.splitext(path)[1]
        if suffix not in _FORMS:
            raise wrong_value("path", f"a name that ends with {', '.join(_FORMS)}", os.fspath(path))
        text = _written(self._picture(), suffix)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows of it."""
        picture = self._picture()
        return {
            "text/plain": repr(self),
            "image/svg+xml": _written(picture, ".svg"),
            "text/vnd.mermaid": _written(picture, ".mmd"),
        }
